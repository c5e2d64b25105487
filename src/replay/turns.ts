import { RehydrateError } from '../errors.js'
import { SequenceGuard, type AcceptedGap, type Admitted } from '../log/sequence.js'
import { compareMergePoints, lateEvent, PartitionClock, peeked, type MergePoint, type PeekedBatch } from '../log/order.js'
import { compareUtf8, formatPosition, offsetIn, type Offset, type Position } from '../log/position.js'
import type { EventBatch, EventSource, Holes, Mark, ReadLimits } from '../log/source.js'

/** Records [from, to) of a batch, to be applied in this order. `through`: what is accounted for after them, inclusive. */
export interface Turn {
  readonly batch: EventBatch
  readonly from: number
  readonly to: number
  readonly through: Offset
  readonly duplicates: number
  readonly holes: Holes | null
  readonly gaps: readonly AcceptedGap[]
  /** Order 'time' only: the place of the last record of the turn in the merge. */
  readonly merge: MergePoint | null
}

/** Hands out what is to be applied next; null at the end of the range. The one place where partitions interleave. */
export interface Turns {
  next(): Promise<Turn | null>
  close(): Promise<void>
}

export interface TurnOptions {
  readonly source: EventSource
  readonly from: Position
  readonly upTo: Position
  readonly marks: ReadonlyMap<string, Mark>
  readonly limits: ReadLimits
  readonly signal: AbortSignal
  readonly gaps: ReadonlyMap<string, readonly AcceptedGap[]>
  /** Which of n partitions is read next. */
  readonly pick: (n: number) => number
  /** Told before each wait for the source, and with null after it. */
  readonly waiting: (what: string | null) => void
}

/** One partition: batches in (from, upTo], each admitted by the sequence guard. */
class PartitionReader {
  readonly partition: string
  readonly #options: TurnOptions
  readonly #upTo: Offset
  readonly #guard: SequenceGuard
  #iterator: AsyncIterator<EventBatch> | null = null

  constructor(partition: string, options: TurnOptions) {
    this.partition = partition
    this.#options = options
    this.#upTo = offsetIn(options.upTo, partition)
    const gaps = options.gaps.get(partition)
    this.#guard = new SequenceGuard(partition, offsetIn(options.from, partition), gaps)
  }

  /** Null at the end of the range, or when the signal aborted. */
  async next(): Promise<Admitted | null> {
    while (this.#guard.last < this.#upTo && !this.#options.signal.aborted) {
      this.#iterator ??= this.#open()
      this.#options.waiting(`${this.partition} to deliver what follows ${this.#guard.last}`)
      const { done, value } = await this.#iterator.next()
      this.#options.waiting(null)
      if (done === true) {
        if (this.#options.signal.aborted) return null
        await this.#reopenAfterEarlyEnd()
        continue
      }
      const admitted = this.#guard.admit(value)
      if (admitted !== 'reread') {
        this.#delivered = value
        return admitted
      }
      await this.close()
    }
    await this.close()
    return null
  }

  async close(): Promise<void> {
    const iterator = this.#iterator
    this.#iterator = null
    await iterator?.return?.()
  }

  /** A second opening goes on with the chain, and with the proof that it is the same log. */
  #markAt(offset: Offset): Mark | null {
    const last = this.#delivered === null ? -1 : this.#delivered.length - 1
    return last >= 0 && this.#delivered?.offsetAt(last) === offset ? this.#delivered.markAt(last) : null
  }

  #delivered: EventBatch | null = null
  #lastEnd: Offset | null = null

  /** A source may end early once, when a connection went away; twice at one place there is nothing up to the end of the range. */
  async #reopenAfterEarlyEnd(): Promise<void> {
    const { last } = this.#guard
    if (this.#lastEnd === last) {
      const { partition } = this
      throw new RehydrateError('LOG_GAP', {
        message: `${partition} has nothing from ${last + 1} to ${this.#upTo}, where the run is to end.`,
        partition, offset: last + 1, expected: last + 1,
        fix: `Bring the records back, or end outside of the gap, e.g. with --until ${formatPosition(new Map([[partition, last]]))}.`,
      })
    }
    this.#lastEnd = this.#guard.last
    await this.close()
  }

  #open(): AsyncIterator<EventBatch> {
    const { source, from, marks, limits, signal } = this.#options
    const after = this.#guard.last
    const mark = after === offsetIn(from, this.partition) ? (marks.get(this.partition) ?? null) : this.#markAt(after)
    return source.read(this.partition, { after, upTo: this.#upTo, mark }, limits, signal)[Symbol.asyncIterator]()
  }
}

function readersOf(options: TurnOptions): PartitionReader[] {
  return [...options.upTo.keys()]
    .filter((partition) => offsetIn(options.upTo, partition) > offsetIn(options.from, partition))
    .sort(compareUtf8)
    .map((partition) => new PartitionReader(partition, options))
}

