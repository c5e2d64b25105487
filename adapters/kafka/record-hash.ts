import type { Hash } from 'node:crypto'
import type { Records } from './records.js'

/** A call costs as much as copying some dozens of bytes by hand. */
const SHORT_BYTES = 48
/** What goes into a hash at once; small enough to stay near the processor. One is enough: nobody waits between `take` and `end`. */
const GATHERED = Buffer.allocUnsafeSlow(64 << 10)

/**
 * Takes records into a hash, all integers big-endian: offset and timestamp (64 bits, −1: none), key, value, count of headers (32 bits),
 * each header's name and value; texts and bytes behind their length (32 bits, −1: null). No bytes of batches: compaction rewrites those.
 */
export class RecordHasher {
  readonly #hash: Hash
  #at = 0

  constructor(hash: Hash) {
    this.#hash = hash
  }

  /** Records [from, to) of a batch. */
  take(records: Records, from: number, to: number): void {
    const { bytes } = records
    for (let index = from; index < to; index++) {
      this.#int64(records.offsetAt(index))
      this.#int64(records.timestampAt(index))
      this.#slice(bytes, records.keyFrom(index), records.keyTo(index))
      this.#slice(bytes, records.valueFrom(index), records.valueTo(index))
      const headers = records.headersAt(index)
      this.#int32(headers.length)
      for (const { name, value } of headers) {
        const text = Buffer.from(name)
        this.#slice(text, 0, text.length)
        this.#slice(value ?? text, value === null ? -1 : 0, value?.length ?? -1)
      }
    }
  }

  /** All that was taken is in the hash. */
  end(): void {
    if (this.#at > 0) this.#hash.update(GATHERED.subarray(0, this.#at))
    this.#at = 0
  }

  #int64(value: number): void {
    this.#int32(Math.floor(value / 4_294_967_296))
    this.#int32(value >>> 0)
  }

  #int32(value: number): void {
    if (this.#at + 4 > GATHERED.length) this.end()
    GATHERED[this.#at++] = value >>> 24
    GATHERED[this.#at++] = value >>> 16
    GATHERED[this.#at++] = value >>> 8
    GATHERED[this.#at++] = value
  }

  /** from −1: null. */
  #slice(bytes: Buffer, from: number, to: number): void {
    if (from < 0) return this.#int32(-1)
    const length = to - from
    this.#int32(length)
    if (this.#at + length > GATHERED.length) this.end()
    if (length > GATHERED.length) this.#hash.update(bytes.subarray(from, to))
    else if (length < SHORT_BYTES) for (let at = from; at < to; at++) GATHERED[this.#at++] = bytes[at] as number
    else this.#at += bytes.copy(GATHERED, this.#at, from, to)
  }
}
