import type { EventApplier } from '../projection/apply.js'
import type { World } from '../replay/api.js'
import { CanonicalWriter, type Value } from '../value/canonical.js'
import type { GroupEvent, KeyGroup } from './events.js'
import { fresh } from './fresh.js'

/** The value of a key; undefined: there is none. */
export interface Held {
  readonly value: Value | undefined
  /** Equal texts: equal values. */
  readonly identity: string
}

export const ABSENT: Held = { value: undefined, identity: '' }

/** After so many handler calls, timers, signals and I/O have their turn. */
const PAUSE_EVERY = 20_000
/** Where values are great, calls take long: so many bytes that a call makes count as one more. */
const CALL_BYTES = 256
/** Of values that are held at a time, in canonical form; in memory they are several times as large. */
const MAX_HELD_BYTES = 128 * 1024 * 1024

/** Calls handlers on values of any state, and counts. Values are frozen and handlers pure, so states share what they have in common. */
export class Folder {
  /** Handler calls so far. */
  folds = 0
  /** Bytes of the values that are held. */
  heldBytes = 0
  readonly #limit: number
  readonly #applier: EventApplier
  readonly #world: World
  readonly #signal: AbortSignal | undefined
  #madeBytes = 0
  #pauseAt = PAUSE_EVERY

  /** `limit`: so many handler calls may be made. */
  constructor(applier: EventApplier, limit: number, world: World, signal?: AbortSignal) {
    this.#applier = applier
    this.#limit = limit
    this.#world = world
    this.#signal = signal
  }

  /** Of the limit. */
  get spent(): number { return this.folds + Math.floor(this.#madeBytes / CALL_BYTES) }

  /** So many calls may be made yet. */
  get left(): number { return this.heldBytes > MAX_HELD_BYTES ? 0 : this.#limit - this.spent }

  /** The values of the event's keys after it, by those before it; null where its handler throws. Asked only while calls are left. */
  fold(event: GroupEvent, before: readonly Held[]): Held[] | null {
    this.folds++
    const { slots } = event
    for (let i = 0; i < slots.length; i++) slots[i]!.value = before[i]!.value
    this.#world.purity.enter()
    try {
      this.#applier.apply(fresh(event), ignore)
      return slots.map(({ value }, i) => (value === before[i]!.value ? before[i]! : this.#made(value)))
    } catch {
      return null
    } finally {
      this.#world.purity.leave()
    }
  }

  #made(value: Value | undefined): Held {
    if (value === undefined) return ABSENT
    const identity = identityOf(value)
    this.#madeBytes += identity.length
    return { value, identity }
  }

  get isPauseDue(): boolean { return this.spent >= this.#pauseAt }

  /** Between events, where it is due: for a signal may have come. */
  async pause(): Promise<void> {
    this.#pauseAt = this.spent + PAUSE_EVERY
    await this.#world.clock.sleep(0)
    this.#signal?.throwIfAborted()
  }
}

const ignore = (): void => {}

/** What each event of a group made of its keys, as it was. */
export interface Course {
  readonly events: readonly GroupEvent[]
  /** before[i], after[i]: the values of the keys of event i before and after it. */
  readonly before: readonly (readonly Held[])[]
  readonly after: readonly (readonly Held[])[]
  /** touching[place]: the indexes of the events that touch a key. */
  readonly touching: readonly (readonly number[])[]
  /** next[i]: its neighbour, the first event behind event i that shares a key with it; −1: there is none, or no order between the two. */
  readonly next: readonly number[]
  /** All keys, at the end. */
  readonly final: readonly Held[]
}

/**
 * Folds the events as they were. `isMerged`: one sequence, so that neighbours may be of two partitions. 'bound' where calls do not last,
 * null where a handler throws.
 */
export async function courseOf(group: KeyGroup, isMerged: boolean, folder: Folder): Promise<Course | 'bound' | null> {
  const { events, slots } = group
  if (events === null || events.length > folder.left) return 'bound'
  const values: Held[] = slots.map(() => ABSENT)
  const before: Held[][] = []
  const after: Held[][] = []
  for (const event of events) {
    if (folder.isPauseDue) await folder.pause()
    if (folder.left <= 0) return 'bound'
    const held = event.at.map((place) => values[place] as Held)
    const made = folder.fold(event, held)
    if (made === null) return null
    before.push(held)
    after.push(made)
    event.at.forEach((place, j) => {
      const value = made[j] as Held
      if (value !== held[j]) folder.heldBytes += value.identity.length
      values[place] = value
    })
  }
  return { events, before, after, touching: touchingOf(group), next: neighboursOf(events, isMerged), final: values }
}

/** The indexes of the events that touch a key, by its place in the group. */
export function touchingOf({ slots, events }: KeyGroup): number[][] {
  const touching: number[][] = slots.map(() => [])
  events?.forEach(({ at }, i) => { for (const place of at) touching[place]!.push(i) })
  return touching
}

function neighboursOf(events: readonly GroupEvent[], isMerged: boolean): number[] {
  const next = new Array<number>(events.length).fill(-1)
  /** By key: the last event that touched it. */
  const last = new Map<number, number>()
  events.forEach(({ at, event }, i) => {
    for (const place of at) {
      const previous = last.get(place)
      last.set(place, i)
      if (previous === undefined || previous === i || next[previous] !== -1) continue
      if (isMerged || events[previous]?.event.partition === event.partition) next[previous] = i
    }
  })
  return next
}

const writer = new CanonicalWriter()

/** Canonical bytes, one per unit. */
export function identityOf(value: Value): string {
  writer.reset()
  const length = writer.write(value)
  return writer.bytes.toString('latin1', 0, length)
}