/** Order 'partition': each partition alone; which one is next is open, and must not matter. */
export function partitionTurns(options: TurnOptions): Turns {
  let readers = readersOf(options)
  return {
    async next() {
      while (readers.length > 0 && !options.signal.aborted) {
        const reader = readers[options.pick(readers.length)] as PartitionReader
        const admitted = await reader.next()
        if (admitted !== null) return { ...admitted, to: admitted.batch.length, through: admitted.batch.through, merge: null }
        readers = readers.filter((other) => other !== reader)
      }
      return null
    },
    async close() {
      await Promise.all(readers.map((reader) => reader.close()))
    },
  }
}

/** The last record that order 'time' has merged, per partition: kept in `$merge`. */
export type MergeState = ReadonlyMap<string, MergePoint>

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
}

/**
 * Order 'time': the deterministic merge by (recordedAt made non-decreasing, partition, offset) of a fixed range.
 * RECORDED_AT_MISSING, TIMESTAMP_IMPLAUSIBLE, LATE_EVENT.
 */
export function timeTurns(options: TurnOptions, start: MergeState, futureMs: number): Turns {
  // A turn may end inside a delivery, whose holes are known as one sum. One record at a time they are counted where they are passed.
  const { limits, source } = options
  const exact = source.continuity === 'dense' ? options : { ...options, limits: { ...limits, events: 1 } }
  const heads: Head[] = readersOf(exact).map((reader) => ({
    reader, clock: new PartitionClock(reader.partition, futureMs, start.get(reader.partition)?.timeMs),
    admitted: null, index: 0, point: null, fresh: false,
  }))
  const merged = latestPoint(start)
  let started = false
  return {
    async next() {
      if (!started) {
        started = true
        for (const head of heads) await fetchHead(head, merged)
      }
      if (options.signal.aborted) return null
      const waiting = heads.filter((head) => head.point !== null)
      const least = leastOf(waiting)
      if (least === null) return null
      const turn = takeTurn(least, leastOf(waiting.filter((head) => head !== least)), merged)
      if (least.index === turn.batch.length) await fetchHead(least, merged)
      return turn
    },
    async close() {
      await Promise.all(heads.map((head) => head.reader.close()))
    },
  }
}

/** The greatest of the points: up to there the merge is applied. Null where nothing is. */
export function latestPoint(state: MergeState): MergePoint | null {
  let latest: MergePoint | null = null
  for (const point of state.values()) {
    if (latest === null || compareMergePoints(point, latest) > 0) latest = point
  }
  return latest
}

/** Reads the next delivery of a partition. One without records still is progress: it goes out first, as an empty turn. */
async function fetchHead(head: Head, merged: MergePoint | null): Promise<void> {
  const next = await head.reader.next()
  head.admitted = next === null ? null : { ...next, batch: peeked(next.batch) }
  head.point = null
  if (next === null) return
  head.index = next.from
  head.fresh = true
  if (next.from < next.batch.length) placeHead(head, merged)
  else head.point = { timeMs: Number.NEGATIVE_INFINITY, partition: head.reader.partition, offset: next.batch.through }
}

function placeHead(head: Head, merged: MergePoint | null): void {
  const { offset, recordedAtMs } = (head.admitted as NonNullable<Head['admitted']>).batch.peek(head.index)
  head.point = head.clock.place(offset, recordedAtMs)
  if (merged !== null && compareMergePoints(head.point, merged) <= 0) throw lateEvent(head.point, merged)
}

function leastOf(heads: readonly Head[]): Head | null {
  let least: Head | null = null
  for (const head of heads) {
    if (least === null || compareMergePoints(head.point as MergePoint, least.point as MergePoint) < 0) least = head
  }
  return least
}

/** All records of this delivery that come before the rival's next one. */
function takeTurn(head: Head, rival: Head | null, merged: MergePoint | null): Turn {
  const { batch, duplicates, holes, gaps } = head.admitted as Admitted
  const from = head.index
  let last: MergePoint | null = null
  while (head.index < batch.length) {
    last = head.point as MergePoint
    head.index++
    if (head.index === batch.length) break
    placeHead(head, merged)
    if (rival !== null && compareMergePoints(head.point as MergePoint, rival.point as MergePoint) > 0) break
  }
  const { fresh } = head
  head.fresh = false
  const before = fresh ? -1 : batch.offsetAt(from - 1)
  const through = head.index === batch.length || last === null ? batch.through : last.offset
  return {
    batch, from, to: head.index, merge: last, through,
    duplicates: fresh ? duplicates : 0, holes: fresh ? holes : null,
    gaps: gaps.filter((gap) => gap.from > before && gap.to <= through),
  }
}
