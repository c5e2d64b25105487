import { RehydrateError } from '../errors.js'
import type { Offset, Position } from '../log/position.js'
import type { Bounds, EventBatch, EventSource, Holes, ReadLimits } from '../log/source.js'
import { EventApplier, type PreparedEvent, type SlotOf } from '../projection/apply.js'
import type { Collection, Projection } from '../projection/define.js'
import { Slot } from '../projection/view.js'
import type { Accepted } from '../store/checkpoint.js'
import { gapsOf } from './accept.js'
import type { Purity, World } from './api.js'
import { assertWithin } from './end.js'
import { IdWindow } from './ids.js'
import { ownerKey } from './owners.js'
import { DEFAULT_LIMITS } from './settings.js'
import type { TurnOptions } from './turn.js'
import { turnsOf } from './turns.js'

/** Which of the records are wanted, where their keys alone can say so; what is not wanted is not parsed. */
export type Wanted = (batch: EventBatch, index: number) => boolean

/** Reads a log again from its beginning as a state was built from it: without the events that were left out, and without repeated ids. */
export class Refold {
  readonly #applier: EventApplier
  readonly #purity: Purity
  readonly #leftOut: ReadonlySet<string>
  /** Null: ids are not compared. */
  readonly #ids: IdWindow | null

  constructor(projection: Projection, applier: EventApplier, accepted: readonly Accepted[], purity: Purity) {
    this.#applier = applier
    this.#purity = purity
    this.#leftOut = new Set(accepted.map(({ partition, from }) => `${partition}@${from}`))
    this.#ids = projection.idWindow === 0 ? null : new IdWindow(projection.idWindow, new Map())
  }

