import fc from 'fast-check'
import { Partitioners } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent, type MemoryLog } from '../../adapters/memory/index.js'
import { defineProjection, openState, plan, replay, type ReplayOptions, type SealedRun } from '../../src/index.js'
import { givenIn, type GivenEvent } from '../../src/conformance/given.js'
import type { Purity } from '../../src/replay/api.js'
import { crc32, hashFunction, murmur2 } from '../../src/log/partitioner.js'
import { HELD, type HeldRange } from '../../src/replay/held.js'
import { readEngineCollection } from '../../src/replay/state.js'
import { auditRebuild } from '../../src/verify/audit.js'
import { failureOf, runIn, seeded, worldOf } from '../support/worlds.js'

const murmurIndex = (key: string, count: number): number => hashFunction('murmur2')(Buffer.from(key)) % count

/** Under each key the events that it was given, in their order. */
const journals = (more: object = {}) => defineProjection({
  name: 'journals', version: 1, collections: { journals: {} },
  on: { Did: (state: any, event: any) => state.journals.put(event.key, [...(state.journals.get(event.key) ?? []), event.data.n]) },
  ...more,
} as any)

/** A topic that has as many partitions as `counts` says, one after the other: its first `most` events, each numbered under its key. */
function grownLog(
  counts: readonly number[], keys: readonly string[], perStage: number, seed: number, most = Infinity,
): Record<string, MemoryEvent[]> {
  let left = most
  const random = seeded(seed)
  const partitions: Record<string, MemoryEvent[]> = {}
  const numbers = new Map<string, number>()
  for (const count of counts) {
    for (let i = 0; i < count; i++) partitions[`orders/${i}`] ??= []
    for (let i = 0; i < perStage && left-- > 0; i++) {
      const key = keys[Math.floor(random() * keys.length)] as string
      const n = numbers.get(key) ?? 0
      numbers.set(key, n + 1)
      partitions[`orders/${murmurIndex(key, count)}`]?.push({ type: 'Did', key, data: { n } })
    }
  }
  return partitions
}

async function journalsIn(store: ReturnType<typeof memoryStore>, projection = journals()): Promise<Record<string, number[]>> {
  const state = await openState(store, { projection })
  const rows = await state.scan('journals', null, 1_000)
  await state.close()
  return Object.fromEntries(rows.map(({ key, value }) => [key, value as number[]]))
}

/** Keys that do not come back to a partition they left. */
const keysFor = (counts: readonly number[], most = 12): string[] => Array.from({ length: 200 }, (_, i) => `key-${i}`).filter((key) => {
  const way = counts.map((count) => murmurIndex(key, count)).filter((at, i, all) => at !== all[i - 1])
  return new Set(way).size === way.length
}).slice(0, most)

const KEYS = Array.from({ length: 12 }, (_, i) => `key-${i}`)
const inOrder = (journal: readonly number[]): boolean => journal.every((n, i) => n === i)
/** Tests of others may change the modules while this one runs. */
const worldIn = (seed: number) => worldOf(seed, { codeOf: async () => 'this file' })
const run = (source: MemoryLog, projection: any, over: Partial<ReplayOptions> & { seed?: number } = {}): Promise<SealedRun> => {
  const { seed = 1, ...rest } = over
  return runIn(worldIn(seed), { source, projection, store: memoryStore(), ...rest })
}

describe('hashes of keys', () => {
  test.each<[string, number]>([
    ['21', -973932308], ['foobar', -790332482], ['a-little-bit-long-string', -985981536], ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971], ['abc', 479470107],
  ])('murmur2 of %s is what the tests of the Java client say', (key, hash) => {
    expect(murmur2(Buffer.from(key))).toBe(hash)
  })

  test('a key of which the Java client drops the sign is not negative', () => {
    expect(hashFunction('murmur2')(Buffer.from('21'))).toBe(1_173_551_340)
    expect(hashFunction('murmur2')(Buffer.from('foobar'))).toBe(1_357_151_166)
  })

  test('the clients of kafkajs put keys where the Java clients do, and so do we', () => {
    const partitioner = Partitioners.DefaultPartitioner()
    fc.assert(fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), fc.integer({ min: 1, max: 64 }), (key, count) => {
      const partitionMetadata = Array.from({ length: count }, (_, partitionId) => ({ partitionId, leader: 0 }) as any)
      expect(murmurIndex(key, count)).toBe(partitioner({ topic: 't', partitionMetadata, message: { key, value: null } }))
    }))
  })

  test('crc32 is that of zlib', () => {
    expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926)
    expect(crc32(Buffer.from(''))).toBe(0)
  })
})

