import type { EventApplier } from '../projection/apply.js'
import type { World } from '../replay/api.js'
import { CanonicalWriter, type Value } from '../value/canonical.js'
import type { GroupEvent, KeyGroup } from './events.js'

/** The value of one key; undefined: there is none. */
export type Held = Value | undefined

/** After so many handler calls, timers, signals and I/O have their turn. */
const PAUSE_EVERY = 20_000

/** Calls handlers on values of any state, and counts. Values are frozen and handlers pure, so states share what they have in common. */
export class Folder {
  /** Handler calls so far. */
  folds = 0
  readonly #limit: number
  readonly #applier: EventApplier
  readonly #group: KeyGroup
  readonly #world: World
  readonly #signal: AbortSignal | undefined
  #pauseAt = PAUSE_EVERY

  /** `limit`: so many handler calls may be made. */
  constructor(group: KeyGroup, applier: EventApplier, limit: number, world: World, signal?: AbortSignal) {
    this.#group = group
    this.#applier = applier
    this.#limit = limit
    this.#world = world
    this.#signal = signal
  }

  get left(): number { return this.#limit - this.folds }

  /** The values of the event's keys after it, by those before it; null where its handler throws. Asked only while calls are left. */
  fold(event: GroupEvent, before: readonly Held[]): Held[] | null {
    this.folds++
    const { slots } = event
    for (let i = 0; i < slots.length; i++) slots[i]!.value = before[i]
    this.#world.purity.enter()
    try {
      this.#applier.apply(event, ignore)
      return slots.map((slot) => slot.value)
    } catch {
      return null
    } finally {
      this.#world.purity.leave()
    }
  }

  get isPauseDue(): boolean { return this.folds >= this.#pauseAt }

  /** Between events, where it is due: for a signal may have come. */
  async pause(): Promise<void> {
    this.#pauseAt = this.folds + PAUSE_EVERY
    await this.#world.clock.sleep(0)
    this.#signal?.throwIfAborted()
  }

  /** The values of all keys of the group before anything happened. */
  empty(): Held[] {
    return new Array<Held>(this.#group.slots.length).fill(undefined)
  }
}

const ignore = (): void => {}

/** What each event of a group made of its keys, as it was. */
export interface Course {
  readonly events: readonly GroupEvent[]
  /** Order 'time': neighbours may be of two partitions. */
  readonly isMerged: boolean
  /** after[i]: the values of the keys of event i after it. */
  readonly after: readonly (readonly Held[])[]
  /** All keys, at the end. */
  readonly final: readonly Held[]
}

/** Folds the events as they were. Null where a handler throws, or there are more events than calls. */
export async function courseOf(events: readonly GroupEvent[], isMerged: boolean, folder: Folder): Promise<Course | null> {
  if (events.length > folder.left) return null
  const values = folder.empty()
  const after: Held[][] = []
  for (const event of events) {
    if (folder.isPauseDue) await folder.pause()
    const made = folder.fold(event, event.at.map((place) => values[place]))
    if (made === null) return null
    after.push(made)
    assign(values, event, made)
  }
  return { events, isMerged, after, final: values }
}

/** The values of all keys before event `index`. */
export function valuesBefore(course: Course, index: number, folder: Folder): Held[] {
  const values = folder.empty()
  for (let i = 0; i < index; i++) assign(values, course.events[i] as GroupEvent, course.after[i] as readonly Held[])
  return values
}

export function assign(values: Held[], { at }: GroupEvent, made: readonly Held[]): void {
  for (let i = 0; i < at.length; i++) values[at[i] as number] = made[i]
}

const writer = new CanonicalWriter()

/** Equal texts: equal values. Absent is a text that no value has. */
export function identityOf(value: Held): string {
  if (value === undefined) return ''
  writer.reset()
  const length = writer.write(value)
  return writer.bytes.toString('latin1', 0, length)
}
