import type { Course, Folder, Held } from './blame-fold.js'
import type { GroupEvent } from './events.js'

/** One event that was left out, applied twice in its place, or applied after its neighbour. */
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

/** A course of things after one deviation: all deviations that came to one state go on as one. */
class Trajectory {
  deviations: Deviation[]
  /** The keys in which it differs from the true state, by their place in the group. Null: none any more, or a handler threw. */
  others: Map<number, Held> | null = null
  /** `others` as a text: equal texts, equal states. */
  state = ''
  /** It came to the state of this one and goes on with it. */
  into: Trajectory | null = null

  constructor(deviation: Deviation) {
    this.deviations = [deviation]
  }
}

function stateOf(others: ReadonlyMap<number, Held>): string {
  const places = others.size === 1 ? [...others.keys()] : [...others.keys()].sort((a, b) => a - b)
  return places.map((place) => {
    const { identity } = others.get(place) as Held
    return `${place}:${identity.length}:${identity}`
  }).join('')
}

/** Where deviations ended: the values of the keys that are not the true ones, by the key's place in the group. */
export interface Ending {
  readonly others: ReadonlyMap<number, Held>
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

  constructor(course: Course, folder: Folder) {
    this.#course = course
    this.#folder = folder
  }

  /** All that went to the end. */
  endings(): Ending[] {
    return this.#ended.map(({ others, deviations }) => ({ others: others as Map<number, Held>, deviations }))
  }

  /**
   * Follows the deviations of the events [from, to) that are wanted. Later events come in earlier sweeps: what comes to a state that
   * one of those went through ends as that did. False: handler calls ran out, and where those under way end is not known.
   */
  async run(from: number, to: number, isWanted: (deviation: Deviation) => boolean): Promise<boolean> {
    const { events } = this.#course
    const exchanges = this.#exchangesOf(from, to, isWanted)
    if (!this.#known.has(from)) this.#known.set(from, new Map())
    for (let i = from; i < events.length; i++) {
      if (i >= to && this.#open.size === 0 && exchanges.size === 0) break
      if (this.#folder.isPauseDue) await this.#folder.pause()
      this.#meetKnown(i)
      if (!this.#advance(i)) return this.#abandon()
      if (i < to && !this.#loseOrRepeat(i, isWanted)) return this.#abandon()
      for (const first of exchanges.get(i) ?? []) if (!this.#exchange(first, i)) return this.#abandon()
      exchanges.delete(i)
    }
    this.#ended.push(...this.#open.values())
    this.#open.clear()
    this.#touching.clear()
    return true
  }

  /** The events that are to be exchanged with their neighbour, by the neighbour. */
  #exchangesOf(from: number, to: number, isWanted: (deviation: Deviation) => boolean): Map<number, number[]> {
    const exchanges = new Map<number, number[]>()
    for (let i = from; i < to; i++) {
      const next = this.#course.next[i] as number
      if (next === -1 || !isWanted(3 * i + 2)) continue
      const firsts = exchanges.get(next)
      if (firsts === undefined) exchanges.set(next, [i])
      else firsts.push(i)
    }
    return exchanges
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
  #advance(i: number): boolean {
    const { event, before, after } = this.#at(i)
    const concerned = new Set<Trajectory>()
    for (const place of event.at) for (const trajectory of this.#touching.get(place) ?? []) concerned.add(trajectory)
    for (const trajectory of concerned) this.#leave(trajectory)
    for (const trajectory of concerned) {
      if (this.#folder.left <= 0) return false
      const others = trajectory.others as Map<number, Held>
      const made = this.#folder.fold(event, event.at.map((place, j) => others.get(place) ?? before[j] as Held))
      this.#enter(trajectory, made === null ? null : differing(event.at, made, after, others))
    }
    return true
  }

  #loseOrRepeat(i: number, isWanted: (deviation: Deviation) => boolean): boolean {
    const { event, before, after } = this.#at(i)
    if (isWanted(3 * i)) this.#enter(new Trajectory(3 * i), differing(event.at, before, after))
    if (!isWanted(3 * i + 1)) return true
    if (this.#folder.left <= 0) return false
    const made = this.#folder.fold(event, after)
    this.#enter(new Trajectory(3 * i + 1), made === null ? null : differing(event.at, made, after))
    return true
  }

  /** An event after its neighbour. None between them touches a key of the first one. */
  #exchange(first: number, second: number): boolean {
    if (this.#folder.left < 2) return false
    const [one, other] = [this.#at(first), this.#at(second)]
    const values = new Map([...valuesIn(other.event, other.before), ...valuesIn(one.event, one.before)])
    for (const { event } of [other, one]) {
      const made = this.#folder.fold(event, event.at.map((place) => values.get(place) as Held))
      if (made === null) return true
      for (const [place, value] of valuesIn(event, made)) values.set(place, value)
    }
    const truth = new Map([...valuesIn(one.event, one.after), ...valuesIn(other.event, other.after)])
    const places = [...values.keys()]
    this.#enter(new Trajectory(3 * first + 2), differing(places, [...values.values()], places.map((place) => truth.get(place) as Held)))
    return true
  }

  #at(i: number): { readonly event: GroupEvent; readonly before: readonly Held[]; readonly after: readonly Held[] } {
    const { events, before, after } = this.#course
    return { event: events[i] as GroupEvent, before: before[i] as readonly Held[], after: after[i] as readonly Held[] }
  }

  #enter(trajectory: Trajectory, others: Map<number, Held> | null): void {
    trajectory.others = others === null || others.size === 0 ? null : others
    if (trajectory.others === null) {
      trajectory.deviations = []
      return
    }
    trajectory.state = stateOf(trajectory.others)
    const same = this.#open.get(trajectory.state)
    if (same !== undefined) {
      merge(trajectory, same)
      return
    }
    this.#open.set(trajectory.state, trajectory)
    this.#folder.heldBytes += trajectory.state.length
    for (const place of trajectory.others.keys()) {
      const touching = this.#touching.get(place)
      if (touching === undefined) this.#touching.set(place, new Set([trajectory]))
      else touching.add(trajectory)
    }
  }

  #leave(trajectory: Trajectory): void {
    this.#open.delete(trajectory.state)
    this.#folder.heldBytes -= trajectory.state.length
    for (const place of (trajectory.others as Map<number, Held>).keys()) this.#touching.get(place)?.delete(trajectory)
  }
}

function valuesIn({ at }: GroupEvent, values: readonly Held[]): [place: number, value: Held][] {
  return at.map((place, j) => [place, values[j] as Held])
}

/** What differs from the true state, where these keys became `made`. */
function differing(
  at: readonly number[], made: readonly Held[], truth: readonly Held[], before?: ReadonlyMap<number, Held>,
): Map<number, Held> {
  const others = new Map(before)
  at.forEach((place, j) => {
    const value = made[j] as Held
    if (value.identity === truth[j]?.identity) others.delete(place)
    else others.set(place, value)
  })
  return others
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
