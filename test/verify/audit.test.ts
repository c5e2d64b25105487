import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEntry, type MemoryLog } from '../../adapters/memory/index.js'
import { defineProjection, type Projection, type ReplayOptions, type StateStore } from '../../src/index.js'
import { auditRebuild, type Audit, type AuditOptions } from '../../src/verify/audit.js'
import { accountLog, accounts } from '../support/accounts.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

/** Partition by partition, as the host does. What the modules hold is not read anew for each of the many runs. */
const world = worldOf(1, { pick: () => 0, codeOf: async () => 'this file' })

type Fold = (before: any, value: any) => unknown

/** One fold over the values of a key, from any partition. */
const folding = (fold: Fold, order: 'any' | 'partition' | 'time' = 'any'): Projection => defineProjection({
  name: 'folded', version: 1, order, collections: { folded: {} },
  on: { Set: (state: any, event: any) => state.folded.put(event.key, fold(state.folded.get(event.key), event.data)) },
})

type Values = Record<string, readonly (readonly [key: string, value: unknown])[]>

const logOf = (partitions: Values): MemoryLog => memoryLog({
  partitions: Object.fromEntries(Object.entries(partitions).map(([name, list]): [string, MemoryEntry[]] =>
    [name, list.map(([key, data], i): MemoryEntry => ({ type: 'Set', key, data: data as number, recordedAt: 1_000 + i }))])),
})

async function sealedStore(source: MemoryLog, projection: Projection, over: Partial<ReplayOptions> = {}): Promise<StateStore> {
  const store = memoryStore()
  await runIn(world, { source, projection, store, ...over })
  return store
}

async function auditOf(source: MemoryLog, projection: Projection, over: Partial<AuditOptions> & { store?: StateStore } = {}): Promise<Audit> {
  const { store = await sealedStore(source, projection), ...rest } = over
  const session = await store.open({ generation: 1, mode: 'read' })
  return await auditRebuild({ source, projection, session, world, signal: new AbortController().signal, ...rest })
}

const FLOATS: Values = { a: [['x', 0.7], ['y', 1], ['x', 0.1]], b: [['x', 0.3], ['y', 2]], c: [['w', 0.5]] }
const sum: Fold = (before = 0, value) => before + value

