import { assign, identityOf, valuesBefore, type Course, type Folder, type Held } from './blame-fold.js'
import type { GroupEvent } from './events.js'

/** One event that was left out, applied twice in its place, or applied after the one behind it. */
export const DEVIATIONS = ['lost', 'repeated', 'reordered'] as const
export type DeviationKind = (typeof DEVIATIONS)[number]

/** A deviation as a number: 3 · index of the event + place in DEVIATIONS. */
export type Deviation = number

export function kindOf(deviation: Deviation): DeviationKind {
  return DEVIATIONS[deviation % 3] as DeviationKind
}

export function indexOf(deviation: Deviation): number {
  return Math.floor(deviation / 3)
}

/** A key's value in another course of things, where it is not the true one. */
interface Other {
  readonly value: Held
  readonly identity: string
}

/** A course of things after one deviation: all deviations that came to one state go on as one. */
class Trajectory {
  deviations: Deviation[]
  /** What differs from the true state, by the key's place in the group. Null: nothing any more, or a handler threw. */
  others: Map<number, Other> | null = null
  /** `others` as a text: equal texts, equal states. */
  state = ''
  /** It came to the state of this one and goes on with it. */
  into: Trajectory | null = null

  constructor(deviation: Deviation) {
    this.deviations = [deviation]
  }
}

function stateOf(others: ReadonlyMap<number, Other>): string {
  const places = others.size === 1 ? [...others.keys()] : [...others.keys()].sort((a, b) => a - b)
  return places.map((place) => {
    const { identity } = others.get(place) as Other
    return `${place}:${identity.length}:${identity}`
  }).join('')
}

/** Where deviations ended: the values of the keys that are not the true ones, by the key's place in the group. */
export interface Ending {
  readonly others: ReadonlyMap<number, { readonly value: Held }>
  readonly deviations: readonly Deviation[]
}

/**
 * Follows deviations to the end of the events, over distinct states: at each event there is one trajectory per state, however many
 * deviations lead to it. What has come back to the true state is dropped: it explains no difference. An event that touches
 * no key in which a trajectory differs costs no handler call.
 */
export class Sweep {
  readonly #course: Course
  readonly #folder: Folder
  /** Trajectories under way, by state, and by the keys in which they differ. */
  #open = new Map<string, Trajectory>()
  readonly #touching = new Map<number, Set<Trajectory>>()
  /** Of earlier sweeps: the state at some events → the trajectory that went through it. */
  readonly #known = new Map<number, Map<string, Trajectory>>()
  readonly #ended: Trajectory[] = []
  /** The one in which the event before was lost; null: that was not tried, or makes no difference. */
  #lost: Trajectory | null = null
  /** What the event at hand makes of its keys without the one before; null: it throws; undefined: not known. */
  #withoutPrevious: readonly Held[] | null | undefined = undefined
  /** Of the true values after the event at hand. */
  #identities: (string | undefined)[] = []

  constructor(course: Course, folder: Folder) {
    this.#course = course
    this.#folder = folder
  }

  /** All that went to the end. */
  endings(): Ending[] {
    return this.#ended.map(({ others, deviations }) => ({ others: others as Map<number, Other>, deviations }))
  }

