import { beforeFirst } from '../log/bounds.js'
import { compareUtf8, offsetIn, type Offset, type Position } from '../log/position.js'
import { EventApplier, type PreparedEvent } from '../projection/apply.js'
import type { Collection } from '../projection/define.js'
import { Slot } from '../projection/view.js'
import type { World } from '../replay/api.js'
import { nameOf, refolded, RelatedKeys, type RefoldOptions } from '../replay/refold.js'
import { BoundMet, interleavingsOf, KeyFold, pairBetween, type OrderPair } from './reorder.js'

export interface ProbeOptions extends RefoldOptions {
  readonly world: World
  /** Handler calls, at the most. */
  readonly maxFolds: number
}

/** A key that two folds of the same events give two values. */
export interface Probed {
  readonly slot: Slot
  /** Canonical bytes; null: absent, or a handler throws. */
  readonly plain: Buffer | null
  readonly other: Buffer | null
  /** Null: both in one order. */
  readonly pair: OrderPair | null
}

/** So many events are read, of all partitions together. */
const PROBED_EVENTS = 20_000

/**
 * Puts order 'any' to the test key by key: the events of each key that several partitions touch, at the beginning of the log, are folded
 * in many orders. Whole rebuilds are few, and where a key has few events they may happen to agree. Null where nothing was found, within
 * `maxFolds`.
 */
export async function probeOrder(options: ProbeOptions): Promise<Probed | null> {
  const { world } = options
  const uninstall = world.purity.install()
  try {
    let left = options.maxFolds
    for (const events of await sharedGroups(options)) {
      const slots = [...new Set(events.flatMap((event) => event.slots))].sort(bySlot)
      const fold = new KeyFold({ projection: options.projection, world, slots, watched: slots, maxFolds: left, signal: options.signal })
      const found = await differenceAmong(events, slots, fold)
      if (found !== null) return found
      left = fold.left
      await world.clock.sleep(0)
      options.signal?.throwIfAborted()
    }
    return null
  } catch (error) {
    if (error instanceof BoundMet) return null
    throw error
  } finally {
    uninstall()
  }
}

async function differenceAmong(events: readonly PreparedEvent[], slots: readonly Slot[], fold: KeyFold): Promise<Probed | null> {
  const plain = await fold.outcomeOf(events)
  if (await fold.outcomeOf(events) !== plain) return probed(slots, await fold.fold(events), await fold.fold(events), null)
  for (const order of interleavingsOf(events)) {
    if (await fold.outcomeOf(order) === plain) continue
    const pair = await pairBetween(events, order, fold)
    return probed(slots, await fold.fold(events), await fold.fold(order), pair)
  }
  return null
}

type Folded = Awaited<ReturnType<KeyFold['fold']>>

/** The first key that differs; where a handler throws in one of them, the first of all. */
function probed(slots: readonly Slot[], before: Folded, after: Folded, pair: OrderPair | null): Probed {
  const bytesOf = (values: Folded, i: number): Buffer | null => (typeof values === 'string' ? null : (values[i] ?? null))
  const at = Math.max(0, slots.findIndex((_, i) => !sameBytes(bytesOf(before, i), bytesOf(after, i))))
  return { slot: slots[at] as Slot, plain: bytesOf(before, at), other: bytesOf(after, at), pair }
}

function sameBytes(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b)
}

function bySlot(a: Slot, b: Slot): number {
  return compareUtf8(a.collection.name, b.collection.name) || compareUtf8(a.key, b.key)
}

/** The events of keys that are folded together, where they come from several partitions; in the order of a plain replay. */
async function sharedGroups(options: ProbeOptions): Promise<PreparedEvent[][]> {
  const slots = new Map<string, Slot>()
  const slotOf = (collection: Collection, key: string): Slot => {
    const fresh = new Slot(collection, key)
    const slot = slots.get(nameOf(fresh)) ?? fresh
    slots.set(nameOf(fresh), slot)
    return slot
  }
  const related = new RelatedKeys()
  const all: PreparedEvent[] = []
  const reading = { applier: new EventApplier(options.projection), slotOf }
  for await (const prepared of refolded({ ...options, upTo: await beginningOf(options) }, reading, options.world)) {
    for (const event of prepared) {
      if (event.slots.length === 0) continue
      related.join(event.slots)
      all.push({ ...event, again: null })
    }
  }
  const groups = new Map<string, PreparedEvent[]>()
  for (const event of all) {
    const name = related.groupOf(nameOf(event.slots[0] as Slot))
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [event])
    else group.push(event)
  }
  return [...groups.values()].filter((events) => events.some(({ event }) => event.partition !== events[0]?.event.partition))
}

/** A cut near the beginning of the log, within `upTo`. Under order 'any' every cut has a state. */
async function beginningOf({ source, upTo, accepted = [] }: ProbeOptions): Promise<Position> {
  const before = beforeFirst(await source.bounds({ following: true }))
  const share = Math.ceil(PROBED_EVENTS / Math.max(1, upTo.size))
  return new Map([...upTo].flatMap(([partition, last]): [string, Offset][] => {
    const cut = Math.min(last, offsetIn(before, partition) + share)
    // A log can not be read up to a place inside a gap.
    const gap = accepted.find(({ code, partition: of, from = 0, to = -1 }) =>
      code === 'LOG_GAP' && of === partition && from <= cut && cut <= to)
    const end = gap?.from === undefined ? cut : gap.from - 1
    return end > offsetIn(before, partition) ? [[partition, end]] : []
  }))
}
