import { createHash, type Hash } from 'node:crypto'
import type { Holes, Offset } from '../../src/index.js'
import type { ColumnRecord } from './record.js'
import type { RecordBatch } from './record-batch.js'
import { RecordHasher } from './record-hash.js'
import type { Records } from './records.js'

/**
 * Offsets without an event, both inclusive; they follow the first `before` records of their page. No reason: they must be there, and
 * are not.
 */
export interface Hole {
  readonly before: number
  readonly from: Offset
  readonly to: Offset
  readonly reason: keyof Holes | null
}

/** When a fetch was made, and where the log ended in its answer. */
export interface FetchMoment {
  /** Before the broker looked, and after it: milliseconds since 1970, by the clock of the source. */
  readonly askedMs: number
  readonly answeredMs: number
  /** The first offset that could not be read yet. */
  readonly end: Offset
}

/** A run of batches that one leader epoch wrote: offsets from its first to its last one, inclusive. */
export interface EpochRun {
  readonly leaderEpoch: number
  readonly from: Offset
  readonly to: Offset
}

/** Records [from, to) of a page, which lie in one batch; `shift` further there. */
interface BatchRun {
  readonly batch: RecordBatch
  readonly records: Records
  readonly from: number
  readonly to: number
  readonly shift: number
}

/** What is wanted of the batches of one fetch. */
export interface PageRange {
  /** Offsets from here, inclusive; batches may begin before it. */
  readonly from: Offset
  /** … to here, inclusive. */
  readonly upTo: Offset
  /** Which of the batches are of aborted transactions. */
  readonly aborted: readonly boolean[]
  /** May the topic have been compacted? Then what is missing is compactedOrLost. */
  readonly compacted: boolean
  readonly moment: FetchMoment
}

/**
 * The records of one fetch that are events, and a reason for every other offset in [from, through]. Without batches: a range of which
 * nothing is left.
 */
export class RecordPage {
  readonly holes: readonly Hole[]
  /** The last offset accounted for, inclusive. */
  readonly through: Offset
  /** Bytes of log per record, about. */
  readonly recordBytes: number
  readonly moment: FetchMoment
  /** In the order of offsets; control batches and aborted ones count as well. */
  readonly epochs: readonly EpochRun[]
  /** In order; each holds a record. */
  readonly #runs: BatchRun[] = []
  /** Where the record asked for last lies. */
  #run: BatchRun | null = null
  #count = 0

  constructor(batches: readonly RecordBatch[], range: PageRange) {
    const holes = new HoleList(range)
    let bytes = 0
    batches.forEach((batch, i) => {
      bytes += batch.byteLength
      const missing = range.compacted ? 'compactedOrLost' : null
      holes.passTo(batch.baseOffset - 1, this.count, missing)
      if (batch.isControl) holes.passTo(batch.lastOffset, this.count, 'control')
      else if (range.aborted[i] === true) holes.passTo(batch.lastOffset, this.count, 'aborted')
      else this.#take(batch, range, holes, missing)
    })
    if (batches.length === 0) holes.passTo(range.upTo, 0, 'compactedOrLost')
    this.through = holes.through
    this.holes = holes.list
    this.moment = range.moment
    this.epochs = epochsOf(batches)
    this.recordBytes = this.count === 0 ? 0 : Math.ceil(bytes / this.count)
  }

  get count(): number { return this.#count }

  /** Nothing that could be read followed it when it was fetched. */
  get atEnd(): boolean { return this.through + 1 === this.moment.end }

  offsetAt(i: number): Offset {
    const { records, shift } = this.#runOf(i)
    return records.offsetAt(i + shift)
  }

  leaderEpochAt(i: number): number { return this.#runOf(i).batch.leaderEpoch }

  /** Makes `record` stand at record i. */
  moveTo(record: ColumnRecord, i: number): void {
    const { records, shift } = this.#runOf(i)
    record.moveTo(records, i + shift)
  }

  keyAt(i: number): Buffer | null {
    const { records, shift } = this.#runOf(i)
    return records.keyAt(i + shift)
  }

  /** Null: a tombstone. */
  valueAt(i: number): Buffer | null {
    const { records, shift } = this.#runOf(i)
    return records.valueAt(i + shift)
  }

  /** SHA-256 of a record as RecordHasher takes it, hexadecimal. */
  hashAt(i: number): string { return this.hashInto(createHash('sha256'), i, i + 1).digest('hex') }

  /** Takes records [from, to) into a hash. */
  hashInto(hash: Hash, from: number, to: number): Hash {
    const hasher = new RecordHasher(hash)
    for (let i = from; i < to;) {
      const { records, shift, to: runTo } = this.#runOf(i)
      const end = Math.min(to, runTo)
      hasher.take(records, i + shift, end + shift)
      i = end
    }
    hasher.end()
    return hash
  }

  /** The first record at or after an offset; `count` where there is none. */
  indexOf(offset: Offset): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.offsetAt(middle) < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Neighbours mostly lie in one batch, and records are asked for in their order. */
  #runOf(i: number): BatchRun {
    const run = this.#run
    return run !== null && i >= run.from && i < run.to ? run : (this.#run = this.#find(i))
  }

  #find(i: number): BatchRun {
    let low = 0
    let high = this.#runs.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#runs[middle] as BatchRun).to <= i) low = middle + 1
      else high = middle
    }
    return this.#runs[low] as BatchRun
  }

  #take(batch: RecordBatch, range: PageRange, holes: HoleList, missing: 'compactedOrLost' | null): void {
    const records = batch.records()
    const from = this.#count
    let index = 0
    while (index < records.count && records.offsetAt(index) < range.from) index++
    const shift = index - from
    for (; index < records.count; index++) {
      const offset = records.offsetAt(index)
      if (offset > range.upTo) break
      holes.passTo(offset - 1, index - shift, missing)
      holes.through = offset
    }
    this.#count = index - shift
    if (this.#count > from) this.#runs.push({ batch, records, from, to: this.#count, shift })
    holes.passTo(batch.lastOffset, this.#count, missing)
  }
}

function epochsOf(batches: readonly RecordBatch[]): EpochRun[] {
  const runs: EpochRun[] = []
  for (const { leaderEpoch, baseOffset: from, lastOffset: to } of batches) {
    const open = runs.at(-1)
    if (open?.leaderEpoch === leaderEpoch) runs[runs.length - 1] = { ...open, to }
    else runs.push({ leaderEpoch, from, to })
  }
  return runs
}

/** Accounts for offsets in rising order, within a range. */
class HoleList {
  readonly list: Hole[] = []
  readonly #upTo: Offset
  through: Offset

  constructor({ from, upTo }: PageRange) {
    this.#upTo = upTo
    this.through = from - 1
  }

  /** Every offset up to `to` that is not accounted for yet is a hole. */
  passTo(to: Offset, before: number, reason: keyof Holes | null): void {
    const end = Math.min(to, this.#upTo)
    if (end <= this.through) return
    this.list.push({ before, from: this.through + 1, to: end, reason })
    this.through = end
  }
}
