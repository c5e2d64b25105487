import { EventApplier, type PreparedEvent } from '../projection/apply.js'
import type { Collection, KeyRef } from '../projection/define.js'
import { Slot } from '../projection/view.js'
import type { World } from '../replay/api.js'
import { ownerKey } from '../replay/owners.js'
import { hasSingleKeys, nameOf, refolded, RelatedKeys, type RefoldOptions, type RefoldReading, type Wanted } from '../replay/refold.js'
import type { KeyOffsets } from './key-offsets.js'
import { listedEvents } from './listed-events.js'

export interface GatherOptions extends RefoldOptions {
  readonly keys: readonly KeyRef[]
  /** So many events are held at a time; the greatest groups are given up beyond it. */
  readonly maxEvents: number
}

/** One event of a group. `at`: its keys, as places in `KeyGroup.slots`. */
export interface GroupEvent extends PreparedEvent {
  readonly at: readonly number[]
}

/** Keys that are folded together: each shares an event with another one of them. */
export interface KeyGroup {
  readonly slots: readonly Slot[]
  /** In the order of the fold; null: more than can be held. */
  readonly events: readonly GroupEvent[] | null
}

export interface Gathered {
  /** The group of each key, in the order of the keys. */
  readonly groups: readonly KeyGroup[]
  /** Offsets are gone without a known reason. */
  readonly isCompacted: boolean
}

/**
 * The events of some keys and of the keys that these are folded with. One pass over the log; a second one where they turn out to
 * share events with other keys. Errors of reading as in a replay.
 */
export async function gatherEvents(options: GatherOptions, world: World): Promise<Gathered> {
  return await gather(options, (reading) => refolded(options, reading, world))
}

/** The same, where an index says which events these are: they alone are read, and only once where they can all be held. */
export async function gatherIndexed(options: GatherOptions, offsets: KeyOffsets, world: World): Promise<Gathered> {
  const { keys, upTo, maxEvents } = options
  const ordinals = offsets.eventsOf(keys.map(({ collection, key }) => ownerKey(collection, key)), upTo)
  const read: Read = (reading) => listedEvents(options, offsets, ordinals, reading, world)
  const { groups, isCompacted } = await gather(options, ordinals.length > maxEvents ? read : readOnce(read))
  return { groups, isCompacted: isCompacted || offsets.isCompacted(upTo) }
}

/** Gives events in the order of the fold: at least those of the keys and of the keys that these are folded with. */
type Read = (reading: RefoldReading) => AsyncIterable<readonly PreparedEvent[]>

async function gather(options: GatherOptions, read: Read): Promise<Gathered> {
  const related = new RelatedKeys()
  const names = new Set(options.keys.map(({ collection, key }) => ownerKey(collection, key)))
  const first = new Pass(options, names, related)
  await first.run(read)
  if (!first.isWidened) return { groups: first.groups(), isCompacted: first.isCompacted }
  const second = new Pass(options, related.relatedTo(names), related)
  await second.run(read)
  return { groups: second.groups(), isCompacted: first.isCompacted || second.isCompacted }
}

/** A second reading gives the events of the first, with the slots of its own. */
function readOnce(read: Read): Read {
  let kept: PreparedEvent[] | null = null
  return async function* again(reading) {
    if (kept !== null) {
      yield kept.map((event) => ({ ...event, slots: event.slots.map(({ collection, key }) => reading.slotOf(collection, key)) }))
      return
    }
    kept = []
    for await (const prepared of read(reading)) {
      kept.push(...prepared)
      yield prepared
    }
  }
}

interface Held {
  readonly event: PreparedEvent
  /** Place in the fold, among the events held. */
  readonly place: number
}

/** One reading of the log, which keeps what touches the given keys. */
class Pass {
  /** True where an event has a key that is not among the given ones: what was kept is not all of the group then. */
  isWidened = false
  isCompacted = false
  readonly #options: GatherOptions
  readonly #names: ReadonlySet<string>
  readonly #related: RelatedKeys
  readonly #slots = new Map<string, Slot>()
  /** By the group's name at the time; null: given up. */
  readonly #held = new Map<string, Held[] | null>()
  #count = 0
  #place = 0

