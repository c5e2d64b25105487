import { RehydrateError } from '../errors.js'
import { ownBytes } from './bytes.js'
import type { Int64Paths } from './int64.js'
import { type Value, MAX_DEPTH } from './value.js'

/**
 * The value of canonical bytes, deep-frozen, sharing no memory with them. 64-bit integers beyond ±(2^53 − 1) come as bigint;
 * at paths declared int64, all integers do. STATE_CORRUPT for bytes that are not one whole value. Whether they are the
 * canonical form of it is not checked: their hash says that.
 */
export function decode(bytes: Uint8Array, rules?: { readonly int64: Int64Paths }): Value {
  const reader = new Reader(bytes)
  const value = reader.value(0, rules === undefined ? null : rules.int64)
  if (reader.at !== bytes.length) throw corrupt(`there are bytes after its end, at byte ${reader.at}`)
  return value
}

/** The bytes that a canonical bin holds, in the memory of `bytes`: for what never reaches a handler. STATE_CORRUPT for anything else. */
export function binaryOf(bytes: Uint8Array): Uint8Array {
  const width = [1, 2, 4][(bytes[0] ?? 0) - 0xc4]
  if (width === undefined) throw corrupt('it holds no bytes')
  let count = 0
  for (let i = 1; i <= width; i++) count = count * 256 + (bytes[i] ?? 0)
  if (bytes.length !== 1 + width + count) throw corrupt('its length is another')
  return bytes.subarray(1 + width)
}

