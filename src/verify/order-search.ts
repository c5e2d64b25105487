import { isMerged } from '../log/domains.js'
import type { Offset } from '../log/position.js'
import { EventApplier, type PreparedEvent } from '../projection/apply.js'
import type { Collection, KeyRef } from '../projection/define.js'
import { Slot } from '../projection/view.js'
import type { World } from '../replay/api.js'
import { ownerKey } from '../replay/owners.js'
import { hasSingleKeys, nameOf, refolded, relatedTo, type RefoldOptions, type Wanted } from '../replay/refold.js'
import type { Interleaving } from './interleaving.js'
import { BoundMet, interleavingsOf, KeyFold, pairBetween, type OrderPair } from './reorder.js'

export interface OrderSearchOptions extends RefoldOptions {
  readonly collection: string
  readonly key: string
  /** Of the rebuild that differs. */
  readonly interleaving: Interleaving
  readonly world: World
  /** Handler calls, at the most. */
  readonly maxFolds: number
}

export type OrderSearch =
  | { readonly found: 'pair'; readonly pair: OrderPair }
  /** The events of the key, folded twice in one order, gave two values. */
  | { readonly found: 'unstable' }
  /** None of the interleavings tried gives another value. `bytes`: the value they give; null: absent, or the handler throws. */
  | { readonly found: 'nothing'; readonly bytes: Buffer | null; readonly events: number; readonly interleavings: number }
  /** It would have taken more than `maxFolds` handler calls. */
  | { readonly found: 'bound'; readonly events: number }

/**
 * Looks for two events whose order a key depends on: folds the events of the key, and of the keys they read and write with it, in the
 * order of the rebuild and in others.
 */
export async function searchOrder(options: OrderSearchOptions): Promise<OrderSearch> {
  const { collection, key, projection, world, maxFolds } = options
  const uninstall = world.purity.install()
  try {
    const slots = new Map<string, Slot>()
    const events = await eventsOf(options, slots, maxFolds)
    if (events === null) return { found: 'bound', events: maxFolds }
    const watched = [...slots.values()].filter((slot) => nameOf(slot) === ownerKey(collection, key))
    const fold = new KeyFold({ projection, world, slots: [...slots.values()], watched, maxFolds, signal: options.signal })
    return await searchAmong(events, fold, options)
  } finally {
    uninstall()
  }
}

async function searchAmong(
  events: readonly PreparedEvent[], fold: KeyFold, { projection }: OrderSearchOptions,
): Promise<OrderSearch> {
  try {
    const rebuilt = await fold.outcomeOf(events)
    if (await fold.outcomeOf(events) !== rebuilt) return { found: 'unstable' }
    let interleavings = 1
    // Where partitions are merged, or keys move between them, there is one sequence.
    const isSequence = isMerged(projection.order) || projection.placement?.moves === true
    for (const other of isSequence ? [] : interleavingsOf(events)) {
      interleavings++
      if (await fold.outcomeOf(other) !== rebuilt) return { found: 'pair', pair: await pairBetween(events, other, fold) }
    }
    const values = await fold.fold(events)
    return { found: 'nothing', bytes: typeof values === 'string' ? null : (values[0] ?? null), events: events.length, interleavings }
  } catch (error) {
    if (error instanceof BoundMet) return { found: 'bound', events: events.length }
    throw error
  }
}

/** The events that touch the key or one that is folded with it, in the order of the rebuild; null: more than `most`. */
async function eventsOf(options: OrderSearchOptions, slots: Map<string, Slot>, most: number): Promise<PreparedEvent[] | null> {
  const { projection, collection, key, world } = options
  const related = await relatedTo([ownerKey(collection, key)], options, world)
  const slotOf = (of: Collection, name: string): Slot => {
    const full = ownerKey(of.name, name)
    const slot = slots.get(full) ?? new Slot(of, name)
    // Slots of other keys are forgotten with their event.
    if (related.has(full)) slots.set(full, slot)
    return slot
  }
  const single: { wanted?: Wanted } = hasSingleKeys(projection) ? { wanted: (batch, i) => batch.keyAt(i) === key } : {}
  const reading = { applier: new EventApplier(projection), slotOf, interleaving: options.interleaving, ...single }
  const events: PreparedEvent[] = []
  for await (const prepared of refolded(options, reading, world)) {
    for (const event of prepared) {
      if (event.slots.some((slot) => related.has(nameOf(slot)))) events.push({ ...event, again: null })
    }
    if (events.length > most) return null
  }
  return events
}

/** The first key that an event touches; null: it touches none. */
export async function firstKeyOf(options: RefoldOptions, partition: string, offset: Offset, world: World): Promise<KeyRef | null> {
  const wanted: Wanted = (batch, i) => batch.offsetAt(i) === offset
  const slotOf = (collection: Collection, key: string): Slot => new Slot(collection, key)
  const reading = { applier: new EventApplier(options.projection), slotOf, wanted }
  for await (const prepared of refolded({ ...options, upTo: new Map([[partition, offset]]) }, reading, world)) {
    const slot = prepared[0]?.slots[0]
    if (slot !== undefined) return { collection: slot.collection.name, key: slot.key }
  }
  return null
}
