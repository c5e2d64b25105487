import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, describe, expect, test } from 'vitest'
import { memoryLog, type MemoryEvent } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { defineReducer, openState, replay } from '../../src/index.js'
import { hashValue } from '../../src/digest/hash.js'
import { encode } from '../../src/value/canonical.js'
import { failureOf, runIn, tampered, worldOf } from '../support/worlds.js'

const folder = mkdtempSync(join(tmpdir(), 'lost-rows-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const counts = defineReducer<number>({
  name: 'counts', version: 1, collection: 'counts', ids: { window: 100 }, on: { Add: (n) => (n ?? 0) + 1, Drop: () => null },
})
const add = (partition: number, i: number): MemoryEvent => ({ type: 'Add', key: `${partition}-k${i % 40}`, id: `${i}` })
let files = 0

/** Seals 200 events of two partitions, changes a row of the store behind its back, and goes on with `more`. */
async function afterChange(change: (db: Database.Database, table: (collection: string) => string) => void, more: MemoryEvent[]) {
  const path = join(folder, `${files++}.db`)
  const source = memoryLog({ partitions: { p: Array.from({ length: 100 }, (_, i) => add(0, i)), q: Array.from({ length: 100 }, (_, i) => add(1, i)) } })
  await runIn(worldOf(1), { source, projection: counts, store: sqlite({ path }) })
  const db = new Database(path)
  change(db, (name) => `entries_${String(db.prepare('SELECT id FROM collections WHERE name = ?').pluck().get(name))}`)
  db.close()
  for (const event of more) source.append('p', event)
  return await failureOf(runIn(worldOf(1), { source, projection: counts, store: sqlite({ path }) }))
}

describe('a row that is gone, or replaced whole, is STATE_CORRUPT before it is folded and sealed', () => {
  const next = { ...add(0, 5), id: 'new' }

  test('a lost row, whether the next event writes it or deletes it', async () => {
    for (const event of [next, { ...next, type: 'Drop' }]) {
      const error = await afterChange((db, table) => db.prepare(`DELETE FROM ${table('counts')} WHERE key = '0-k5'`).run(), [event])
      expect(error).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: 'counts', key: '0-k5' } })
      expect(error.message).toContain('lost')
    }
  })

  test('a row that another value and its right hash have taken the place of', async () => {
    const bytes = encode(1_000)
    const error = await afterChange((db, table) =>
      db.prepare(`UPDATE ${table('counts')} SET bytes = ?, hash = ? WHERE key = '0-k5'`).run(bytes, hashValue(bytes)), [next])
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: 'counts', key: '0-k5' } })
  })

  test('a row that appeared', async () => {
    const bytes = encode(1_000)
    const error = await afterChange((db, table) =>
      db.prepare(`INSERT INTO ${table('counts')} VALUES ('0-new', ?, ?)`).run(bytes, hashValue(bytes)), [{ type: 'Add', key: '0-new', id: 'n' }])
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: 'counts', key: '0-new' } })
  })

  test('a lost owner', async () => {
    const error = await afterChange((db, table) => db.prepare(`DELETE FROM ${table('$owners')} WHERE key = 'counts:0-k5'`).run(), [next])
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: '$owners', key: 'counts:0-k5' } })
  })

  test.each(['$ids', '$marks'])('a lost row of %s', async (collection) => {
    const error = await afterChange((db, table) =>
      db.prepare(`DELETE FROM ${table(collection)} WHERE key = (SELECT min(key) FROM ${table(collection)})`).run(), [next])
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', details: { collection } })
  })
})