class Reader {
  at = 0
  readonly #bytes: Buffer
  #view: DataView | null = null

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  value(depth: number, int64: Int64Paths | null): Value {
    const token = this.#bytes[this.at++]
    if (token === undefined) throw corrupt('it ends too soon')
    if (token < 0x80) return integer(token, int64)
    if (token < 0x90) return this.#object(token & 15, depth, int64)
    if (token < 0xa0) return this.#array(token & 15, depth, int64)
    if (token < 0xc0) return this.#text(token & 31)
    if (token >= 0xe0) return integer(token - 256, int64)
    switch (token) {
      case 0xc0: return null
      case 0xc2: return false
      case 0xc3: return true
      case 0xc4: return this.#binary(this.#uint(1))
      case 0xc5: return this.#binary(this.#uint(2))
      case 0xc6: return this.#binary(this.#uint(4))
      case 0xcb: return this.#word().getFloat64(this.at - 8)
      case 0xcc: return integer(this.#uint(1), int64)
      case 0xcd: return integer(this.#uint(2), int64)
      case 0xce: return integer(this.#uint(4), int64)
      case 0xcf: return wide(this.#word().getUint32(this.at - 8), this.#uint32(this.at - 4), int64)
      case 0xd0: return integer(this.#uint(1) << 24 >> 24, int64)
      case 0xd1: return integer(this.#uint(2) << 16 >> 16, int64)
      case 0xd2: return integer(this.#uint(4) | 0, int64)
      case 0xd3: return wide(this.#word().getInt32(this.at - 8), this.#uint32(this.at - 4), int64)
      case 0xd9: return this.#text(this.#uint(1))
      case 0xda: return this.#text(this.#uint(2))
      case 0xdb: return this.#text(this.#uint(4))
      case 0xdc: return this.#array(this.#uint(2), depth, int64)
      case 0xdd: return this.#array(this.#uint(4), depth, int64)
      case 0xde: return this.#object(this.#uint(2), depth, int64)
      case 0xdf: return this.#object(this.#uint(4), depth, int64)
      default: throw corrupt(`0x${token.toString(16)} at byte ${this.at - 1} is no format of codec 01`)
    }
  }

  #array(count: number, depth: number, int64: Int64Paths | null): Value {
    this.#enter(count, depth)
    const elements = int64 === null ? null : int64.elements
    const array = new Array<Value>(count)
    for (let i = 0; i < count; i++) array[i] = this.value(depth + 1, elements)
    return Object.freeze(array)
  }

  #object(count: number, depth: number, int64: Int64Paths | null): Value {
    this.#enter(count * 2, depth)
    const object: Record<string, Value> = {}
    for (let i = 0; i < count; i++) {
      const name = this.#name()
      const value = this.value(depth + 1, int64 === null ? null : int64.properties.get(name) ?? null)
      if (name === '__proto__') Object.defineProperty(object, name, { value, enumerable: true })
      else object[name] = value
    }
    return Object.freeze(object)
  }

  /** Every item takes a byte at least: a false count can not make us allocate more than the input is long. */
  #enter(count: number, depth: number): void {
    if (depth >= MAX_DEPTH) throw corrupt(`it is nested deeper than ${MAX_DEPTH} levels`)
    if (count > this.#bytes.length - this.at) throw corrupt('it ends too soon')
  }

  #name(): string {
    const token = this.#uint(1)
    if (token >= 0xa0 && token < 0xc0) return this.#cachedName(token & 31)
    if (token >= 0xd9 && token <= 0xdb) return this.#text(this.#uint(1 << (token - 0xd9)))
    throw corrupt(`the name of a property at byte ${this.at - 1} is not text`)
  }

  /** Names recur: those seen last are found by their bytes. */
  #cachedName(count: number): string {
    const from = this.#skip(count)
    const bytes = this.#bytes
    let mix = count
    for (let i = from; i < this.at; i++) mix = (Math.imul(mix, 31) + bytes[i]!) | 0
    const slot = (mix ^ (mix >>> 10)) & (NAME_SLOTS - 1)
    const known = nameSlots[slot]
    if (known !== undefined && known.bytes.length === count && sameBytes(known.bytes, bytes, from)) return known.text
    const text = bytes.toString('utf8', from, this.at)
    nameSlots[slot] = { bytes: Uint8Array.from(bytes.subarray(from, this.at)), text }
    return text
  }

  #text(count: number): string {
    const from = this.#skip(count)
    return count < SHORT_TEXT ? shortText(this.#bytes, from, this.at) : this.#bytes.toString('utf8', from, this.at)
  }

  #binary(count: number): Uint8Array {
    const from = this.#skip(count)
    return ownBytes(this.#bytes.subarray(from, this.at))
  }

  #uint(width: number): number {
    const bytes = this.#bytes
    let value = 0
    for (let i = this.#skip(width); i < this.at; i++) value = value * 256 + bytes[i]!
    return value
  }

  #uint32(at: number): number {
    return this.#view!.getUint32(at)
  }

  /** Steps over 8 bytes. */
  #word(): DataView {
    this.#skip(8)
    return this.#view ??= new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength)
  }

  #skip(count: number): number {
    const from = this.at
    if (count > this.#bytes.length - from) throw corrupt('it ends too soon')
    this.at = from + count
    return from
  }
}

const NAME_SLOTS = 1024
const nameSlots = new Array<{ readonly bytes: Uint8Array; readonly text: string } | undefined>(NAME_SLOTS).fill(undefined)

function sameBytes(a: Uint8Array, b: Uint8Array, from: number): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[from + i]) return false
  return true
}

const SHORT_TEXT = 16

/** Below this length a call into native code costs more than joining characters. */
function shortText(bytes: Buffer, from: number, to: number): string {
  let text = ''
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!
    if (byte > 127) return bytes.toString('utf8', from, to)
    text += String.fromCharCode(byte)
  }
  return text
}

function integer(value: number, int64: Int64Paths | null): Value {
  return int64 !== null && int64.here ? BigInt(value) : value
}

function wide(high: number, low: number, int64: Int64Paths | null): Value {
  const value = high * 0x100000000 + low
  return Number.isSafeInteger(value) ? integer(value, int64) : (BigInt(high) << 32n) + BigInt(low)
}

function corrupt(why: string): RehydrateError {
  return new RehydrateError('STATE_CORRUPT', { message: `Bytes are not a value: ${why}.` })
}
