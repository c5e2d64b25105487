import { isRehydrateError } from '../errors.js'
import { compareUtf8, type Offset } from '../log/position.js'
import { EventApplier, type PreparedEvent } from '../projection/apply.js'
import type { Projection } from '../projection/define.js'
import type { Slot } from '../projection/view.js'
import type { World } from '../replay/api.js'
import { encode } from '../value/canonical.js'
import { fresh } from './fresh.js'
import { seededPick, type Pick } from './interleaving.js'

export interface EventPlace {
  readonly partition: string
  readonly offset: Offset
  readonly type: string
}

/** Two neighbours of different partitions; the value of the key is another one where they change places. */
export interface OrderPair {
  readonly first: EventPlace
  readonly second: EventPlace
}

/** After so many handler calls, timers, signals and I/O have their turn. */
const PAUSE_EVERY = 20_000
/** Random interleavings that are tried besides the plain ones. */
const RANDOM_TRIES = 16

/** Thrown where more handler calls would be needed than are allowed. */
export class BoundMet extends Error {}

export interface KeyFoldOptions {
  readonly projection: Projection
  readonly world: World
  /** Every slot that the events touch. */
  readonly slots: readonly Slot[]
  /** Those whose values are compared. */
  readonly watched: readonly Slot[]
  /** Handler calls, at the most. */
  readonly maxFolds: number
  readonly signal?: AbortSignal | undefined
}

/** Folds the events of some keys over nothing, in any order. The purity guard must be installed. */
export class KeyFold {
  readonly #options: KeyFoldOptions
  readonly #applier: EventApplier
  #left: number
  #pauseAt: number

  constructor(options: KeyFoldOptions) {
    this.#options = options
    this.#applier = new EventApplier(options.projection)
    this.#left = options.maxFolds
    this.#pauseAt = this.#left - PAUSE_EVERY
  }

  get left(): number { return this.#left }

  /** Canonical bytes of the watched values after these events, null where absent. BoundMet. */
  async fold(events: readonly PreparedEvent[]): Promise<(Buffer | null)[] | 'throws'> {
    const { world, slots, watched, signal } = this.#options
    this.#left -= events.length
    if (this.#left < 0) throw new BoundMet()
    if (this.#left < this.#pauseAt) {
      this.#pauseAt = this.#left - PAUSE_EVERY
      await world.clock.sleep(0)
      signal?.throwIfAborted()
    }
    for (const slot of slots) slot.value = undefined
    world.purity.enter()
    try {
      for (const prepared of events) this.#applier.apply(fresh(prepared), ignore)
    } catch (error) {
      if (isRehydrateError(error)) return 'throws'
      throw error
    } finally {
      world.purity.leave()
    }
    return watched.map(({ value }) => (value === undefined ? null : Buffer.from(encode(value))))
  }

  /** Tells values apart. */
  async outcomeOf(events: readonly PreparedEvent[]): Promise<string> {
    const values = await this.fold(events)
    return typeof values === 'string' ? values : values.map((bytes) => bytes?.toString('hex') ?? 'absent').join(' ')
  }
}

function ignore(): void {}

/** Other ways in which these events may interleave: plain ones, and some at random. Each partition keeps its order. */
export function* interleavingsOf(events: readonly PreparedEvent[]): Generator<PreparedEvent[]> {
  const partitions = new Map<string, PreparedEvent[]>()
  for (const prepared of events) {
    const list = partitions.get(prepared.event.partition)
    if (list === undefined) partitions.set(prepared.event.partition, [prepared])
    else list.push(prepared)
  }
  if (partitions.size < 2) return
  const sorted = [...partitions].sort(([a], [b]) => compareUtf8(a, b)).map(([, list]) => list)
  yield sorted.flat()
  yield sorted.toReversed().flat()
  for (let seed = 1; seed <= RANDOM_TRIES; seed++) yield mergedBy(seededPick(seed), sorted)
}

function mergedBy(pick: Pick, partitions: readonly (readonly PreparedEvent[])[]): PreparedEvent[] {
  const merged: PreparedEvent[] = []
  const next = partitions.map(() => 0)
  let open = partitions.map((_, i) => i)
  while (open.length > 0) {
    const i = open[pick(open.length)] as number
    const list = partitions[i] as readonly PreparedEvent[]
    merged.push(list[next[i]!++] as PreparedEvent)
    if (next[i] === list.length) open = open.filter((other) => other !== i)
  }
  return merged
}

/**
 * Two events whose order matters, where two orders of the same events give two values: `from` becomes `to` by bringing the events of `to`
 * forward, one after the other, past one neighbour at a time. Neighbours of one partition never change places, as both orders keep them.
 * Halving the way finds a step that changes the value, in about 2 · log2(events) folds.
 */
export async function pairBetween(
  from: readonly PreparedEvent[], to: readonly PreparedEvent[], fold: KeyFold,
): Promise<OrderPair> {
  const first = await fold.outcomeOf(from)
  const changes = async (order: readonly PreparedEvent[]): Promise<boolean> => await fold.outcomeOf(order) !== first
  const placed = await leastThat((count) => changes(partway(from, to, count, 0)), to.length) - 1
  const moved = to[placed] as PreparedEvent
  const start = partway(from, to, placed, 0).indexOf(moved)
  const steps = await leastThat((count) => changes(partway(from, to, placed, count)), start - placed)
  const passed = partway(from, to, placed, 0)[start - steps] as PreparedEvent
  return { first: placeOf(passed), second: placeOf(moved) }
}

/** The first `placed` of `to`, then the others as `from` has them, the next of `to` already brought `steps` places forward. */
function partway(
  from: readonly PreparedEvent[], to: readonly PreparedEvent[], placed: number, steps: number,
): PreparedEvent[] {
  const ahead = to.slice(0, placed)
  const done = new Set(ahead)
  const order = [...ahead, ...from.filter((prepared) => !done.has(prepared))]
  if (steps === 0) return order
  const at = order.indexOf(to[placed] as PreparedEvent)
  order.splice(at - steps, 0, ...order.splice(at, 1))
  return order
}

/** Some n in [1, last] with holds(n) and not holds(n − 1), where 0 does not and `last` does. */
async function leastThat(holds: (n: number) => Promise<boolean>, last: number): Promise<number> {
  let not = 0
  let does = last
  while (does - not > 1) {
    const middle = (not + does) >>> 1
    if (await holds(middle)) does = middle
    else not = middle
  }
  return does
}

function placeOf({ event: { partition, offset, type } }: PreparedEvent): EventPlace {
  return { partition, offset, type }
}
