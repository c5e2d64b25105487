import { shapeOf } from './shape.js'
import { type Trail, type Value, INT64_MIN, MAX_BYTES, MAX_DEPTH, UINT64_MAX, isWellFormed, pathText, valueInvalid } from './value.js'

const FIRST_CAPACITY = 64 * 1024
const LONGEST_KEPT_CAPACITY = 1024 * 1024

/**
 * Writes canonical MessagePack (codec 01 of docs/formats.md) in one pass into a buffer it grows and reuses. It takes values as
 * `normalise` gives them, and anything else that has a canonical form: any order of names, Buffers, an own `__proto__`, small
 * bigints, −0. VALUE_INVALID with the path for what has none, and for a value over MAX_BYTES.
 */
export class CanonicalWriter {
  /** What was written is `bytes.subarray(0, length)`; growing replaces the array. */
  bytes: Buffer
  length = 0
  #view: DataView
  /** Where the value being written began. */
  #start = 0
  readonly #trail: Trail = []

  constructor(capacity = FIRST_CAPACITY) {
    this.bytes = Buffer.allocUnsafeSlow(capacity)
    this.#view = viewOf(this.bytes)
  }

  /** Forgets what was written; the buffer stays, unless one huge value made it huge. */
  reset(): void {
    this.length = 0
    if (this.bytes.length > LONGEST_KEPT_CAPACITY) this.#replace(FIRST_CAPACITY)
  }

  /** Appends one value and returns its length in bytes. After an error nothing of it is kept. */
  write(value: Value): number {
    this.#start = this.length
    try {
      this.#value(value, 0)
    } catch (error) {
      this.length = this.#start
      throw error
    }
    const written = this.length - this.#start
    if (written > MAX_BYTES) {
      this.length = this.#start
      throw tooLong()
    }
    return written
  }

  /**
   * Begins a map of `count` names, for who writes an object's bytes without the object: `raw` name and `write` value of each
   * follow.
   */
  mapHead(count: number): void {
    this.#reserve(5)
    if (count < 16) this.bytes[this.length++] = 0x80 | count
    else this.#head16(0xde, count)
  }

  /** Appends bytes that are canonical already. */
  raw(source: Uint8Array): void {
    const count = source.length
    this.#reserve(count)
    const bytes = this.bytes
    const at = this.length
    if (count > 48) bytes.set(source, at)
    else for (let i = 0; i < count; i++) bytes[at + i] = source[i]!
    this.length = at + count
  }

