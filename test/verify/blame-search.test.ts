import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryLog, type MemoryEvent } from '../../adapters/memory/index.js'
import { defineProjection, type Projection } from '../../src/projection/define.js'
import { encode, type Value } from '../../src/value/canonical.js'
import { blame, type Blame, type BlamedKey } from '../../src/verify/blame.js'
import { worldOf } from '../support/worlds.js'

type Keyed = any

/** Counters, last writers, greatest ones, floats, lists, transfers between keys, deletes, and handlers that refuse an order. */
function mixed(order: 'partition' | 'time'): Projection {
  const own = (event: any) => [{ collection: 'things', key: event.key }]
  return defineProjection({
    name: 'mixed', version: 1, order,
    collections: { things: {}, totals: {} },
    keys: {
      Counted: own, Named: own, Measured: own, Listed: own, Removed: own, Opened: own,
      Moved: (event) => [{ collection: 'things', key: event.key }, { collection: 'things', key: event.data.to }],
      Summed: (event) => [{ collection: 'things', key: event.key }, { collection: 'totals', key: event.data.to }],
    },
    on: {
      Counted: (state, { key, data }: Keyed) => state.things.put(key, { ...state.things.get(key), n: (state.things.get(key)?.n ?? 0) + data.by }),
      Named: (state, { key, data }: Keyed) => state.things.put(key, { ...state.things.get(key), name: data.name }),
      Measured(state, { key, data }: Keyed) {
        const before = state.things.get(key) ?? {}
        state.things.put(key, { ...before, sum: (before.sum ?? 0) + data.by / 10, most: Math.max(before.most ?? 0, data.by) })
      },
      Listed(state, { key, data }: Keyed) {
        const before = state.things.get(key) ?? {}
        state.things.put(key, { ...before, last: [...before.last ?? [], data.by].slice(-3) })
      },
      Removed: (state, { key }: Keyed) => state.things.delete(key),
      Opened(state, { key }: Keyed) {
        if (state.things.get(key) !== undefined) throw new Error('open already')
        state.things.put(key, { n: 0 })
      },
      Moved(state, { key, data }: Keyed) {
        const from = state.things.get(key)
        if (from === undefined) throw new Error('nothing to move')
        state.things.put(key, { ...from, n: (from.n ?? 0) - data.by })
        const to = state.things.get(data.to) ?? {}
        state.things.put(data.to, { ...to, n: (to.n ?? 0) + data.by })
      },
      Summed: (state, { key, data }: Keyed) => state.totals.put(data.to, { of: state.things.get(key)?.n ?? null }),
    },
  })
}

type Placed = MemoryEvent & { readonly partition: string; readonly offset: number; readonly key: string; readonly at: number }
type State = ReadonlyMap<string, Value>

/** The handlers on plain maps: what the engine does, in ten lines. Null: one threw. */
function folded(projection: Projection, events: readonly Placed[], start: State = new Map()): State | null {
  const values = new Map(start)
  const view = (collection: string): object => ({
    get: (key: string) => values.get(`${collection}:${key}`),
    put: (key: string, value: Value) => values.set(`${collection}:${key}`, structuredClone(value)),
    delete: (key: string) => values.delete(`${collection}:${key}`),
  })
  const state = { things: view('things'), totals: view('totals') }
  try {
    for (const event of events) projection.types.get(event.type)?.handler(state, event)
    return values
  } catch {
    return null
  }
}

function keysOf(projection: Projection, event: Placed): string[] {
  const keys = projection.types.get(event.type)?.keys?.(event) as readonly { collection: string; key: string }[]
  return keys.map(({ collection, key }) => `${collection}:${key}`)
}

/** Events of the key, and of all keys that share one with it, and so on. */
function groupOf(projection: Projection, events: readonly Placed[], name: string): Placed[] {
  const names = new Set([name])
  for (let before = 0; before < names.size;) {
    before = names.size
    for (const event of events) {
      const keys = keysOf(projection, event)
      if (keys.some((key) => names.has(key))) for (const key of keys) names.add(key)
    }
  }
  return events.filter((event) => keysOf(projection, event).some((key) => names.has(key)))
}

