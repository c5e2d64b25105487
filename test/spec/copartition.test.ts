import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent, type MemoryLog } from '../../adapters/memory/index.js'
import { defineProjection, openState, replay, type ReplayOptions, type SealedRun } from '../../src/index.js'
import { hashFunction } from '../../src/log/partitioner.js'
import { auditRebuild } from '../../src/verify/audit.js'
import { failureOf, runIn, seeded, worldOf } from '../support/worlds.js'

const indexOf = (key: string, count: number): number => hashFunction('crc32')(Buffer.from(key)) % count

/** Under each key its events of all topics, in the order in which they applied. */
const journals = (counts: readonly number[], more: object = {}) => defineProjection({
  name: 'journals', version: 1, order: 'copartition', partitioner: { hash: 'crc32', counts }, time: { latenessMs: 20 },
  collections: { journals: {} },
  on: { Did: (state: any, event: any) => state.journals.put(event.key, [...(state.journals.get(event.key) ?? []), event.data.n]) },
  ...more,
} as any)

const KEYS = Array.from({ length: 9 }, (_, i) => `k${i}`)
const TOPICS = ['orders', 'payments']

interface Written {
  readonly partition: string
  readonly event: MemoryEvent
}

/** Two topics that grow together; each event of a key comes later than the one before it. */
function written(counts: readonly number[], perStage: number, seed: number): Written[] {
  const random = seeded(seed)
  const all: Written[] = []
  const numbers = new Map<string, number>()
  for (const count of counts) {
    for (let i = 0; i < perStage; i++) {
      const key = KEYS[Math.floor(random() * KEYS.length)] as string
      const n = numbers.get(key) ?? 0
      numbers.set(key, n + 1)
      const topic = TOPICS[Math.floor(random() * 2)] as string
      all.push({ partition: `${topic}/${indexOf(key, count)}`, event: { type: 'Did', key, data: { n }, recordedAt: 10 * all.length } })
    }
  }
  return all
}

function logOf(counts: readonly number[], all: readonly Written[]): MemoryLog {
  const names = TOPICS.flatMap((topic) => Array.from({ length: counts.at(-1) as number }, (_, i) => `${topic}/${i}`))
  const log = memoryLog({ partitions: Object.fromEntries(names.map((name) => [name, []])) })
  for (const { partition, event } of all) log.append(partition, event)
  return log
}

/** Tests of others may change the modules while this one runs. */
const worldIn = (seed: number) => worldOf(seed, { codeOf: async () => 'this file' })
const run = (source: MemoryLog, projection: any, over: Partial<ReplayOptions> & { seed?: number } = {}): Promise<SealedRun> => {
  const { seed = 1, ...rest } = over
  return runIn(worldIn(seed), { source, projection, store: memoryStore(), ...rest })
}

async function journalsIn(store: ReturnType<typeof memoryStore>, projection: any): Promise<Record<string, number[]>> {
  const state = await openState(store, { projection })
  const rows = await state.scan('journals', null, 1_000)
  await state.close()
  return Object.fromEntries(rows.map(({ key, value }) => [key, value as number[]]))
}

const inOrder = (journal: readonly number[]): boolean => journal.every((n, i) => n === i)

