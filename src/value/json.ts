import { type ErrorDetails, RehydrateError } from '../errors.js'
import type { Int64Paths } from './int64.js'
import { type Trail, type Value, INT64_MIN, UINT64_MAX, pathText } from './value.js'

export interface JsonOptions {
  /**
   * Where integers become bigints: compiled paths, or a function that picks them from the text as JSON.parse reads it (the paths
   * of an event depend on its type). 'wide': no paths, but integers beyond ±(2^53 − 1) within 64 bits come as exact bigints.
   */
  readonly int64?: Int64Paths | 'wide' | ((plain: unknown) => Int64Paths | null) | undefined
  /** The place of the text, for the errors. */
  readonly where?: Omit<ErrorDetails, 'message'>
}

/**
 * JSON.parse that never rounds an integer. NUMBER_INEXACT with the path for an integer token (no fraction, no exponent) beyond
 * ±(2^53 − 1) that `int64` does not cover, for one beyond 64 bits, for a number at an int64 path that is not an integer, and for
 * one too great for a double. SyntaxError where the text is not JSON. Not frozen; the last of equal names counts, as in JSON.parse.
 */
export function parseJson(text: string, options: JsonOptions = {}): unknown {
  const plain: unknown = JSON.parse(text)
  const { int64: choice } = options
  const int64 = typeof choice === 'function' ? choice(plain) : choice
  if ((int64 === undefined || int64 === null || int64 === 'wide') && !isSuspect(text)) return plain
  return new ExactReader(text, int64 === 'wide', int64 === 'wide' ? null : int64 ?? null, options.where ?? {}).read()
}

/** A run of 16 digits covers one character in every 16: all others are passed over. */
function isSuspect(text: string): boolean {
  for (let at = 15; at < text.length; at += 16) {
    if (isDigit(text.charCodeAt(at)) && runOf16(at, text.length, (i) => text.charCodeAt(i))) return true
  }
  return HUGE_EXPONENT.test(text)
}

/** With fewer than 16 digits in a row, only an exponent of three digits can overflow a double. */
const HUGE_EXPONENT = /\d[eE]\+?\d{3}/

/**
 * True where bytes[from, to) holds a run of 16 digits or more, so that an integer in it may lie beyond 2^53. Reads about every
 * 16th byte. Digits inside strings count too: a suspect is no more than that.
 */
export function suspectDigits(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from + 15; at < to; at += 16) {
    if (isDigit(bytes[at]!) && runOf16(at - from, to - from, (i) => bytes[from + i]!)) return true
  }
  return false
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function runOf16(at: number, length: number, codeAt: (i: number) => number): boolean {
  let first = at
  while (first > 0 && isDigit(codeAt(first - 1))) first--
  let end = at + 1
  while (end < length && end - first < 16 && isDigit(codeAt(end))) end++
  return end - first >= 16
}

/** Reads JSON that JSON.parse has accepted already, and so looks at the numbers only. */
class ExactReader {
  #at = 0
  readonly #trail: Trail = []
  readonly #text: string
  readonly #wide: boolean
  readonly #int64: Int64Paths | null
  readonly #where: Omit<ErrorDetails, 'message'>

  constructor(text: string, wide: boolean, int64: Int64Paths | null, where: Omit<ErrorDetails, 'message'>) {
    this.#text = text
    this.#wide = wide
    this.#int64 = int64
    this.#where = where
  }

  read(): unknown {
    return this.#value(0, this.#int64)
  }

