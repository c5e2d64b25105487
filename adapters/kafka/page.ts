import { createHash } from 'node:crypto'
import type { Holes, Offset } from '../../src/index.js'
import type { RawRecord } from './mapping.js'
import { ColumnRecord } from './record.js'
import type { RecordBatch } from './record-batch.js'
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
  readonly #batches: RecordBatch[] = []
  readonly #indexes: number[] = []

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

  get count(): number { return this.#indexes.length }

  /** Nothing that could be read followed it when it was fetched. */
  get atEnd(): boolean { return this.through + 1 === this.moment.end }

  offsetAt(i: number): Offset { return this.#records(i).offsetAt(this.#indexes[i] as number) }

  leaderEpochAt(i: number): number { return (this.#batches[i] as RecordBatch).leaderEpoch }

  recordAt(i: number): RawRecord {
    return new ColumnRecord(this.#records(i), this.#indexes[i] as number)
  }

  keyAt(i: number): Buffer | null { return this.#records(i).keyAt(this.#indexes[i] as number) }

  /** Null: a tombstone. */
  valueAt(i: number): Buffer | null { return this.#records(i).valueAt(this.#indexes[i] as number) }

  /** SHA-256 of a record as `bytesOf` writes it, hexadecimal. */
  hashAt(i: number): string {
    return createHash('sha256').update(this.bytesOf(i, i + 1)).digest('hex')
  }

  /**
   * Records [from, to) for hashing, all integers big-endian: offset and timestamp (64 bits, −1: none), key, value, count of headers (32
   * bits), each header's name and value; texts and bytes behind their length (32 bits, −1: null). No bytes of batches: compaction
   * rewrites those.
   */
  bytesOf(from: number, to: number): Buffer {
    const bytes = new ByteWriter((to - from) * 512)
    for (let i = from; i < to; i++) {
      const records = this.#records(i)
      const index = this.#indexes[i] as number
      bytes.int64(records.offsetAt(index))
      bytes.int64(records.timestampAt(index))
      bytes.slice(records.bytes, records.keyFrom(index), records.keyTo(index))
      bytes.slice(records.bytes, records.valueFrom(index), records.valueTo(index))
      const headers = records.headersAt(index)
      bytes.int32(headers.length)
      for (const { name, value } of headers) {
        const text = Buffer.from(name)
        bytes.slice(text, 0, text.length)
        bytes.slice(value ?? text, value === null ? -1 : 0, value?.length ?? -1)
      }
    }
    return bytes.written()
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

  #records(i: number): Records { return (this.#batches[i] as RecordBatch).records() }

  #take(batch: RecordBatch, range: PageRange, holes: HoleList, missing: 'compactedOrLost' | null): void {
    const records = batch.records()
    for (let index = 0; index < records.count; index++) {
      const offset = records.offsetAt(index)
      if (offset < range.from) continue
      if (offset > range.upTo) break
      holes.passTo(offset - 1, this.count, missing)
      holes.through = offset
      this.#batches.push(batch)
      this.#indexes.push(index)
    }
    holes.passTo(batch.lastOffset, this.count, missing)
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

const SHORT_BYTES = 48

class ByteWriter {
  #buffer: Buffer
  #at = 0

  constructor(expectedBytes: number) {
    this.#buffer = Buffer.allocUnsafe(expectedBytes)
  }

  int32(value: number): void {
    this.#reserve(4)
    const buffer = this.#buffer
    buffer[this.#at++] = value >>> 24
    buffer[this.#at++] = value >>> 16
    buffer[this.#at++] = value >>> 8
    buffer[this.#at++] = value
  }

  int64(value: number): void {
    this.int32(Math.floor(value / 4_294_967_296))
    this.int32(value >>> 0)
  }

  /** from −1: null. */
  slice(bytes: Buffer, from: number, to: number): void {
    if (from < 0) return this.int32(-1)
    this.int32(to - from)
    this.#reserve(to - from)
    // A call costs as much as copying some dozens of bytes by hand.
    if (to - from < SHORT_BYTES) for (let at = from; at < to; at++) this.#buffer[this.#at++] = bytes[at] as number
    else this.#at += bytes.copy(this.#buffer, this.#at, from, to)
  }

  written(): Buffer { return this.#buffer.subarray(0, this.#at) }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes))
    this.#buffer.copy(larger, 0, 0, this.#at)
    this.#buffer = larger
  }
}
