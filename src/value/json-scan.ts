import { parseJson, suspectDigits } from './json.js'
import { CLOSE_ARRAY, CLOSE_OBJECT, COMMA, JsonSkipper, NOT_JSON, OPEN_ARRAY, OPEN_OBJECT, QUOTE } from './json-skip.js'
import { fieldOf, KEPT_TEXTS, makeName, UNKNOWN, type Field, type Layout, type Name } from './json-layout.js'
import type { ReadNode } from './reads.js'
import { INT64_MIN, UINT64_MAX } from './value.js'

const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
/** So many digits are exact in a double, and so is the sum that is built of them one by one. */
const EXACT_DIGITS = 15
const POWERS_OF_TEN = Float64Array.from({ length: EXACT_DIGITS + 1 }, (_, n) => 10 ** n)
/** Texts of a field that come again are not made again; longer ones seldom do. */
const LONGEST_KEPT_BYTES = 24
/** Names that are remembered per object. */
const MOST_NAMES = 256
const LONGEST_NAME_BYTES = 128
const ASCII = /^[ -~]*$/
const SPACE = 0x20

/** What `scan` gives where the bytes are not JSON, or hold a number that is read and can not be held. */
export const UNREADABLE: unique symbol = Symbol('unreadable')

/**
 * Reads the fields of a tree of reads from JSON in bytes, and passes over all else, checking it. The same as parseJson with 'wide' and
 * then pickReads, but that a number in what is passed over may be of any size. Where that would throw it says UNREADABLE: who called it
 * parses the text to learn what is wrong. Whether bytes beyond ASCII are UTF-8 is for the caller to know: see `isAscii`.
 */
export class JsonScanner extends JsonSkipper {
  readonly #root: Field
  /** The value scanned last holds a bigint. */
  hasBigints = false

  constructor(node: ReadNode) {
    super()
    this.#root = fieldOf(node)
  }

  /** Nothing beyond ASCII was in the value scanned last. */
  get isAscii(): boolean { return !this.beyondAscii }

  /** The value in bytes[from, to), with nothing but space around it. */
  scan(bytes: Buffer, from: number, to: number): unknown {
    // Nothing closes a number that stands alone: it would run on into what follows.
    if (to < bytes.length && !((bytes[from] as number) > NINE)) return this.scan(bytes.subarray(from, to), 0, to - from)
    this.take(bytes, to)
    this.hasBigints = false
    try {
      const value = this.#read(this.#root, this.space(from))
      const end = this.space(this.#at)
      // Space that ends the value may go on in what follows it.
      return this.#at > to || end < to ? UNREADABLE : value
    } catch (error) {
      if (error === NOT_JSON) return UNREADABLE
      throw error
    }
  }

  /** After the value read last. */
  #at = 0

  #read(field: Field, from: number): unknown {
    const byte = this.bytes[from] as number
    if (byte === QUOTE) return this.#text(field, from)
    if (byte === OPEN_OBJECT) return field.layout === null ? this.#whole(from) : this.#object(field.layout, from)
    if (byte === OPEN_ARRAY) return field.elements === null ? this.#whole(from) : this.#array(field.elements, from)
    if (byte <= NINE) return this.#number(from)
    this.#at = this.word(from)
    return byte === 0x74 ? true : byte === 0x66 ? false : null
  }

