import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { write } from '../host/project.js'
import { cli, fakeIo } from './harness.js'
import { ORDERS } from './orders.js'

const CONFIG = `
import { defineConfig } from 'rehydrate'
import { fileLog } from 'rehydrate/file'
import { sqlite } from 'rehydrate/sqlite'
import { orders } from './orders.ts'

const folder = import.meta.dirname
const old = (name, position) => sqlite({
  path: folder + '/' + name, position,
  tables: { orders: { table: 'orders', key: 'id', columns: { total: 'total', paid: { column: 'paid', type: 'bool' } } } },
})

export default defineConfig({
  jobs: {
    orders: {
      source: fileLog({ path: folder + '/log' }), projection: orders, store: sqlite({ path: folder + '/state.db' }),
      verify: { against: {
        sound: old('old.db', { at: '0@6,1@6' }),
        wrong: old('wrong.db', { query: 'SELECT partition, at FROM progress' }),
        unplaced: old('old.db'),
      } },
    },
  },
})
`

let folder = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rehydrate-verify-'))
  write(folder, { ...ORDERS, 'rehydrate.config.ts': CONFIG })
  const replayed = await cli(folder, ['replay', '--json'])
  expect(replayed.exit, replayed.stdout).toBe(0)
  const exported = (await cli(folder, ['export'])).stdout.trim().split('\n').map((line) => JSON.parse(line) as { key: string; value: { total: number; paid: boolean } })
  for (const name of ['old.db', 'wrong.db']) {
    const db = new Database(join(folder, name))
    db.exec('CREATE TABLE orders (id TEXT PRIMARY KEY, total INTEGER NOT NULL, paid INTEGER NOT NULL)')
    db.exec("CREATE TABLE progress (partition TEXT, at INTEGER); INSERT INTO progress VALUES ('0', 6), ('1', 6)")
    for (const { key, value } of exported) db.prepare('INSERT INTO orders VALUES (?, ?, ?)').run(key, value.total, Number(value.paid))
    // A payment that the old service lost.
    if (name === 'wrong.db') db.exec("UPDATE orders SET paid = 0 WHERE id = 'order-1-2'")
    db.close()
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('rehydrate verify', () => {
  test('says MATCH and exits 0 where a table of another program is equal, and that a person said where it stands', async () => {
    const { exit, stdout } = await cli(folder, ['verify', '--against', 'sound'])
    expect(stdout).toMatch(/^orders {2}MATCH: 4 keys are equal\n/)
    expect(stdout).toContain('as it is said of the other side')
    expect(exit).toBe(0)
    const { json } = await cli(folder, ['verify', '--against', 'sound', '--json'])
    expect(json()).toMatchObject({
      job: 'orders', verdict: 'match', grade: 'scrubbed', position: { 0: 6, 1: 6 }, againstPosition: { 0: 6, 1: 6 }, asserted: true, differing: 0,
    })
    expect(json().rebuilt.root).toBe(json().against.root)
  })

  test('says MISMATCH and exits 1 where one field differs', async () => {
    const { exit, stdout } = await cli(folder, ['verify', '--against', 'wrong'])
    expect(stdout).toMatch(/^orders {2}MISMATCH: 1 of 4 keys differs\n/)
    expect(stdout).toContain('next      rehydrate diff orders --against wrong --blame')
    expect(exit).toBe(1)
  })

  test('says INCONCLUSIVE and exits 2 where nobody says where the other side stands', async () => {
    const { exit, stdout, json } = await cli(folder, ['verify', '--against', 'unplaced', '--json'])
    expect(json()).toMatchObject({ verdict: 'inconclusive', reason: { code: 'AGAINST_POSITION_UNKNOWN' }, differing: null })
    expect(exit).toBe(2)
    expect(stdout).not.toContain('order-1-2')
    expect(await cli(folder, ['verify', '--against', 'unplaced', '--against-at', '0@6,1@6', '--json'])).toMatchObject({ exit: 0 })
  })

  test('waits for a side that stands behind until the deadline, and exits 3', async () => {
    const args = ['verify', '--against', 'unplaced', '--against-at', '0@6,1@5', '--wait', '--deadline', '1', '--json']
    const { exit, json } = await cli(folder, args)
    expect(json()).toMatchObject({ verdict: 'inconclusive', reason: { code: 'WAIT_DEADLINE' } })
    expect(exit).toBe(3)
  })

  test('takes an export, a generation, and names what it does not know', async () => {
    expect(await cli(folder, ['export', '--out', 'dump.ndjson'])).toMatchObject({ exit: 0 })
    expect(await cli(folder, ['verify', '--against', 'dump.ndjson'])).toMatchObject({ exit: 2 })
    expect(await cli(folder, ['verify', '--against', 'dump.ndjson', '--against-at', '0@6,1@6'])).toMatchObject({ exit: 0 })
    expect(await cli(folder, ['verify', '--against', 'generation:1'])).toMatchObject({ exit: 0 })
    expect(await cli(folder, ['verify', '--against', 'wrogn'])).toMatchObject({ exit: 64, stderr: expect.stringContaining('Did you mean wrong?') })
    expect(await cli(folder, ['verify', '--against', 'at:0@1'])).toMatchObject({ exit: 64 })
    expect(await cli(folder, ['verify', '--against', 'snapshot:latest'])).toMatchObject({ exit: 64 })
    expect(await cli(folder, ['verify'])).toMatchObject({ exit: 64, stderr: expect.stringContaining('--against AGAINST') })
  })

  test('scrubs alone, and folds again', async () => {
    const scrubbed = await cli(folder, ['verify', '--scrub'])
    expect(scrubbed.stdout).toMatch(/^orders {2}every stored byte is what was written\n/)
    expect(scrubbed.exit).toBe(0)
    const { exit, stdout } = await cli(folder, ['verify', '--rebuild'])
    expect(stdout).toMatch(/^orders {2}MATCH: \d rebuilds in other orders and batches gave the sealed root\n/)
    expect(exit).toBe(0)
  })
})

describe('rehydrate diff', () => {
  test('names the key, the field and the event, and exits 1', async () => {
    const { exit, stdout } = await cli(folder, ['diff', '--against', 'wrong', '--blame'])
    expect(stdout).toContain('orders/order-1-2\n  $.paid  rebuilt true  against false\n  blame  consistent with ')
    expect(stdout).toContain('1@5 (Paid)')
    expect(exit).toBe(1)
    const { json } = await cli(folder, ['diff', '--against', 'wrong', '--blame', '--json'])
    expect(json()).toMatchObject({
      total: 1, truncated: false,
      differences: [{
        collection: 'orders', key: 'order-1-2', kind: 'value', fields: [{ path: '$.paid', rebuilt: true, against: false }],
        blame: { partition: '1', offset: 5, type: 'Paid', candidates: 1 },
      }],
    })
  })

  test('writes the lists as JSON lines', async () => {
    expect(await cli(folder, ['diff', '--against', 'wrong', '--out', 'lists'])).toMatchObject({ exit: 1 })
    const lines = (kind: string): string => readFileSync(join(folder, 'lists', `${kind}.jsonl`), 'utf8')
    expect(JSON.parse(lines('value'))).toMatchObject({ key: 'order-1-2' })
    expect(lines('only-rebuilt')).toBe('')
    expect(existsSync(join(folder, 'lists/value.jsonl.partial'))).toBe(false)
  })

  test('never puts payloads into the log', async () => {
    const io = fakeIo(folder)
    await cli(folder, ['diff', '--against', 'wrong', '--log-level', 'debug', '--json'], io)
    expect(io.text('stderr')).not.toContain('paid')
  })

  test('between two positions shows what changed', async () => {
    const { exit, stdout } = await cli(folder, ['diff', '--against', 'at:0@6,1@2'])
    expect(stdout).toContain('$.paid  rebuilt true  against false')
    expect(exit).toBe(1)
  })
})

describe('rehydrate repair', () => {
  test('prints SQL for a table of another program, which brings it to be equal', async () => {
    const { exit, stdout, stderr } = await cli(folder, ['repair', '--against', 'wrong'])
    expect(exit).toBe(1)
    expect(stderr).toContain('1 key of the other side is not what the log gives')
    const db = new Database(join(folder, 'wrong.db'))
    db.exec(stdout)
    db.close()
    expect(await cli(folder, ['verify', '--against', 'wrong'])).toMatchObject({ exit: 0 })
    expect(await cli(folder, ['repair', '--against', 'wrong'])).toMatchObject({ exit: 0, stderr: expect.stringContaining('nothing to repair') })
  })
})