describe('a declared partitioner', () => {
  test('proves each record: the state is the same, and of one topic nothing is kept of who owns a key', async () => {
    const source = memoryLog({ partitions: grownLog([4], KEYS, 80, 1) })
    const plain = await run(source, journals())
    const proved = await run(source, journals({ partitioner: { hash: 'murmur2', counts: [4] } }))
    expect(proved.root).toBe(plain.root)
    expect(plain.seal.manifest.control).not.toBe(proved.seal.manifest.control)
    const nothing = await run(memoryLog({ partitions: grownLog([1], KEYS, 80, 1) }), journals())
    expect(proved.seal.manifest.control).toBe(nothing.seal.manifest.control)
  })

  test('of several topics owners are kept, also where the second one comes later: a key of both crosses', async () => {
    const partitioner = { hash: 'murmur2', counts: [2] } as const
    const first = grownLog([2], KEYS, 40, 1)
    const of = (topic: string): Record<string, readonly MemoryEvent[]> =>
      Object.fromEntries(Object.entries(first).map(([partition, events]) => [partition.replace(/.*\//, `${topic}/`), events.map((event) => ({
        ...event, key: `${topic} ${event.key as string}`,
      })).filter(({ key }) => murmurIndex(key, 2) === Number(partition.slice(-1)))]))
    const [a, b] = [of('a'), of('b')]
    const plain = await run(memoryLog({ partitions: { ...a, ...b } }), journals())
    const store = memoryStore()
    await run(memoryLog({ partitions: a }), journals({ partitioner }), { store })
    const later = await run(memoryLog({ partitions: { ...a, ...b } }), journals({ partitioner }), { store })
    expect([later.root, later.seal.manifest.control]).toEqual([plain.root, plain.seal.manifest.control])
    const [partition, events] = Object.entries(a).find(([, { length }]) => length > 0)!
    const crossing = { ...a, [partition.replace('a/', 'b/')]: events }
    const other = memoryStore()
    await run(memoryLog({ partitions: a }), journals({ partitioner }), { store: other })
    const error = await failureOf(run(memoryLog({ partitions: crossing }), journals({ partitioner }), { store: other }))
    expect(error.code).toBe('KEY_CROSSES_PARTITIONS')
  })

  test('names the record that lies elsewhere', async () => {
    const home = murmurIndex('key-1', 4)
    const source = memoryLog({ partitions: Object.fromEntries([0, 1, 2, 3].map((i) => [`orders/${i}`,
      i === (home + 1) % 4 ? [{ type: 'Did', key: 'key-1', data: { n: 0 } }] : []])) })
    expect(await failureOf(run(source, journals({ partitioner: { hash: 'murmur2', counts: [4] } })))).toMatchObject({
      code: 'PARTITIONER_UNPROVED', exitCode: 8,
      details: { partition: `orders/${(home + 1) % 4}`, offset: 0, key: 'key-1', expected: `orders/${home}` },
    })
  })

  test('names it after what is wrong with an event before it in the same delivery', async () => {
    const [zero, one] = [0, 1].map((index) => KEYS.find((key) => murmurIndex(key, 2) === index) as string) as [string, string]
    const at = (key: string, n: number): MemoryEvent => ({ type: 'Did', key, data: { n } })
    const source = memoryLog({ partitions: { 'orders/0': [at(zero, 0), at(zero, -1), at(one, 2), at(zero, 3)], 'orders/1': [] } })
    const projection = journals({ partitioner: { hash: 'murmur2', counts: [2] },
      on: { Did: (state: any, event: any) => { if (event.data.n < 0) throw new Error('too few'); state.journals.put(event.key, [event.data.n]) } } })
    expect(await failureOf(run(source, projection))).toMatchObject({ code: 'HANDLER_FAILED', details: { offset: 1 } })
    const accept = ['HANDLER_FAILED=orders/0@1']
    expect(await failureOf(run(source, projection, { accept }))).toMatchObject({ code: 'PARTITIONER_UNPROVED', details: { offset: 2 } })
  })

  test('a record without a key may lie anywhere', async () => {
    const source = memoryLog({ partitions: { 'orders/0': [], 'orders/1': [{ type: 'Did', key: null, data: { n: 0 } }] } })
    const projection = journals({ partitioner: { hash: 'crc32', counts: [2] }, keys: { Did: () => [{ collection: 'journals', key: 'all' }] },
      on: { Did: (state: any) => state.journals.put('all', []) } })
    expect((await run(source, projection)).run.applied).toBe(1)
  })

  test('names must be TOPIC/N, and within the counts', async () => {
    const projection = journals({ partitioner: { hash: 'murmur2', counts: [4] } })
    const one: MemoryEvent[] = [{ type: 'Did', key: 'a', data: { n: 0 } }]
    for (const [name, text] of [['orders', 'orders is not named'], ['orders/4', 'partition 4']] as const) {
      const error = await failureOf(run(memoryLog({ partitions: { [name]: one } }), projection))
      expect(error).toMatchObject({ code: 'CONFIG_INVALID', details: { path: 'partitioner' } })
      expect(error.message).toContain(text)
    }
  })

  test('is part of what makes a projection another, and only where it is declared', () => {
    expect(journals().shape['policies']).not.toHaveProperty('partitioner')
    expect(journals({ partitioner: { hash: 'murmur2', counts: [4, 6] } }).shape['policies'])
      .toMatchObject({ partitioner: { hash: 'murmur2', counts: [4, 6] } })
  })

  test.each<[string, object]>([
    ['no counts', { partitioner: { hash: 'murmur2', counts: [] } }], ['counts that do not rise', { partitioner: { hash: 'crc32', counts: [6, 4] } }],
    ['an unknown hash', { partitioner: { hash: 'md5', counts: [4] } }],
    ['ids that are compared while keys move', { ids: { window: 9 }, partitioner: { hash: 'crc32', counts: [4, 6] } }],
    ["order 'time'", { order: 'time', partitioner: { hash: 'crc32', counts: [4] } }], ["order 'copartition' without one", { order: 'copartition' }],
  ])('%s is CONFIG_INVALID', (_name, more) => {
    expect(() => journals(more)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })
})

