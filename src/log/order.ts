import { RehydrateError } from '../errors.js'
import type { Reads } from '../value/reads.js'
import { compareUtf8, type Offset } from './position.js'
import type { EventBatch, RecordedEvent } from './source.js'

/** A place in the merge of an order domain: events before it are applied, none before it may come later. */
export interface MergePoint {
  /** recordedAt, raised to the highest before it in its partition. Milliseconds since 1970. */
  readonly timeMs: number
  readonly partition: string
  readonly offset: Offset
}

/** (time, partition by UTF-8 bytes, offset). */
export function compareMergePoints(a: MergePoint, b: MergePoint): number {
  return a.timeMs - b.timeMs || compareUtf8(a.partition, b.partition) || a.offset - b.offset
}

/**
 * The clock of one partition where partitions are merged: recordedAt made non-decreasing. RECORDED_AT_MISSING where a record has none;
 * TIMESTAMP_IMPLAUSIBLE where a record lies more than futureMs before one that stands ahead of it in the partition, so that
 * raising it would move it that far: the log's own later records say that the earlier timestamp was ahead of its time.
 */
export class PartitionClock {
  readonly #partition: string
  readonly #futureMs: number
  #highMs: number
  #highOffset: Offset | null = null

  constructor(partition: string, futureMs: number, highMs: number = Number.NEGATIVE_INFINITY) {
    this.#partition = partition
    this.#futureMs = futureMs
    this.#highMs = highMs
  }

  /** The highest recordedAt so far; −Infinity before the first. */
  get highMs(): number { return this.#highMs }

  place(offset: Offset, recordedAtMs: number | null): MergePoint {
    if (recordedAtMs === null) throw recordedAtMissing(this.#partition, offset)
    if (this.#highMs - recordedAtMs > this.#futureMs) {
      const partition = this.#partition
      throw implausible({ partition, offset: this.#highOffset, timeMs: this.#highMs }, { offset, timeMs: recordedAtMs }, this.#futureMs)
    }
    if (recordedAtMs > this.#highMs) {
      this.#highMs = recordedAtMs
      this.#highOffset = offset
    }
    return { timeMs: this.#highMs, partition: this.#partition, offset }
  }
}

/** TIMESTAMP_IMPLAUSIBLE: `later`, which stands behind it in its partition, says a time more than futureMs before. */
export function implausible(
  { partition, offset, timeMs }: { readonly partition: string; readonly offset: Offset | null; readonly timeMs: number },
  later: { readonly offset: Offset; readonly timeMs: number }, futureMs: number,
): RehydrateError {
  const culprit = offset === null ? 'a record before it' : `${partition}@${offset}`
  return new RehydrateError('TIMESTAMP_IMPLAUSIBLE', {
    message: `${culprit} says ${isoTime(timeMs)}, yet ${partition}@${later.offset} after it says ${isoTime(later.timeMs)}.`,
    partition, offset: offset ?? later.offset,
    expected: `at most ${futureMs} ms ahead`, actual: `${timeMs - later.timeMs} ms ahead`,
  })
}

export function recordedAtMissing(partition: string, offset: Offset): RehydrateError {
  return new RehydrateError('RECORDED_AT_MISSING', {
    message: `${partition}@${offset} has no recordedAt.`, partition, offset,
  })
}

/** LATE_EVENT: `event` belongs before `point`, up to which the merge has been applied. */
export function lateEvent(event: MergePoint, point: MergePoint): RehydrateError {
  return new RehydrateError('LATE_EVENT', {
    message: `${event.partition}@${event.offset} (${isoTime(event.timeMs)}) belongs before ${point.partition}@${point.offset} `
      + `(${isoTime(point.timeMs)}), which is applied already.`,
    partition: event.partition, offset: event.offset,
    expected: `after ${isoTime(point.timeMs)}`, actual: isoTime(event.timeMs),
  })
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

/** What is read of events of a type; undefined: all. */
export type ReadsOf = (type: string) => Reads | undefined

/** A batch whose records the merge looks at before the fold reads them. */
export interface PeekedBatch extends EventBatch {
  /** Record i, kept for the next `event(i)`. */
  peek(i: number): RecordedEvent
}

/**
 * Parses each record once for the merge and the fold; every later reader (the double run) gets its own copy, as from any batch. `readsOf`:
 * what the fold reads of a type; who asks for something else gets it as from any batch too.
 */
export function peeked(batch: EventBatch, readsOf: ReadsOf): PeekedBatch {
  const events: (RecordedEvent | undefined)[] = []
  return {
    ...unchanged(batch),
    offsetAt: (i) => batch.offsetAt(i),
    // What is parsed already need not be looked for again.
    typeAt: (i) => events[i]?.type ?? batch.typeAt(i),
    keyAt(i) {
      const known = events[i]
      return known === undefined ? batch.keyAt(i) : known.key
    },
    markAt: (i) => batch.markAt(i),
    peek(i) {
      return (events[i] ??= batch.event(i, readsOf(batch.typeAt(i))))
    },
    event(i, reads) {
      const known = events[i]
      events[i] = undefined
      return known !== undefined && reads === readsOf(known.type) ? known : batch.event(i, reads)
    },
  }
}

/** What a batch says besides its records, for one that stands for it. */
export function unchanged(batch: EventBatch): Omit<EventBatch, 'offsetAt' | 'typeAt' | 'keyAt' | 'event' | 'markAt'> {
  const { partition, length, through, holes, bytes, atEnd } = batch
  return {
    partition, length, through, holes, bytes, ...(atEnd === undefined ? {} : { atEnd }),
    ...(batch.holesBefore === undefined ? {} : { holesBefore: (i: number) => (batch as Required<EventBatch>).holesBefore(i) }),
  }
}
