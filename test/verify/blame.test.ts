import { describe, expect, test } from 'vitest'
import { memoryLog, type MemoryEntry, type MemoryEvent } from '../../adapters/memory/index.js'
import { defineProjection } from '../../src/projection/define.js'
import type { Value } from '../../src/value/canonical.js'
import { blame, type Blame, type BlameOptions } from '../../src/verify/blame.js'
import { columnDetail } from '../../src/verify/blame-column.js'
import type { FieldDifference } from '../../src/verify/fields.js'
import { failureOf, worldOf } from '../support/worlds.js'

const airports = defineProjection({
  name: 'airports', version: 1,
  collections: { airports: {} },
  on: {
    Landed(state, { key, data }) {
      const before = state.airports.get(key as string) ?? { landed: 0, delayTotal: 0, longest: 0 }
      state.airports.put(key as string, {
        landed: before.landed + 1, delayTotal: before.delayTotal + data.delay, longest: Math.max(before.longest, data.delay), last: data.flight,
      })
    },
    Counted(state, { key }) {
      const before = state.airports.get(key as string)
      state.airports.put(key as string, { ...before, landed: before.landed + 1 })
    },
    Measured: (state, { key, data }) => state.airports.put(key as string, data),
    Closed: (state, { key }) => state.airports.delete(key as string),
    Seen: () => {},
  },
})

const landed = (key: string, delay: number, flight: string): MemoryEvent => ({ type: 'Landed', key, data: { delay, flight } })
const measured = (data: Value): MemoryEvent => ({ type: 'Measured', key: 'FRA', data })

async function blamed(
  events: readonly MemoryEntry[], rebuilt: Value | undefined, against: Value | undefined, over: Partial<BlameOptions> = {},
): Promise<Blame> {
  const log = memoryLog({ partitions: { 'flights/0': events }, continuity: 'sparse' })
  const [found] = await blame({
    source: log, projection: airports, upTo: new Map([['flights/0', events.length - 1]]), accepted: [],
    keys: [{ collection: 'airports', key: 'FRA', rebuilt, against }], ...over,
  }, worldOf(1))
  return found as Blame
}

const DAY = [landed('FRA', 5, 'LH1'), landed('MUC', 0, 'LH2'), landed('FRA', 20, 'LH3'), landed('FRA', 0, 'LH4'), landed('FRA', 7, 'LH5')]
const FRA = { landed: 4, delayTotal: 32, longest: 20, last: 'LH5' }

