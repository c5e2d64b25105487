import { isAscii, isUtf8 } from 'node:buffer'
import { Unreadable } from './unreadable.js'

/** Containers inside containers. */
export const MAX_NESTING = 64

/**
 * Values that take no byte, of one payload: a few bytes may say that there are 2^31 of them. All others are bounded by the bytes that they
 * take.
 */
const MAX_FREE_VALUES = 1_000_000

const SHORT_TEXT = 16

/** Reads the bytes of one payload from front to back. Throws Unreadable. */
export class Cursor {
  readonly bytes: Buffer
  /** Exclusive; a message inside a message ends before it. */
  end: number
  at: number
  /** An integer beyond ±(2^53 − 1) was read. */
  isWide = false
  #nesting = 0
  #freeValues = 0

  constructor(bytes: Buffer, from = 0, to = bytes.length) {
    this.bytes = bytes
    this.at = from
    this.end = to
  }

  /** Steps over `count` bytes, and gives where they begin. */
  skip(count: number): number {
    if (!(count >= 0 && count <= this.end - this.at)) throw new Unreadable('ends too soon')
    const from = this.at
    this.at += count
    return from
  }

  byte(): number {
    if (this.at >= this.end) throw new Unreadable('ends too soon')
    return this.bytes[this.at++] as number
  }

  float32(): number { return this.bytes.readFloatLE(this.skip(4)) }

  float64(): number { return this.bytes.readDoubleLE(this.skip(8)) }

  /** A copy: what a handler gets must not reach into the fetch that it came with. */
  copy(count: number): Uint8Array {
    const from = this.skip(count)
    return new Uint8Array(this.bytes.subarray(from, this.at))
  }

  /** Two texts must never become one, as they would if what is not UTF-8 were replaced. */
  text(count: number): string {
    const from = this.skip(count)
    const short = count < SHORT_TEXT ? this.#asciiText(from) : null
    if (short !== null) return short
    const bytes = this.bytes.subarray(from, this.at)
    if (isAscii(bytes)) return bytes.toString('latin1')
    if (isUtf8(bytes)) return bytes.toString()
    throw new Unreadable(`has a text at byte ${from} that is not UTF-8`)
  }

  /** A call into native code costs more than joining a few characters. Null where they are not all ASCII. */
  #asciiText(from: number): string | null {
    const { bytes, at } = this
    let text = ''
    for (let i = from; i < at; i++) {
      const byte = bytes[i] as number
      if (byte > 127) return null
      text += String.fromCharCode(byte)
    }
    return text
  }

  /** Little-endian groups of 7 bits, up to 64 bits in all; the ones above them must be 0. A number where it is exact. */
  varint(): number | bigint {
    const first = this.at < this.end ? this.bytes[this.at] as number : 128
    if (first < 128) {
      this.at++
      return first
    }
    let value = 0
    for (let shift = 1; shift < 2 ** 49; shift *= 128) {
      const byte = this.byte()
      value += (byte & 127) * shift
      if (byte < 128) return value
    }
    return this.#longVarint(BigInt(value))
  }

  #longVarint(low: bigint): bigint {
    let value = low
    for (let shift = 49n; shift <= 63n; shift += 7n) {
      const byte = this.byte()
      if (shift === 63n && byte > 1) throw new Unreadable(`has an integer of more than 64 bits at byte ${this.at - 1}`)
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
    throw new Unreadable(`has an integer of more than 64 bits at byte ${this.at - 1}`)
  }

  /** A varint with its sign in the lowest bit: a bigint only where a number would round. */
  zigzag(): number | bigint {
    const raw = this.varint()
    if (typeof raw === 'number') return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2
    return this.exact(BigInt.asIntN(64, (raw >> 1n) ^ -(raw & 1n)))
  }

  /** The integer as a number where that is exact, else as it is. */
  exact(value: bigint): number | bigint {
    const number = Number(value)
    if (Number.isSafeInteger(number)) return number
    this.isWide = true
    return value
  }

  /** A count of bytes or items. */
  count(): number {
    const count = this.zigzag()
    if (typeof count === 'number' && count >= 0) return count
    throw new Unreadable(`has a length of ${count} at byte ${this.at}`)
  }

  enter(): void {
    if (++this.#nesting > MAX_NESTING) throw new Unreadable(`is nested deeper than ${MAX_NESTING} levels`)
  }

  leave(): void { this.#nesting-- }

  /** To be called for each value that took no byte. */
  free(): void {
    if (++this.#freeValues > MAX_FREE_VALUES) throw new Unreadable(`has more than ${MAX_FREE_VALUES} values that take no byte`)
  }
}

/** Also where the name is __proto__, which is a name like any other in a payload. */
export function setField(object: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__') Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true })
  else object[name] = value
}