  constructor(options: GatherOptions, names: ReadonlySet<string>, related: RelatedKeys) {
    this.#options = options
    this.#names = names
    this.#related = related
  }

  async run(read: Read): Promise<void> {
    const { projection } = this.#options
    const isSingle = hasSingleKeys(projection)
    const reading = {
      applier: new EventApplier(projection),
      slotOf: (collection: Collection, key: string) => this.#slotOf(collection, key),
      onHoles: (holes: { readonly compactedOrLost: number }) => { if (holes.compactedOrLost > 0) this.isCompacted = true },
      ...(isSingle ? { wanted: this.#ownKeyIn((projection.collections[0] as Collection).name) } : {}),
    }
    for await (const prepared of read(reading)) {
      for (const event of prepared) this.#take(event)
    }
  }

  /** The keys' groups, with their events in the order of the fold. */
  groups(): KeyGroup[] {
    const events = new Map<string, Held[] | null>()
    for (const [name, held] of this.#held) {
      const group = this.#related.groupOf(name)
      const before = events.get(group)
      events.set(group, held === null || before === null ? null : before === undefined ? held : before.concat(held))
    }
    const groups = new Map<string, KeyGroup>()
    return this.#options.keys.map(({ collection, key }) => {
      const name = ownerKey(collection, key)
      const group = this.#related.groupOf(name)
      let found = groups.get(group)
      if (found === undefined) groups.set(group, (found = this.#groupOf(collection, key, events.get(group))))
      return found
    })
  }

  #groupOf(collection: string, key: string, held: Held[] | null | undefined): KeyGroup {
    const places = new Map<Slot, number>()
    const placeOf = (slot: Slot): number => {
      const place = places.get(slot) ?? places.size
      places.set(slot, place)
      return place
    }
    const { collections } = this.#options.projection
    placeOf(this.#slotOf(collections.find(({ name }) => name === collection) as Collection, key))
    const events = held === null ? null : (held ?? []).sort((a, b) => a.place - b.place)
      .map(({ event }) => ({ ...event, again: null, at: event.slots.map(placeOf) }))
    return { slots: [...places.keys()], events }
  }

  #slotOf(collection: Collection, key: string): Slot {
    const name = ownerKey(collection.name, key)
    const known = this.#slots.get(name)
    if (known !== undefined) return known
    const slot = new Slot(collection, key)
    if (this.#names.has(name)) this.#slots.set(name, slot)
    return slot
  }

  /** Where every event has its own key only, records of other keys need not be parsed. */
  #ownKeyIn(collection: string): Wanted {
    return (batch, i) => {
      const key = batch.keyAt(i)
      return key === null || this.#names.has(ownerKey(collection, key))
    }
  }

  #take(event: PreparedEvent): void {
    this.#related.join(event.slots)
    const first = event.slots.find((slot) => this.#names.has(nameOf(slot)))
    if (first === undefined || this.isWidened) return
    if (!event.slots.every((slot) => this.#names.has(nameOf(slot)))) {
      this.isWidened = true
      this.#held.clear()
      return
    }
    const group = this.#related.groupOf(nameOf(first))
    const held = this.#held.get(group)
    if (held === null) return
    const one = { event: { ...event, again: null }, place: this.#place++ }
    if (held === undefined) this.#held.set(group, [one])
    else held.push(one)
    if (++this.#count > this.#options.maxEvents) this.#giveUpGreatest()
  }

  #giveUpGreatest(): void {
    let greatest: string | null = null
    let most = 0
    for (const [name, held] of this.#held) {
      if (held !== null && held.length > most) [greatest, most] = [name, held.length]
    }
    if (greatest === null) return
    this.#held.set(greatest, null)
    this.#count -= most
  }
}