describe('one fault each', () => {
  test('an event that was lost is named, with its place, its type and the fields', async () => {
    expect(await blamed(DAY, FRA, { landed: 3, delayTotal: 12, longest: 7, last: 'LH5' })).toEqual({
      collection: 'airports', key: 'FRA', hypothesis: 'lost', partition: 'flights/0', offset: 2, type: 'Landed',
      fields: ['$.landed', '$.delayTotal', '$.longest'], candidates: 1,
      examples: [{ partition: 'flights/0', offset: 2, type: 'Landed' }], detail: null, alternatives: [],
      events: 4, folds: expect.any(Number), exhaustive: true,
    })
  })

  test('an event that was applied twice', async () => {
    const found = await blamed(DAY, FRA, { landed: 5, delayTotal: 37, longest: 20, last: 'LH5' })
    expect(found).toMatchObject({ hypothesis: 'repeated', offset: 0, candidates: 1, alternatives: [] })
  })

  test('two neighbours in the other order', async () => {
    const found = await blamed(DAY, FRA, { ...FRA, last: 'LH4' })
    expect(found).toMatchObject({ hypothesis: 'reordered', offset: 3, candidates: 1, detail: 'applied after flights/0@4, which follows it' })
  })

  test('it stopped: what was applied last is named, and how much is missing', async () => {
    const found = await blamed(DAY, FRA, { landed: 2, delayTotal: 25, longest: 20, last: 'LH3' })
    expect(found).toMatchObject({ hypothesis: 'stopped', offset: 2, candidates: 1, detail: 'the last 2 of its 4 events are missing' })
    const nothing = await blamed(DAY, FRA, undefined)
    expect(nothing).toMatchObject({
      hypothesis: 'stopped', partition: 'flights/0', offset: null, type: null, fields: [], detail: 'none of its 4 events was applied',
    })
  })

  test('that the last event alone is missing is told as lost, for the event is then named', async () => {
    const found = await blamed(DAY, FRA, { landed: 3, delayTotal: 25, longest: 20, last: 'LH4' })
    expect(found).toMatchObject({ hypothesis: 'lost', offset: 4, candidates: 1, alternatives: [] })
  })

  test('a delete that was missed', async () => {
    const found = await blamed([...DAY, { type: 'Closed', key: 'FRA' }], undefined, FRA)
    expect(found).toMatchObject({ hypothesis: 'lost', offset: 5, type: 'Closed', detail: 'the delete was missed' })
  })

  test('what nothing in the log explains is a foreign write; so is a key that no event touches', async () => {
    expect(await blamed(DAY, FRA, { ...FRA, landed: 1_000 })).toMatchObject({
      hypothesis: 'foreign', partition: null, offset: null, type: null, candidates: 0, exhaustive: true, fields: ['$.landed'], events: 4,
    })
    const absent = [{ collection: 'airports', key: 'XXX', rebuilt: undefined, against: FRA }]
    expect(await blamed(DAY, FRA, FRA, { keys: absent })).toMatchObject({ key: 'XXX', hypothesis: 'foreign', events: 0 })
  })

  test('all events that explain it equally well are counted, and the first ones shown', async () => {
    const events = Array.from({ length: 300 }, (_, i) => landed('FRA', i === 299 ? 9 : 1, 'LH1'))
    const found = await blamed(events, { landed: 300, delayTotal: 308, longest: 9, last: 'LH1' },
      { landed: 299, delayTotal: 307, longest: 9, last: 'LH1' })
    expect(found).toMatchObject({ hypothesis: 'lost', candidates: 299, offset: 0, exhaustive: true })
    expect(found.examples.map(({ offset }) => offset)).toEqual([0, 1, 2, 3, 4])
    expect(found.folds).toBeLessThan(3_000)
  })

  test('of several hypotheses the one with the fewest candidates is told, the others with their counts', async () => {
    const events = [landed('FRA', 1, 'A'), landed('FRA', 1, 'A'), landed('FRA', 1, 'A'), measured({ landed: 1 }), measured({ landed: 2 })]
    const found = await blamed(events, { landed: 2 }, { landed: 1 })
    expect(found).toMatchObject({ hypothesis: 'lost', offset: 4, candidates: 1, alternatives: [{ hypothesis: 'reordered', candidates: 1 }] })
  })
})