  /**
   * Follows the deviations of the events [from, to) that are wanted. Later events come in earlier sweeps: what comes to a state that
   * one of those went through ends as that did. False: handler calls ran out, and where those under way end is not known.
   */
  async run(from: number, to: number, isWanted: (deviation: Deviation) => boolean): Promise<boolean> {
    const { events, after } = this.#course
    const values = valuesBefore(this.#course, from, this.#folder)
    let previous: Held[] = []
    if (!this.#known.has(from)) this.#known.set(from, new Map())
    for (let i = from; i < events.length; i++) {
      if (i > to && this.#open.size === 0) break
      const event = events[i] as GroupEvent
      if (this.#folder.isPauseDue) await this.#folder.pause()
      this.#meetKnown(i)
      this.#identities = []
      const before = event.at.map((place) => values[place])
      if (!this.#advance(i, before)) return this.#abandon()
      if (i < to && !this.#loseOrRepeat(i, before, isWanted)) return this.#abandon()
      if (i > from && i <= to && isWanted(3 * (i - 1) + 2) && !this.#exchange(i, values, previous)) return this.#abandon()
      previous = before
      assign(values, event, after[i] as readonly Held[])
    }
    this.#ended.push(...this.#open.values())
    this.#open.clear()
    this.#touching.clear()
    return true
  }

  #abandon(): false {
    this.#open.clear()
    this.#touching.clear()
    return false
  }

  #meetKnown(i: number): void {
    const known = this.#known.get(i)
    if (known === undefined) return
    for (const [state, trajectory] of [...this.#open]) {
      const met = known.get(state)
      if (met === undefined) {
        known.set(state, trajectory)
        continue
      }
      this.#leave(trajectory)
      merge(trajectory, latest(met))
    }
  }

  /** Takes every trajectory that the event concerns past it. */
  #advance(i: number, before: readonly Held[]): boolean {
    const event = this.#course.events[i] as GroupEvent
    const truth = this.#course.after[i] as readonly Held[]
    const concerned = new Set<Trajectory>()
    for (const place of event.at) for (const trajectory of this.#touching.get(place) ?? []) concerned.add(trajectory)
    for (const trajectory of concerned) this.#leave(trajectory)
    this.#withoutPrevious = undefined
    for (const trajectory of concerned) {
      if (this.#folder.left <= 0) return false
      const others = trajectory.others as Map<number, Other>
      const made = this.#folder.fold(event, event.at.map((place, j) => {
        const other = others.get(place)
        return other === undefined ? before[j] : other.value
      }))
      if (trajectory === this.#lost) this.#withoutPrevious = made
      this.#enter(trajectory, made === null ? null : this.#differing(event.at, made, truth, others))
    }
    return true
  }

  #loseOrRepeat(i: number, before: readonly Held[], isWanted: (deviation: Deviation) => boolean): boolean {
    const event = this.#course.events[i] as GroupEvent
    const truth = this.#course.after[i] as readonly Held[]
    this.#lost = isWanted(3 * i) ? this.#enter(new Trajectory(3 * i), this.#differing(event.at, before, truth)) : null
    if (!isWanted(3 * i + 1)) return true
    if (this.#folder.left <= 0) return false
    const made = this.#folder.fold(event, truth)
    this.#enter(new Trajectory(3 * i + 1), made === null ? null : this.#differing(event.at, made, truth))
    return true
  }

  /** Events i − 1 and i in the other order. `values`: all keys between them; `previous`: those of event i − 1 before it. */
  #exchange(i: number, values: readonly Held[], previous: readonly Held[]): boolean {
    const [first, second] = [this.#course.events[i - 1] as GroupEvent, this.#course.events[i] as GroupEvent]
    const isNeighbour = this.#course.isMerged || first.event.partition === second.event.partition
    if (!isNeighbour || !first.at.some((place) => second.at.includes(place))) return true
    if (this.#folder.left < 2) return false
    const exchanged = new Map([...second.at.map((place): [number, Held] => [place, values[place]])])
    first.at.forEach((place, j) => exchanged.set(place, previous[j]))
    for (const event of [second, first]) {
      const known = event === second ? this.#withoutPrevious : undefined
      const made = known === undefined ? this.#folder.fold(event, event.at.map((place) => exchanged.get(place))) : known
      if (made === null) return true
      event.at.forEach((place, j) => exchanged.set(place, made[j]))
    }
    const truth = new Map(first.at.map((place): [number, Held] => [place, values[place]]))
    second.at.forEach((place, j) => truth.set(place, this.#course.after[i]?.[j]))
    const places = [...exchanged.keys()]
    this.#identities = []
    const others = this.#differing(places, [...exchanged.values()], places.map((place) => truth.get(place)))
    this.#enter(new Trajectory(3 * (i - 1) + 2), others)
    return true
  }

  /** What differs from the true state, where these keys became `made`. Null: there is a value that no state can hold. */
  #differing(
    at: readonly number[], made: readonly Held[], truth: readonly Held[], before?: ReadonlyMap<number, Other>,
  ): Map<number, Other> | null {
    const others = new Map(before)
    try {
      for (let j = 0; j < at.length; j++) {
        const place = at[j] as number
        others.delete(place)
        if (made[j] === truth[j]) continue
        const identity = identityOf(made[j])
        if (identity !== (this.#identities[j] ??= identityOf(truth[j]))) others.set(place, { value: made[j], identity })
      }
      return others
    } catch {
      return null
    }
  }

  /** The trajectory that it goes on as; null where it is dropped. */
  #enter(trajectory: Trajectory, others: Map<number, Other> | null): Trajectory | null {
    trajectory.others = others === null || others.size === 0 ? null : others
    if (trajectory.others === null) {
      trajectory.deviations = []
      return null
    }
    trajectory.state = stateOf(trajectory.others)
    const same = this.#open.get(trajectory.state)
    if (same !== undefined) {
      merge(trajectory, same)
      return same
    }
    this.#open.set(trajectory.state, trajectory)
    for (const place of trajectory.others.keys()) {
      const touching = this.#touching.get(place)
      if (touching === undefined) this.#touching.set(place, new Set([trajectory]))
      else touching.add(trajectory)
    }
    return trajectory
  }

  #leave(trajectory: Trajectory): void {
    this.#open.delete(trajectory.state)
    for (const place of (trajectory.others as Map<number, Other>).keys()) this.#touching.get(place)?.delete(trajectory)
  }
}

function merge(trajectory: Trajectory, into: Trajectory): void {
  if (into.others !== null) {
    const [fewer, more] = [trajectory.deviations, into.deviations].sort((a, b) => a.length - b.length) as [Deviation[], Deviation[]]
    for (const deviation of fewer) more.push(deviation)
    into.deviations = more
  }
  trajectory.deviations = []
  trajectory.others = null
  trajectory.into = into
}

function latest(trajectory: Trajectory): Trajectory {
  let at = trajectory
  while (at.into !== null) at = at.into
  return at
}