  #value(depth: number, int64: Int64Paths | null): unknown {
    switch (this.#peek()) {
      case '{': return this.#object(depth, int64)
      case '[': return this.#array(depth, int64)
      case '"': return this.#string()
      case 't': return this.#word('true', true)
      case 'f': return this.#word('false', false)
      case 'n': return this.#word('null', null)
      default: return this.#number(depth, int64)
    }
  }

  #object(depth: number, int64: Int64Paths | null): unknown {
    const object: Record<string, unknown> = {}
    for (this.#at++; this.#peek() !== '}'; this.#comma()) {
      const name = this.#string()
      this.#peek()
      this.#at++ // the colon
      this.#trail[depth] = name
      const value = this.#value(depth + 1, int64?.properties.get(name) ?? null)
      if (name === '__proto__') {
        Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true })
      } else object[name] = value
    }
    this.#at++
    return object
  }

  #array(depth: number, int64: Int64Paths | null): unknown {
    const array: unknown[] = []
    for (this.#at++; this.#peek() !== ']'; this.#comma()) {
      this.#trail[depth] = array.length
      array.push(this.#value(depth + 1, int64?.elements ?? null))
    }
    this.#at++
    return array
  }

  #string(): string {
    const from = this.#at++
    while (this.#text[this.#at] !== '"') this.#at += this.#text[this.#at] === '\\' ? 2 : 1
    this.#at++
    return JSON.parse(this.#text.slice(from, this.#at)) as string
  }

  #number(depth: number, int64: Int64Paths | null): number | bigint {
    NUMBER.lastIndex = this.#at
    const token = NUMBER.exec(this.#text)![0]
    this.#at += token.length
    const value = Number(token)
    const declared = int64 !== null && int64.here
    const digits = /[.eE]/.test(token) ? null : token
    if (!declared && Number.isFinite(value) && (digits === null || Number.isSafeInteger(value))) return value
    const exact = digits !== null ? BigInt(digits) : Number.isSafeInteger(value) ? BigInt(value) : null
    if (exact !== null && (declared || this.#wide) && exact >= INT64_MIN && exact <= UINT64_MAX) return exact
    throw this.#inexact(token, depth, exact, declared)
  }

  #inexact(token: string, depth: number, exact: bigint | null, declared: boolean): RehydrateError {
    const path = pathText(this.#trail, depth)
    const shown = token.length > 40 ? `${token.slice(0, 40)}… (${token.length} characters)` : token
    const isInteger = exact !== null
    const fitsInt64 = isInteger && exact >= INT64_MIN && exact <= UINT64_MAX
    const what = isInteger && !fitsInt64 ? 'is an integer of more than 64 bits'
      : isInteger ? 'is an integer beyond ±(2^53 − 1), which a number rounds'
      : declared ? 'is declared int64 and is not an exact integer'
      : 'is too great for a number'
    return new RehydrateError('NUMBER_INEXACT', {
      ...this.#where,
      message: `${path} ${what}: ${shown}.`,
      path,
      actual: shown,
      ...(isInteger && fitsInt64 ? {} : { fix: 'Write the number as text in the log, and convert it in the handler.' }),
    })
  }

  #word<T>(word: string, value: T): T {
    this.#at += word.length
    return value
  }

  #comma(): void {
    if (this.#peek() === ',') this.#at++
  }

  #peek(): string | undefined {
    while (WHITESPACE.has(this.#text[this.#at]!)) this.#at++
    return this.#text[this.#at]
  }
}

const NUMBER = /-?[0-9.eE+-]+/y
const WHITESPACE = new Set([' ', '\t', '\n', '\r'])

/** Paths of the bigints in plain data, as `pathText` gives them; null: there are none. */
export function findBigIntegers(data: unknown): readonly string[] | null {
  const paths: string[] = []
  collectBigIntegers(data, [], paths)
  return paths.length === 0 ? null : paths
}

function collectBigIntegers(value: unknown, trail: Trail, paths: string[]): void {
  if (typeof value === 'bigint') paths.push(pathText(trail, trail.length))
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return
  for (const [name, item] of Object.entries(value)) {
    trail.push(Array.isArray(value) ? Number(name) : name)
    collectBigIntegers(item, trail, paths)
    trail.pop()
  }
}

/**
 * JSON text of a value, for people and for NDJSON: names in the order of the value, no spaces. Numbers and bigints are exact:
 * a bigint is written as its digits, a number of 2^53 and above with an exponent (so that digits alone always mean an exact
 * integer, and `parseJson(…, { int64: 'wide' })` gives both back). Bytes become a base64 string, and come back as text.
 */
export function stringifyJson(value: Value): string {
  switch (typeof value) {
    case 'number': return Number.isInteger(value) && !Number.isSafeInteger(value) ? value.toExponential() : JSON.stringify(value)
    case 'bigint': return value.toString()
    case 'object': break
    default: return JSON.stringify(value)
  }
  if (value === null) return 'null'
  if (value instanceof Uint8Array) return JSON.stringify(Buffer.from(value).toString('base64'))
  if (Array.isArray(value)) return `[${value.map(stringifyJson).join(',')}]`
  return `{${Object.entries(value as object).map(([name, item]) => `${JSON.stringify(name)}:${stringifyJson(item)}`).join(',')}}`
}