  #value(value: Value, depth: number): void {
    switch (typeof value) {
      case 'string': return this.#string(value, depth)
      case 'number': return this.#number(value, depth)
      case 'boolean': return this.#byte(value ? 0xc3 : 0xc2)
      case 'bigint': return this.#bigint(value, depth)
      case 'object':
        if (value === null) return this.#byte(0xc0)
        if (Array.isArray(value)) return this.#array(value, depth)
        return this.#object(value, depth)
      default: throw this.#refused(depth, `is a ${typeof value}`)
    }
  }

  #array(value: readonly Value[], depth: number): void {
    if (depth >= MAX_DEPTH) throw this.#refused(depth, `is nested deeper than ${MAX_DEPTH} levels, or holds itself`)
    const count = value.length
    this.#reserve(5)
    if (count < 16) this.bytes[this.length++] = 0x90 | count
    else this.#head16(0xdc, count)
    for (let i = 0; i < count; i++) {
      this.#trail[depth] = i
      this.#value(value[i]!, depth + 1)
    }
  }

  #object(value: object, depth: number): void {
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype !== Object.prototype && prototype !== null) {
      if (value instanceof Uint8Array) return this.#binary(value)
      throw this.#refused(depth, `is a ${value.constructor?.name ?? 'class instance'}, not plain data`)
    }
    if (depth >= MAX_DEPTH) throw this.#refused(depth, `is nested deeper than ${MAX_DEPTH} levels, or holds itself`)
    const shape = shapeOf(Object.keys(value))
    const { names, encoded } = shape
    const items = value as Record<string, Value | undefined>
    let count = names.length
    for (let i = 0; i < names.length; i++) if (items[names[i]!] === undefined) count--
    this.mapHead(count)
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!
      const item = items[name]
      if (item === undefined) continue
      this.#trail[depth] = name
      if (shape.refused !== null && !isWellFormed(name)) throw this.#refused(depth, 'has a property name with a lone surrogate')
      this.raw(encoded[i]!)
      this.#value(item, depth + 1)
    }
  }

  #binary(value: Uint8Array): void {
    const count = value.length
    this.#reserve(5 + count)
    if (count < 0x100) {
      this.bytes[this.length++] = 0xc4
      this.bytes[this.length++] = count
    } else this.#head16(0xc5, count)
    this.bytes.set(value, this.length)
    this.length += count
  }

  #string(value: string, depth: number): void {
    const units = value.length
    this.#reserve(5 + units * 3)
    const bytes = this.bytes
    if (units < 24) {
      let at = this.length + 1
      let i = 0
      for (; i < units; i++) {
        const unit = value.charCodeAt(i)
        if (unit > 127) break
        bytes[at++] = unit
      }
      if (i === units) {
        bytes[this.length] = 0xa0 | units
        this.length = at
        return
      }
    }
    // The text goes behind the longest header; most often a shorter one will do, and the text moves back.
    const from = this.length + 5
    const count = bytes.write(value, from, units * 3, 'utf8')
    if (count !== units && !isWellFormed(value)) throw this.#refused(depth, 'holds a lone surrogate, which has no UTF-8 form')
    if (count < 32) bytes[this.length++] = 0xa0 | count
    else if (count < 0x100) {
      bytes[this.length++] = 0xd9
      bytes[this.length++] = count
    } else this.#head16(0xda, count)
    if (this.length !== from) bytes.copyWithin(this.length, from, from + count)
    this.length += count
  }

  #number(value: number, depth: number): void {
    this.#reserve(9)
    if ((value | 0) === value || Number.isSafeInteger(value)) return this.#integer(value)
    if (!Number.isFinite(value)) throw this.#refused(depth, `is ${value}`)
    this.bytes[this.length] = 0xcb
    this.#view.setFloat64(this.length + 1, value)
    this.length += 9
  }

  #bigint(value: bigint, depth: number): void {
    this.#reserve(9)
    if (value >= -9007199254740991n && value <= 9007199254740991n) return this.#integer(Number(value))
    if (value < INT64_MIN || value > UINT64_MAX) throw this.#refused(depth, `is ${value}n, outside [−2^63, 2^64 − 1]`)
    if (value > 0n) {
      this.bytes[this.length] = 0xcf
      this.#view.setBigUint64(this.length + 1, value)
    } else {
      this.bytes[this.length] = 0xd3
      this.#view.setBigInt64(this.length + 1, value)
    }
    this.length += 9
  }

  /** A safe integer in its smallest format; 9 bytes are reserved. */
  #integer(value: number): void {
    const bytes = this.bytes
    if (value >= 0) {
      if (value < 128) bytes[this.length++] = value
      else if (value < 0x100) {
        bytes[this.length++] = 0xcc
        bytes[this.length++] = value
      } else if (value < 0x100000000) this.#head16(0xcd, value)
      else this.#words(0xcf, Math.floor(value / 0x100000000), value)
    } else if (value >= -32) bytes[this.length++] = value
    else if (value >= -128) {
      bytes[this.length++] = 0xd0
      bytes[this.length++] = value
    } else if (value >= -0x8000) {
      bytes[this.length++] = 0xd1
      bytes[this.length++] = value >> 8
      bytes[this.length++] = value
    } else if (value >= -0x80000000) {
      bytes[this.length++] = 0xd2
      this.#view.setInt32(this.length, value)
      this.length += 4
    } else this.#words(0xd3, Math.floor(value / 0x100000000), value)
  }

  /** `token` and 16 bits, or `token + 1` and 32 bits: how every family of formats goes on. */
  #head16(token: number, value: number): void {
    const bytes = this.bytes
    if (value < 0x10000) {
      bytes[this.length++] = token
      bytes[this.length++] = value >>> 8
      bytes[this.length++] = value
    } else {
      bytes[this.length++] = token + 1
      this.#view.setUint32(this.length, value)
      this.length += 4
    }
  }

  #words(token: number, high: number, value: number): void {
    this.bytes[this.length] = token
    this.#view.setInt32(this.length + 1, high)
    this.#view.setUint32(this.length + 5, value)
    this.length += 9
  }

  #byte(value: number): void {
    this.#reserve(1)
    this.bytes[this.length++] = value
  }

  #reserve(count: number): void {
    const needed = this.length + count
    if (needed > this.bytes.length) this.#grow(needed)
  }

  #grow(needed: number): void {
    if (this.length - this.#start > MAX_BYTES) throw tooLong()
    this.#replace(Math.max(needed, this.bytes.length * 2))
  }

  #replace(capacity: number): void {
    const old = this.bytes
    this.bytes = Buffer.allocUnsafeSlow(capacity)
    this.#view = viewOf(this.bytes)
    old.copy(this.bytes, 0, 0, this.length)
  }

  #refused(depth: number, what: string): Error {
    return valueInvalid(pathText(this.#trail, depth), what)
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function tooLong(): Error {
  return valueInvalid('$', `takes more than ${MAX_BYTES / 1024 / 1024} MiB as canonical bytes`, 'Split it into several keys.')
}

const shared = new CanonicalWriter()

/** The canonical bytes of a value, in an array of their own. Errors as CanonicalWriter. */
export function encode(value: Value): Uint8Array {
  shared.reset()
  shared.write(value)
  return new Uint8Array(shared.bytes.subarray(0, shared.length))
}