  #object(layout: Layout, from: number): unknown {
    const { bytes } = this
    const { values, fields, maker } = layout
    values.fill(maker.absent)
    let before = layout.start
    let at = from
    for (;;) {
      const name = this.#known(before, at) ?? this.#name(layout, before, at)
      if (name === null) return maker.make(values)
      at = name.known ? at + name.length : this.#at
      if (!((bytes[at] as number) > SPACE)) at = this.space(at)
      if (name.found < 0) at = this.value(at)
      else {
        values[name.found] = this.#read(fields[name.found] as Field, at)
        at = this.#at
      }
      before = name
    }
  }

  /** The name at `at`, where it is one that came after `before` already. */
  #known(before: Name, at: number): Name | null {
    const { next, other } = before
    if (next === null) return null
    if (this.#is(next, at)) return next
    if (other === null || !this.#is(other, at)) return null
    before.next = other
    before.other = next
    return other
  }

  #is(name: Name, at: number): boolean {
    const { view } = this
    const { words } = name
    if (at + name.length > this.end) return false
    for (let i = 0, next = at; i < words.length; i++, next += 4) {
      if (view.getInt32(next, true) !== words[i]) return false
    }
    return view.getInt32(at + name.length - 4, true) === name.tail
  }

  /** Any name, from what separates it to where its value begins, which is then `#at`; null at the end of the object. */
  #name(layout: Layout, before: Name, from: number): Name | null {
    const { bytes } = this
    let at = this.space(from)
    if (bytes[at] === CLOSE_OBJECT) return this.#close(at)
    if (bytes[at] !== (before === layout.start ? OPEN_OBJECT : COMMA)) throw NOT_JSON
    at = this.space(at + 1)
    if (bytes[at] === CLOSE_OBJECT && before === layout.start) return this.#close(at)
    if (bytes[at] !== QUOTE) throw NOT_JSON
    const after = this.string(at + 1)
    const { escaped } = this
    const value = this.#at = this.colon(after)
    const text = escaped ? JSON.parse(bytes.toString('utf8', at, after)) as string : bytes.toString('utf8', at + 1, after - 1)
    const found = layout.names.get(text) ?? -1
    // What is not ASCII is not remembered: it must be noticed each time.
    if (escaped || value - from > LONGEST_NAME_BYTES || !ASCII.test(text)) return { ...UNKNOWN, found }
    const written = (bytes as Sliced).latin1Slice(from, value)
    let known = layout.known.get(written)
    if (known === undefined) {
      // Names that are data, such as ids, come but once: remembering costs more than it saves.
      if (layout.known.size >= MOST_NAMES) return { ...UNKNOWN, found }
      layout.known.set(written, known = makeName(bytes.subarray(from, value), found))
    }
    before.other = before.next
    before.next = known
    return known
  }

  #close(at: number): null {
    this.#at = at + 1
    return null
  }

  #array(element: Field, from: number): unknown[] {
    const { bytes } = this
    const array: unknown[] = []
    let at = this.space(from + 1)
    if (bytes[at] === CLOSE_ARRAY) {
      this.#at = at + 1
      return array
    }
    for (;;) {
      array.push(this.#read(element, at))
      at = this.space(this.#at)
      if (bytes[at] !== COMMA) break
      at = this.space(at + 1)
    }
    if (bytes[at] !== CLOSE_ARRAY) throw NOT_JSON
    this.#at = at + 1
    return array
  }

  /** All of an object or an array. */
  #whole(from: number): unknown {
    const to = this.#at = this.value(from)
    if (to > this.end) throw NOT_JSON
    const text = this.bytes.toString('utf8', from, to)
    const isSuspect = suspectDigits(this.bytes, from, to)
    this.hasBigints ||= isSuspect
    try {
      return parseJson(text, { int64: 'wide' })
    } catch {
      throw NOT_JSON
    }
  }

  #text(field: Field, from: number): string {
    const bytes = this.bytes as Sliced
    const start = from + 1
    const before = this.beyondAscii
    this.beyondAscii = false
    const after = this.#at = this.string(start)
    const isAscii = !this.beyondAscii
    this.beyondAscii ||= before
    if (this.escaped) return JSON.parse(bytes.toString('utf8', from, after)) as string
    const end = after - 1
    if (!isAscii) return bytes.utf8Slice(start, end)
    if (end - start > LONGEST_KEPT_BYTES || end === start) return bytes.latin1Slice(start, end)
    const spread = (bytes[end - 1] as number) * 31 + (bytes[(start + end) >>> 1] as number) * 7 + (bytes[start] as number) + end - start
    const slot = spread & (KEPT_TEXTS - 1)
    const kept = field.texts[slot] as string
    return holds(bytes, start, end, kept) ? kept : (field.texts[slot] = bytes.latin1Slice(start, end))
  }

  #number(from: number): number | bigint {
    const { bytes } = this
    const isNegative = bytes[from] === MINUS
    const first = isNegative ? from + 1 : from
    let at = first
    let value = 0
    let byte = bytes[at] as number
    while (byte >= ZERO && byte <= NINE) {
      value = value * 10 + (byte - ZERO)
      byte = bytes[++at] as number
    }
    const digits = at - first
    if (digits === 0 || (digits > 1 && bytes[first] === ZERO)) throw NOT_JSON
    let decimals = 0
    if (byte === DOT) {
      const point = at
      for (byte = bytes[++at] as number; byte >= ZERO && byte <= NINE; byte = bytes[++at] as number) {
        value = value * 10 + (byte - ZERO)
      }
      decimals = at - point - 1
      if (decimals === 0) throw NOT_JSON
    }
    if (at > this.end) throw NOT_JSON
    if (digits + decimals > EXACT_DIGITS || (byte | 0x20) === 0x65) return this.#longNumber(from)
    this.#at = at
    // Both are exact, and so their quotient is the double next to the decimal number, as in JSON.parse.
    if (decimals > 0) value /= POWERS_OF_TEN[decimals] as number
    return isNegative ? -value : value
  }

  #longNumber(from: number): number | bigint {
    const to = this.#at = this.number(from)
    const token = (this.bytes as Sliced).latin1Slice(from, to)
    const value = Number(token)
    if (/[.eE]/.test(token)) {
      if (Number.isFinite(value)) return value
      throw NOT_JSON
    }
    if (Number.isSafeInteger(value)) return value
    const exact = BigInt(token)
    if (exact < INT64_MIN || exact > UINT64_MAX) throw NOT_JSON
    this.hasBigints = true
    return exact
  }
}

/** What every Buffer has, and its types leave out: the fastest way from bytes to a string. */
interface Sliced extends Buffer {
  latin1Slice(from: number, to: number): string
  utf8Slice(from: number, to: number): string
}

/** Is bytes[from, to) this text, of ASCII only? From the end: texts of one field mostly begin alike. */
function holds(bytes: Uint8Array, from: number, to: number, text: string): boolean {
  if (text.length !== to - from) return false
  for (let unit = text.length - 1; unit >= 0; unit--) {
    if (bytes[from + unit] !== text.charCodeAt(unit)) return false
  }
  return true
}
