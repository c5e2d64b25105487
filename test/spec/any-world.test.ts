import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEntry, type MemoryEvent, type MemoryLog } from '../../adapters/memory/index.js'
import { defineProjection, openState, type EventSource, type Projection, type ReplayOptions, type SealedRun, type StateStore } from '../../src/index.js'
import { hashFunction } from '../../src/log/partitioner.js'
import { startRun } from '../../src/replay/run.js'
import { seeded, worldOf } from '../support/worlds.js'

type Order = Projection['order']
type Random = () => number
interface Written {
  readonly partition: string
  readonly entry: MemoryEntry
}

/** A log as it is written, and the projection that reads it. */
interface Case {
  readonly order: Order
  readonly counts: readonly number[]
  readonly names: readonly string[]
  readonly written: readonly Written[]
  readonly projection: Projection
  /** Waivers of events that no handler takes. */
  readonly accept: readonly string[]
}

const indexOf = (key: string, count: number): number => hashFunction('crc32')(Buffer.from(key)) % count
const below = (random: Random, n: number): number => Math.floor(random() * n)
const HOLES = ['control', 'aborted', 'filtered', 'compactedOrLost'] as const

/** The numbers of partitions that a key has lain in, in their order. */
const wayOf = (key: string, counts: readonly number[]): number[] =>
  counts.map((count) => indexOf(key, count)).filter((at, i, all) => at !== all[i - 1])

/** Under each key the numbers of its events, in the order in which they applied; of order 'any' their sum. */
function projectionOf(order: Order, counts: readonly number[]): Projection {
  const isPlaced = order === 'partition' || order === 'copartition'
  return defineProjection({
    name: 'journals', version: 1, order, collections: { journals: {}, thirds: {} },
    ...(isPlaced && { partitioner: { hash: 'crc32', counts } }),
    ...((order === 'time' || order === 'copartition') && { time: { latenessMs: 40 } }),
    keys: { Did: ({ key }: any) => [{ collection: 'journals', key }, { collection: 'thirds', key }] },
    on: {
      Did: (state: any, { key, data: { n, isBad } }: any) => {
        if (isBad) throw new Error('it is bad')
        if (order === 'any') return state.journals.put(key, (state.journals.get(key) ?? 0) + n)
        state.journals.put(key, [...(state.journals.get(key) ?? []), n])
        if (n % 3 === 2) state.thirds.delete(key)
        else state.thirds.put(key, n)
      },
    },
  } as any)
}

/** Times are out of order by less than the lateness, within a partition and between them. */
function caseOf(random: Random, order: Order): Case {
  const counts = [[3], [4, 6], [2, 4], [2, 3, 6]][below(random, 4)] as number[]
  const topics = order === 'partition' ? ['a'] : ['a', 'b']
  const keys = Array.from({ length: 99 }, (_, i) => `k${i}`).filter((key) => new Set(wayOf(key, counts)).size === wayOf(key, counts).length)
  const [holes, bad] = [below(random, 2) * 0.15, order === 'any' ? 0 : below(random, 2) * 0.04]
  const written: Written[] = []
  const accept: string[] = []
  const lengths = new Map<string, number>()
  let timeMs = 1_000
  for (const count of counts) {
    for (let i = 0; i < 25; i++) {
      const key = keys[below(random, 12)] as string
      const isFree = order === 'time' || order === 'any'
      const partition = `${topics[below(random, topics.length)]}/${isFree ? below(random, count) : indexOf(key, count)}`
      const offset = lengths.get(partition) ?? 0
      lengths.set(partition, offset + 1)
      timeMs += below(random, 12)
      const isBad = random() < bad
      if (isBad) accept.push(`HANDLER_FAILED=${partition}@${offset}`)
      const event = { type: 'Did', key, recordedAt: timeMs + below(random, 30), data: { n: written.length, isBad } }
      written.push({ partition, entry: random() < holes && !isBad ? { hole: HOLES[below(random, 4)] as (typeof HOLES)[number] } : event })
    }
  }
  const names = topics.flatMap((topic) => Array.from({ length: counts.at(-1) as number }, (_, i) => `${topic}/${i}`))
  return { order, counts, names, written, projection: projectionOf(order, counts), accept }
}

/** The fold, written plainly: sort what is merged, and take a key's events from where it lay first to where it lies now. */
function plainFold({ order, counts, names, written }: Case): Map<string, number[] | number> {
  const events = names.flatMap((partition) => {
    let high = Number.NEGATIVE_INFINITY
    return written.filter((one) => one.partition === partition).flatMap(({ entry }, offset) => {
      if (!('type' in entry)) return []
      const isMerged = order === 'time' || order === 'copartition'
      high = Math.max(high, isMerged ? entry.recordedAt as number : offset)
      return [{ event: entry, partition, offset, timeMs: high }]
    })
  })
  const stageOf = ({ event, partition }: { event: MemoryEvent; partition: string }): number =>
    order === 'partition' || order === 'copartition' ? wayOf(event.key as string, counts).indexOf(Number(partition.split('/')[1])) : 0
  events.sort((a, b) => stageOf(a) - stageOf(b) || a.timeMs - b.timeMs || a.partition.localeCompare(b.partition) || a.offset - b.offset)
  const state = new Map<string, any>()
  for (const { event: { key, data } } of events as { event: any }[]) {
    if (data.isBad) continue
    state.set(key, order === 'any' ? (state.get(key) ?? 0) + data.n : [...(state.get(key) ?? []), data.n])
  }
  return state
}

