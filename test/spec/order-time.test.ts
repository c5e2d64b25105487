import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent, type MemoryLog } from '../../adapters/memory/index.js'
import { defineProjection, openState, replay, type EventBatch, type EventSource, type ReplayOptions, type Run, type SealedRun } from '../../src/index.js'
import { failureOf, runIn, seeded, tampered, worldOf } from '../support/worlds.js'

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

describe("order 'time' of a log with holes", () => {
  const HOLES = ['control', 'aborted', 'filtered', 'compactedOrLost'] as const
  const sparseLog = (list: readonly (readonly (number | null)[])[]): MemoryLog => memoryLog({
    continuity: 'sparse',
    partitions: Object.fromEntries(list.map((entries, i) => [`p${i}`,
      entries.map((entry, offset) => (entry === null ? { hole: HOLES[offset % 4] as (typeof HOLES)[number] } : at(entry)))])),
  })
  /** A source that can not say where in a delivery its holes are. */
  const withoutPlaces = (source: EventSource): EventSource => tampered(source, (batch) => new Proxy(batch, {
    get: (target: EventBatch, name) => {
      if (name === 'holesBefore') return undefined
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  }))

  test('the holes of each checkpoint are a function of its position, whatever a delivery holds', async () => {
    const entries = fc.array(fc.option(fc.integer({ min: 0, max: 40 }), { freq: 2 }), { maxLength: 14 })
    await fc.assert(fc.asyncProperty(fc.array(entries, { minLength: 2, maxLength: 3 }), fc.integer({ min: 1, max: 9 }), async (log, events) => {
      if (log.every((list) => list.every((entry) => entry === null))) return
      const store = memoryStore()
      const seen = new Map<string, unknown>()
      const open = store.open.bind(store)
      store.open = async (options) => {
        const session = await open(options)
        const commit = session.commit.bind(session)
        session.commit = async (changes, checkpoint, writer, more) => {
          seen.set(JSON.stringify(checkpoint.manifest.position), checkpoint.manifest.holes)
          await commit(changes, checkpoint, writer, more)
        }
        return session
      }
      const whole = await runIn(worldOf(1), { source: sparseLog(log), projection: journal(), store: memoryStore() })
      const one = await runIn(worldOf(1), { source: sparseLog(log), projection: journal(), store, batch: { events }, checkpoint: { bytes: 1 } })
      expect(one.seal.manifestHash).toBe(whole.seal.manifestHash)
      for (const [position, holes] of seen) {
        const counted = { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 }
        for (const [partition, upTo] of Object.entries(JSON.parse(position) as Record<string, number>)) {
          const list = log[Number(partition.slice(1))] as readonly (number | null)[]
          list.slice(0, upTo + 1).forEach((entry, offset) => { if (entry === null) counted[HOLES[offset % 4] as (typeof HOLES)[number]]++ })
        }
        expect(holes).toEqual(counted)
      }
      const blind = await runIn(worldOf(1), { source: withoutPlaces(sparseLog(log)), projection: journal(), store: memoryStore(), batch: { events } })
      expect(blind.seal.manifestHash).toBe(whole.seal.manifestHash)
    }), { numRuns: 25 })
  }, 120_000)

  test('a cut may stand before holes, among them and behind them: each is the prefix of the same records', async () => {
    const source = sparseLog([[null, 10, null, null, 40, null, null], [null, 20, 30, null, 50]])
    for (const [until, applied] of Object.entries({
      'p0@0': 0, 'p1@0': 0, 'p0@1': 1, 'p0@2': 1, 'p0@3': 1, 'p0@2,p1@0': 1, 'p0@3,p1@1': 2, 'p0@2,p1@3': 3, 'p0@5,p1@3': 4, 'p0@5,p1@4': 5,
    })) {
      expect((await runIn(worldOf(1), { source, projection: journal(), store: memoryStore(), until })).run.applied).toBe(applied)
    }
    for (const [until, fix] of [['p0@4,p1@1', 'Use --until p0@1,p1@1.'], ['p1@1', 'Use --until with a time: that is always a prefix.']] as const) {
      expect(await failureOf(runIn(worldOf(1), { source, projection: journal(), store: memoryStore(), until }))).toMatchObject({ code: 'USAGE', fix })
    }
  })
})

describe("following with order 'time'", () => {
  const LATENESS_MS = 50
  const timed = journal({ time: { latenessMs: LATENESS_MS, futureMs: 1_000 } })
  const follow = async (source: MemoryLog, over: Partial<ReplayOptions> = {}): Promise<Run> => {
    const run = replay({ source, projection: timed, store: memoryStore(), until: 'follow', checkpoint: { seconds: 0.01 }, ...over })
    run.done.catch(() => {})
    for await (const event of run) if (event.kind === 'phase' && event.phase === 'following') break
    return run
  }
  const sealedAt = async (run: Run): Promise<string> => [...(await run.seal()).position].map(([name, offset]) => `${name}@${offset}`).sort().join()

  test('each seal is that of a fixed replay up to there, and a run to the head goes on right', async () => {
    const random = seeded(4)
    const source = logOf({ a: [0], b: [], c: [] })
    const store = memoryStore()
    const run = await follow(source, { store, checkpoint: { bytes: 1, seconds: 0.01 }, batch: { events: 3 } })
    let applied = 0
    for (let step = 1; step <= 20; step++) {
      // Within a partition and between them, times are out of order by less than the lateness.
      for (let i = 0; i < 3; i++) source.append('abc'[Math.floor(random() * 3)] as string, at(step * 40 + Math.floor(random() * LATENESS_MS)))
      const sealed = await run.seal()
      const fixed = await runIn(worldOf(step), { source, projection: timed, store: memoryStore(), until: sealed.position })
      expect(sealed.root).toBe(fixed.root)
      const { control, holes, position, identity } = fixed.seal.manifest
      expect(sealed.seal.manifest).toMatchObject({ control, holes, position, identity })
      applied = fixed.run.applied
    }
    expect(applied).toBeGreaterThan(40)
    expect(applied).toBeLessThan(61)
    await run.close()
    const rest = await runIn(worldOf(1), { source, projection: timed, store })
    const whole = await runIn(worldOf(1), { source, projection: timed, store: memoryStore() })
    expect(rest.root).toBe(whole.root)
    expect(rest.seal.manifest.control).toBe(whole.seal.manifest.control)
  }, 60_000)

  test('an event waits until each partition has a later one, or the log has gone on for latenessMs behind it', async () => {
    const source = logOf({ a: [100, 120], b: [110], idle: [] })
    const run = await follow(source)
    // The idle partition may still bring an earlier one.
    expect(await sealedAt(run)).toBe('')
    source.append('b', at(155))
    await waitFor(async () => (await sealedAt(run)) === 'a@0')
    source.append('idle', at(130))
    // Now all have one behind 120: what comes first of them is settled.
    await waitFor(async () => (await sealedAt(run)) === 'a@1,b@0')
    source.append('a', at(181))
    await waitFor(async () => (await sealedAt(run)) === 'a@1,b@0,idle@0')
    await run.close()
  })

  test('what comes after it was settled without it is LATE_EVENT, and halts', async () => {
    const source = logOf({ a: [100, 200], b: [] })
    const run = await follow(source)
    expect(await sealedAt(run)).toBe('a@0')
    source.append('b', at(99))
    expect(await failureOf(run.done)).toMatchObject({ code: 'LATE_EVENT', details: { partition: 'b', offset: 0 } })
  })

  test('one far timestamp does not move the time of the log; the record behind it tells that it was wrong', async () => {
    const source = logOf({ a: [100], b: [100] })
    const run = await follow(source)
    const hour = 3_600_000
    source.append('b', at(hour))
    source.append('a', at(140))
    await waitFor(async () => (await sealedAt(run)) === 'a@1,b@0')
    source.append('a', at(150))
    await waitFor(async () => (await sealedAt(run)) === 'a@2,b@0')
    source.append('b', at(160))
    expect(await failureOf(run.done)).toMatchObject({ code: 'TIMESTAMP_IMPLAUSIBLE', details: { partition: 'b', offset: 1 } })

    const more = logOf({ a: [100], b: [100] })
    const other = await follow(more)
    for (const time of [hour, 160, 170, 180]) more.append('b', at(time))
    expect(await failureOf(other.done)).toMatchObject({ code: 'TIMESTAMP_IMPLAUSIBLE', details: { partition: 'b', offset: 1 } })
  })

  test('a log that was quiet for long goes on when a second record says the same', async () => {
    const hour = 3_600_000
    const source = logOf({ a: [100], b: [100] })
    const run = await follow(source)
    source.append('a', at(5 * hour))
    source.append('a', at(5 * hour + 60))
    source.append('a', at(5 * hour + 120))
    await waitFor(async () => (await sealedAt(run)) === 'a@2,b@0')
    await run.close()
  })
})

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5))
}