describe('a topic that has grown', () => {
  test.each([[[4, 8]], [[4, 6]], [[2, 3]], [[1, 2]], [[2, 4, 8]], [[2, 3, 4]], [[3, 4, 5, 7]]])('from %j: a key has its events in their order', async (counts) => {
    const source = memoryLog({ partitions: grownLog(counts, keysFor(counts), 100, 7) })
    const store = memoryStore()
    const projection = journals({ partitioner: { hash: 'murmur2', counts } })
    const sealed = await run(source, projection, { store, batch: { events: 7 } })
    const found = await journalsIn(store, projection)
    expect(Object.keys(found)).toHaveLength(KEYS.length)
    for (const journal of Object.values(found)) expect(journal).toSatisfy(inOrder)
    expect(Object.keys((await store.generations())[0]?.checkpoint?.collections ?? {})).not.toContain('$held')
    expect(sealed.run.applied).toBe(counts.length * 100)
  })

  test('its audit agrees, and finds a value that was changed', async () => {
    const counts = [4, 6]
    const source = memoryLog({ partitions: grownLog(counts, KEYS, 60, 7) })
    const projection = journals({ partitioner: { hash: 'murmur2', counts } })
    const store = memoryStore()
    await run(source, projection, { store })
    expect(await auditOf(source, projection, store)).toMatchObject({ verdict: 'match', rounds: 3 })
    const forgetful = journals({ partitioner: { hash: 'murmur2', counts }, on: { Did: (state: any, event: any) => state.journals.put(event.key, [event.data.n]) } })
    expect(await auditOf(source, forgetful, store)).toMatchObject({ verdict: 'mismatch', cause: 'state', difference: { collection: 'journals' } })
  }, 60_000)

  test('`given` folds it as a replay does', async () => {
    const counts = [2, 3]
    const partitions = grownLog(counts, keysFor(counts), 30, 7)
    const events = Object.entries(partitions).flatMap(([partition, list]) => list.map((event) => ({ ...event, partition }) as GivenEvent))
    const projection = journals({ partitioner: { hash: 'murmur2', counts } })
    const store = memoryStore()
    await run(memoryLog({ partitions }), projection, { store })
    const idle: Purity = { install: () => () => {}, enter: () => {}, leave: () => {} }
    expect((await givenIn(idle)(projection, events).state())['journals']).toEqual(await journalsIn(store, projection))
  })

  test('without a partitioner its keys cross partitions', async () => {
    const source = memoryLog({ partitions: grownLog([4, 6], KEYS, 100, 7) })
    expect((await failureOf(run(source, journals()))).code).toBe('KEY_CROSSES_PARTITIONS')
  })

  test('the manifest depends on nothing but the log: not on interleaving, batches, checkpoints or stops', async () => {
    const cases = fc.record({
      counts: fc.constantFrom([4, 6], [2, 3], [3, 6], [2, 3, 4], [3, 4, 5]), log: fc.integer(), seed: fc.integer(),
      events: fc.integer({ min: 1, max: 20 }), stopAfter: fc.integer({ min: 1, max: 60 }),
    })
    await fc.assert(fc.asyncProperty(cases, async ({ counts, log, seed, events, stopAfter }) => {
      const source = memoryLog({ partitions: grownLog(counts, keysFor(counts), 40, log) })
      const projection = journals({ partitioner: { hash: 'murmur2', counts } })
      const one = await run(source, projection)
      const store = memoryStore()
      const over = { store, seed, batch: { events }, checkpoint: { bytes: 1 } }
      await failureOf(stoppedAfter(stopAfter, source, projection, over)).catch(() => {})
      const other = await run(source, projection, over)
      expect(other.seal.manifestHash).toBe(one.seal.manifestHash)
      for (const journal of Object.values(await journalsIn(store, projection))) expect(journal).toSatisfy(inOrder)
    }), { numRuns: 20 })
  }, 120_000)

  test('a release that was interrupted is finished before what has been written since', async () => {
    const counts = [3, 4, 5]
    const projection = journals({ partitioner: { hash: 'murmur2', counts } })
    const keys = keysFor(counts, 60)
    const whole = grownLog(counts, keys, 30, 11)
    const before = grownLog(counts, keys, 30, 11, 80)
    const source = memoryLog({ partitions: before })
    const one = await run(memoryLog({ partitions: whole }), projection)
    let interrupted = 0
    for (let turns = 80; ; turns += 6) {
      const store = memoryStore()
      const over = { store, batch: { events: 1 }, checkpoint: { bytes: 1 } }
      const ended = await stoppedAfter(turns, source, projection, over).then(() => true, () => false)
      if (ended) break
      const held = (await store.generations())[0]?.checkpoint?.manifest
      if (held !== undefined && Object.entries(held.position).every(([name, at]) => at === (before[name]?.length ?? 0) - 1)) interrupted++
      else continue
      const other = await run(memoryLog({ partitions: whole }), projection, over)
      expect(other.root).toBe(one.root)
      expect(other.seal.manifest.control).toBe(one.seal.manifest.control)
    }
    expect(interrupted).toBeGreaterThan(3)
  }, 120_000)

  test('events that are held twice between two checkpoints are released twice, also where the digest is kept up', async () => {
    const counts = [3, 4, 5]
    const projection = journals({ partitioner: { hash: 'murmur2', counts } })
    const log = (most?: number) => memoryLog({ partitions: grownLog(counts, keysFor(counts, 60), 30, 11, most) })
    const one = await run(log(), projection)
    let resumed = 0
    for (let turns = 40; turns < 160; turns += 5) {
      const store = memoryStore()
      await run(log(40), projection, { store })
      const ended = await stoppedAfter(turns, log(80), projection, { store, batch: { events: 1 }, checkpoint: { bytes: 1 } }).then(() => true, () => false)
      if (ended) break
      const held = await readHeld(store)
      if (held.some(({ after, released }) => released > after)) resumed++
      expect((await run(log(), projection, { store })).root).toBe(one.root)
    }
    expect(resumed).toBeGreaterThan(0)
  }, 60_000)

  test('a key that comes back to its old partition is not proved: which of its events are the later ones is nowhere', async () => {
    const key = Array.from({ length: 500 }, (_, i) => `k${i}`).find((text) => {
      const [a, b, c] = [2, 3, 4].map((count) => murmurIndex(text, count))
      return a === c && a !== b
    }) as string
    const source = memoryLog({ partitions: grownLog([2, 3, 4], [key], 2, 1) })
    const error = await failureOf(run(source, journals({ partitioner: { hash: 'murmur2', counts: [2, 3, 4] } })))
    expect(error).toMatchObject({ code: 'PARTITIONER_UNPROVED' })
    expect(error.message).toContain('came back')
  })

  test('what the old partition brings after the key has moved is LATE_EVENT; a new generation includes it', async () => {
    const key = KEYS.find((text) => murmurIndex(text, 2) !== murmurIndex(text, 4)) as string
    const partitions = { 'orders/0': [], 'orders/1': [], 'orders/2': [], 'orders/3': [], ...grownLog([2, 4], [key], 2, 1) }
    const source = memoryLog({ partitions })
    const projection = journals({ partitioner: { hash: 'murmur2', counts: [2, 4] } })
    const store = memoryStore()
    await run(source, projection, { store })
    const old = `orders/${murmurIndex(key, 2)}`
    source.append(old, { type: 'Did', key, data: { n: 9 } })
    const late = await failureOf(run(source, projection, { store }))
    expect(late).toMatchObject({ code: 'LATE_EVENT', details: { partition: old, offset: 2, key } })
    await run(source, projection, { store, restart: true })
    expect(await journalsIn(store, projection)).toEqual({ [key]: [0, 1, 9, 2, 3] })
  })

  test('a key is not shared with one that stays', async () => {
    const [moved, stays] = [true, false].map((moves) =>
      KEYS.find((text) => murmurIndex(text, 2) === 0 && (murmurIndex(text, 3) !== 0) === moves) as string) as [string, string]
    const source = memoryLog({ partitions: { 'orders/0': [{ type: 'Did', key: stays, data: { n: 0 } }], 'orders/1': [],
      'orders/2': [], ...{ [`orders/${murmurIndex(moved, 3)}`]: [{ type: 'Did', key: moved, data: { n: 1 } }] } } })
    const projection = journals({
      partitioner: { hash: 'murmur2', counts: [2, 3] }, keys: { Did: () => [{ collection: 'journals', key: 'all' }] },
      on: { Did: (state: any) => state.journals.put('all', []) },
    })
    source.append('orders/0', { type: 'Did', key: stays, data: { n: 2 } })
    await run(source, projection)
    source.append('orders/1', { type: 'Did', key: KEYS.find((text) => murmurIndex(text, 2) === 1 && murmurIndex(text, 3) === 1) as string, data: { n: 3 } })
    expect((await failureOf(run(source, projection))).code).toBe('KEY_CROSSES_PARTITIONS')
  })

  test('partitions that are added while it is followed are taken up, and every seal is that of a fixed replay', async () => {
    const key = KEYS.find((text) => murmurIndex(text, 2) !== murmurIndex(text, 3)) as string
    const source = memoryLog({ partitions: grownLog([2], KEYS, 20, 3) })
    const projection = journals({ partitioner: { hash: 'murmur2', counts: [2, 3] } })
    const store = memoryStore()
    const following = replay({ source, projection, store, until: 'follow', checkpoint: { bytes: 1, seconds: 0.01 } })
    following.done.catch(() => {})
    for await (const event of following) if (event.kind === 'phase' && event.phase === 'following') break
    for (let n = 100; n < 103; n++) {
      const partition = `orders/${murmurIndex(key, 3)}`
      const offset = source.append(partition, { type: 'Did', key, data: { n } })
      let sealed = await following.seal()
      while ((sealed.position.get(partition) ?? -1) < offset) sealed = await following.seal()
      const fixed = await run(source, projection)
      expect(sealed.root).toBe(fixed.root)
      expect(sealed.seal.manifest.control).toBe(fixed.seal.manifest.control)
    }
    await following.close()
    expect((await journalsIn(store, projection))[key]?.slice(-3)).toEqual([100, 101, 102])
  })
})