const textOf = (value: Value | undefined): string => (value === undefined ? 'absent' : Buffer.from(encode(value)).toString('hex'))
const shown = ({ partition, offset }: { partition: string; offset: number | null }): string => `${partition}@${offset ?? 'none'}`

/** Every hypothesis, folded from the beginning. */
function bruteForce(projection: Projection, events: readonly Placed[], name: string, against: Value | undefined): Record<string, string[]> {
  const group = groupOf(projection, events, name)
  const fits: Record<string, string[]> = {}
  const isFitting = (course: readonly Placed[]): boolean => {
    const state = folded(projection, course)
    return state !== null && textOf(state.get(name)) === textOf(against)
  }
  const attempt = (hypothesis: string, course: readonly Placed[], place: string): void => {
    if (isFitting(course)) (fits[hypothesis] ??= []).push(place)
  }
  group.forEach((event, i) => {
    const [before, after] = [group.slice(0, i), group.slice(i + 1)]
    attempt('lost', [...before, ...after], shown(event))
    attempt('repeated', [...before, event, event, ...after], shown(event))
    const distance = after.findIndex((other) => keysOf(projection, other).some((key) => keysOf(projection, event).includes(key)))
    const next = after[distance]
    if (next !== undefined && (projection.order === 'time' || next.partition === event.partition)) {
      attempt('reordered', [...before, ...after.slice(0, distance), next, event, ...after.slice(distance + 1)], shown(event))
    }
  })
  const own = group.filter((event) => keysOf(projection, event).includes(name))
  for (let count = 0; count < own.length - 1; count++) {
    const last = own[count - 1]
    const place = last === undefined ? `${own[0]?.partition}@none` : shown(last)
    attempt('stopped', last === undefined ? [] : group.slice(0, group.indexOf(last) + 1), place)
  }
  return fits
}

function fitsOf(found: Blame): Record<string, string[]> {
  const all = [...(found.candidates > 0 ? [{ ...found, hypothesis: found.hypothesis as string }] : []), ...found.alternatives]
  return Object.fromEntries(all.filter(({ hypothesis }) => hypothesis !== 'column').map(({ hypothesis, candidates, examples }) => {
    expect(examples).toHaveLength(candidates)
    return [hypothesis, examples.map(shown)]
  }))
}

interface Drawn { readonly type: number; readonly key: number; readonly to: number; readonly by: number; readonly partition: number }
const TYPES = ['Counted', 'Named', 'Measured', 'Listed', 'Removed', 'Opened', 'Moved', 'Summed']

/** An event log that its handlers accept: what would throw is left out. */
function logOf(projection: Projection, drawn: readonly Drawn[], types: readonly string[]): Placed[] {
  const events: Placed[] = []
  const lengths = [0, 0, 0]
  let state: State = new Map()
  drawn.forEach(({ type, key, to, by, partition }, i) => {
    // Between partitions without a common order no key is shared.
    const prefix = projection.order === 'time' ? 'k' : `k${partition}-`
    const offset = lengths[partition] as number
    const event: Placed = {
      type: types[type % types.length] as string, key: `${prefix}${key}`, data: { to: `${prefix}${to}`, by, name: `n${by}` },
      recordedAt: 1_700_000_000_000 + i * 1_000, at: i, partition: `p/${partition}`, offset,
    }
    const next = folded(projection, [event], state)
    if (next === null) return
    state = next
    events.push(event)
    lengths[partition] = offset + 1
  })
  return events
}

/** What the other side holds after one fault, of the first event from `at` on where it makes a difference; null: it makes none. */
function faulty(projection: Projection, events: readonly Placed[], rebuilt: State, fault: number, at: number): State | null {
  if (fault === FOREIGN) return new Map([...rebuilt].map(([name, value], i) => [name, i === at % rebuilt.size ? { ...value as object, n: at % 7 } : value]))
  for (let step = 0; step < events.length; step++) {
    const i = (at + step) % events.length
    const [before, event, after] = [events.slice(0, i), events[i] as Placed, events.slice(i + 1)]
    const courses = [
      [...before, ...after], [...before, event, event, ...after], [...before, ...after.slice(0, 1), event, ...after.slice(1)],
      before, [...before, ...after.slice(2)],
    ]
    const state = folded(projection, courses[fault] as Placed[])
    if (state !== null && differing(rebuilt, state).length > 0) return state
  }
  return null
}

