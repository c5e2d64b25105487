import type { Offset } from '../../src/index.js'
import { Damage } from './damage.js'

/** One record takes at least: length, attributes, timestamp, offset, key length, value length, header count. */
const SHORTEST_RECORD = 7
/** Of one record in the columns: offset delta, key from and to, value from and to, headers from. */
const WIDTH = 6

export interface RecordHeader {
  readonly name: string
  readonly value: Buffer | null
}

const NO_HEADERS: readonly RecordHeader[] = Object.freeze([])

/** What a batch says of all its records. */
export interface RecordsFrame {
  readonly baseOffset: Offset
  /** The last offset's distance from the first. */
  readonly lastOffsetDelta: number
  readonly count: number
  /** Ms; -1: none. */
  readonly baseTimestampMs: number
  /** The broker's time for all records, in ms; null: each record has its own. */
  readonly appendTimestampMs: number | null
}

/**
 * The records of one batch as columns over its bytes: nothing is copied and no object is made per record. Keys, values and headers are
 * views into the buffer of the fetch, or of the decompressed batch, and stay valid as long as they are held. Bytes lie in `bytes`, from
 * `keyFrom(i)` (-1: null) to `keyTo(i)`, exclusive, and likewise values.
 */
export class Records {
  readonly bytes: Buffer
  readonly count: number
  readonly #frame: RecordsFrame
  readonly #columns: Int32Array
  readonly #timestamps: Float64Array

  /** Reads the bytes from `from` to the end. Throws Damage. */
  constructor(bytes: Buffer, from: number, to: number, frame: RecordsFrame) {
    if (frame.count < 0 || frame.count * SHORTEST_RECORD > to - from) {
      throw new Damage(`says it has ${frame.count} records, which do not fit into its ${to - from} bytes`)
    }
    this.bytes = bytes
    this.count = frame.count
    this.#frame = frame
    this.#columns = new Int32Array(frame.count * WIDTH)
    this.#timestamps = new Float64Array(frame.count)
    readRecords(new Cursor(bytes, from, to), frame, this.#columns, this.#timestamps)
  }

  offsetAt(index: number): Offset { return this.#frame.baseOffset + this.#column(index, 0) }

  /** Ms since 1970; -1: none. */
  timestampAt(index: number): number { return this.#frame.appendTimestampMs ?? (this.#timestamps[index] as number) }

  keyFrom(index: number): number { return this.#column(index, 1) }

  keyTo(index: number): number { return this.#column(index, 2) }

  valueFrom(index: number): number { return this.#column(index, 3) }

  valueTo(index: number): number { return this.#column(index, 4) }

  keyAt(index: number): Buffer | null { return this.#slice(this.keyFrom(index), this.keyTo(index)) }

  /** Null: a tombstone. */
  valueAt(index: number): Buffer | null { return this.#slice(this.valueFrom(index), this.valueTo(index)) }

  /** In the order they were written; a name may come twice. */
  headersAt(index: number): readonly RecordHeader[] {
    // Their count is the last byte of a record without any.
    if (this.bytes[this.#column(index, 5)] === 0) return NO_HEADERS
    const cursor = new Cursor(this.bytes, this.#column(index, 5), this.bytes.length)
    const headers: RecordHeader[] = []
    for (let left = cursor.varint(); left > 0; left--) {
      const nameBytes = cursor.varint()
      const name = this.bytes.toString('utf8', cursor.at, cursor.at + nameBytes)
      cursor.at += nameBytes
      const valueBytes = cursor.varint()
      headers.push({ name, value: valueBytes < 0 ? null : this.bytes.subarray(cursor.at, cursor.at + valueBytes) })
      if (valueBytes > 0) cursor.at += valueBytes
    }
    return headers
  }

  #column(index: number, column: number): number { return this.#columns[index * WIDTH + column] as number }

  #slice(from: number, to: number): Buffer | null { return from < 0 ? null : this.bytes.subarray(from, to) }
}

/** Checks everything that is walked over, headers too: what the columns point at lies within its record. */
function readRecords(cursor: Cursor, frame: RecordsFrame, columns: Int32Array, timestamps: Float64Array): void {
  const { lastOffsetDelta, baseTimestampMs } = frame
  let lastDelta = -1
  let column = 0
  for (let index = 0; index < frame.count; index++) {
    const size = cursor.varint()
    const end = cursor.at + size
    if (size < SHORTEST_RECORD - 1 || end > cursor.end) throw new Damage(`has a record ${index} that does not fit into it`)
    cursor.at++
    timestamps[index] = baseTimestampMs + cursor.varlong()
    const delta = cursor.varint()
    if (delta <= lastDelta || delta > lastOffsetDelta) throw new Damage(`has a record ${index} whose offset is out of order`)
    lastDelta = delta
    columns[column] = delta
    const keyBytes = cursor.varint()
    columns[column + 1] = keyBytes < 0 ? -1 : cursor.at
    if (keyBytes > 0) cursor.at += keyBytes
    columns[column + 2] = cursor.at
    const valueBytes = cursor.varint()
    columns[column + 3] = valueBytes < 0 ? -1 : cursor.at
    if (valueBytes > 0) cursor.at += valueBytes
    columns[column + 4] = cursor.at
    columns[column + 5] = cursor.at
    column += WIDTH
    skipHeaders(cursor, end, index)
    if (cursor.at !== end || keyBytes < -1 || valueBytes < -1) throw inconsistent(index)
  }
  if (cursor.at !== cursor.end) throw new Damage(`has ${cursor.end - cursor.at} bytes after its last record`)
}

function skipHeaders(cursor: Cursor, end: number, index: number): void {
  const headers = cursor.varint()
  if (headers < 0 || headers > end - cursor.at) throw inconsistent(index)
  for (let left = headers; left > 0; left--) {
    const nameBytes = cursor.varint()
    if (nameBytes < 0) throw inconsistent(index)
    cursor.at += nameBytes
    const valueBytes = cursor.varint()
    if (valueBytes > 0) cursor.at += valueBytes
    if (valueBytes < -1 || cursor.at > end) throw inconsistent(index)
  }
}

function inconsistent(index: number): Damage {
  return new Damage(`has a record ${index} whose parts do not fit its length`)
}

/** Zigzag varints. A read outside the buffer is an endless varint, and refused as one. */
class Cursor {
  readonly bytes: Buffer
  readonly end: number
  at: number

  constructor(bytes: Buffer, at: number, end: number) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  /** 32 bits. */
  varint(): number {
    const byte = this.bytes[this.at++] as number
    if (byte < 128) return (byte >>> 1) ^ -(byte & 1)
    let value = byte & 127
    for (let shift = 7; shift < 35; shift += 7) {
      const more = this.bytes[this.at++] as number
      if (shift === 28 && more > 15) break
      value |= (more & 127) << shift
      if (more < 128) return (value >>> 1) ^ -(value & 1)
    }
    throw new Damage('has a number that is longer than 32 bits')
  }

  /** 64 bits, which must fit 53. */
  varlong(): number {
    const byte = this.bytes[this.at++] as number
    if (byte < 128) return (byte >>> 1) ^ -(byte & 1)
    let value = byte & 127
    let scale = 128
    for (let bytes = 1; bytes < 10; bytes++) {
      const more = this.bytes[this.at++] as number
      value += (more & 127) * scale
      scale *= 128
      if (!(more >= 128)) {
        if (!(value <= Number.MAX_SAFE_INTEGER)) break
        return value % 2 === 0 ? value / 2 : -(value + 1) / 2
      }
    }
    throw new Damage('has a number that is longer than 53 bits')
  }
}