describe('the determinism audit', () => {
  test('passes a projection whose partitions share no keys, under each of its rounds', async () => {
    const audit = await auditOf(memoryLog({ partitions: accountLog(4, 3, 150) }), accounts, { rounds: 5 })
    expect(audit).toMatchObject({ verdict: 'match', rounds: 5, difference: null, cause: null, order: null, inputs: [] })
    expect(audit.rebuilt).toEqual(audit.sealed)
  })

  test('passes what commutes, and what has one merge by time', async () => {
    const integers: Values = { a: [['x', 1], ['y', 2], ['x', 7]], b: [['x', 3], ['y', 9]], c: [['y', 5]] }
    expect(await auditOf(logOf(integers), folding(sum))).toMatchObject({ verdict: 'match', rounds: 3 })
    expect((await auditOf(logOf(integers), folding((_, value) => value, 'time'))).verdict).toBe('match')
  })

  test('tells its progress, round by round', async () => {
    const rounds: number[] = []
    await auditOf(logOf(FLOATS), folding((_, value) => value, 'time'), { tell: (event, round) => { if (event.kind === 'sealed') rounds.push(round) } })
    expect(rounds).toEqual([1, 2, 3])
  })

  test('finds sums of floating-point numbers, and names the key and two events whose order it depends on', async () => {
    const audit = await auditOf(logOf(FLOATS), folding(sum))
    expect(audit).toMatchObject({ verdict: 'mismatch', cause: 'order', difference: { collection: 'folded', key: 'x', sealed: 1.0999999999999999, rebuilt: 1.1, round: 1 } })
    expect(audit.rebuilt?.root).not.toBe(audit.sealed.root)
    expect(swapMatters(FLOATS, 'x', sum, audit)).toBe(true)
  })

  test('finds them also where whole rebuilds happen to agree', async () => {
    const values: Values = { a: [['x', 9.1], ['x', 6.6], ['w', 1], ['x', 7.4]], b: [['v', 1], ['x', 4], ['x', 7], ['x', 6.1]] }
    const audit = await auditOf(logOf(values), folding(sum))
    expect(audit).toMatchObject({ verdict: 'mismatch', cause: 'order', difference: { collection: 'folded', key: 'x', sealed: 40.2, round: null } })
    expect(audit.rebuilt).toEqual(audit.sealed)
    expect(swapMatters(values, 'x', sum, audit)).toBe(true)
  })

  test('passes random commuting folds over random logs', async () => {
    const folds: Fold[] = [
      sum, (before = 0, value) => Math.max(before, value), (before = 9, value) => Math.min(before, value), (before = 0) => before + 1,
      (before = [], value) => [...new Set([...before, value])].sort(), (before = 0, value) => (before ^ value),
    ]
    await fc.assert(fc.asyncProperty(fc.constantFrom(...folds), valuesOf(fc.integer({ min: 0, max: 9 })), async (fold, values) => {
      expect((await auditOf(logOf(values), folding(fold))).verdict).toBe('match')
    }), { numRuns: 30 })
  })

  test('fails random folds that do not commute, and the two events it names do change the value of the key where they change places', async () => {
    const folds: Fold[] = [
      (_, value) => value, (before = [], value) => [...before, value], (before = 7, value) => (before * 31 + value) % 1_000_003,
      (before, value) => before ?? value, (before = null, value) => [value, before],
    ]
    await fc.assert(fc.asyncProperty(fc.constantFrom(...folds), valuesOf(fc.nat(9)), async (fold, plain) => {
      // Every value is another one.
      let next = 0
      const values: Values = Object.fromEntries(Object.entries(plain).map(([name, list]) => [name, list.map(([key]) => [key, next++])]))
      fc.pre(['x', 'y'].some((key) => Object.values(values).filter((list) => list.some(([other]) => other === key)).length > 1))
      const audit = await auditOf(logOf(values), folding(fold))
      expect(audit).toMatchObject({ verdict: 'mismatch', cause: 'order' })
      expect(swapMatters(values, audit.difference?.key as string, fold, audit)).toBe(true)
    }), { numRuns: 60 })
  })

  test('names events that reach a key through another one', async () => {
    const projection = defineProjection({
      name: 'copied', version: 1, order: 'any', collections: { from: {}, to: {} },
      keys: {
        Set: (event: any) => [{ collection: 'from', key: event.key }],
        Copy: (event: any) => [{ collection: 'from', key: event.key }, { collection: 'to', key: 'all' }],
      },
      on: {
        Set: (state: any, event: any) => state.from.put(event.key, event.data),
        Copy: (state: any, event: any) => state.to.put('all', [...(state.to.get('all') ?? []), state.from.get(event.key) ?? null]),
      },
    })
    // `from` ends the same in any order; what was copied of it does not.
    const source = memoryLog({ partitions: { a: [{ type: 'Set', key: 'k', data: 1 }], b: [{ type: 'Copy', key: 'k' }] } })
    const audit = await auditOf(source, projection)
    expect(audit).toMatchObject({ cause: 'order', difference: { collection: 'to', key: 'all', sealed: [1], rebuilt: [null], round: 2 } })
    expect([audit.order?.first, audit.order?.second].map((event) => event?.type).sort()).toEqual(['Copy', 'Set'])
  })

  test('finds hidden state of the module under order partition, and does not take it for a question of order', async () => {
    let calls = 0
    const hidden = (every: number): Projection => folding((before = 0, value) => before + value + (++calls % every === 0 ? 1 : 0), 'partition')
    const source = memoryLog({ partitions: { a: Array.from({ length: 700 }, (_, i) => ({ type: 'Set', key: `k${i % 9}`, data: 1 })) } })
    for (const every of [50, 91]) {
      calls = 0
      expect(await auditOf(source, hidden(every))).toMatchObject({
        verdict: 'mismatch', cause: 'not-deterministic', order: null, why: 'Two rebuilds in one and the same order gave two states.',
      })
    }
    calls = 0
    expect((await failureOf(auditOf(source, hidden(2)))).code).toBe('NOT_DETERMINISTIC')
  })

  test('finds a key that depends on events of other keys, though a rebuild gives it again', async () => {
    // What the last event left in the module: the same after each rebuild, as long as that ends with one event.
    let last = 0
    const projection = folding((_, value) => {
      const seen = last % 10
      last = value
      return value === 7 ? seen : value
    }, 'partition')
    const source = logOf({ a: [['p', 1], ['z', 7]], b: [['r', 4]] })
    expect(await auditOf(source, projection)).toMatchObject({ verdict: 'mismatch', order: null, cause: 'not-deterministic', difference: { key: 'z' } })
  })

  test('a handler that throws in another order is a question of order too, and the two events are named', async () => {
    const strict = folding((before, value) => {
      if (value === 'close' && before === undefined) throw new Error('There is nothing to close.')
      return value
    })
    // Beyond what single keys are put to the test with.
    const before: [string, unknown][] = Array.from({ length: 10_000 }, (_, i) => [`b${i % 50}`, 'open'])
    for (const first of [[], before]) {
      const source = logOf({ a: [['w', 'open'], ['x', 'open']], b: [...first, ['x', 'close']] })
      const audit = await auditOf(source, strict)
      const offset = first.length
      expect(audit).toMatchObject({
        verdict: 'mismatch', cause: 'order', rebuilt: null,
        difference: { collection: 'folded', key: 'x', sealed: 'close' },
      })
      expect([audit.order?.first, audit.order?.second].map((event) => `${event?.partition}@${event?.offset}`).sort()).toEqual(['a@1', `b@${offset}`])
    }
  })

  test('an error of a handler that is no question of order is thrown as by a replay', async () => {
    let isStrict = false
    const moody = folding((before = 0, value) => {
      if (isStrict) throw new Error('not today')
      return before + value
    })
    const source = logOf({ a: [['x', 1]], b: [['x', 2]] })
    const store = await sealedStore(source, moody)
    isStrict = true
    expect(await failureOf(auditOf(source, moody, { store }))).toMatchObject({ code: 'HANDLER_FAILED' })
  })

  test('a signal also ends the search for the two events', async () => {
    const lists = folding((before = [], value) => [...before, value])
    const values: Values = { a: Array.from({ length: 1_500 }, (_, i) => ['x', i]), b: Array.from({ length: 1_500 }, (_, i) => ['x', -i]) }
    const stop = new AbortController()
    const store = await sealedStore(logOf(values), lists)
    let rebuilds = 0
    const tell: AuditOptions['tell'] = ({ kind }) => { if (kind === 'sealed') rebuilds++ }
    const sleep: typeof world.clock.sleep = (ms, signal) => {
      if (ms === 0 && rebuilds === 2) stop.abort()
      return world.clock.sleep(ms, signal)
    }
    const audit = auditOf(logOf(values), lists, { store, signal: stop.signal, tell, world: { ...world, clock: { ...world.clock, sleep } } })
    expect(await failureOf(audit)).toMatchObject({ code: 'RUN_STOPPED', message: 'The comparison was stopped.' })
  })

  test('a signal ends it as RUN_STOPPED', async () => {
    const source = logOf(FLOATS)
    const stop = new AbortController()
    const store = await sealedStore(source, folding(sum))
    const told: string[] = []
    const tell: AuditOptions['tell'] = (event, round) => {
      if (event.kind === 'sealed') told.push(`sealed ${round}`)
      if (told.length === 2) stop.abort()
    }
    expect(await failureOf(auditOf(source, folding(sum), { store, signal: stop.signal, tell }))).toMatchObject({ code: 'RUN_STOPPED' })
    expect(told).toEqual(['sealed 1', 'sealed 1'])
  })

  test('a seal that other code made is no question of order', async () => {
    const source = logOf({ a: [['x', 1], ['y', 1]], b: [['x', 2]] })
    const store = memoryStore()
    await runIn(world, { source, projection: folding((before = 0, value) => before + 2 * value), store })
    const audit = await auditOf(source, folding(sum), { store })
    expect(audit).toMatchObject({ cause: 'state', order: null, difference: { key: 'x', sealed: 6, rebuilt: 3, round: 1 } })
    expect(audit.why).toContain('2 events of this key')
  })

  test('what only one of both has is named as absent on the other', async () => {
    const source = logOf({ a: [['x', 1], ['y', 1]] })
    const dropping = (key: string): Projection => defineProjection({
      name: 'folded', version: 1, order: 'any', collections: { folded: {} },
      on: { Set: (state: any, event: any) => event.key === key || state.folded.put(event.key, null) },
    })
    const store = memoryStore()
    await runIn(world, { source, projection: dropping('x'), store })
    const audit = await auditOf(source, dropping('y'), { store })
    expect(audit.difference).toMatchObject({ key: 'x', sealed: undefined, rebuilt: null })
  })

  test('input first: where something else was read, the folds are not compared', async () => {
    const values: Values = { a: [['x', 1], ['x', 2]], b: [['y', 1]] }
    const store = await sealedStore(logOf(values), folding(sum))
    const rewritten = logOf({ ...values, a: [['x', 1], ['x', 3]] })
    expect((await failureOf(auditOf(rewritten, folding(sum), { store }))).code).toBe('LOG_REWRITTEN')
    // A source that can not prove that it is the same log.
    rewritten.check = async (marks) => new Map([...marks.keys()].map((name) => [name, { is: 'unprovable', why: 'It does not know.' }]))
    const audit = await auditOf(rewritten, folding(sum), { store })
    expect(audit).toMatchObject({ verdict: 'mismatch', cause: 'input', inputs: [{ partition: 'a', from: 0, to: 1 }], order: null })
  })

  test('keeps the waivers of the seal, and stays at its position while the log grows', async () => {
    const failing = folding((before = 0, value) => {
      if (value < 0) throw new Error('below zero')
      return before + value
    })
    const values: MemoryEntry[] = [1, -1, 2].map((data) => ({ type: 'Set', key: 'x', data }))
    const source = memoryLog({ partitions: { a: values, b: values.slice(0, 1) } })
    const store = await sealedStore(source, failing, { accept: ['HANDLER_FAILED=a@1'] })
    source.append('a', { type: 'Set', key: 'x', data: -1 })
    source.append('c', { type: 'Set', key: 'x', data: 1 })
    expect((await auditOf(source, failing, { store })).verdict).toBe('match')
  })

  test('says where its search met its bound', async () => {
    const audit = await auditOf(logOf(FLOATS), folding(sum), { maxFolds: 5 })
    expect(audit).toMatchObject({ cause: 'unknown', order: null, difference: { key: 'x' } })
    expect(audit.why).toContain('5 handler calls')
  })

  test('refuses what is not sealed, another projection, and a compacted log', async () => {
    const source = logOf(FLOATS)
    const empty = memoryStore()
    await (await empty.open({ generation: 1, mode: 'write', incarnation: 'i', owner: 'o', nowMs: 1, takeover: false })).close()
    expect((await failureOf(auditOf(source, folding(sum), { store: empty }))).code).toBe('STORE_GENERATION')
    const store = await sealedStore(source, folding(sum))
    expect((await failureOf(auditOf(source, folding(sum, 'time'), { store }))).code).toBe('PROJECTION_CHANGED')
    const compacted = memoryLog({
      continuity: 'sparse', partitions: { a: [{ type: 'Set', key: 'x', data: 1 }, { hole: 'compactedOrLost' }, { type: 'Set', key: 'x', data: 1 }] },
    })
    expect((await failureOf(auditOf(compacted, folding(sum)))).code).toBe('LOG_COMPACTED')
  })
})

