import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { memoryLog, type MemoryEntry, type MemoryEvent } from '../../adapters/memory/index.js'
import { offsetsFile } from '../../src/host/offsets-file.js'
import { headOf } from '../../src/log/bounds.js'
import type { EventSource } from '../../src/log/source.js'
import { defineProjection, type Projection } from '../../src/projection/define.js'
import { fingerprintOf } from '../../src/projection/fingerprint.js'
import type { Accepted } from '../../src/store/checkpoint.js'
import { blame } from '../../src/verify/blame.js'
import { gatherEvents, gatherIndexed, type Gathered, type GatherOptions } from '../../src/verify/events.js'
import { KeyOffsets, offsetsIn, type OffsetsFile, type OffsetsScope } from '../../src/verify/key-offsets.js'
import { failureOf, worldOf } from '../support/worlds.js'

const world = worldOf(1)

interface Spec {
  readonly order: 'partition' | 'time' | 'any'
  readonly idWindow: number
  readonly single: boolean
}

function projectionOf({ order, idWindow, single }: Spec): Projection {
  return defineProjection({
    name: 'accounts', version: 1, order, collections: single ? { accounts: {} } : { accounts: {}, banks: {} }, unknownEvents: 'skip',
    ...(idWindow === 0 ? {} : { ids: { window: idWindow } }),
    ...(single ? {} : {
      keys: { Moved: ({ data }: { data: { keys: string[] } }) => data.keys.map((key) => ({ collection: key < 'm' ? 'accounts' : 'banks', key })) },
    }),
    on: { Moved: () => {} },
  } as Parameters<typeof defineProjection>[0])
}

const scopeOf = (source: EventSource, projection: Projection, accepted: readonly Accepted[] = []) => async (): Promise<OffsetsScope> => ({
  position: headOf(await source.bounds()), identity: { p: { id: 'one', proved: true } }, fingerprint: fingerprintOf(projection, null), accepted,
})

/** What of two results is to be equal: identities of slots and of handlers aside. */
function shown({ groups, isCompacted }: Gathered): unknown {
  const numbers = new Map<unknown, number>()
  const numberOf = (group: unknown): number => {
    if (!numbers.has(group)) numbers.set(group, numbers.size)
    return numbers.get(group) as number
  }
  return {
    isCompacted,
    groups: groups.map((group) => ({
      number: numberOf(group), slots: group.slots.map(({ collection, key }) => `${collection.name}:${key}`),
      events: group.events?.map(({ event, type, at, again, slots }) =>
        ({ ...event, handler: type.name, at, again, isOwn: slots.every((slot, i) => slot === group.slots[at[i] as number]) })) ?? null,
    })),
  }
}

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'x', 'y', 'z']
const event = fc.record({
  keys: fc.uniqueArray(fc.constantFrom(...KEYS), { maxLength: 3 }), id: fc.option(fc.nat(3), { freq: 2 }),
  recordedAt: fc.nat(20), type: fc.constantFrom('Moved', 'Moved', 'Moved', 'Other'),
})
const hole = fc.constantFrom<'control' | 'compactedOrLost'>('control', 'compactedOrLost')
const partition = fc.array(fc.oneof({ weight: 12, arbitrary: event }, { weight: 1, arbitrary: hole }), { maxLength: 30 })
const cases = fc.record({
  order: fc.constantFrom<Spec['order']>('partition', 'time', 'any'), idWindow: fc.constantFrom(0, 0, 4), single: fc.boolean(),
  partitions: fc.array(partition, { minLength: 1, maxLength: 3 }), leftOut: fc.array(fc.tuple(fc.nat(2), fc.nat(29)), { maxLength: 4 }),
  wanted: fc.uniqueArray(fc.constantFrom(...KEYS, 'nowhere'), { minLength: 1, maxLength: 4 }),
  maxEvents: fc.constantFrom(3, 8, 1_000), narrow: fc.constantFrom(null, 0, 1),
})

/** Content follows from the id, so that a repeat is one. */
function entryOf(single: boolean, place: number) {
  return (entry: { keys: string[]; id: number | null; recordedAt: number; type: string } | 'control' | 'compactedOrLost', i: number): MemoryEntry => {
    if (typeof entry === 'string') return { hole: entry }
    const keys = entry.id === null ? entry.keys : [KEYS[entry.id * 2] as string, KEYS[entry.id + 4] as string]
    return {
      type: entry.id === null ? entry.type : 'Moved', data: { keys, n: entry.id === null ? place * 100 + i : entry.id },
      recordedAt: entry.id === null ? entry.recordedAt : entry.id, ...(entry.id === null ? {} : { id: `${place}/${entry.id}` }),
      ...(single ? { key: keys[0] ?? 'a' } : {}),
    } as MemoryEvent
  }
}

