import { domainOf, domainsOf, type Order } from '../log/domains.js'
import {
  compareMergePoints, implausible, lateEvent, PartitionClock, peeked, type MergePoint, type PeekedBatch, type ReadsOf,
} from '../log/order.js'
import type { Admitted } from '../log/sequence.js'
import type { EventBatch, Holes } from '../log/source.js'
import { readersOf, type PartitionReader } from './partition-reader.js'
import { RUN_EVENTS, type MergeState, type Settling, type Turn, type TurnOptions, type Turns } from './turn.js'

/** Where the merges stand. */
export interface MergeStart {
  readonly merge: MergeState
  /** What is read was merged before: nothing is late. */
  readonly isAgain: boolean
  readonly futureMs: number
  readonly readsOf: ReadsOf
}

/**
 * Per domain the deterministic merge by (recordedAt made non-decreasing, partition, offset); which domain is next is open.
 * RECORDED_AT_MISSING, TIMESTAMP_IMPLAUSIBLE, LATE_EVENT.
 */
export function mergedTurns(options: TurnOptions, order: Order, start: MergeStart): Turns {
  const readers = new Map(readersOf(options, true).map((reader) => [reader.partition, reader]))
  let merges = [...domainsOf(order, readers.keys())].map(([domain, members]) => new DomainMerge({
    options, start: { ...start, merge: new Map([...start.merge].filter(([partition]) => domainOf(order, partition) === domain)) },
    readers: members.map((partition) => readers.get(partition) as PartitionReader),
    partitions: options.settling?.partitions.filter((partition) => domainOf(order, partition) === domain).length ?? 0,
  }))
  return {
    async next() {
      while (merges.length > 0 && !options.signal.aborted) {
        const merge = merges[options.pick(merges.length)] as DomainMerge
        const turn = await merge.next()
        if (turn !== null) return turn
        await merge.close()
        merges = merges.filter((other) => other !== merge)
      }
      return null
    },
    async close() {
      await Promise.all(merges.map((merge) => merge.close()))
    },
  }
}

/** The next record of one partition in the merge. */
interface Head {
  readonly reader: PartitionReader
  readonly clock: PartitionClock
  admitted: (Admitted & { readonly batch: PeekedBatch }) | null
  index: number
  /** Null: at the end of the range. */
  point: MergePoint | null
  /** What the delivery brought besides records, handed out with its first turn. */
  fresh: boolean
  /** The holes of this delivery that were handed out. */
  counted: Holes
}

interface DomainMergeOptions {
  readonly options: TurnOptions
  readonly start: MergeStart
  readonly readers: readonly PartitionReader[]
  /** How many partitions the domain has, where the log is followed. */
  readonly partitions: number
}

class DomainMerge {
  readonly #options: TurnOptions
  readonly #futureMs: number
  readonly #readsOf: ReadsOf
  readonly #heads: readonly Head[]
  readonly #partitions: number
  /** Up to here the merge was applied. */
  readonly #merged: MergePoint | null
  #started = false

