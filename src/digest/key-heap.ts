import { KEY_HEAD_BYTES, keyBytesAt, keyTextAt } from './entries.js'

const FIRST_BYTES = 16 * 1024
const MAX_UTF8_PER_UNIT = 3

/** Keys one behind the other, as they stand on pages: 2 bytes of length and UTF-8 each. */
export class KeyHeap {
  #bytes: Uint8Array
  #length = 0

  constructor(bytes = FIRST_BYTES) {
    this.#bytes = new Uint8Array(bytes)
  }

  /** Bytes that are in use. */
  get length(): number { return this.#length }

  get bytes(): Uint8Array { return this.#bytes }

  clear(): void { this.#length = 0 }

  /** Room for so many bytes more. */
  reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes))
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
  }

  /** Appends a key; returns where it begins. */
  add(key: string): number {
    const units = key.length
    this.reserve(KEY_HEAD_BYTES + units * MAX_UTF8_PER_UNIT)
    const bytes = this.#bytes
    const at = this.#length
    const from = at + KEY_HEAD_BYTES
    let length = units
    for (let i = 0; i < units; i++) {
      const unit = key.charCodeAt(i)
      if (unit > 127) {
        length = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).write(key, from)
        break
      }
      bytes[from + i] = unit
    }
    bytes[at] = length >>> 8
    bytes[at + 1] = length
    this.#length = from + length
    return at
  }

  /** Appends the key at this place of other memory. */
  copy(source: Uint8Array, from: number): void {
    const length = keyBytesAt(source, from)
    this.reserve(length)
    const bytes = this.#bytes
    const at = this.#length
    for (let i = 0; i < length; i++) bytes[at + i] = source[from + i]!
    this.#length = at + length
  }

  /**
   * Appends keys of another heap, the ones that begin at places[order[from]] … places[order[to - 1]]. Returns where each begins here,
   * and where the last one ends. What is far apart in memory is looked up in short loops, so that the processor waits for many at once.
   */
  copyAll(other: KeyHeap, places: Uint32Array, order: Uint32Array, from: number, to: number): Uint32Array {
    const count = to - from
    const source = other.#bytes
    const sources = new Uint32Array(count)
    for (let i = 0; i < count; i++) sources[i] = places[order[from + i]!]!
    const starts = new Uint32Array(count + 1)
    let end = this.#length
    for (let i = 0; i < count; i++) {
      starts[i] = end
      end += keyBytesAt(source, sources[i]!)
    }
    starts[count] = end
    this.reserve(end - this.#length)
    const bytes = this.#bytes
    for (let i = 0; i < count; i++) {
      const shift = sources[i]! - starts[i]!
      const stop = starts[i + 1]!
      for (let at = starts[i]!; at < stop; at++) bytes[at] = source[at + shift]!
    }
    this.#length = end
    return starts
  }

  /** Moves the key at `from` to `to`, which lies before it; returns where it ends. */
  move(from: number, to: number): number {
    const length = keyBytesAt(this.#bytes, from)
    if (from !== to) this.#bytes.copyWithin(to, from, from + length)
    return to + length
  }

  /** Drops what lies behind this place. */
  cut(length: number): void { this.#length = length }

  textAt(at: number): string { return keyTextAt(this.#bytes, at) }
}
