import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { fileLog } from '../../adapters/file/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { defineProjection, replay } from '../../src/index.js'

const isThere = spawnSync('python3', ['--version']).status === 0
if (!isThere) console.warn('SKIPPED: python3 is not installed, so docs/formats.md was not checked against a store.')

const folder = mkdtempSync(join(tmpdir(), 'formats-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const EVENTS = 3_000

function writeLog(until: number): void {
  for (const partition of [0, 1]) {
    const lines = Array.from({ length: until }, (_, i) => JSON.stringify({
      type: i % 10 === 9 ? 'Closed' : 'Counted', key: `${partition}-${i % 1_300}`, id: `e${i}`, recordedAt: 1e12 + i,
      data: { by: i % 7, note: 'ü'.repeat(i % 40) },
    }))
    writeFileSync(join(folder, `p${partition}.ndjson`), `${lines.join('\n')}\n`)
  }
}

const COLUMNS = {
  n: 'int', note: { type: 'text', column: 'order "by"' }, odd: 'bool', half: 'real', more: 'json | null', price: 'decimal(9,2)', '...': 'json',
} as const

describe('docs/formats.md', () => {
  test('python3 is there where tests must not be skipped', () => {
    expect(isThere || process.env['CI'] !== 'true').toBe(true)
  })

  test.skipIf(!isThere).each([['partition', 'bytes'], ['time', 'bytes'], ['time', 'a table']] as const)(
    "is enough to read and check a state of order '%s', kept as %s, built at once and kept up",
    async (order, kept) => {
      const projection = defineProjection({
        name: 'counts', version: 1, order, ids: { window: 4 },
        collections: { counts: kept === 'bytes' ? {} : { columns: COLUMNS } },
        on: {
          Counted(state, { key, data }) {
            const n = ((state['counts']!.get(key!) as { n: number } | undefined)?.n ?? 0) + data.by
            state['counts']!.put(key!, {
              n, note: data.note, odd: n % 2 === 1, half: n / 2, ...(n % 3 === 0 ? {} : { at: { n: -n, day: '2024-02-29' } }), more: n % 5 === 0 ? null : [n, 1e21],
              price: `${n}.5`, ...(n % 7 === 0 ? { 'a b': n } : {}),
            })
          },
          Closed: (state, { key }) => { state['counts']!.delete(key!) },
        },
      })
      const path = join(folder, `${order}-${kept}.db`)
      const sealed = () => replay({ source: fileLog({ path: join(folder, '*.ndjson') }), projection, store: sqlite({ path }) }).done
      for (const until of [EVENTS / 2, EVENTS]) {
        writeLog(until)
        const { root, seal, collections } = await sealed()
        const script = join(import.meta.dirname, 'read_state.py')
        const read = JSON.parse(execFileSync('python3', [script, path, folder], { encoding: 'utf8' }))
        expect(read).toMatchObject({ root, manifest: seal.manifestHash, control: seal.manifest.control })
        expect(read.entries.counts).toBe(collections['counts']?.count)
        expect(read.entries[order === 'time' ? '$merge' : '$owners']).toBeGreaterThan(0)
      }
    },
  )
})
