import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, describe, expect, test } from 'vitest'
import { memoryStore } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { ndjsonDump, repair, scrub, verify } from '../../src/index.js'
import { hostWorld } from '../../src/host/world.js'
import { rewriteKeys } from '../../src/replay/rewrite.js'
import { built, put, table } from '../support/states.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

const folder = mkdtempSync(join(tmpdir(), 'repair-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const freshPath = (): string => join(folder, `${files++}.db`)

const events = [put('first', 0), ...Array.from({ length: 60 }, (_, i) => put(`k${i}`, i))]

function change(path: string, sql: string, ...values: unknown[]): void {
  const db = new Database(path)
  const id = db.prepare("SELECT id FROM collections WHERE name = 'rows'").pluck().get()
  db.prepare(sql.replaceAll('ROWS', `entries_${String(id)}`)).run(...values)
  db.close()
}

describe('a repair of our own store', () => {
  test('rewrites damaged, lost and added rows from the log, and says so in the seal', async () => {
    const path = freshPath()
    const { source } = await built(events, sqlite({ path }))
    change(path, "UPDATE ROWS SET bytes = x'2a' WHERE key = 'k3'")
    change(path, "DELETE FROM ROWS WHERE key = 'k4'")
    change(path, "INSERT INTO ROWS SELECT 'added', bytes, hash FROM ROWS WHERE key = 'k5'")
    const store = sqlite({ path })
    const rebuilt = { store, projection: table, source }
    const planned = await repair({ rebuilt })
    expect(planned.ours.map(({ key }) => key).sort()).toEqual(['added', 'k3', 'k4'])
    expect(planned.executed).toBe(false)
    expect(await failureOf(scrub({ store }))).toMatchObject({ code: 'STATE_CORRUPT' })
    const done = await repair({ rebuilt, execute: true })
    expect(done.executed).toBe(true)
    await scrub({ store })
    const [row] = await store.generations()
    expect(row?.checkpoint?.manifest.accepted).toEqual([{ code: 'REPAIRED', detail: 'rows/added, rows/k3, rows/k4' }])
    const sound = await built(events)
    expect(await verify({ rebuilt, against: sound.store })).toMatchObject({ verdict: 'match' })
    expect((await repair({ rebuilt })).ours).toEqual([])
  })

  test('finds which side is not what the log gives, rewrites ours, and proves again', async () => {
    const [sound, wrong] = [await built(events), await built(events)]
    const rebuilt = { ...wrong, projection: table }
    const [row] = await wrong.store.generations()
    const seal = row!.checkpoint!
    // A state that another version of the tool, or a person, left behind: its digest is sound, its values are not.
    const keys = [{ collection: 'rows', key: 'k7', value: 700 }, { collection: 'rows', key: 'k8', value: undefined }]
    const { manifestHash } = seal
    await rewriteKeys({ store: wrong.store, generation: 1, projection: table, keys, manifestHash, world: hostWorld() })
    const planned = await repair({ rebuilt, against: sound.store })
    expect(planned).toMatchObject({ executed: false, theirs: 0, before: { verdict: 'mismatch', differing: 2 }, after: null })
    expect(planned.ours.map(({ key }) => key).sort()).toEqual(['k7', 'k8'])
    expect(await repair({ rebuilt, against: sound.store, execute: true })).toMatchObject({ executed: true, after: { verdict: 'match' } })
  })

  test('goes on with the replay afterwards, and the mark stays', async () => {
    const path = freshPath()
    const { source } = await built(events, sqlite({ path }))
    change(path, "DELETE FROM ROWS WHERE key = 'k4'")
    await repair({ rebuilt: { store: sqlite({ path }), projection: table, source }, execute: true })
    ;(source as unknown as { append(partition: string, event: object): void }).append('log', put('k4', 'new'))
    const sealed = await runIn(worldOf(1), { source, projection: table, store: sqlite({ path }) })
    expect(sealed.accepted).toEqual([{ code: 'REPAIRED', detail: 'rows/k4' }])
    const sound = await built([...events, put('k4', 'new')])
    expect(await verify({ rebuilt: { store: sqlite({ path }), projection: table }, against: sound.store })).toMatchObject({ verdict: 'match' })
  })

  test('is refused while a replay writes, and where the store has moved on', async () => {
    const store = memoryStore()
    await built(events, store)
    const world = hostWorld()
    const keys = [{ collection: 'rows', key: 'k1', value: 5 }]
    expect(await failureOf(rewriteKeys({ store, generation: 1, projection: table, keys, manifestHash: `sh1:${'0'.repeat(64)}`, world })))
      .toMatchObject({ code: 'FENCED' })
    const writer = await store.open({ generation: 1, mode: 'write', incarnation: 'x', owner: 'me 1', nowMs: 0, takeover: false })
    const { manifestHash } = writer.checkpoint!
    expect(await failureOf(rewriteKeys({ store, generation: 1, projection: table, keys, manifestHash, world }))).toMatchObject({ code: 'ALREADY_RUNNING' })
    await writer.close()
  })
})

test('a side of another program is not touched: it is said what would put it right', async () => {
  const mine = await built([put('first', 0), put('a', 1), put('b', 2)])
  const rows = [{ key: 'first', value: 0 }, { key: 'a', value: 9 }, { key: 'c', value: 3 }]
  const against = ndjsonDump({
    name: 'dump', position: { at: 'log@2' }, lines: async function* () { for (const row of rows) yield JSON.stringify(row) },
  })
  const done = await repair({ rebuilt: { ...mine, projection: table }, against })
  expect(done).toMatchObject({ ours: [], theirs: 3, executed: false })
  expect(done.statements.length).toBeGreaterThanOrEqual(3)
  expect(done.statements.join('\n')).toContain('"a"')
})