describe("order 'copartition'", () => {
  test('merges the partitions of one number by time, and proves that each record belongs to them', async () => {
    const store = memoryStore()
    await run(logOf([3], written([3], 60, 1)), journals([3]), { store })
    const found = await journalsIn(store, journals([3]))
    expect(Object.values(found).flat()).toHaveLength(60)
    for (const journal of Object.values(found)) expect(journal).toSatisfy(inOrder)
  })

  test('its audit agrees, also where topics have grown', async () => {
    const source = logOf([2, 3], written([2, 3], 40, 2))
    const store = memoryStore()
    await run(source, journals([2, 3]), { store })
    expect(await auditOf(source, journals([2, 3]), store)).toMatchObject({ verdict: 'match', rounds: 3 })
  }, 60_000)

  test('its keys belong to a domain, not to a partition', async () => {
    const source = logOf([2], written([2], 30, 1))
    expect((await failureOf(run(source, journals([2], { order: 'partition' })))).code).toBe('KEY_CROSSES_PARTITIONS')
    const shared = journals([2], {
      keys: { Did: () => [{ collection: 'journals', key: 'all' }] }, on: { Did: (state: any) => state.journals.put('all', []) },
    })
    expect(await failureOf(run(source, shared))).toMatchObject({ code: 'KEY_CROSSES_PARTITIONS', details: { key: 'all' } })
  })

  test('nothing is kept of who owns a key, where the log proves it: unless topics have grown, or `keys` names others', async () => {
    const keepsOwners = async (counts: readonly number[], more: object = {}): Promise<boolean> => {
      const store = memoryStore()
      await run(logOf(counts, written(counts, 30, 1)), journals(counts, more), { store })
      const session = await store.open({ generation: 1, mode: 'read' })
      const collections = await session.collections()
      await session.close()
      return collections.includes('$owners')
    }
    expect(await keepsOwners([3])).toBe(false)
    expect(await keepsOwners([2, 3])).toBe(true)
    expect(await keepsOwners([3], { keys: { Did: (event: any) => [{ collection: 'journals', key: event.key }] } })).toBe(true)
  })

  test('the manifest depends on nothing but the log, also where topics have grown', async () => {
    const cases = fc.record({
      counts: fc.constantFrom([3], [2, 4], [2, 3]), log: fc.integer(), seed: fc.integer(), events: fc.integer({ min: 1, max: 9 }),
      cut: fc.integer({ min: 1, max: 40 }),
    })
    await fc.assert(fc.asyncProperty(cases, async ({ counts, log, seed, events, cut }) => {
      const all = written(counts, 30, log)
      const projection = journals(counts)
      const one = await run(logOf(counts, all), projection)
      const store = memoryStore()
      const over = { store, seed, batch: { events }, checkpoint: { bytes: 1 } }
      // What was written by then, sealed; then the rest.
      await run(logOf(counts, all.slice(0, cut)), projection, over)
      const other = await run(logOf(counts, all), projection, over)
      expect(other.root).toBe(one.root)
      expect(other.seal.manifest.control).toBe(one.seal.manifest.control)
      for (const journal of Object.values(await journalsIn(store, projection))) expect(journal).toSatisfy(inOrder)
    }), { numRuns: 20 })
  }, 120_000)

  test('topics with unequal numbers of partitions, or names that are not TOPIC/N, are refused before the first event', async () => {
    const some: MemoryEvent[] = [{ type: 'Did', key: 'k1', data: { n: 0 }, recordedAt: 1 }]
    for (const [partitions, text] of [
      [{ 'orders/0': some, 'orders/1': [], 'payments/0': [] }, 'orders has 2, payments has 1'],
      [{ 'orders/0': some, 'orders/2': [] }, 'orders lacks one'],
      [{ orders: some }, 'orders is not named TOPIC/N'],
      [{ 'orders/0': some }, 'orders has 1 partitions, and'],
    ] as const) {
      const error = await failureOf(run(memoryLog({ partitions }), journals([2, 3])))
      expect(error).toMatchObject({ code: 'CONFIG_INVALID', details: { path: 'partitioner' } })
      expect(error.message).toContain(text)
    }
  })

  test('a record without a key is EVENT_KEY_MISSING, one that lies elsewhere PARTITIONER_UNPROVED', async () => {
    const at = (key: string | null): MemoryEvent => ({ type: 'Did', key, data: { n: 0 }, recordedAt: 1 })
    const [zero, one] = [0, 1].map((index) => KEYS.find((key) => indexOf(key, 2) === index) as string) as [string, string]
    const source = (event: MemoryEvent) => memoryLog({ partitions: { 'orders/0': [at(zero), event], 'orders/1': [] } })
    expect(await failureOf(run(source(at(null)), journals([2])))).toMatchObject({ code: 'EVENT_KEY_MISSING', details: { partition: 'orders/0', offset: 1 } })
    expect(await failureOf(run(source(at(one)), journals([2])))).toMatchObject({
      code: 'PARTITIONER_UNPROVED', details: { partition: 'orders/0', offset: 1, expected: 'orders/1' },
    })
  })

  test('an event that is late in its domain is LATE_EVENT; another domain may stand elsewhere', async () => {
    const at = (key: string, recordedAt: number): MemoryEvent => ({ type: 'Did', key, data: { n: 0 }, recordedAt })
    const [zero, one] = [0, 1].map((index) => KEYS.find((key) => indexOf(key, 2) === index) as string) as [string, string]
    const source = memoryLog({ partitions: { 'orders/0': [at(zero, 100)], 'orders/1': [], 'payments/0': [], 'payments/1': [] } })
    const store = memoryStore()
    await run(source, journals([2]), { store })
    source.append('payments/1', at(one, 50))
    await run(source, journals([2]), { store })
    source.append('payments/0', at(zero, 99))
    expect(await failureOf(run(source, journals([2]), { store }))).toMatchObject({ code: 'LATE_EVENT', details: { partition: 'payments/0', offset: 0 } })
  })

  test('a cut must be a prefix of the merge of each domain', async () => {
    const all = written([2], 30, 4)
    const source = logOf([2], all)
    const domain = all.filter(({ partition }) => partition.endsWith('/0'))
    const last = new Map<string, number>()
    for (const { partition } of domain) last.set(partition, (last.get(partition) ?? -1) + 1)
    const [earlier] = [...last.keys()].filter((partition) => partition !== domain.at(-1)?.partition)
    const without = new Map([...last].filter(([partition]) => partition !== earlier))
    expect(await failureOf(run(source, journals([2]), { until: without }))).toMatchObject({ code: 'USAGE' })
    expect((await run(source, journals([2]), { until: last })).run.applied).toBe(domain.length)
  })

  test('a seal of which another domain still waits for its time is that of a fixed replay: owners are of what is in the state', async () => {
    const at = (key: string, recordedAt: number): MemoryEvent => ({ type: 'Did', key, data: { n: 0 }, recordedAt })
    const [zero, one] = [0, 1].map((index) => KEYS.find((key) => indexOf(key, 2) === index) as string) as [string, string]
    const source = memoryLog({ partitions: { 'orders/0': [at(zero, 0)], 'orders/1': [at(one, 50)], 'payments/0': [], 'payments/1': [] } })
    const projection = journals([2], { keys: { Did: ({ key }: any) => [{ collection: 'journals', key }] } })
    const store = memoryStore()
    const following = replay({ source, projection, store, until: 'follow', checkpoint: { seconds: 0.01 } })
    following.done.catch(() => {})
    const seals = [await following.seal(), await following.seal()]
    source.append('payments/1', at(one, 100))
    let last = await following.seal()
    while (!last.position.has('orders/1')) last = await following.seal()
    await following.close()
    for (const { seal, position } of [...seals, last]) {
      const fixed = await run(source, projection, { until: position })
      expect(seal.manifest).toMatchObject({ position: fixed.seal.manifest.position, control: fixed.seal.manifest.control, root: fixed.root })
    }
    expect([...last.position.keys()]).toEqual(['orders/0', 'orders/1'])
  })

  test('followed, each seal is that of a fixed replay up to there', async () => {
    const all = written([2, 3], 25, 5)
    const source = logOf([2, 3], all.slice(0, 10))
    const following = replay({ source, projection: journals([2, 3]), store: memoryStore(), until: 'follow', checkpoint: { seconds: 0.01 } })
    following.done.catch(() => {})
    for await (const event of following) if (event.kind === 'phase' && event.phase === 'following') break
    for (const { partition, event } of all.slice(10)) {
      source.append(partition, event)
      const sealed = await following.seal()
      const fixed = await run(source, journals([2, 3]), { until: sealed.position })
      expect(sealed.root).toBe(fixed.root)
      expect(sealed.seal.manifest.control).toBe(fixed.seal.manifest.control)
    }
    await following.close()
  })
})

/** The verdict of rebuilds in other interleavings, with other batches and checkpoints. */
async function auditOf(source: MemoryLog, projection: any, store: ReturnType<typeof memoryStore>) {
  const session = await store.open({ generation: 1, mode: 'read' })
  const audit = await auditRebuild({ source, projection, session, world: worldIn(3), signal: new AbortController().signal, rounds: 3 })
  await session.close()
  return audit
}