async function journalsIn(store: StateStore, projection: Projection): Promise<Map<string, unknown>> {
  const state = await openState(store, { projection })
  const rows = await state.scan('journals', null, 1_000)
  await state.close()
  return new Map(rows.map(({ key, value }) => [key, value]))
}

/** All that a manifest says but for when each byte was read last. */
const sealOf = ({ seal: { manifest } }: SealedRun) => ({ ...manifest, scrubbedAt: null })

/** Calls `then` after some deliveries. */
function broken(source: EventSource, deliveries: number, then: () => void): EventSource {
  let left = deliveries
  return {
    continuity: source.continuity, check: (marks) => source.check(marks), bounds: (options) => source.bounds(options), close: () => source.close(),
    async *read(...range) {
      for await (const batch of source.read(...range)) {
        if (left-- === 0) then()
        yield batch
      }
    },
  }
}

/** Fails at some commit. */
function failing(store: StateStore, commits: number): StateStore {
  let left = commits
  return Object.assign(Object.create(store) as StateStore, {
    generations: () => store.generations(),
    async open(options: Parameters<StateStore['open']>[0]) {
      const session = await store.open(options)
      if (options.mode === 'read') return session
      const commit = session.commit.bind(session)
      return Object.assign(session, { commit: async (...args: Parameters<typeof commit>) => {
        if (left-- === 0) throw new Error('killed')
        await commit(...args)
      } })
    },
  })
}

/** The log is written piece by piece; between two pieces it is followed, sealed, stopped or killed. */
async function livedThrough(random: Random, one: Case, seed: number): Promise<{ source: MemoryLog; store: StateStore; options: ReplayOptions }> {
  const { projection, accept, names, written, counts, order } = one
  const early = order === 'partition' && below(random, 2) === 0 ? names.slice(0, counts[0]) : names
  const source = memoryLog({ continuity: 'sparse', partitions: Object.fromEntries(early.map((name) => [name, []])) })
  const store = memoryStore()
  let at = 0
  const write = (most: number): void => {
    for (const { partition, entry } of written.slice(at, at + most)) source.append(partition, entry)
    at += most
  }
  const some = (): void => write(below(random, written.length / 4))
  const options = (): ReplayOptions => ({
    source, store, projection, accept, batch: { events: 1 + below(random, 9) }, checkpoint: { bytes: below(random, 2) === 0 ? 1 : 2_000, seconds: 0.01 },
  })
  for (let step = 0; step < 6; step++) {
    some()
    const world = worldOf(seed * 31 + step)
    const stop = new AbortController()
    const what = ['seal', 'stop', 'kill', 'tear'][below(random, 4)]
    const reading = broken(source, what === 'seal' ? -1 : below(random, 25), () => {
      if (what === 'stop') stop.abort('SIGTERM')
      else if (what === 'kill') throw new Error('killed')
    })
    const more = what === 'tear' ? { store: failing(store, below(random, 9)) } : {}
    const run = startRun({ ...options(), source: reading, ...more, until: 'follow', signal: stop.signal }, world)
    run.done.catch(() => {})
    for (let seals = 0; seals < 2; seals++) {
      const sealed = await run.seal().catch(() => null)
      if (sealed === null) break
      const fixed = { ...options(), store: memoryStore(), until: sealed.position }
      if (sealed.position.size > 0) expect(sealOf(await startRun(fixed, worldOf(seed)).done)).toEqual(sealOf(sealed))
      some()
    }
    await run.close()
    const error: any = await run.done.catch((thrown: unknown) => thrown)
    expect(error.code === 'RUN_STOPPED' || error.message === 'killed' ? '' : error).toBe('')
  }
  write(written.length)
  return { source, store, options: options() }
}

describe('whatever the growth, the holes and what was left out, however it was followed, stopped, killed and torn', () => {
  test.each<Order>(['partition', 'copartition', 'time', 'any'])("order '%s': each seal is that of a fixed replay, the end that of the plain fold", async (order) => {
    for (let seed = 1; seed <= 12; seed++) {
      const random = seeded(seed)
      const one = caseOf(random, order)
      const { store, source, options } = await livedThrough(random, one, seed)
      const sealed = await startRun({ ...options, store }, worldOf(seed)).done
      const undisturbed = memoryStore()
      const fixed = await startRun({ ...options, source, store: undisturbed }, worldOf(1)).done
      expect(sealOf(sealed), `seed ${seed}`).toEqual(sealOf(fixed))
      expect(await journalsIn(undisturbed, one.projection), `seed ${seed}`).toEqual(plainFold(one))
    }
  }, 120_000)
})