/** Up to three partitions of up to four events each, for two keys. */
function valuesOf(value: fc.Arbitrary<number>): fc.Arbitrary<Values> {
  const list = fc.array(fc.tuple(fc.constantFrom('x', 'y'), value), { minLength: 1, maxLength: 4 })
  return fc.record({ a: list, b: list, c: list }, { requiredKeys: ['a', 'b'] }) as fc.Arbitrary<Values>
}

/** By brute force: in some interleaving the two events are neighbours, and the value of the key is another one where they change places. */
function swapMatters(values: Values, key: string, fold: Fold, { order }: Audit): boolean {
  const queues = Object.entries(values).map(([partition, list]) =>
    list.map(([of, value], offset) => ({ partition, offset, of, value })).filter(({ of }) => of === key))
  const valueOf = (events: readonly { value: unknown }[]): string =>
    JSON.stringify(events.reduce<unknown>((before, { value }) => fold(before, value), undefined))
  for (const events of interleavings(queues)) {
    const at = events.findIndex(({ partition, offset }) => partition === order?.first.partition && offset === order.first.offset)
    const [first, second] = [events[at], events[at + 1]]
    if (first === undefined || second?.partition !== order?.second.partition || second?.offset !== order?.second.offset) continue
    const swapped = events.with(at, second as typeof first).with(at + 1, first)
    if (first.partition !== second?.partition && valueOf(swapped) !== valueOf(events)) return true
  }
  return false
}

function* interleavings<T>(queues: readonly (readonly T[])[]): Generator<T[]> {
  if (queues.every((queue) => queue.length === 0)) yield []
  for (const [i, queue] of queues.entries()) {
    if (queue.length === 0) continue
    for (const rest of interleavings(queues.with(i, queue.slice(1)))) yield [queue[0] as T, ...rest]
  }
}