  /** The events of records [from, to), ready for their handlers. Each record comes once, in the order of the fold. */
  prepare(batch: EventBatch, from: number, to: number, slotOf: SlotOf, wanted?: Wanted): PreparedEvent[] {
    const ready: PreparedEvent[] = []
    this.#purity.enter()
    try {
      for (let i = from; i < to; i++) {
        if (this.#leftOut.has(`${batch.partition}@${batch.offsetAt(i)}`)) continue
        if (this.#ids?.isRepeat(batch.event(i)) === true) continue
        if (wanted !== undefined && !wanted(batch, i)) continue
        const prepared = this.#applier.prepare(batch, i, slotOf)
        if (prepared !== null) ready.push(prepared)
      }
      return ready
    } finally {
      this.#purity.leave()
    }
  }
}

export interface RefoldOptions {
  readonly source: EventSource
  readonly projection: Projection
  /** The last offsets to read, inclusive. */
  readonly upTo: Position
  /** What the seal's manifest lists: events left out are left out here too. */
  readonly accepted?: readonly Accepted[]
  readonly signal?: AbortSignal
}

export interface RefoldReading {
  readonly applier: EventApplier
  readonly slotOf: SlotOf
  readonly wanted?: Wanted
  /** How partitions interleave, where that is to be seen. Left out: one after the other. */
  readonly interleaving?: { readonly limits: ReadLimits; readonly pick: (n: number) => number }
  /** Told of the offsets that hold no event. */
  readonly onHoles?: (holes: Holes, partition: string) => void
}

/** The events of a log up to a position, ready for their handlers, in the order of the fold and some at a time. */
export async function* refolded(options: RefoldOptions, reading: RefoldReading, world: World): AsyncGenerator<PreparedEvent[], void> {
  const { source, projection, upTo, accepted = [] } = options
  const bounds = await source.bounds({ following: true })
  assertWithin('The position', upTo, bounds, new Map())
  const refold = new Refold(projection, reading.applier, accepted, world.purity)
  const stop = new AbortController()
  const { limits, pick } = reading.interleaving ?? { limits: DEFAULT_LIMITS, pick: () => 0 }
  const turnOptions: TurnOptions = {
    source, from: beginningOf(bounds, upTo, accepted), upTo, marks: new Map(), limits, signal: stop.signal,
    gaps: gapsOf(accepted), pick, waiting: () => {},
  }
  const turns = turnsOf(turnOptions, projection)
  try {
    for (let turn = await turns.next(); turn !== null; turn = await turns.next()) {
      options.signal?.throwIfAborted()
      if (turn.holes !== null) reading.onHoles?.(turn.holes, turn.batch.partition)
      yield refold.prepare(turn.batch, turn.from, turn.to, reading.slotOf, reading.wanted)
    }
  } finally {
    stop.abort()
    await turns.close()
  }
}

/**
 * Before the first event that the state was built from: nothing before it counts, and nothing behind it may be gone. LOG_TRUNCATED
 * where it is.
 */
export function beginningOf(bounds: ReadonlyMap<string, Bounds>, upTo: Position, accepted: readonly Accepted[]): Position {
  const missing = new Map<string, Offset>()
  for (const { code, partition, to } of accepted) {
    if (code === 'HISTORY_INCOMPLETE' && partition !== undefined && to !== undefined) missing.set(partition, to)
  }
  return new Map([...bounds].map(([partition, { first }]): [string, Offset] => {
    const before = missing.get(partition) ?? -1
    if (first > before + 1 && upTo.has(partition)) {
      throw new RehydrateError('LOG_TRUNCATED', {
        message: `${partition} starts at ${first}, and the state was built from ${before + 1} on.`,
        partition, offset: before + 1, expected: before + 1, actual: first,
        why: 'What a key held at an earlier event, and why, is folded from the log again.',
      })
    }
    return [partition, Math.max(before, first - 1)]
  }))
}

/**
 * The events that touch one of these keys, each right after it was applied to its slots, which hold the values from then on. `related`:
 * all keys that are folded together with them (`relatedTo`).
 */
export async function* folded(
  options: RefoldOptions, related: ReadonlySet<string>, onHoles: NonNullable<RefoldReading['onHoles']>, world: World,
): AsyncGenerator<PreparedEvent, void> {
  const applier = new EventApplier(options.projection)
  const slots = new Map<string, Slot>()
  const slotOf: SlotOf = (collection, key) => {
    const name = ownerKey(collection.name, key)
    const slot = slots.get(name) ?? new Slot(collection, key)
    if (related.has(name)) slots.set(name, slot)
    return slot
  }
  for await (const prepared of refolded(options, { applier, slotOf, onHoles }, world)) {
    for (const event of prepared) {
      if (!event.slots.some((slot) => related.has(nameOf(slot)))) continue
      world.purity.enter()
      try {
        applier.apply(event, (slot) => { slot.dirty = false })
      } finally {
        world.purity.leave()
      }
      yield event
    }
  }
}

/** The name of a state key across collections. */
export function nameOf(slot: Slot): string {
  return ownerKey(slot.collection.name, slot.key)
}

/** True where no event has a key besides its own, so that no two keys can be related. */
export function hasSingleKeys(projection: Projection): boolean {
  return [...projection.types.values()].every(({ keys }) => keys === null) && (projection.anyType?.keys ?? null) === null
}

/** These keys, and every key that shares an event with one of these, and so on: what must be folded for their values to be right. */
export async function relatedTo(names: Iterable<string>, options: RefoldOptions, world: World): Promise<ReadonlySet<string>> {
  const related = new RelatedKeys()
  if (!hasSingleKeys(options.projection)) {
    const slotOf = (collection: Collection, key: string): Slot => new Slot(collection, key)
    for await (const prepared of refolded(options, { applier: new EventApplier(options.projection), slotOf }, world)) {
      for (const { slots } of prepared) related.join(slots)
    }
  }
  return related.relatedTo(names)
}

/** Which state keys are folded together: two that share an event, and so on from key to key. Only keys that share one are kept. */
export class RelatedKeys {
  readonly #parents = new Map<string, string>()

  /** The keys of one event. */
  join(slots: readonly Slot[]): void {
    if (slots.length < 2) return
    const first = this.groupOf(nameOf(slots[0] as Slot))
    for (let i = 1; i < slots.length; i++) {
      const other = this.groupOf(nameOf(slots[i] as Slot))
      if (other !== first) this.#parents.set(other, first)
      else if (!this.#parents.has(first)) this.#parents.set(first, first)
    }
    if (!this.#parents.has(first)) this.#parents.set(first, first)
  }

  /** One name for all keys of a group; it changes as groups are joined. */
  groupOf(name: string): string {
    let at = name
    for (;;) {
      const parent = this.#parents.get(at)
      if (parent === undefined || parent === at) return at
      const above = this.#parents.get(parent) ?? parent
      this.#parents.set(at, above)
      at = above
    }
  }

  /** These keys, and all that are related to one of them. */
  relatedTo(names: Iterable<string>): Set<string> {
    const related = new Set(names)
    const groups = new Set([...related].map((name) => this.groupOf(name)))
    for (const name of this.#parents.keys()) if (groups.has(this.groupOf(name))) related.add(name)
    return related
  }
}
