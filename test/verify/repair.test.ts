import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, describe, expect, test } from 'vitest'
import { memoryLog, memoryStore } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { defineReducer, ndjsonDump, repair, scrub, verify } from '../../src/index.js'
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

  test('rewrites a row whose bytes are sound and whose stored hash is not', async () => {
    const path = freshPath()
    const { source } = await built(events, sqlite({ path }))
    change(path, "UPDATE ROWS SET hash = zeroblob(32) WHERE key = 'k3'")
    const rebuilt = { store: sqlite({ path }), projection: table, source }
    expect(await failureOf(scrub(rebuilt))).toMatchObject({ code: 'STATE_CORRUPT', details: { key: 'k3' } })
    expect(await repair({ rebuilt, execute: true })).toMatchObject({ ours: [{ collection: 'rows', key: 'k3' }], scrubbed: { entries: 68 } })
    await scrub(rebuilt)
  })

  test('rewrites rows of a typed table that hold what no column was given', async () => {
    const path = freshPath()
    const typed = defineReducer<{ n: number }>({
      name: 'typed', version: 1, collection: 'rows', columns: { n: 'int' }, on: { Put: (_, { data }) => ({ n: data.value }) },
    })
    const { source } = await built(events, sqlite({ path }), typed)
    const db = new Database(path)
    const name = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'rows%'").pluck().get() as string
    db.pragma('ignore_check_constraints = ON')
    db.exec(`UPDATE "${name}" SET n = 'payload' WHERE key IN ('k0', 'k9', 'k59')`)
    db.close()
    const rebuilt = { store: sqlite({ path }), projection: typed, source }
    const { ours } = await repair({ rebuilt, execute: true })
    expect(ours.map(({ key }) => key).sort()).toEqual(['k0', 'k59', 'k9'])
    await scrub(rebuilt)
  })

  test('never says that there is nothing to repair where something is damaged that it can not rewrite', async () => {
    const path = freshPath()
    const { source } = await built(events, sqlite({ path }))
    const db = new Database(path)
    const id = db.prepare("SELECT id FROM collections WHERE name = '$digest'").pluck().get()
    db.exec(`DELETE FROM entries_${String(id)} WHERE key = (SELECT max(key) FROM entries_${String(id)})`)
    db.close()
    expect(await failureOf(repair({ rebuilt: { store: sqlite({ path }), projection: table, source } }))).toMatchObject({ code: 'STATE_CORRUPT' })
  })

  test('is never made from a log that lost its beginning, or is another one', async () => {
    const { store } = await built(events)
    const dump = ndjsonDump({ name: 'dump', position: { at: 'log@60' }, lines: async function* () { yield '{"key":"k1","value":1}' } })
    const shortened = memoryLog({ partitions: { log: events } })
    shortened.expire('log', 30)
    expect(await failureOf(repair({ rebuilt: { store, projection: table, source: shortened }, against: dump, execute: true })))
      .toMatchObject({ code: 'LOG_TRUNCATED', details: { partition: 'log', expected: 0, actual: 30 } })
    const [first, ...rest] = events
    const rewritten = memoryLog({ partitions: { log: [first!, ...rest.map(({ key }) => put(key as string, 'other'))] } })
    expect(await failureOf(repair({ rebuilt: { store, projection: table, source: rewritten }, against: dump, execute: true })))
      .toMatchObject({ code: 'LOG_REWRITTEN' })
    expect((await store.generations())[0]?.checkpoint?.manifest.accepted).toEqual([])
  })

  test('says how many keys it has not looked at, and proves what it rewrote', async () => {
    const [sound, wrong] = [await built(events), await built(events)]
    const { manifestHash } = (await wrong.store.generations())[0]!.checkpoint!
    const keys = ['k1', 'k2', 'k3'].map((key) => ({ collection: 'rows', key, value: 'wrong' }))
    await rewriteKeys({ store: wrong.store, generation: 1, projection: table, keys, manifestHash, world: hostWorld() })
    const rebuilt = { ...wrong, projection: table }
    expect(await repair({ rebuilt, against: sound.store, limit: 2 })).toMatchObject({ executed: false, unjudged: 1, scrubbed: null })
    // What was rewritten was not re-read since: the seal does not say so.
    expect(await verify({ rebuilt, against: sound.store })).toMatchObject({ verdict: 'mismatch', grade: 'maintained' })
    const first = await repair({ rebuilt, against: sound.store, limit: 2, execute: true })
    expect(first).toMatchObject({ executed: true, unjudged: 1, after: { verdict: 'mismatch', differing: 1 }, scrubbed: { entries: 68 } })
    expect(await repair({ rebuilt, against: sound.store, limit: 2, execute: true })).toMatchObject({ unjudged: 0, after: { verdict: 'match' } })
  })

  test('that is stopped after it rewrote something says so', async () => {
    const path = freshPath()
    const { source } = await built(events, sqlite({ path }))
    change(path, "DELETE FROM ROWS WHERE key = 'k4'")
    const stop = new AbortController()
    const against = ndjsonDump({
      name: 'dump', position: { at: 'log@60' }, lines: async function* () {
        stop.abort()
        yield '{"key":"k1","value":1}'
      },
    })
    const stopped = repair({ rebuilt: { store: sqlite({ path }), projection: table, source }, against, execute: true, signal: stop.signal })
    expect(await failureOf(stopped)).toMatchObject({ code: 'RUN_STOPPED', message: expect.stringContaining('after 1 keys'), safe: expect.stringContaining('REPAIRED') })
    await scrub({ store: sqlite({ path }) })
  })

  test('again and again keeps the seal of a bounded size, and says that it was', async () => {
    const { store } = await built(events)
    for (let i = 0; i < 250; i++) {
      const { manifestHash } = (await store.generations())[0]!.checkpoint!
      const keys = [{ collection: 'rows', key: 'k1', value: i }, { collection: 'rows', key: `new${i}`, value: i }]
      await rewriteKeys({ store, generation: 1, projection: table, keys, manifestHash, world: hostWorld() })
    }
    const { accepted } = (await store.generations())[0]!.checkpoint!.manifest
    expect(accepted.length).toBeLessThanOrEqual(101)
    expect(accepted).toContainEqual({ code: 'REPAIRED', detail: '100 times or more before' })
    expect(accepted).toContainEqual({ code: 'REPAIRED', detail: 'rows/k1, rows/new249' })
  })

  test('is not made by what the state was earlier', async () => {
    const mine = await built(events)
    const failed = repair({ rebuilt: { ...mine, projection: table }, against: { at: new Map([['log', 1]]) } })
    expect(await failureOf(failed)).toMatchObject({ code: 'USAGE' })
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
