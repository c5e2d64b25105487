import { type Value, isWellFormed } from './value.js'

/** What is known of all objects with one sequence of property names. */
export interface Shape {
  /** The names as `Object.keys` gives them. */
  readonly given: readonly string[]
  /** The same names in canonical order: by length in UTF-8, then by bytes. */
  readonly names: readonly string[]
  /** MessagePack strings of `names`. */
  readonly encoded: readonly Uint8Array[]
  /** Bytes in all of `encoded`. */
  readonly encodedLength: number
  /** Makes an empty plain object for these names. */
  readonly Plain: new () => Record<string, Value>
  /** Why `normalise` refuses such objects; null where it does not. */
  readonly refused: string | null
}

// A direct-mapped cache: what it can hold is bounded however many shapes the data has.
const SLOTS = 1024
const MAX_CACHED_NAMES = 32
const MAX_CACHED_BYTES = 1024
const slots = new Array<Shape | undefined>(SLOTS).fill(undefined)

/** `given`: the own enumerable names of an object, in its order. */
export function shapeOf(given: readonly string[]): Shape {
  if (sameNames(last.given, given)) return last
  const count = given.length
  if (count > MAX_CACHED_NAMES) return makeShape(given)
  let mix = count
  for (let i = 0; i < count; i++) {
    const name = given[i]!
    mix = (Math.imul(mix, 31) + name.length * 7 + name.charCodeAt(0) + (name.charCodeAt(name.length - 1) << 3)) | 0
  }
  const slot = (mix ^ (mix >>> 10)) & (SLOTS - 1)
  const known = slots[slot]
  if (known !== undefined && sameNames(known.given, given)) return last = known
  const shape = makeShape(given)
  if (shape.encodedLength <= MAX_CACHED_BYTES) slots[slot] = shape
  return shape
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

function makeShape(given: readonly string[]): Shape {
  const pairs = given.map((name) => ({ name, utf8: Buffer.from(name) }))
  pairs.sort((a, b) => a.utf8.length - b.utf8.length || a.utf8.compare(b.utf8))
  const names = pairs.map((pair) => pair.name)
  const encoded = pairs.map((pair) => encodeName(pair.utf8))
  return {
    given,
    names,
    encoded,
    encodedLength: encoded.reduce((sum, bytes) => sum + bytes.length, 0),
    Plain: plainObjects(),
    refused: refusal(given),
  }
}

/**
 * A constructor of plain objects. V8 learns from the first ones how many fields such objects get, and keeps them all inside the
 * object; of a literal `{}` only four, the rest in a second block. (Measured, 6 fields: a fifth less time and memory.)
 */
function plainObjects(): Shape['Plain'] {
  const Plain = function () {}
  Plain.prototype = Object.prototype
  return Plain as unknown as Shape['Plain']
}

/** The one asked for last: neighbours in a log mostly have the same. */
let last = makeShape([])

function refusal(given: readonly string[]): string | null {
  if (given.includes('__proto__')) return 'has a property named __proto__'
  const malformed = given.find((name) => !isWellFormed(name))
  return malformed === undefined ? null : `has a property name with a lone surrogate, ${JSON.stringify(malformed)}`
}

function encodeName(utf8: Buffer): Uint8Array {
  const n = utf8.length
  const head = n < 32 ? [0xa0 | n]
    : n < 0x100 ? [0xd9, n]
    : n < 0x10000 ? [0xda, n >>> 8, n & 255]
    : [0xdb, n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]
  return Uint8Array.from([...head, ...utf8])
}