describe('plan', () => {
  const many = Array.from({ length: 300 }, (_, i) => `key-${i}`)
  const placementOf = async (partitions: Record<string, MemoryEvent[]>, projection = journals()) =>
    (await plan({ source: memoryLog({ partitions }), projection, store: memoryStore() })).placement

  test.each([[[6]], [[4, 6]], [[3, 6]], [[2, 4, 8]]])('finds that %j explains where keys lie, and how many moved', async (counts) => {
    const found = await placementOf(grownLog(counts, many, 400, 2))
    const moved = many.filter((key) => counts.some((count) => murmurIndex(key, count) !== murmurIndex(key, counts[0] as number))).length
    expect(found).toMatchObject({ hash: 'murmur2', counts, sampled: 400 * counts.length, explained: 400 * counts.length })
    expect(found?.movedKeys).toBeCloseTo(moved / many.length, 1)
  })

  test('tells crc32 from murmur2', async () => {
    const partitions = Object.fromEntries([0, 1, 2].map((i) => [`orders/${i}`,
      many.filter((key) => crc32(Buffer.from(key)) % 3 === i).map((key): MemoryEvent => ({ type: 'Did', key, data: { n: 0 } }))]))
    expect(await placementOf(partitions)).toMatchObject({ hash: 'crc32', counts: [3], movedKeys: 0 })
  })

  test('says so where nothing explains it', async () => {
    const partitions = { 'orders/0': many.slice(0, 150), 'orders/1': many.slice(150) }
    const found = await placementOf(Object.fromEntries(Object.entries(partitions).map(([name, keys]) =>
      [name, keys.map((key): MemoryEvent => ({ type: 'Did', key, data: { n: 0 } }))])))
    expect(found).toMatchObject({ hash: null, counts: [], sampled: 300 })
    expect(found?.explained).toBeLessThan(300)
  })

  test('does not look where it does not matter', async () => {
    const partitions = grownLog([2], many, 50, 2)
    expect(await placementOf(partitions, journals({ partitioner: { hash: 'murmur2', counts: [2] } }))).toBe(null)
    expect(await placementOf(partitions, journals({ order: 'any' }))).toBe(null)
    expect(await placementOf({ 'orders/0': partitions['orders/0'] as MemoryEvent[] })).toBe(null)
  })
})

