import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { latest, openState, type LatestOptions, type SealedRun, type StateStore, type Value } from '../../src/index.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

const world = worldOf(1, { codeOf: async () => null })
const rows = (more: Partial<LatestOptions> = {}) => latest({ name: 'prices', version: 1, ...more })

const rebuild = (more: Partial<LatestOptions>, events: readonly MemoryEvent[], store: StateStore = memoryStore()): Promise<SealedRun> =>
  runIn(world, { source: memoryLog({ partitions: { 'prices/0': events } }), projection: rows(more), store })

async function tableOf(events: readonly MemoryEvent[], more: Partial<LatestOptions> = {}): Promise<Record<string, Value>> {
  const store = memoryStore()
  await rebuild(more, events, store)
  const state = await openState(store, { projection: rows(more) })
  const found = await state.scan(more.collection ?? 'rows', null, 1_000)
  await state.close()
  return Object.fromEntries(found.map(({ key, value }) => [key, value]))
}

const set = (key: string | null, data: Value, type = 'prices'): MemoryEvent => ({ type, key, data })

test('keeps the last value per key, whatever the type of its event and the kind of value; a tombstone deletes', async () => {
  const events = [set('a', { cents: 1 }), set('b', 'text', 'Other'), set('a', { cents: 2 }, 'Third'), set('c', [1]), set('c', null), set('b', 7)]
  expect(await tableOf(events)).toEqual({ a: { cents: 2 }, b: 7 })
  expect(await tableOf([...events, set('b', null, '$tombstone')])).toEqual({ a: { cents: 2 } })
})

test('what is kept, and under which key, may be a function of the event; null deletes, undefined is refused', async () => {
  const options = {
    collection: 'open', key: (event: { key: string | null }) => event.key!.toUpperCase(),
    value: (event: { data: any }) => (event.data.closed === true ? null : { n: event.data.n }),
  }
  expect(await tableOf([set('a', { n: 1, more: 2 }), set('b', { n: 2 }), set('b', { closed: true }), set('c', { n: 3 }), set('c', null)], options))
    .toEqual({ A: { n: 1 } })
  expect(await failureOf(tableOf([set('a', {})], { value: () => undefined }))).toMatchObject({ code: 'HANDLER_RETURNED_NOTHING' })
})

test('an event without a key, a column that is not declared and an integer beyond 2^53 are refused by name', async () => {
  expect(await failureOf(tableOf([set(null, { n: 1 })]))).toMatchObject({ code: 'EVENT_KEY_MISSING' })
  const thrower = { value: (): never => { throw new Error('no') } }
  expect((await failureOf(tableOf([set('a', { n: 1 })], thrower))).message).toContain('The handler of any type threw')
  expect(await failureOf(tableOf([set('a', { n: 1, m: 2 })], { columns: { n: 'int' } }))).toMatchObject({ code: 'COLUMN_UNKNOWN', details: { actual: 'm' } })
  const wide = [set('a', { n: 9_007_199_254_740_993n })]
  expect(await failureOf(tableOf(wide))).toMatchObject({ code: 'NUMBER_INEXACT' })
  expect(await tableOf(wide, { columns: { n: 'int64' } })).toEqual({ a: { n: 9_007_199_254_740_993n } })
  expect(await tableOf(wide, { int64: ['n'] })).toEqual({ a: { n: 9_007_199_254_740_993n } })
})

test('any sequence of values and tombstones gives what a map gives, and a compacted log gives the same', async () => {
  const step = fc.record({ key: fc.constantFrom('a', 'b', 'c', 'd'), data: fc.option(fc.record({ n: fc.integer() }), { nil: null }) })
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const expected = new Map<string, Value>()
    for (const { key, data } of steps) {
      if (data === null) expected.delete(key)
      else expected.set(key, data)
    }
    const events = steps.map(({ key, data }) => set(key, data))
    const lastOf = new Map(events.map(({ key }, i) => [key, i]))
    expect(await tableOf(events)).toEqual(Object.fromEntries(expected))
    expect(await tableOf(events.filter(({ key }, i) => lastOf.get(key) === i), { columns: { n: 'int' } })).toEqual(Object.fromEntries(expected))
  }), { numRuns: 40 })
})

test('a table with columns in SQLite has the root of bytes in memory, and another version is another projection', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'latest-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const events = [set('a', { n: 1 }), set('b', { n: 2 }), set('a', { n: 3 })]
  const store = sqlite({ path: join(folder, 'state.db') })
  const inSqlite = await rebuild({ columns: { n: 'int' } }, events, store)
  expect(inSqlite.root).toBe((await rebuild({}, events)).root)
  expect(rows().history).toBe('last')
  expect(await failureOf(rebuild({}, events, store))).toMatchObject({ code: 'PROJECTION_CHANGED' })
  await store.close()
})