describe('columns', () => {
  const cases: readonly (readonly [Value, Value, string])[] = [
    [12.345, 12.35, 'rounded to 2 decimals'],
    [12.347, 12.34, 'cut to 2 decimals'],
    [12.6, 13, 'rounded to a whole number'],
    [0.1, Math.fround(0.1), 'kept as a 32-bit float'],
    [16_777_217, 16_777_216, 'kept as a 32-bit float'],
    [1_234_567, 1_234_570, 'rounded to 6 digits'],
    [3_000_000_000, -1_294_967_296, 'kept as a 32-bit integer'],
    [3_000_000_000, 2_147_483_647, 'held to the range of a 32-bit integer'],
    [-5, 0, 'held to the range of an unsigned 32-bit integer'],
    [70_000, 4_464, 'kept as a 16-bit integer'],
    ['a name of more than twenty characters', 'a name of more than ', 'truncated to 20 characters'],
    ['FRA  ', 'FRA', 'trailing spaces cut off'],
    ['FRA', 'FRA   ', 'filled up with spaces'],
    ['2024-03-01T10:00:00Z', '2024-03-01T12:00:00Z', 'shifted by 2 h'],
    ['2024-03-01T10:00:00Z', '2024-03-01 04:30:00', 'shifted by −5 h 30 min'],
    ['2024-03-01T10:00:00.123Z', '2024-03-01T10:00:00Z', 'milliseconds cut off'],
    ['2024-03-01T10:00:00.123Z', '2024-03-01 12:00:00', 'milliseconds cut off, shifted by 2 h'],
    ['2024-03-01T10:00:00.623Z', '2024-03-01 10:00:01', 'rounded to seconds'],
    ['2024-03-01T10:00:00.123456Z', '2024-03-01T10:00:00.123Z', 'microseconds cut off'],
    ['2024-03-01T10:00:00.123756Z', '2024-03-01T12:00:00.124Z', 'rounded to milliseconds, shifted by 2 h'],
    [1_709_287_200_623, 1_709_287_201_000, 'rounded to seconds'],
    ['2024-03-01T10:00:00Z', '2024-03-01T12:00:00+02:00', 'another form of the same time'],
    [1_709_287_200_123, 1_709_287_200_000, 'milliseconds cut off'],
    [1_709_287_200_123, 1_709_287_200, 'kept in seconds'],
    [1_709_287_200_123, 1_709_294_400_123, 'shifted by 2 h'],
    [1_709_287_200_123_456, 1_709_287_200_123_000, 'microseconds cut off'],
    [true, 1, 'kept as 0 or 1'],
    [12, '12', 'kept as text'],
  ]
  test.each(cases)('%s → %s is told as: %s', async (ours, theirs, detail) => {
    const found = await blamed([measured({ at: ours, b: 1 })], { at: ours, b: 1 }, { at: theirs, b: 1 })
    expect(found).toMatchObject({ hypothesis: 'column', detail, partition: null, offset: null, candidates: 1, examples: [], fields: ['$.at'] })
  })

  test.each<[Value, Value]>([[5, 6], [1.5, 2.7], ['FRA', 'MUC'], ['', 'x'], ['x', ''], [1_709_287_200, 1_709_287_201], [true, 0], [2, 1.5]])(
    '%s → %s is nothing that a column does', async (ours, theirs) => {
      expect(await blamed([measured({ at: ours })], { at: ours }, { at: theirs })).toMatchObject({ hypothesis: 'foreign' })
    })

  test('integers beyond 2^53 are compared exactly, also with what is no integer', () => {
    const told = (rebuilt: Value, against: Value): string | null => columnDetail([{ path: '$', rebuilt, against }])
    expect(told(2n ** 62n + 1n, 2 ** 62)).toBe('kept as a 32-bit float')
    expect(told(2n ** 62n + 2n ** 12n + 1n, 2n ** 62n + 2n ** 12n)).toBe('kept as a 64-bit float')
    expect([1.5, 2n ** 62n + 2n, '2'].map((against) => told(2n ** 62n + 1n, against))).toEqual([null, null, null])
  })

  test('of a value with more differences than are told, nothing is said about all of them', () => {
    const fields = (count: number): FieldDifference[] => Array.from({ length: count }, (_, i) => ({ path: `$[${i}]`, rebuilt: i, against: String(i) }))
    expect([columnDetail(fields(100)), columnDetail(fields(101))]).toEqual(['kept as text', null])
  })

  test('each field that differs must be explained, and is told by its path', async () => {
    const ours = { price: 1.005, name: 'Frankfurt am Main', count: 3 }
    expect(await blamed([measured(ours)], ours, { price: 1, name: 'Frankfurt', count: 3 })).toMatchObject({
      hypothesis: 'column', detail: '$.price rounded to a whole number, $.name truncated to 9 characters',
    })
    expect(await blamed([measured(ours)], ours, { price: 1, name: 'Frankfurt', count: 4 })).toMatchObject({ hypothesis: 'foreign' })
  })
})

