import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import {
  defineReducer, joinSeals, makeManifestHash, plan, shardStore, type EntryKey, type JoinedSeal, type Manifest, type Projection,
  type ReplayOptions, type SealedRun, type StateStore,
} from '../../src/index.js'
import { crc32, type PartitionerOptions } from '../../src/log/partitioner.js'
import { shardOfDomain } from '../../src/replay/shard.js'
import { boxed } from '../conformance/boxed-store.js'
import { accountLog, accounts } from '../support/accounts.js'
import { failureOf, runIn, seeded, tampered, worldOf } from '../support/worlds.js'

const folder = mkdtempSync(join(tmpdir(), 'shards-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
// The properties run a dozen of replays for each case.
vi.setConfig({ testTimeout: 90_000 })

type Log = Record<string, MemoryEvent[]>

/** Counts per key, so that a lost, repeated or misplaced event shows; with a window of event ids, so that there is more to control. */
function counting(ids: number, order: Projection['order'] = 'partition', version = 1): Projection {
  return defineReducer({
    name: 'counts', version, order, collection: 'counts', ...(ids > 0 && { ids: { window: ids } }),
    on: { Moved: (state: any, event) => ({ n: (state?.n ?? 0) + 1, last: event.offset }), Closed: () => null },
  })
}

function copartitioned(partitioner: PartitionerOptions): Projection {
  return defineReducer({
    name: 'dues', version: 1, order: 'copartition', partitioner, collection: 'dues',
    on: {
      Ordered: (state: any, event) => ({ due: (state?.due ?? 0) + event.data.cents, last: event.partition }),
      Paid: (state: any, event) => ({ due: (state?.due ?? 0) - event.data.cents, last: event.partition }),
    },
  })
}

/** Two topics of one key space: first with as many partitions as the first count says, then with the next. */
function copartitions(seed: number, events: number, counts: readonly number[]): Log {
  const random = seeded(seed)
  const log: Log = Object.fromEntries(['orders', 'payments'].flatMap((topic) =>
    Array.from({ length: counts.at(-1)! }, (_, n): [string, MemoryEvent[]] => [`${topic}/${n}`, []])))
  for (let i = 0; i < events * counts.length; i++) {
    const key = `k${Math.floor(random() * 30)}`
    const place = crc32(Buffer.from(key)) % counts[Math.floor(i / events)]!
    const [topic, type] = random() < 0.5 ? ['orders', 'Ordered'] : ['payments', 'Paid']
    log[`${topic}/${place}`]!.push({ type: type!, key, data: { cents: i }, recordedAt: 1_700_000_000_000 + i * 1_000 })
  }
  return log
}

/** Every fifth event repeats the one before it, id and all. */
function withIds(log: Log): Log {
  return Object.fromEntries(Object.entries(log).map(([partition, events]) =>
    [partition, events.map((event, i) => (i % 5 === 4 ? { ...events[i - 1]!, id: `${i - 1}` } : { ...event, id: `${i}` }))]))
}

async function whole(partitions: Log, options: Partial<ReplayOptions> = {}): Promise<SealedRun> {
  return await runIn(worldOf(1), { source: memoryLog({ partitions }), projection: accounts, store: memoryStore(), ...options })
}

/** Runs every shard of `of`, in a store each. */
async function shards(partitions: Log, of: number, options: Partial<ReplayOptions> = {}, store = memoryStore()): Promise<StateStore[]> {
  for (let index = 0; index < of; index++) {
    await runIn(worldOf(index), {
      source: memoryLog({ partitions }), projection: accounts, store, shard: { index, of }, ...options,
    })
  }
  return Array.from({ length: of }, (_, index) => shardStore(store, { index, of }))
}

function expectSame(joined: JoinedSeal, single: SealedRun): void {
  expect(joined.seal.manifest).toEqual(single.seal.manifest)
  expect(joined.seal.manifestHash).toBe(single.seal.manifestHash)
  expect(joined.root).toBe(single.root)
  expect(joined.collections).toEqual(single.collections)
  expect([joined.grade, joined.complete]).toEqual([single.grade, single.complete])
}

describe('the seals of shards join to the seal of one run', () => {
  test('whatever the log, the number of shards, the batches and the checkpoints; root, collections and manifest', async () => {
    const cases = fc.record({
      seed: fc.nat(1_000), partitions: fc.integer({ min: 0, max: 7 }), events: fc.integer({ min: 0, max: 120 }),
      of: fc.integer({ min: 1, max: 5 }), batch: fc.integer({ min: 1, max: 50 }), bytes: fc.constantFrom(1, 2_000, 1_000_000),
      ids: fc.constantFrom(0, 20),
    })
    await fc.assert(fc.asyncProperty(cases, async ({ seed, partitions, events, of, batch, bytes, ids }) => {
      const log = withIds(accountLog(seed, partitions, events))
      const projection = ids === 0 ? accounts : counting(ids)
      const stores = await shards(log, of, { projection, batch: { events: batch }, checkpoint: { bytes } })
      expectSame(await joinSeals({ stores, projection }), await whole(log, { projection }))
    }), { numRuns: 25 })
  })

  test('at a position that they were told to end at, of which each takes its part', async () => {
    const log = accountLog(3, 5, 200)
    const until = 'moves/0@10,moves/1@199,moves/3@0,moves/4@57'
    const [divided, single] = [memoryStore(), memoryStore()]
    const stores = await shards(log, 3, { until }, divided)
    expectSame(await joinSeals({ stores, projection: accounts }), await whole(log, { until, store: single }))
    await shards(log, 3, {}, divided)
    expectSame(await joinSeals({ stores, projection: accounts }), await whole(log, { store: single }))
  })

  test("under order 'copartition', where a shard has the partitions of one number of every topic, and keys move where topics grew", async () => {
    const cases = fc.record({ seed: fc.nat(1_000), events: fc.integer({ min: 0, max: 80 }), of: fc.integer({ min: 1, max: 4 }) })
    const grown = { hash: 'crc32', counts: [4, 6] } as const
    await fc.assert(fc.asyncProperty(cases, fc.boolean(), async ({ seed, events, of }, grows) => {
      const partitioner = grows ? grown : { ...grown, counts: [4] }
      const projection = copartitioned(partitioner)
      const log = copartitions(seed, events, partitioner.counts)
      const stores = await shards(log, of, { projection, batch: { events: 7 }, checkpoint: { bytes: 500 } })
      const joined = await joinSeals({ stores, projection })
      expectSame(joined, await whole(log, { projection }))
      const numbers = joined.shards.flatMap(({ position }) => [...new Set([...position.keys()].map((name) => name.split('/')[1]))])
      expect(new Set(numbers).size).toBe(numbers.length)
    }), { numRuns: 20 })
  })

  test("under order 'partition' with a partitioner, whether one run keeps owners, as of two topics, or none, as of one", async () => {
    const cases = fc.record({ seed: fc.nat(1_000), events: fc.integer({ min: 0, max: 80 }), of: fc.integer({ min: 1, max: 4 }) })
    const projection = defineReducer({
      name: 'last', version: 1, partitioner: { hash: 'crc32', counts: [4] }, collection: 'last', on: { Set: (_, { offset }) => ({ offset }) },
    })
    await fc.assert(fc.asyncProperty(cases, fc.constantFrom(['a'], ['a', 'b']), async ({ seed, events, of }, topics) => {
      const random = seeded(seed)
      const log: Log = Object.fromEntries(topics.flatMap((topic) => [0, 1, 2, 3].map((n): [string, MemoryEvent[]] => [`${topic}/${n}`, []])))
      for (let i = 0; i < events; i++) {
        const topic = topics[Math.floor(random() * topics.length)]!
        const key = `${topic}${Math.floor(random() * 20)}`
        log[`${topic}/${crc32(Buffer.from(key)) % 4}`]!.push({ type: 'Set', key, data: null })
      }
      const stores = await shards(log, of, { projection, batch: { events: 7 }, checkpoint: { bytes: 500 } })
      expectSame(await joinSeals({ stores, projection }), await whole(log, { projection }))
    }), { numRuns: 20 })
  })

  test('with what was left out by hand in one of them', async () => {
    const log = { ...accountLog(3, 3, 50), 'moves/1': [{ type: 'Moved', key: 'x', data: null }, ...accountLog(3, 3, 50)['moves/1']!] }
    const accept = ['HANDLER_FAILED=moves/1@0']
    const joined = await joinSeals({ stores: await shards(log, 2, { accept }), projection: accounts })
    expectSame(joined, await whole(log, { accept }))
    expect([joined.complete, joined.accepted]).toMatchObject([false, [{ code: 'HANDLER_FAILED', partition: 'moves/1' }]])
  })

  test('of a state of thousands of keys in SQLite, in a file for each shard', async () => {
    const log: Log = Object.fromEntries([0, 1, 2, 3].map((p) => [`moves/${p}`, Array.from({ length: 2_500 }, (_, i): MemoryEvent =>
      ({ type: 'Moved', key: `a${p}-${i}`, data: { account: `a${p}-${i}`, cents: i } }))]))
    const path = join(folder, 'many.db')
    const stores = await shards(log, 3, {}, sqlite({ path }))
    expectSame(await joinSeals({ stores, projection: accounts }), await whole(log))
    expect(readdirSync(folder).filter((name) => /^many.*\.db$/.test(name)).sort())
      .toEqual(['many.0-of-3.db', 'many.1-of-3.db', 'many.2-of-3.db'])
  })

  test('a shard without a partition seals an empty state, and says where each one stands', async () => {
    const log = accountLog(1, 2, 30)
    const joined = await joinSeals({ stores: await shards(log, 4), projection: accounts })
    expectSame(joined, await whole(log))
    expect(joined.shards.map(({ shard, position }) => [shard.index, position.size])).toEqual([[0, 1], [1, 1], [2, 0], [3, 0]])
  })
})

describe('which shard a partition belongs to', () => {
  test('depends on its name alone: its number, or else the hash of the name', () => {
    expect(['orders/0', 'orders/7', 'payments/7', '7', 'p12'].map((name) => shardOfDomain(name, 5))).toEqual([0, 2, 2, 2, 2])
    expect(['eu', 'us', 'orders/123456789012345678'].map((name) => shardOfDomain(name, 1_000))).toEqual([744, 68, 621])
  })

  test('partitions that are added move no other, and come to the shard that goes on', async () => {
    const before = accountLog(9, 3, 40)
    const after = accountLog(9, 7, 40)
    const [divided, single] = [memoryStore(), memoryStore()]
    await shards(before, 2, {}, divided)
    await whole(before, { store: single })
    const stores = await shards(after, 2, {}, divided)
    expectSame(await joinSeals({ stores, projection: accounts }), await whole(after, { store: single }))
  })
})

describe('what is refused', () => {
  const log = accountLog(5, 4, 40)
  const options = (over: Partial<ReplayOptions>): ReplayOptions =>
    ({ source: memoryLog({ partitions: log }), projection: accounts, store: memoryStore(), ...over })

  test.each([[{ index: 3, of: 3 }, /from 0 to 2/], [{ index: -1, of: 3 }, /from 0 to 2/], [{ index: 0, of: 0 }, /at least one/],
    [{ index: 0.5, of: 2 }, /from 0 to 1/]])('the shard %j', async (shard, expected) => {
    const error = await failureOf(runIn(worldOf(1), options({ shard })))
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', details: { path: 'shard', expected: expect.stringMatching(expected) } })
  })

  test.each(['time', 'any'] as const)("order '%s' in more than one shard; in one it is nothing else than the whole", async (order) => {
    const projection = counting(0, order)
    expect(await failureOf(runIn(worldOf(1), options({ projection, shard: { index: 0, of: 2 } })))).toMatchObject({
      code: 'CONFIG_INVALID', message: expect.stringContaining(`order '${order}' has one shard only`),
    })
    expectSame(await joinSeals({ stores: await shards(log, 1, { projection }), projection }), await whole(log, { projection }))
  })

  test('a store that can not be divided', async () => {
    expect(await failureOf(runIn(worldOf(1), options({ store: boxed(memoryStore()), shard: { index: 0, of: 2 } }))))
      .toMatchObject({ code: 'CONFIG_INVALID', details: { path: 'store' } })
  })

  test('a store of one shard for another one or for the whole, before the first event; by a plan as well', async () => {
    const store = memoryStore()
    await runIn(worldOf(1), options({ store, shard: { index: 1, of: 2 } }))
    const own = shardStore(store, { index: 1, of: 2 })
    const unsharded = await failureOf(runIn(worldOf(1), options({ store: own })))
    expect(unsharded).toMatchObject({ code: 'CONFIG_INVALID', message: 'The store holds shard 1/2, and the whole is asked for.' })
    const other = await failureOf(runIn(worldOf(1), options({ store: dividing(own), shard: { index: 0, of: 2 } })))
    expect(other.message).toBe('The store holds shard 1/2, and shard 0/2 is asked for.')
    expect((await plan(options({ store: own }))).refusals).toMatchObject([{ code: 'CONFIG_INVALID' }])
    const complete = memoryStore()
    await runIn(worldOf(1), options({ store: complete }))
    const back = await failureOf(runIn(worldOf(1), options({ store: dividing(complete), shard: { index: 0, of: 1 } })))
    expect(back.message).toBe('The store holds the whole, and shard 0/1 is asked for.')
  })

  test('a field that is in no schema of the log, as for the whole', async () => {
    const source = Object.assign(memoryLog({ partitions: accountLog(1, 2, 4) }), { lacking: async () => ['none'] })
    const projection = defineReducer({ name: 'n', version: 1, collection: 'n', unknownEvents: 'skip', reads: ['none'], on: { Moved: () => ({}) } } as never)
    for (const more of [{}, { shard: { index: 0, of: 2 } }]) {
      expect((await plan({ source, projection, store: memoryStore(), ...more })).refusals).toMatchObject([{ code: 'SCHEMA_INCOMPATIBLE' }])
    }
  })

  test('an end in a partition that the log does not have, by the shard that would have it', async () => {
    const until = 'moves/0@3,moves/9@1'
    await runIn(worldOf(1), options({ until, shard: { index: 0, of: 2 } }))
    expect(await failureOf(runIn(worldOf(1), options({ until, shard: { index: 1, of: 2 } })))).toMatchObject({ code: 'USAGE' })
  })
})

describe('a join is refused', () => {
  const log = accountLog(5, 4, 40)

  test('where a key was touched in two shards: both places are named, also where the key is gone', async () => {
    const crossing: Log = {
      'moves/0': [{ type: 'Moved', key: 'a', data: { account: 'both', cents: 1 } }, { type: 'Closed', key: 'a', data: { account: 'both' } }],
      'moves/1': [{ type: 'Moved', key: 'a', data: { account: 'both', cents: 2 } }],
    }
    expect(await failureOf(joinSeals({ stores: await shards(crossing, 2) }))).toMatchObject({
      code: 'KEY_CROSSES_PARTITIONS',
      message: 'accounts/both is touched by moves/0 in shard 0/2 and by moves/1 in shard 1/2.',
      details: { collection: 'accounts', key: 'both' },
    })
  })

  test('with SHARDS_APART, naming the shard, where one is missing, is not sealed, of another division or of another fold', async () => {
    const stores = await shards(log, 3)
    const apart = async (changed: readonly (StateStore | undefined)[]): Promise<string> => {
      const error = await failureOf(joinSeals({ stores: changed as StateStore[] }))
      expect([error.code, error.exitCode]).toEqual(['SHARDS_APART', 2])
      return error.message
    }
    expect(await apart([stores[0], memoryStore(), stores[2]])).toMatch(/^Shard 1\/3 is not sealed: The store holds nothing yet/)
    expect(await apart(stores.slice(0, 2))).toBe('Shard 0/2 holds shard 0/3.')
    expect(await apart([stores[0], stores[2], stores[1]])).toBe('Shard 1/3 holds shard 2/3.')
    const single = memoryStore()
    await whole(log, { store: single })
    expect(await apart([single])).toBe('Shard 0/1 holds a state that is no shard.')
    const others = await shards(log, 3, { projection: counting(0, 'partition', 2) })
    expect(await apart([stores[0], stores[1], others[2]])).toMatch(/^Shard 2\/3 was folded by another projection than shard 0\/3: name, version/)
    await rewritten(stores[2]!, { position: { 'moves/0': 3 } })
    expect(await apart(stores)).toBe('Shard 2/3 has read moves/0, and so has shard 0/3.')
  })

  test('with SHARDS_APART where a replay of one went on after its seal', async () => {
    const store = memoryStore()
    const stores = await shards(log, 2, {}, store)
    const stop = new AbortController()
    const more = accountLog(5, 4, 400)
    const stopped = await failureOf(runIn(worldOf(1), {
      source: tampered(memoryLog({ partitions: { ...log, 'moves/1': [...log['moves/1']!, ...more['moves/1']!] } }), (batch) => {
        stop.abort('SIGTERM')
        return batch
      }), projection: accounts,
      store, shard: { index: 1, of: 2 }, batch: { events: 5 }, signal: stop.signal,
    }))
    expect(stopped.code).toBe('RUN_STOPPED')
    expect((await failureOf(joinSeals({ stores }))).message).toMatch(/^Shard 1\/2 stands at a checkpoint that is no seal/)
  })

  test('with STATE_CORRUPT where a page of a digest is not what was written', async () => {
    const stores = await shards(log, 2)
    const pages = await keysOf(stores[1]!, '$digest')
    for (const key of [pages.find((page) => page.startsWith('accounts/') && page.includes('.'))!, 'accounts/', '$owners/']) {
      const damaged = await shards(log, 2)
      await rewritten(damaged[1]!, {}, [{ collection: '$digest', key }])
      expect((await failureOf(joinSeals({ stores: damaged }))).code).toBe('STATE_CORRUPT')
    }
  })
})

/** A store that gives out this one, whichever shard is asked for. */
function dividing(store: StateStore): StateStore {
  return { ...boxed(store), shard: () => store }
}

async function keysOf(store: StateStore, collection: string): Promise<string[]> {
  const session = await store.open({ generation: 1, mode: 'read' })
  const entries = await session.scan(collection, null, 1_000)
  await session.close()
  return entries.map(({ key }) => key)
}

/** Changes what a store says, and takes entries from it, as no run would. */
async function rewritten(store: StateStore, over: Partial<Manifest>, deletes: readonly EntryKey[] = []): Promise<void> {
  const session = await store.open({ generation: 1, mode: 'write', incarnation: 'x', owner: 'x', nowMs: 1, takeover: false })
  const checkpoint = session.checkpoint!
  const manifest = { ...checkpoint.manifest, ...over }
  const next = { ...checkpoint, manifest, manifestHash: makeManifestHash(manifest), writer: session.writer! }
  await session.commit({ puts: [], deletes }, next, session.writer!, { durable: false })
  await session.close()
}
