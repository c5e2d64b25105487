import { ownBytes } from './bytes.js'
import type { Int64Paths } from './int64.js'
import { partialTaken } from './partial.js'
import { shapeOf } from './shape.js'
import { type Trail, type Value, INT64_MIN, MAX_DEPTH, UINT64_MAX, isWellFormed, pathText, valueInvalid } from './value.js'

export { lend } from './bytes.js'
export { binaryOf, decode } from './decode.js'
export { type Int64Paths, compileInt64 } from './int64.js'
export { type Value, MAX_BYTES } from './value.js'
export { CanonicalWriter, encode } from './writer.js'

export interface NormaliseRules {
  /** At these paths an integer becomes a bigint, and must be one of 64 bits. */
  readonly int64: Int64Paths
}

const USE_BIGINT = 'Keep it as a bigint and declare the field int64.'
const USE_DATA = 'Keep plain data instead: numbers, strings, bytes, arrays, plain objects. A Date can be kept as its '
  + 'ISO text or milliseconds, a Map as an array of pairs.'

const trail: Trail = []

/**
 * One walk that checks, copies, normalises and freezes: what comes back shares nothing mutable with what went in, and equals
 * (order of names included) what `decode(encode(…))` gives. Getters are read once. −0 becomes 0, undefined properties are left
 * out, bytes become a plain Uint8Array copy.
 *
 * Bytes can not be frozen (V8 has no frozen typed arrays): hand a state's value out through `lend`.
 *
 * VALUE_INVALID with the path `$.a[2].b` for NaN, Infinity, Date, Map, Set, class instances, functions, symbols, symbol keys,
 * lone surrogates, undefined or missing elements, depth over MAX_DEPTH (cycles too), the name `__proto__`, integers that a number
 * holds only by rounding, bigints outside [−2^63, 2^64 − 1], and bigints within ±(2^53 − 1) whose field is not declared int64.
 * FIELD_NOT_DECLARED for an object of which only some fields were read. The size is checked by `encode`.
 */
export function normalise(value: unknown, rules?: NormaliseRules): Value {
  return take(value, 0, rules === undefined ? null : rules.int64)
}

function take(value: unknown, depth: number, int64: Int64Paths | null): Value {
  switch (typeof value) {
    case 'number': return takeNumber(value, depth, int64)
    case 'string':
      if (!isWellFormed(value)) throw refused(depth, 'holds a lone surrogate, which has no UTF-8 form')
      return value
    case 'boolean': return value
    case 'bigint': return takeBigint(value, depth, int64)
    case 'object':
      if (value === null) return null
      if (Array.isArray(value)) return takeArray(value, depth, int64)
      return takeObject(value, depth, int64)
    case 'undefined': throw refused(depth, 'is undefined', 'Use null, or leave the property out.')
    default: throw refused(depth, `is a ${typeof value}`, USE_DATA)
  }
}

function takeNumber(value: number, depth: number, int64: Int64Paths | null): Value {
  if (int64 !== null && int64.here) {
    if (!Number.isSafeInteger(value)) throw refused(depth, `is declared int64, and ${value} is not an exact integer`, USE_BIGINT)
    return BigInt(value)
  }
  if ((value | 0) === value) return value | 0
  if (!Number.isFinite(value)) throw refused(depth, `is ${value}`, 'Use null for what is not a number.')
  if (isRoundedInteger(value)) {
    throw refused(depth, `is the integer ${value}, beyond ±(2^53 − 1): digits may be lost already`, USE_BIGINT)
  }
  return value
}

/** From 2^64 on no integer type here could hold it: such a number is a measured quantity. */
function isRoundedInteger(value: number): boolean {
  const magnitude = Math.abs(value)
  return magnitude > Number.MAX_SAFE_INTEGER && magnitude < 2 ** 64
}

function takeBigint(value: bigint, depth: number, int64: Int64Paths | null): Value {
  if (value < INT64_MIN || value > UINT64_MAX) throw refused(depth, `is ${value}n, outside [−2^63, 2^64 − 1]`, 'Keep it as text.')
  if (int64 !== null && int64.here) return value
  if (value >= -9007199254740991n && value <= 9007199254740991n) {
    throw refused(depth, `is ${value}n, a bigint that a number holds exactly`, 'Keep it as a number, or declare the field int64.')
  }
  return value
}

function takeArray(value: readonly unknown[], depth: number, int64: Int64Paths | null): Value {
  if (depth >= MAX_DEPTH) throw tooDeep(depth)
  if (Object.getPrototypeOf(value) !== Array.prototype) throw notPlain(value, depth)
  const elements = int64 === null ? null : int64.elements
  const copy = new Array<Value>(value.length)
  for (let i = 0; i < copy.length; i++) {
    trail[depth] = i
    copy[i] = take(value[i], depth + 1, elements)
  }
  return Object.freeze(copy)
}

function takeObject(value: object, depth: number, int64: Int64Paths | null): Value {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return takeBytes(value, depth)
  if (depth >= MAX_DEPTH) throw tooDeep(depth)
  if (Object.getOwnPropertySymbols(value).length > 0) throw refused(depth, 'has a symbol as a property name', USE_DATA)
  const shape = shapeOf(Object.keys(value))
  if (shape.refused !== null) throw refused(depth, shape.refused)
  const given = value as Record<string, unknown>
  const copy = new shape.Plain()
  const names = shape.names
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!
    const item = given[name]
    if (item === undefined) continue
    trail[depth] = name
    copy[name] = take(item, depth + 1, int64 === null ? null : int64.properties.get(name) ?? null)
  }
  return Object.freeze(copy)
}

function takeBytes(value: object, depth: number): Value {
  if (value instanceof Uint8Array) return ownBytes(value)
  throw notPlain(value, depth)
}

function notPlain(value: object, depth: number): Error {
  return partialTaken(value) ?? refused(depth, `is a ${value.constructor?.name ?? 'class instance'}, not plain data`, USE_DATA)
}

function tooDeep(depth: number): Error {
  return refused(depth, `is nested deeper than ${MAX_DEPTH} levels, or holds itself`)
}

function refused(depth: number, what: string, fix?: string): Error {
  return valueInvalid(pathText(trail, depth), what, fix)
}