/** The verdict of rebuilds in other interleavings, with other batches and checkpoints. */
async function auditOf(source: MemoryLog, projection: any, store: ReturnType<typeof memoryStore>) {
  const session = await store.open({ generation: 1, mode: 'read' })
  const audit = await auditRebuild({ source, projection, session, world: worldIn(3), signal: new AbortController().signal, rounds: 3 })
  await session.close()
  return audit
}

async function readHeld(store: ReturnType<typeof memoryStore>): Promise<HeldRange[]> {
  const session = await store.open({ generation: 1, mode: 'read' })
  const held = await readEngineCollection<HeldRange>(session, HELD, session.checkpoint)
  await session.close()
  return [...held.values()]
}

/** Stops after so many turns of the log. Ends well where the log is shorter. */
async function stoppedAfter(turns: number, source: MemoryLog, projection: any, over: Partial<ReplayOptions>): Promise<unknown> {
  const stop = new AbortController()
  let left = turns
  const reading: any = Object.assign(Object.create(source), {
    async *read(...args: Parameters<MemoryLog['read']>) {
      for await (const batch of source.read(...args)) {
        if (left-- <= 0) stop.abort('SIGTERM')
        yield batch
      }
    },
    bounds: () => source.bounds(), check: (marks: any) => source.check(marks), close: () => source.close(),
  })
  return await run(reading, projection, { ...over, signal: stop.signal })
}