  constructor({ options, start: { merge, isAgain, futureMs, readsOf }, readers, partitions }: DomainMergeOptions) {
    this.#options = options
    this.#futureMs = futureMs
    this.#readsOf = readsOf
    this.#partitions = partitions
    this.#merged = isAgain ? null : latestPoint(merge)
    this.#heads = readers.map((reader) => ({
      reader, clock: new PartitionClock(reader.partition, futureMs, merge.get(reader.partition)?.timeMs),
      admitted: null, index: 0, point: null, fresh: false, counted: NO_HOLES,
    }))
  }

  /** Null at the end of the range, where the rest is not settled, or when the signal aborted. */
  async next(): Promise<Turn | null> {
    if (!this.#started) {
      this.#started = true
      for (const head of this.#heads) await this.#fetch(head)
    }
    if (this.#options.signal.aborted) return null
    const waiting = this.#heads.filter((head) => head.point !== null)
    const least = leastOf(waiting)
    if (least === null) return null
    const isComplete = waiting.length === this.#partitions
    if (!this.#isSettled(least.point as MergePoint, isComplete)) return null
    const turn = this.#take(least, leastOf(waiting.filter((head) => head !== least)), isComplete)
    if (least.index === (least.admitted as Admitted).batch.length) await this.#fetch(least)
    return turn
  }

  async close(): Promise<void> {
    await Promise.all(this.#heads.map((head) => head.reader.close()))
  }

  /** Reads the next delivery of a partition. One without records still is progress: it goes out first, as an empty turn. */
  async #fetch(head: Head): Promise<void> {
    const next = await head.reader.next()
    head.admitted = next === null ? null : { ...next, batch: peeked(next.batch, this.#readsOf) }
    head.point = null
    if (next === null) return
    head.index = next.from
    head.fresh = true
    head.counted = NO_HOLES
    if (next.from < next.batch.length) this.#place(head)
    else head.point = { timeMs: Number.NEGATIVE_INFINITY, partition: head.reader.partition, offset: next.batch.through }
  }

  #place(head: Head): void {
    const { offset, recordedAtMs } = (head.admitted as NonNullable<Head['admitted']>).batch.peek(head.index)
    head.point = head.clock.place(offset, recordedAtMs)
    if (this.#merged !== null && compareMergePoints(head.point, this.#merged) <= 0) throw lateEvent(head.point, this.#merged)
  }

  /** All of a fixed range is. `isComplete`: each partition of the domain has a next event, and this is the first of them. */
  #isSettled(point: MergePoint, isComplete: boolean): boolean {
    const { settling } = this.#options
    if (settling === undefined || point.timeMs === Number.NEGATIVE_INFINITY) return true
    this.#assertPlausible(point, settling)
    return (isComplete && !settling.byTimeOnly) || settling.logTimeMs - point.timeMs > settling.latenessMs
  }

  /** Records behind it in its partition can be seen, and nothing waits for them to be read. */
  #assertPlausible(point: MergePoint, { tails }: Settling): void {
    const tail = tails.get(point.partition)
    if (tail !== undefined && tail.offset > point.offset && point.timeMs - tail.timeMs > this.#futureMs) {
      throw implausible(point, tail, this.#futureMs)
    }
  }

  /** Records of this delivery that come before the rival's next one, and are settled: all, or as many as are parsed at once. */
  #take(head: Head, rival: Head | null, isComplete: boolean): Turn {
    const { batch, duplicates, gaps } = head.admitted as Admitted
    const from = head.index
    let last: MergePoint | null = null
    while (head.index < batch.length && head.index - from < RUN_EVENTS) {
      last = head.point as MergePoint
      head.index++
      if (head.index === batch.length) break
      this.#place(head)
      const next = head.point as MergePoint
      if (rival !== null && compareMergePoints(next, rival.point as MergePoint) > 0) break
      if (!this.#isSettled(next, isComplete)) break
    }
    const { fresh } = head
    head.fresh = false
    const before = fresh ? -1 : batch.offsetAt(from - 1)
    const through = head.index === batch.length || last === null ? batch.through : last.offset
    return {
      batch, from, to: head.index, merge: last, through,
      last: head.index > from ? { batch, index: head.index - 1 } : null,
      duplicates: fresh ? duplicates : 0, holes: newHoles(head), held: null,
      gaps: gaps.filter((gap) => gap.from > before && gap.to <= through),
    }
  }
}

/** The greatest of the points: up to there the merge is applied. Null where nothing is. */
function latestPoint(state: MergeState): MergePoint | null {
  let latest: MergePoint | null = null
  for (const point of state.values()) {
    if (latest === null || compareMergePoints(point, latest) > 0) latest = point
  }
  return latest
}

function leastOf(heads: readonly Head[]): Head | null {
  let least: Head | null = null
  for (const head of heads) {
    if (least === null || compareMergePoints(head.point as MergePoint, least.point as MergePoint) < 0) least = head
  }
  return least
}

const NO_HOLES: Holes = { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 }

/** The holes up to the last record that was taken, or of all the delivery; less what was handed out of it before. */
function newHoles(head: Head): Holes {
  const { batch, holes } = head.admitted as Admitted
  const isWhole = head.index === batch.length
  const passed = isWhole ? holes : holesThrough(batch, head.index - 1, holes)
  const fresh = minus(passed, head.counted)
  head.counted = passed
  return fresh
}

/** A delivery may begin with holes that are known already: those behind the record are new for certain. */
function holesThrough(batch: EventBatch, index: number, admitted: Holes): Holes {
  if (batch.holesBefore === undefined) return NO_HOLES
  return minus(admitted, minus(batch.holes, batch.holesBefore(index)))
}

function minus(a: Holes, b: Holes): Holes {
  return {
    control: a.control - b.control, aborted: a.aborted - b.aborted,
    filtered: a.filtered - b.filtered, compactedOrLost: a.compactedOrLost - b.compactedOrLost,
  }
}