describe('the search', () => {
  test('neighbours across two parts of it are exchanged too', async () => {
    const closed = { type: 'Closed', key: 'FRA' }
    const events = [...Array.from({ length: 6 }, () => closed), measured({ a: 1 }), ...Array.from({ length: 63 }, () => ({ type: 'Seen', key: 'FRA' }))]
    const found = await blamed(events, { a: 1 }, undefined)
    expect([found.hypothesis, found.candidates, found.alternatives.map(({ hypothesis, examples }) => [hypothesis, examples[0]?.offset])])
      .toEqual(['lost', 1, [['reordered', 5], ['stopped', null]]])
  })

  test('what came to a known state ends as that did, also where it has joined another since', async () => {
    // Parts of the search are the last 64 events, the 128 before them, and the rest. The second begins with a change of `last`,
    // without which its state differs from the others' up to the next change, in the first part.
    const counted = { type: 'Counted', key: 'FRA' }
    const events = Array.from({ length: 300 }, (_, i) => (i % 108 === 0 && i < 200 ? landed('FRA', 0, `LH${i}`) : i === 290 ? landed('FRA', 0, 'LH290') : counted))
    const ours = { landed: 300, delayTotal: 0, longest: 0, last: 'LH290' }
    const found = await blamed(events, ours, { ...ours, landed: 299 }, { maxExamples: Infinity })
    expect(found).toMatchObject({ hypothesis: 'lost', candidates: 298, exhaustive: true })
    expect(found.examples.map(({ offset }) => offset)).not.toContain(290)
  })

  test('fields left out of the comparison are left out of every value', async () => {
    const { last: _, ...rest } = FRA
    const found = await blamed(DAY, rest, { landed: 3, delayTotal: 32, longest: 20 }, { omitted: new Map([['airports', ['last']]]) })
    expect(found).toMatchObject({ hypothesis: 'lost', offset: 3, fields: ['$.landed'], candidates: 1 })
  })

  test('keys that are folded together are told one by one, in the order they were given', async () => {
    const transfers = defineProjection({
      name: 'transfers', version: 1, collections: { accounts: {} },
      keys: { Moved: ({ data }) => [{ collection: 'accounts', key: data.from }, { collection: 'accounts', key: data.to }] },
      on: {
        Moved(state, { data }) {
          state.accounts.put(data.from, { cents: (state.accounts.get(data.from)?.cents ?? 0) - data.cents })
          state.accounts.put(data.to, { cents: (state.accounts.get(data.to)?.cents ?? 0) + data.cents })
        },
      },
    })
    const moved = (from: string, to: string, cents: number): MemoryEvent => ({ type: 'Moved', data: { from, to, cents } })
    const log = memoryLog({ partitions: { p: [moved('a', 'b', 1), moved('x', 'y', 50), moved('b', 'c', 10), moved('c', 'a', 3)] } })
    const key = (name: string, rebuilt: number, against: number) =>
      ({ collection: 'accounts', key: name, rebuilt: { cents: rebuilt }, against: { cents: against } })
    const found = await blame({
      source: log, projection: transfers, upTo: new Map([['p', 3]]), accepted: [], keys: [key('c', 7, -3), key('x', -50, -100), key('b', -9, 1)],
    }, worldOf(1))
    expect(found.map(({ key: name, hypothesis, offset, events }) => [name, hypothesis, offset, events]))
      .toEqual([['c', 'lost', 2, 2], ['x', 'repeated', 1, 1], ['b', 'lost', 2, 2]])
  })

  test('neighbours are events of one key: events of other keys that are folded with it may lie between them', async () => {
    const projection = defineProjection({
      name: 'pairs', version: 1, collections: { names: {} },
      keys: { Linked: ({ data }) => data.map((key: string) => ({ collection: 'names', key })) },
      on: { Named: (state, { key, data }) => state.names.put(key as string, data), Linked: () => {} },
    })
    const named = (key: string, data: string): MemoryEvent => ({ type: 'Named', key, data })
    const events = [{ type: 'Linked', data: ['a', 'b'] }, named('a', 'first'), named('b', 'x'), named('b', 'y'), named('a', 'second'), named('a', 'third')]
    const keys = [{ collection: 'names', key: 'a', rebuilt: 'third', against: 'second' }]
    expect(await blamed(events, undefined, undefined, { projection, keys })).toMatchObject({
      hypothesis: 'lost', offset: 5, alternatives: [{ hypothesis: 'reordered', candidates: 1, examples: [{ offset: 4 }] }],
    })
    const first = [{ type: 'Linked', data: ['a', 'b'] }, named('a', 'first'), named('b', 'x'), named('a', 'second')]
    const swapped = [{ collection: 'names', key: 'a', rebuilt: 'second', against: 'first' }]
    expect((await blamed(first, undefined, undefined, { projection, keys: swapped })).alternatives).toMatchObject([
      { hypothesis: 'reordered', examples: [{ offset: 1 }], detail: 'applied after flights/0@3, which follows it' },
    ])
  })

  test('each fold is given the events as they were read, though a handler changes what it is given', async () => {
    const copying = { '~standard': { version: 1 as const, vendor: 'test', validate: (value: unknown) => ({ value: structuredClone(value) as any }) } }
    const projection = defineProjection({
      name: 'stacks', version: 1, collections: { stacks: {} },
      on: {
        Stacked: (state, { key, data }) => state.stacks.put(key as string, { ...state.stacks.get(key as string), items: data.items.reverse() }),
        Counted: (state, { key }) => state.stacks.put(key as string, { ...state.stacks.get(key as string), n: (state.stacks.get(key as string)?.n ?? 0) + 1 }),
      },
      events: { Stacked: { schema: copying } },
    })
    const events = [{ type: 'Counted', key: 'FRA' }, { type: 'Stacked', key: 'FRA', data: { items: [1, 2, 3] } }]
    const keys = [{ collection: 'stacks', key: 'FRA', rebuilt: { n: 1, items: [3, 2, 1] }, against: { items: [3, 2, 1] } }]
    expect(await blamed(events, undefined, undefined, { projection, keys })).toMatchObject({ hypothesis: 'lost', offset: 0, exhaustive: true })
  })

  test('a handler that throws in an order that never was speaks against that order', async () => {
    const doors = defineProjection({
      name: 'doors', version: 1, collections: { doors: {} },
      on: {
        Built: (state, { key }) => state.doors.put(key as string, { opened: 0 }),
        Opened(state, { key }) {
          const door = state.doors.get(key as string)
          if (door === undefined) throw new Error('there is no such door')
          state.doors.put(key as string, { opened: door.opened + 1 })
        },
      },
    })
    const events = [{ type: 'Built', key: 'FRA' }, { type: 'Opened', key: 'FRA' }]
    const keys = [{ collection: 'doors', key: 'FRA', rebuilt: { opened: 1 }, against: { opened: 0 } }]
    expect(await blamed(events, undefined, undefined, { projection: doors, keys })).toMatchObject({
      hypothesis: 'lost', offset: 1, candidates: 1, alternatives: [], exhaustive: true,
    })
  })
})