describe('with an index', () => {
  test('the groups, their keys, events and order are those of a whole reading, on random logs', async () => {
    const met = { widened: 0, givenUp: 0, compacted: 0, repeated: 0, narrowed: 0 }
    await fc.assert(fc.asyncProperty(cases, async (given) => {
      const projection = projectionOf(given)
      const partitions = Object.fromEntries(given.partitions.map((entries, place) => [`p${place}`, entries.map(entryOf(given.single, place))]))
      const source = memoryLog({ partitions, continuity: 'sparse' })
      const accepted = given.leftOut.map(([place, offset]) => ({ code: 'HANDLER_FAILED', partition: `p${place}`, from: offset, to: offset }))
      const scope = await scopeOf(source, projection, accepted)()
      const upTo = new Map([...scope.position].filter((_, place) => given.order === 'time' || given.narrow === null || place === given.narrow))
      const keys = given.wanted.map((key) => ({ collection: given.single || key < 'm' ? 'accounts' : 'banks', key }))
      const options: GatherOptions = { source, projection, upTo, accepted, keys, maxEvents: given.maxEvents }
      const whole = await gatherEvents(options, world)
      const built = await KeyOffsets.build(scope, options, world)
      const kept = KeyOffsets.fromBytes(built.toBytes()) as KeyOffsets
      for (const offsets of [built, kept]) {
        const indexed = await gatherIndexed(options, offsets, world)
        expect(shown(indexed)).toEqual(shown(whole))
      }
      met.narrowed += Number(upTo.size > 0 && upTo.size < scope.position.size)
      met.widened += Number(whole.groups.some(({ slots }) => slots.length > given.wanted.length))
      met.givenUp += Number(whole.groups.some(({ events }) => events === null))
      met.compacted += Number(whole.isCompacted)
      met.repeated += Number(given.idWindow > 0 && given.partitions.some((entries) => entries.some((entry) => typeof entry !== 'string' && entry.id !== null)))
    }), { numRuns: 300 })
    for (const count of Object.values(met)) expect(count).toBeGreaterThan(10)
  })

  test('only the partitions and the ranges are read that hold events of the keys, and nothing else is parsed', async () => {
    const projection = projectionOf({ order: 'partition', idWindow: 0, single: true })
    const at = (key: string): MemoryEvent => ({ type: 'Moved', key, data: {} })
    const filled = Array.from({ length: 2_000 }, () => at('b'))
    const log = memoryLog({ partitions: { p0: filled, p1: [...filled, at('a'), at('b'), at('a'), ...filled] } })
    const [ranges, parsed]: [unknown[], unknown[]] = [[], []]
    const source: EventSource = {
      continuity: 'dense', check: (marks) => log.check(marks), bounds: (options) => log.bounds(options), close: () => log.close(),
      async *read(name, range, ...rest) {
        ranges.push([name, range.after, range.upTo])
        for await (const batch of log.read(name, range, ...rest)) {
          yield {
            partition: batch.partition, length: batch.length, through: batch.through, holes: batch.holes, bytes: batch.bytes,
            offsetAt: (i) => batch.offsetAt(i), typeAt: (i) => batch.typeAt(i), keyAt: (i) => batch.keyAt(i), markAt: (i) => batch.markAt(i),
            event: (i) => { parsed.push(batch.offsetAt(i)); return batch.event(i) },
          }
        }
      },
    }
    const scope = await scopeOf(source, projection)()
    const options = { source, projection, upTo: scope.position, keys: [{ collection: 'accounts', key: 'a' }], maxEvents: 10 }
    const offsets = await KeyOffsets.build(scope, options, world)
    ranges.length = parsed.length = 0
    const { groups } = await gatherIndexed(options, offsets, world)
    expect(groups[0]?.events?.map(({ event: { offset } }) => offset)).toEqual([2_000, 2_002])
    expect([ranges, parsed]).toEqual([[['p1', 1_999, 2_002]], [2_000, 2_002]])
  })

  test('where keys are folded together they are found without another reading', async () => {
    const projection = projectionOf({ order: 'partition', idWindow: 0, single: false })
    const moved = (...keys: string[]): MemoryEvent => ({ type: 'Moved', data: { keys } })
    const log = memoryLog({ partitions: { p: [moved('x'), moved('a', 'b'), moved('y', 'z'), moved('b', 'c'), moved('c'), moved('z')] } })
    let readings = 0
    const source: EventSource = {
      continuity: 'dense', check: (marks) => log.check(marks), bounds: (options) => log.bounds(options), close: () => log.close(),
      read: (...range) => { readings++; return log.read(...range) },
    }
    const scope = await scopeOf(source, projection)()
    const options = { source, projection, upTo: scope.position, keys: [{ collection: 'accounts', key: 'a' }], maxEvents: 3 }
    const offsets = await KeyOffsets.build(scope, options, world)
    readings = 0
    const { groups } = await gatherIndexed(options, offsets, world)
    expect(groups[0]?.events?.map(({ event: { offset } }) => offset)).toEqual([1, 3, 4])
    expect(readings).toBe(1)
    expect((await gatherIndexed({ ...options, maxEvents: 2 }, offsets, world)).groups[0]?.events).toBe(null)
  })

  test('a log whose listed events are gone is told as compacted', async () => {
    const projection = projectionOf({ order: 'partition', idWindow: 0, single: false })
    const events: MemoryEntry[] = Array.from({ length: 3 }, () => ({ type: 'Moved', data: { keys: ['a', 'b'] } }))
    const source = memoryLog({ partitions: { p: events }, continuity: 'sparse' })
    const scope = await scopeOf(source, projection)()
    const options = { source, projection, upTo: scope.position, keys: [{ collection: 'accounts', key: 'a' }], maxEvents: 10 }
    const offsets = await KeyOffsets.build(scope, options, world)
    const later = memoryLog({ partitions: { p: [events[0] as MemoryEntry, { hole: 'filtered' }, events[2] as MemoryEntry] }, continuity: 'sparse' })
    expect(await gatherIndexed({ ...options, source: later }, offsets, world)).toMatchObject({ isCompacted: true })
  })

  test('offsets beyond 2^32 are kept whole', async () => {
    const projection = projectionOf({ order: 'partition', idWindow: 0, single: true })
    const base = Number.MAX_SAFE_INTEGER - 10
    const log = memoryLog({ partitions: { p: [{ type: 'Moved', key: 'a', data: {} }, { type: 'Moved', key: 'b', data: {} }] } })
    const moved: EventSource = {
      continuity: 'dense', check: (marks) => log.check(marks), close: () => log.close(),
      bounds: async () => new Map([['p', { first: base, last: base + 1 }]]),
      async *read(name, { after, upTo }, ...rest) {
        for await (const batch of log.read(name, { after: after - base, upTo: upTo - base, mark: null }, ...rest)) {
          yield {
            partition: name, length: batch.length, through: batch.through + base, holes: batch.holes, bytes: batch.bytes,
            offsetAt: (i) => batch.offsetAt(i) + base, typeAt: (i) => batch.typeAt(i), keyAt: (i) => batch.keyAt(i),
            event: (i) => ({ ...batch.event(i), offset: batch.offsetAt(i) + base }), markAt: (i) => batch.markAt(i),
          }
        }
      },
    }
    const accepted = [{ code: 'HISTORY_INCOMPLETE', partition: 'p', to: base - 1 }]
    const scope = await scopeOf(moved, projection, accepted)()
    const options = { source: moved, projection, accepted, upTo: scope.position, keys: [{ collection: 'accounts', key: 'b' }], maxEvents: 10 }
    const offsets = KeyOffsets.fromBytes((await KeyOffsets.build(scope, options, world)).toBytes()) as KeyOffsets
    expect(offsets.eventsOf(['accounts:b'], scope.position).map((ordinal) => offsets.placeOf(ordinal))).toEqual([{ partition: 'p', offset: base + 1 }])
    expect((await gatherIndexed(options, offsets, world)).groups[0]?.events?.map(({ event: { offset } }) => offset)).toEqual([base + 1])
  })
})

