import { RehydrateError } from '../errors.js'
import { SequenceGuard, type AcceptedGap, type Admitted } from '../log/sequence.js'
import { compareUtf8, formatPosition, offsetIn, type Offset, type Position } from '../log/position.js'
import type { EventBatch, EventSource, Mark, ReadLimits } from '../log/source.js'

export interface ReaderOptions {
  readonly source: EventSource
  readonly from: Position
  readonly upTo: Position
  /** Of these go on behind upTo, until a delivery says that it stands at the end. */
  readonly toEnd?: ReadonlySet<string>
  readonly marks: ReadonlyMap<string, Mark>
  readonly limits: ReadLimits
  readonly signal: AbortSignal
  readonly gaps: ReadonlyMap<string, readonly AcceptedGap[]>
  /** Told before each wait for the source, and with null after it. */
  readonly waiting: (what: string | null) => void
}

/** One partition: batches in (from, upTo], or on to its end, each admitted by the sequence guard. */
export class PartitionReader {
  readonly partition: string
  readonly #options: ReaderOptions
  readonly #upTo: Offset
  readonly #toEnd: boolean
  readonly #guard: SequenceGuard
  /** Deliveries are handed out in parts, so that the holes before each record must be known. */
  readonly #inParts: boolean
  /** One record at a time: the source can not say where in a delivery its holes are. */
  #singly = false
  #iterator: AsyncIterator<EventBatch> | null = null

  constructor(partition: string, options: ReaderOptions, inParts = false) {
    this.partition = partition
    this.#options = options
    this.#inParts = inParts
    this.#upTo = offsetIn(options.upTo, partition)
    this.#toEnd = options.toEnd?.has(partition) === true
    const gaps = options.gaps.get(partition)
    this.#guard = new SequenceGuard(partition, offsetIn(options.from, partition), gaps)
  }

  /** Null at the end of the range, or when the signal aborted. */
  async next(): Promise<Admitted | null> {
    while (!this.#isOver && !this.#options.signal.aborted) {
      this.#iterator ??= this.#open()
      this.#options.waiting(`${this.partition} to deliver what follows ${this.#guard.last}`)
      const { done, value } = await this.#iterator.next()
      this.#options.waiting(null)
      if (done === true) {
        if (this.#options.signal.aborted) return null
        await this.#reopenAfterEarlyEnd()
        continue
      }
      if (this.#inParts && !this.#singly && value.length > 1 && hasHoles(value) && value.holesBefore === undefined) {
        this.#singly = true
        await this.close()
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

  get #isOver(): boolean {
    return this.#guard.last >= this.#upTo && (!this.#toEnd || this.#delivered?.atEnd === true)
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
        message: `${partition} has nothing from ${last + 1} to ${Math.max(last + 1, this.#upTo)}, where the run is to end.`,
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
    const most = this.#singly ? { ...limits, events: 1 } : limits
    const range = { after, upTo: this.#upTo, mark, ...(this.#toEnd && { toEnd: true }) }
    return source.read(this.partition, range, most, signal)[Symbol.asyncIterator]()
  }
}

/** Readers of the partitions that have something to read, in the order of their names. */
export function readersOf(options: ReaderOptions, inParts = false): PartitionReader[] {
  return [...options.upTo.keys()]
    .filter((partition) => offsetIn(options.upTo, partition) > offsetIn(options.from, partition))
    .sort(compareUtf8)
    .map((partition) => new PartitionReader(partition, options, inParts))
}

function hasHoles({ holes: { control, aborted, filtered, compactedOrLost } }: EventBatch): boolean {
  return control + aborted + filtered + compactedOrLost > 0
}