describe('bounds and refusals', () => {
  const many = Array.from({ length: 400 }, (_, i) => landed('FRA', i % 50, `LH${i}`))
  const ours = { landed: 400, delayTotal: 9_800, longest: 49, last: 'LH399' }

  test('where handler calls run out, what is suggested has been tried first, and it is said that not everything was', async () => {
    const found = await blamed(many, ours, { ...ours, landed: 399, delayTotal: 9_763 }, { maxFolds: 2_500 })
    expect(found).toMatchObject({ hypothesis: 'lost', candidates: 8, offset: 37, exhaustive: false })
    expect(found.folds).toBeLessThanOrEqual(2_500)
  })

  test('where nothing was found and not everything was tried, it is unknown, never foreign', async () => {
    const found = await blamed(many, ours, { ...ours, landed: 1 }, { maxFolds: 2_500 })
    expect(found).toMatchObject({ hypothesis: 'unknown', reason: 'bound', exhaustive: false, candidates: 0 })
    expect(await blamed(many, ours, { ...ours, landed: 1 }, { maxFolds: 399 })).toMatchObject({ hypothesis: 'unknown', reason: 'bound', folds: 0 })
    expect(await blamed(many, ours, { ...ours, landed: 1 }, { maxEvents: 399 })).toMatchObject({ hypothesis: 'unknown', reason: 'bound' })
  })

  test('handler calls that make great values count as several, so that the work is bounded', async () => {
    let calls = 0
    const lists = defineProjection({
      name: 'lists', version: 1, collections: { lists: {} },
      on: { Added: (state, { key, data }) => { calls++; state.lists.put(key as string, [...state.lists.get(key as string) ?? [], data]) } },
    })
    const events = Array.from({ length: 500 }, (_, i) => ({ type: 'Added', key: 'FRA', data: `item ${i}` }))
    const rebuilt = events.map(({ data }) => data)
    const keys = [{ collection: 'lists', key: 'FRA', rebuilt, against: ['none'] }]
    const found = await blamed(events, undefined, undefined, { projection: lists, keys, maxFolds: 10_000 })
    expect(found).toMatchObject({ hypothesis: 'unknown', reason: 'bound', exhaustive: false, folds: calls })
    expect(calls).toBeLessThan(1_000)
  })

  test('a key with too many events does not take those of the others', async () => {
    const keys = [{ collection: 'airports', key: 'FRA', rebuilt: ours, against: undefined },
      { collection: 'airports', key: 'MUC', rebuilt: { landed: 1, delayTotal: 1, longest: 1, last: 'X' }, against: undefined }]
    const log = memoryLog({ partitions: { p: [...many, landed('MUC', 1, 'X')] } })
    const options = { source: log, projection: airports, upTo: new Map([['p', 400]]), accepted: [], keys }
    for (const bound of [{ maxEvents: 100 }, { maxFolds: 300 }]) {
      const found = await blame({ ...options, ...bound }, worldOf(1))
      expect(found.map(({ hypothesis, offset }) => [hypothesis, offset])).toEqual([['unknown', null], ['lost', 400]])
    }
  })

  test('on a log that lost records nothing is said', async () => {
    const events: MemoryEntry[] = [...DAY, { hole: 'compactedOrLost' }]
    expect(await blamed(events, FRA, undefined)).toMatchObject({ hypothesis: 'unknown', reason: 'compacted' })
    const accepted = [{ code: 'HISTORY_INCOMPLETE', partition: 'flights/0', to: 3 }]
    expect(await blamed(DAY, FRA, undefined, { accepted })).toMatchObject({ hypothesis: 'unknown', reason: 'history incomplete' })
    const expired = memoryLog({ partitions: { 'flights/0': DAY } })
    expired.expire('flights/0', 2)
    expect(await blamed(DAY, FRA, undefined, { source: expired })).toMatchObject({ hypothesis: 'unknown', reason: 'history incomplete' })
  })

  test('where the events do not give our own value, nothing is said', async () => {
    expect(await blamed(DAY, { ...FRA, landed: 9 }, FRA)).toMatchObject({ hypothesis: 'unknown', reason: 'rebuilt differs from the log' })
    expect(await blamed([{ type: 'Landed', key: 'FRA', data: null }], FRA, undefined))
      .toMatchObject({ hypothesis: 'unknown', reason: 'rebuilt differs from the log' })
  })

  test('events that were left out are left out', async () => {
    const accepted = [{ code: 'HANDLER_FAILED', partition: 'flights/0', from: 2, to: 2 }]
    const rebuilt = { landed: 3, delayTotal: 12, longest: 7, last: 'LH5' }
    expect(await blamed(DAY, rebuilt, { landed: 2, delayTotal: 7, longest: 7, last: 'LH5' }, { accepted })).toMatchObject({ hypothesis: 'lost', offset: 0 })
  })

  test('a projection other than the one the state was built with is PROJECTION_CHANGED; a signal stops it', async () => {
    const builtWith = { shape: 'sh1:00', code: null, parts: {} } as unknown as NonNullable<BlameOptions['builtWith']>
    expect(await failureOf(blamed(DAY, FRA, undefined, { builtWith }))).toMatchObject({ code: 'PROJECTION_CHANGED' })
    const stop = new AbortController()
    stop.abort(new Error('enough'))
    expect(await failureOf(blamed(DAY, FRA, undefined, { signal: stop.signal }))).toMatchObject({ message: 'enough' })
  })

  test('only the partitions where the keys are known to be are read', async () => {
    const log = memoryLog({ partitions: { a: DAY, b: [landed('TXL', 0, 'LH9')] } })
    const read: string[] = []
    const source: BlameOptions['source'] = {
      continuity: 'dense', check: (marks) => log.check(marks), bounds: (options) => log.bounds(options), close: () => log.close(),
      read: (partition, ...rest) => { read.push(partition); return log.read(partition, ...rest) },
    }
    const options = { source, upTo: new Map([['a', 4], ['b', 0]]), partitionsOf: () => ['a'] }
    expect(await blamed(DAY, FRA, undefined, options)).toMatchObject({ hypothesis: 'stopped' })
    expect(read).toEqual(['a'])
    expect(await blamed(DAY, FRA, undefined, { ...options, partitionsOf: () => null })).toMatchObject({ hypothesis: 'stopped' })
    expect(read.slice(1).sort()).toEqual(['a', 'b'])
  })
})