describe('an index that is kept', () => {
  const projection = projectionOf({ order: 'partition', idWindow: 0, single: true })
  const source = memoryLog({ partitions: { p: Array.from({ length: 5 }, (_, i) => ({ type: 'Moved', key: 'abc'[i % 3] as string, data: {} })) } })
  const folder = mkdtempSync(join(tmpdir(), 'rehydrate-offsets-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('fits exactly the position, identity, fingerprint and waivers it was built for', async () => {
    const scope = await scopeOf(source, projection)()
    const bytes = (await KeyOffsets.build(scope, { source, projection, upTo: scope.position }, world)).toBytes()
    const offsets = KeyOffsets.fromBytes(bytes) as KeyOffsets
    expect([offsets.events, offsets.entries]).toEqual([5, 5])
    expect(offsets.fits(structuredClone(scope))).toBe(true)
    const others: readonly Partial<OffsetsScope>[] = [
      { position: new Map([['p', 3]]) }, { position: new Map([['p', 4], ['q', 0]]) }, { identity: { p: { id: 'two', proved: true } } },
      { fingerprint: { ...scope.fingerprint, code: 'sh1:00' } },
      { fingerprint: { ...scope.fingerprint, shape: { ...scope.fingerprint.shape, order: 'sh1:00' } } },
      { accepted: [{ code: 'HANDLER_FAILED', partition: 'p', from: 1, to: 1 }] },
    ]
    for (const other of others) expect(offsets.fits({ ...scope, ...other })).toBe(false)
  })

  test('is none where one bit of it was changed, or a part is missing', async () => {
    const scope = await scopeOf(source, projection)()
    const bytes = (await KeyOffsets.build(scope, { source, projection, upTo: scope.position }, world)).toBytes()
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice()
      damaged[at]! ^= 1 << (at % 8)
      expect(KeyOffsets.fromBytes(damaged)).toBe(null)
      expect(KeyOffsets.fromBytes(bytes.subarray(0, at))).toBe(null)
    }
    const elsewhere = new Uint8Array(bytes.length + 1)
    elsewhere.set(bytes, 1)
    expect(KeyOffsets.fromBytes(elsewhere.subarray(1))?.fits(scope)).toBe(true)
  })

  test('is built and written once, and again where it is damaged or for another position', async () => {
    const path = join(folder, 'index')
    const file = offsetsFile(path)
    const whys: string[] = []
    const watched: OffsetsFile = { read: () => file.read(), write: async (bytes, why) => { whys.push(why); await file.write(bytes, why) } }
    const scope = await scopeOf(source, projection)()
    const open = (over: Partial<OffsetsScope> = {}) => offsetsIn(watched, { ...scope, ...over }, { source, projection, upTo: scope.position }, world)
    await open()
    await open()
    expect(whys.splice(0)).toEqual(['there was none'])
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder)).toEqual(['index'])
    expect((await open({ position: new Map([['p', 2]]) })).events).toBe(3)
    expect(whys.splice(0)).toEqual([expect.stringContaining('for another position')])
    writeFileSync(path, 'something else')
    expect((await open()).events).toBe(5)
    expect(whys.splice(0)).toEqual([expect.stringContaining('damaged')])
  })

  test('can not be kept where no file can be: USAGE, and nothing is left behind', async () => {
    expect(await failureOf(offsetsFile(folder).read())).toMatchObject({ code: 'USAGE' })
    expect(await failureOf(offsetsFile(join(folder, 'no/such')).write(new Uint8Array(4), ''))).toMatchObject({ code: 'USAGE' })
  })

  test('serves blame, which says the same with it', async () => {
    const counters = defineProjection({
      name: 'counters', version: 1, collections: { counters: {} },
      on: { Counted: (state, { key, data }) => state.counters.put(key as string, { sum: (state.counters.get(key as string)?.sum ?? 0) + data.by }) },
    })
    const counted = (key: string, by: number): MemoryEvent => ({ type: 'Counted', key, data: { by } })
    const log = memoryLog({ partitions: { p: [counted('a', 1), counted('b', 2), counted('a', 4)], q: [counted('c', 8), counted('c', 16)] } })
    const options = {
      source: log, projection: counters, upTo: new Map([['p', 2], ['q', 1]]), accepted: [], partitionsOf: (_: string, key: string) => [key === 'c' ? 'q' : 'p'],
      keys: [{ collection: 'counters', key: 'a', rebuilt: { sum: 5 }, against: { sum: 4 } },
        { collection: 'counters', key: 'c', rebuilt: { sum: 24 }, against: { sum: 40 } }],
    }
    const index = { file: offsetsFile(join(folder, 'blame')), identity: {} }
    const without = await blame(options, world)
    expect(without.map(({ hypothesis, offset }) => [hypothesis, offset])).toEqual([['lost', 0], ['repeated', 1]])
    for (let i = 0; i < 2; i++) expect(await blame({ ...options, index }, world)).toEqual(without)
  })
})
