import { RehydrateError } from '../errors.js'
import { encode } from '../value/canonical.js'
import { formatPartition, type Offset } from './position.js'
import type { EventBatch, Holes, RecordedEvent } from './source.js'

/** A gap that a person waived: both bounds inclusive. */
export interface AcceptedGap {
  readonly from: Offset
  readonly to: Offset
}

/** What is new in a delivery: records [from, batch.length) of the batch. */
export interface Admitted {
  readonly batch: EventBatch
  readonly from: number
  /** Records dropped because their offset was applied before. */
  readonly duplicates: number
  readonly holes: Holes
  /** The accepted gaps this delivery passed. */
  readonly gaps: readonly AcceptedGap[]
}

/**
 * The guard between a source and the fold, one per partition. Repeats are dropped and counted; a repeat with other content is
 * LOG_REWRITTEN; an offset missing without a reason is LOG_GAP unless accepted. Offsets that do not rise inside a batch give
 * 'reread' once, then LOG_REORDERED.
 */
export class SequenceGuard {
  readonly #partition: string
  readonly #accepted: readonly AcceptedGap[]
  #last: Offset
  #previous: EventBatch | null = null
  #reread = false

  /** `last`: the last applied offset, inclusive; −1 for none. */
  constructor(partition: string, last: Offset, accepted: readonly AcceptedGap[] = []) {
    this.#partition = partition
    this.#last = last
    this.#accepted = accepted
  }

  /** The last offset accounted for, inclusive. */
  get last(): Offset { return this.#last }

  admit(batch: EventBatch): Admitted | 'reread' {
    const disorder = disorderAt(batch)
    if (disorder !== -1) {
      if (this.#reread) throw this.#reordered(batch, disorder)
      this.#reread = true
      return 'reread'
    }
    this.#reread = false
    let from = 0
    while (from < batch.length && batch.offsetAt(from) <= this.#last) from++
    for (let i = 0; i < from; i++) this.#assertSame(batch, i)
    const missing = Math.max(0, batch.through - this.#last - (batch.length - from))
    const gaps = this.#assertComplete(batch, from, missing)
    this.#last = Math.max(this.#last, batch.through)
    if (batch.length > from) this.#previous = batch
    return { batch, from, duplicates: from, holes: newHoles(batch.holes, missing), gaps }
  }

  /**
   * Every offset in (last, through] is a record or a hole with a reason. Where a delivery declares holes, their number must account
   * for all that is missing; where it declares none, the gap is named exactly.
   */
  #assertComplete(batch: EventBatch, from: number, missing: number): AcceptedGap[] {
    const gaps: AcceptedGap[] = []
    const declared = countHoles(batch.holes)
    if (declared > 0) {
      if (missing > declared) this.#gap(this.#last + 1, batch.through, gaps, missing - declared)
      return gaps
    }
    let expected = this.#last + 1
    for (let i = from; i < batch.length; i++) {
      const offset = batch.offsetAt(i)
      if (offset !== expected) this.#gap(expected, offset - 1, gaps, offset - expected)
      expected = offset + 1
    }
    if (batch.through >= expected) this.#gap(expected, batch.through, gaps, batch.through - expected + 1)
    return gaps
  }

  #gap(from: Offset, to: Offset, gaps: AcceptedGap[], missing: number): void {
    const accepted = this.#accepted.find((gap) => gap.from <= from && gap.to >= to)
    if (accepted !== undefined) {
      gaps.push({ from, to })
      return
    }
    const where = `${formatPartition(this.#partition)}@${from}..${to}`
    throw new RehydrateError('LOG_GAP', {
      message: `${this.#partition} lacks ${missing} of the offsets ${from} to ${to}.`,
      partition: this.#partition, offset: from, expected: from, actual: to + 1,
      fix: `Bring the records back. If they are gone for good and you can live without them: --accept LOG_GAP=${where}.`,
    })
  }

  #assertSame(batch: EventBatch, i: number): void {
    const offset = batch.offsetAt(i)
    const previous = this.#previous
    if (previous === null) return
    for (let j = previous.length - 1; j >= 0 && previous.offsetAt(j) >= offset; j--) {
      if (previous.offsetAt(j) !== offset || sameContent(previous.event(j), batch.event(i))) continue
      throw new RehydrateError('LOG_REWRITTEN', {
        message: `${this.#partition}@${offset} was delivered twice with different content.`, partition: this.#partition, offset,
      })
    }
  }

  #reordered(batch: EventBatch, i: number): RehydrateError {
    return new RehydrateError('LOG_REORDERED', {
      message: `${this.#partition}: offset ${batch.offsetAt(i)} follows ${batch.offsetAt(i - 1)} in one delivery, twice.`,
      partition: this.#partition, offset: batch.offsetAt(i),
      expected: `more than ${batch.offsetAt(i - 1)}`, actual: batch.offsetAt(i),
    })
  }
}

/** Index of the first record whose offset does not rise; −1: all rise. */
function disorderAt(batch: EventBatch): number {
  for (let i = 1; i < batch.length; i++) {
    if (batch.offsetAt(i) <= batch.offsetAt(i - 1)) return i
  }
  return -1
}

function countHoles({ control, aborted, filtered, compactedOrLost }: Holes): number {
  return control + aborted + filtered + compactedOrLost
}

/** The holes of a delivery that are new: all of them, but for one that repeats what was delivered before. */
function newHoles(holes: Holes, missing: number): Holes {
  if (missing >= countHoles(holes)) return holes
  let left = missing
  const take = (count: number): number => {
    const taken = Math.min(count, left)
    left -= taken
    return taken
  }
  return {
    control: take(holes.control), aborted: take(holes.aborted),
    filtered: take(holes.filtered), compactedOrLost: take(holes.compactedOrLost),
  }
}

function sameContent(a: RecordedEvent, b: RecordedEvent): boolean {
  const content = (event: RecordedEvent): Uint8Array =>
    encode([event.type, event.schemaVersion, event.key, event.data, event.recordedAtMs, event.id, event.headers])
  return Buffer.from(content(a)).equals(content(b))
}