describe('before the first seal there is no digest, and the keys are counted', () => {
  /** Stops a rebuild in its middle, changes the store, and goes on. */
  async function afterStop(change: string): Promise<any> {
    const path = join(folder, `${files++}.db`)
    const partitions = { p: Array.from({ length: 200 }, (_, i) => add(0, i)) }
    const cut = tampered(memoryLog({ partitions }), (batch) => {
      if (batch.through > 150) throw new Error('the network went away')
      return batch
    })
    const options = { projection: counts, store: sqlite({ path }), batch: { events: 20 }, checkpoint: { bytes: 1 } }
    await failureOf(runIn(worldOf(1), { ...options, source: cut }))
    const db = new Database(path)
    const table = `entries_${String(db.prepare("SELECT id FROM collections WHERE name = 'counts'").pluck().get())}`
    db.exec(change.replaceAll('TABLE', table))
    db.close()
    return await failureOf(runIn(worldOf(1), { ...options, store: sqlite({ path }), source: memoryLog({ partitions }) }))
  }

  test.each([
    ['a lost row', "DELETE FROM TABLE WHERE key = '0-k7'"],
    ['a damaged key', "UPDATE TABLE SET key = '0-j7' WHERE key = '0-k7'"],
    ['every row', 'DELETE FROM TABLE'],
    ['a row too many', "INSERT INTO TABLE SELECT '0-zzz', bytes, hash FROM TABLE WHERE key = '0-k7'"],
  ])('%s is STATE_CORRUPT, not a seal', async (_name, change) => {
    expect(await afterStop(change)).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: 'counts' } })
  })

  test.each<[string, object]>([
    ['$merge', { order: 'copartition', partitioner: { hash: () => 0, counts: [1] } }],
    ['$held', { partitioner: { hash: (key: Uint8Array) => 5 * key.length, counts: [2, 3] } }],
  ])('a lost row of %s is STATE_CORRUPT before the next event', async (collection, more) => {
    const path = join(folder, `${files++}.db`)
    // By the second hash `aa` moved from o/0 to o/1, which is read beside it: there its event is held.
    const event = (key: string, recordedAt: number): MemoryEvent => ({ type: 'Add', key, recordedAt })
    const partitions = collection === '$merge'
      ? { 'o/0': [event('a', 1), event('a', 9)], 'p/0': [event('a', 2), event('a', 8)] }
      : { 'o/0': [event('aa', 0)], 'o/1': [event('aa', 1), event('a', 2)], 'o/2': [event('a', 3)] }
    const projection = defineReducer<number>({ name: 'counts', version: 1, collection: 'counts', on: { Add: (n) => (n ?? 0) + 1 }, ...more })
    const cut = tampered(memoryLog({ partitions }), (batch) => {
      if (batch.partition === (collection === '$merge' ? 'p/0' : 'o/2') && batch.through === partitions[batch.partition as 'o/0']!.length - 1) {
        throw new Error('the network went away')
      }
      return batch
    })
    const options = { projection, batch: { events: 1 }, checkpoint: { bytes: 1 } }
    await failureOf(runIn(worldOf(1), { ...options, store: sqlite({ path }), source: cut }))
    const db = new Database(path)
    const id = String(db.prepare('SELECT id FROM collections WHERE name = ?').pluck().get(collection))
    expect(db.prepare(`DELETE FROM entries_${id} WHERE key = (SELECT min(key) FROM entries_${id})`).run().changes).toBe(1)
    db.close()
    expect(await failureOf(runIn(worldOf(1), { ...options, store: sqlite({ path }), source: memoryLog({ partitions }) })))
      .toMatchObject({ code: 'STATE_CORRUPT', details: { collection } })
  })
})

test('a seal re-reads what was written since the one before it', async () => {
  const path = join(folder, `${files++}.db`)
  const source = memoryLog({ partitions: { p: Array.from({ length: 100 }, (_, i) => add(0, i)) } })
  const store = sqlite({ path })
  const run = replay({ source, projection: counts, store, until: 'follow', checkpoint: { seconds: 0.01 } })
  run.done.catch(() => {})
  for await (const event of run) if (event.kind === 'phase' && event.phase === 'following') break
  source.append('p', { ...add(0, 5), id: 'new' })
  await new Promise((resolve) => setTimeout(resolve, 600))
  const db = new Database(path)
  const table = `entries_${String(db.prepare("SELECT id FROM collections WHERE name = 'counts'").pluck().get())}`
  expect(db.prepare(`DELETE FROM ${table} WHERE key = '0-k5'`).run().changes).toBe(1)
  db.close()
  expect(await failureOf(run.seal())).toMatchObject({ code: 'STATE_CORRUPT', details: { key: '0-k5' } })
})

test('a key that is read is not called absent where the digest lists it', async () => {
  const path = join(folder, `${files++}.db`)
  await runIn(worldOf(1), { source: memoryLog({ partitions: { p: [add(0, 1), add(0, 2)] } }), projection: counts, store: sqlite({ path }) })
  const db = new Database(path)
  db.exec(`DELETE FROM entries_${String(db.prepare("SELECT id FROM collections WHERE name = 'counts'").pluck().get())} WHERE key = '0-k1'`)
  db.close()
  const state = await openState(sqlite({ path }), { projection: counts })
  expect(await failureOf(state.get('counts', '0-k1'))).toMatchObject({ code: 'STATE_CORRUPT', details: { key: '0-k1' } })
  expect(await state.get('counts', '0-never')).toBeUndefined()
  await state.close()
})
