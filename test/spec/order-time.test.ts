import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent, type MemoryLog } from '../../adapters/memory/index.js'
import { defineProjection, openState, type ReplayOptions, type SealedRun } from '../../src/index.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

/** One key for all partitions, which keeps the order in which events came. */
const journal = (more: object = {}) => defineProjection({
  name: 'journal', version: 1, order: 'time', collections: { journal: {} },
  keys: { Did: () => [{ collection: 'journal', key: 'all' }] },
  on: { Did: (state: any, event: any) => state.journal.put('all', [...(state.journal.get('all') ?? []), `${event.partition}@${event.offset}`]) },
  ...more,
} as any)

const at = (recordedAt: number | null): MemoryEvent => ({ type: 'Did', recordedAt, data: {} })
const logOf = (times: Record<string, (number | null)[]>): MemoryLog =>
  memoryLog({ partitions: Object.fromEntries(Object.entries(times).map(([name, list]) => [name, list.map(at)])) })

async function orderOf(source: MemoryLog, over: Partial<ReplayOptions> & { seed?: number } = {}): Promise<{ order: string[]; sealed: SealedRun }> {
  const { seed = 1, ...rest } = over
  const store = rest.store ?? memoryStore()
  const sealed = await runIn(worldOf(seed), { source, projection: journal(), store, ...rest })
  const state = await openState(store, { projection: journal() })
  const order = (await state.get('journal', 'all')) as string[]
  await state.close()
  return { order, sealed }
}

/** The merge, written plainly: raise each time to the highest before it in its partition, then sort. */
function plainMerge(times: Record<string, number[]>): string[] {
  const all = Object.entries(times).flatMap(([partition, list]) => {
    let high = Number.NEGATIVE_INFINITY
    return list.map((time, offset) => ({ time: (high = Math.max(high, time)), partition: Buffer.from(partition), offset }))
  })
  all.sort((a, b) => a.time - b.time || a.partition.compare(b.partition) || a.offset - b.offset)
  return all.map(({ partition, offset }) => `${partition}@${offset}`)
}

describe("order 'time'", () => {
  test('merges by time made non-decreasing, then partition by UTF-8 bytes, then offset', async () => {
    const times = { b: [10, 30, 20, 40], a: [10, 25, 30], '\u{1f600}': [30], '\uffee': [30] }
    expect((await orderOf(logOf(times))).order).toEqual(plainMerge(times))
  })

  test('the merge, the root and the manifest depend on nothing but the log', async () => {
    const times = fc.dictionary(fc.constantFrom('a', 'b', 'c/1', 'ü'), fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 12 }))
    await fc.assert(fc.asyncProperty(times, fc.integer({ min: 1, max: 20 }), fc.integer(), async (log, events, seed) => {
      if (Object.values(log).every((list) => list.length === 0)) return
      const one = await orderOf(logOf(log))
      expect(one.order).toEqual(plainMerge(log))
      const other = await orderOf(logOf(log), { batch: { events }, checkpoint: { bytes: 1 }, seed })
      expect(other.sealed.seal.manifestHash).toBe(one.sealed.seal.manifestHash)
    }), { numRuns: 60 })
  })

  test('a run that was stopped goes on where the merge stood', async () => {
    const times = { a: [1, 4, 5, 9, 12, 13], b: [2, 3, 6, 7, 8, 14], c: [10, 11] }
    const whole = await orderOf(logOf(times))
    const merged = plainMerge(times)
    for (let cut = 1; cut < merged.length; cut++) {
      const position = new Map<string, number>()
      for (const place of merged.slice(0, cut)) position.set(place.split('@')[0] as string, Number(place.split('@')[1]))
      const store = memoryStore()
      const first = await orderOf(logOf(times), { store, until: position, batch: { events: 2 } })
      expect(first.order).toEqual(merged.slice(0, cut))
      const second = await orderOf(logOf(times), { store })
      expect(second.order).toEqual(merged)
      expect(second.sealed.root).toBe(whole.sealed.root)
      expect(second.sealed.seal.manifest.control).toBe(whole.sealed.seal.manifest.control)
    }
  })

  test('a cut the merge does not go through is refused, naming the nearest before it', async () => {
    const error = await failureOf(orderOf(logOf({ a: [1, 5, 9], b: [2, 3, 10] }), { until: 'a@1,b@0' }))
    expect(error).toMatchObject({ code: 'USAGE' })
    expect(error.fix).toContain('--until a@0,b@0')
  })

  test('a time is always a cut', async () => {
    const { order } = await orderOf(logOf({ a: [1, 8, 5], b: [2, 6, 7] }), { until: new Date(6) })
    expect(order).toEqual(['a@0', 'b@0'])
  })

  test('an event that comes later and belongs before the merge point is LATE_EVENT; a new generation includes it', async () => {
    const source = logOf({ a: [1, 5], b: [2] })
    const store = memoryStore()
    await orderOf(source, { store })
    source.append('b', at(4))
    expect(await failureOf(orderOf(source, { store }))).toMatchObject({ code: 'LATE_EVENT', exitCode: 8, details: { partition: 'b', offset: 1 } })
    expect((await orderOf(source, { store, restart: true })).order).toEqual(['a@0', 'b@0', 'b@1', 'a@1'])
  })

  test('a record without a time is RECORDED_AT_MISSING', async () => {
    expect(await failureOf(orderOf(logOf({ a: [1, null] })))).toMatchObject({ code: 'RECORDED_AT_MISSING', details: { partition: 'a', offset: 1 } })
  })

  test('a time further ahead of the records after it than futureMs is TIMESTAMP_IMPLAUSIBLE, naming that record', async () => {
    const hour = 3_600_000
    const far = logOf({ a: [0, 10 * hour, 1_000], b: [0] })
    expect(await failureOf(orderOf(far))).toMatchObject({ code: 'TIMESTAMP_IMPLAUSIBLE', details: { partition: 'a', offset: 1 } })
    expect((await orderOf(logOf({ a: [0, hour, 0], b: [0] }))).order).toHaveLength(4)
    const wide = journal({ time: { futureMs: 20 * hour } })
    expect((await runIn(worldOf(1), { source: far, projection: wide, store: memoryStore() })).run.applied).toBe(4)
  })

  test('one key may be touched from every partition: there is one order', async () => {
    expect((await orderOf(logOf({ a: [1], b: [2] }))).order).toEqual(['a@0', 'b@0'])
  })
})
