import { KEY_HEAD_BYTES, keyBytesAt } from './entries.js'

const FIRST_BYTES = 16 * 1024
const MAX_UTF8_PER_UNIT = 3

/** Keys one behind the other, as they stand on pages: 2 bytes of length and UTF-8 each. */
export class KeyHeap {
  #bytes = new Uint8Array(FIRST_BYTES)
  #length = 0

  /** Bytes that are in use. */
  get length(): number { return this.#length }

  get bytes(): Uint8Array { return this.#bytes }

  clear(): void { this.#length = 0 }

  /** Room for so many bytes more. */
  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes))
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
  }

  /** Appends a key. */
  add(key: string): void {
    const units = key.length
    this.#reserve(KEY_HEAD_BYTES + units * MAX_UTF8_PER_UNIT)
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
  }

  /** Appends the key at this place of other memory. */
  copy(source: Uint8Array, from: number): void {
    const length = keyBytesAt(source, from)
    this.#reserve(length)
    const bytes = this.#bytes
    const at = this.#length
    for (let i = 0; i < length; i++) bytes[at + i] = source[from + i]!
    this.#length = at + length
  }
}