const FOREIGN = 5

function differing(rebuilt: State, against: State): (BlamedKey & { readonly name: string })[] {
  return [...new Set([...rebuilt.keys(), ...against.keys()])].map((name) => {
    const [collection, key] = name.split(':') as [string, string]
    return { name, collection, key, rebuilt: rebuilt.get(name), against: against.get(name) }
  }).filter((key) => textOf(key.rebuilt) !== textOf(key.against))
}

const drawnArbitrary = (most: number): fc.Arbitrary<Drawn[]> => fc.array(fc.record({
  type: fc.nat(97), key: fc.nat(4), to: fc.nat(4), by: fc.integer({ min: 1, max: 4 }), partition: fc.nat(2),
}), { minLength: most / 2, maxLength: most, size: 'max' })

async function check(
  order: 'partition' | 'time', drawn: readonly Drawn[], types: readonly string[], fault: number, at: number, maxFolds: number,
): Promise<void> {
  const projection = mixed(order)
  const events = logOf(projection, drawn, types)
  fc.pre(events.length > 0)
  const rebuilt = folded(projection, events) as State
  const against = faulty(projection, events, rebuilt, fault, at)
  fc.pre(against !== null)
  const keys = differing(rebuilt, against as State)
  const partitions: Record<string, Placed[]> = {}
  for (const event of events) (partitions[event.partition] ??= []).push(event)
  const source = memoryLog({ partitions: Object.fromEntries(Object.entries(partitions).map(([name, own]) =>
    [name, own.map(({ type, key, data, recordedAt }) => ({ type, key, data, recordedAt } as MemoryEvent))])) })
  const upTo = new Map(Object.entries(partitions).map(([name, own]) => [name, own.length - 1]))
  const blames = await blame({ source, projection, upTo, accepted: [], keys, maxFolds, maxExamples: Infinity }, worldOf(1))
  expect(blames.map(({ collection, key }) => `${collection}:${key}`)).toEqual(keys.map(({ name }) => name))
  blames.forEach((found, i) => {
    const { name, against: other } = keys[i] as (typeof keys)[number]
    const all = bruteForce(projection, events, name, other)
    if (found.exhaustive) expect(fitsOf(found)).toEqual(all)
    else for (const [kind, places] of Object.entries(fitsOf(found))) expect(all[kind]).toEqual(expect.arrayContaining(places))
    if (maxFolds === Infinity) expect(found.exhaustive).toBe(true)
  })
}

describe('blame is equal to brute force over all single hypotheses', () => {
  const STYLES = [TYPES, TYPES.slice(0, 5), ['Counted'], ['Measured', 'Listed'], ['Moved', 'Opened', 'Counted'], ['Named', 'Removed']]
  const faults = { fault: fc.nat(FOREIGN), at: fc.nat(), style: fc.nat(STYLES.length - 1) }

  test.each(['partition', 'time'] as const)("on logs of up to 80 events, order '%s'", async (order) => {
    await fc.assert(fc.asyncProperty(fc.record({ drawn: drawnArbitrary(80), ...faults }), async ({ drawn, fault, at, style }) =>
      check(order, drawn, STYLES[style] as string[], fault, at, Infinity)), { numRuns: 60 })
  }, 60_000)

  test.each(['partition', 'time'] as const)("on logs of up to 500 events, order '%s'", async (order) => {
    const long = fc.array(drawnArbitrary(100), { minLength: 5, maxLength: 5 }).map((parts) => parts.flat())
    await fc.assert(fc.asyncProperty(fc.record({ drawn: long, ...faults }), async ({ drawn, fault, at, style }) =>
      check(order, drawn, STYLES[style] as string[], fault, at, Infinity)), { numRuns: 6 })
  }, 120_000)

  test('with too few handler calls it tells a part of it, and says so', async () => {
    const few = fc.record({ drawn: drawnArbitrary(80), ...faults, maxFolds: fc.nat(2_000) })
    await fc.assert(fc.asyncProperty(few, async ({ drawn, fault, at, style, maxFolds }) =>
      check('time', drawn, STYLES[style] as string[], fault, at, maxFolds)), { numRuns: 100 })
  }, 60_000)
})
