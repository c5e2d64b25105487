import {
  envelopeReads, findBigIntegers, isRehydrateError, JsonScanner, parseJson, recordedAtOf, suspectDigits, UNREADABLE,
  type Reads, type RecordedEvent, type RehydrateError,
} from '../../src/index.js'
import type { LinePage } from './lines.js'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20
const COMMA = 0x2c
const TYPE = Buffer.from('{"type":')
const KEY = Buffer.from('"key":')
const NEXT_KEY = Buffer.from(',"key":"')
const NULL = Buffer.from('null')

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})

/** How a line is read as an event. */
export interface LineForm {
  /** Null where it can not be told without parsing the line. */
  typeAt(page: LinePage, line: number): string | null
  /** Undefined where it can not be told without parsing the line. */
  keyAt(page: LinePage, line: number): string | null | undefined
  parse(page: LinePage, line: number, reads?: Reads): RecordedEvent
  /** Does a parsed record say what was told without parsing? */
  agrees(page: LinePage, line: number, type: string, key: string | null): boolean
}

/**
 * Lines in the log format. Finds type and key without parsing where a line has the usual layout, `{"type":"…","key":"…",…`, a space
 * allowed after `:` and `,`. Types are interned: a log has few of them.
 */
export class Columns implements LineForm {
  /** The bytes of each type with its closing quote. */
  readonly #types: { readonly quoted: Buffer; readonly text: string }[] = []

  /** Where the text of the type starts, or −1 in any other layout. */
  typeStart(page: LinePage, line: number): number {
    const at = page.start(line)
    return startsWith(page.buffer, at, TYPE) ? textStart(page.buffer, at + TYPE.length) : -1
  }

  /** The type, or null where the layout is another. */
  typeAt(page: LinePage, line: number): string | null {
    const start = this.typeStart(page, line)
    if (start < 0) return null
    for (const { quoted, text } of this.#types) {
      if (startsWith(page.buffer, start, quoted)) return text
    }
    const end = textEnd(page.buffer, start)
    return end <= start ? null : this.#intern(page, start, end)
  }

  /** The key; undefined where the layout is another. */
  keyAt(page: LinePage, line: number): string | null | undefined {
    const { buffer } = page
    const typeStart = this.typeStart(page, line)
    const typeEnd = typeStart < 0 ? -1 : textEnd(buffer, typeStart)
    if (typeEnd < 0 || buffer[typeEnd + 1] !== COMMA) return undefined
    const name = buffer[typeEnd + 2] === SPACE ? typeEnd + 3 : typeEnd + 2
    if (!startsWith(buffer, name, KEY)) return undefined
    const value = name + KEY.length
    const start = textStart(buffer, value)
    if (start < 0) return startsWith(buffer, buffer[value] === SPACE ? value + 1 : value, NULL) ? null : undefined
    const end = textEnd(buffer, start)
    return end < 0 ? undefined : page.text(start, end)
  }

  parse(page: LinePage, line: number, reads?: Reads): RecordedEvent { return parseRecord(page, line, reads) }

  /** Does a parsed record say what the usual layout says? True in any other layout. */
  agrees(page: LinePage, line: number, type: string, key: string | null): boolean {
    const start = this.typeStart(page, line)
    if (start >= 0 && holdsText(page.buffer, start, type)) {
      const at = start + type.length + 1
      if (key !== null && startsWith(page.buffer, at, NEXT_KEY) && holdsText(page.buffer, at + NEXT_KEY.length, key)) return true
    }
    const foundKey = this.keyAt(page, line)
    return (this.typeAt(page, line) ?? type) === type && (foundKey === undefined || foundKey === key)
  }

  #intern(page: LinePage, start: number, end: number): string {
    const text = page.text(start, end)
    if (this.#types.length < 64) this.#types.push({ quoted: Buffer.from(page.buffer.subarray(start, end + 1)), text })
    return text
  }
}

function startsWith(buffer: Buffer, at: number, bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i++) {
    if (buffer[at + i] !== bytes[i]) return false
  }
  return true
}

/** True where an ASCII text and a closing quote are at `at`. */
function holdsText(buffer: Buffer, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f || buffer[at + i] !== code) return false
  }
  return buffer[at + text.length] === QUOTE
}

/** After the opening quote of a string that begins at `at`, maybe behind one space; −1: no string. */
function textStart(buffer: Buffer, at: number): number {
  const quote = buffer[at] === SPACE ? at + 1 : at
  return buffer[quote] === QUOTE ? quote + 1 : -1
}

/** The closing quote of a string without escapes, −1 for any other. The LF that ends every line stops the search. */
function textEnd(buffer: Buffer, start: number): number {
  for (let at = start; ; at++) {
    const byte = buffer[at] as number
    if (byte === QUOTE) return at
    if (byte === BACKSLASH || byte < SPACE) return -1
  }
}

/**
 * Parses a line. LOG_CORRUPT names the field that is not what it must be. Fields it does not know are passed over; with `reads`, those of
 * `data` that are not read too.
 */
export function parseRecord(page: LinePage, line: number, reads?: Reads): RecordedEvent {
  const scanner = reads === undefined ? null : scannerOf(reads)
  const scanned = scanner === null ? UNREADABLE : scanner.scan(page.buffer, page.start(line), page.end(line))
  // What can't be scanned is parsed, to learn what is wrong with it.
  if (scanner !== null && scanned !== UNREADABLE) return recordOf(page, line, scanned as LineFields, scanner.hasBigints)
  const isSuspect = suspectDigits(page.buffer, page.start(line), page.end(line))
  return recordOf(page, line, parseLine(page, line, isSuspect), isSuspect)
}

const scanners = new WeakMap<Reads, JsonScanner>()

function scannerOf(reads: Reads): JsonScanner {
  let scanner = scanners.get(reads)
  if (scanner === undefined) scanners.set(reads, scanner = new JsonScanner(envelopeReads(ENVELOPE, 'data', reads)))
  return scanner
}

/** Checks the parts of an event. LOG_CORRUPT. */
export function recordOf(page: LinePage, line: number, fields: LineFields, isSuspect: boolean): RecordedEvent {
  const { type, key = null, id = null, schemaVersion = 1, headers, recordedAt, offset } = fields
  const partition = page.segment.partition
  const expectedOffset = page.offset + line
  if (typeof type !== 'string' || type === '') throw wrong(page, line, 'type', 'a non-empty string', type)
  if (key !== null && typeof key !== 'string') throw wrong(page, line, 'key', 'a string or null', key)
  if (id !== null && typeof id !== 'string') throw wrong(page, line, 'id', 'a string or null', id)
  if (typeof schemaVersion !== 'number' || !Number.isSafeInteger(schemaVersion) || schemaVersion < 1) {
    throw wrong(page, line, 'schemaVersion', 'an integer from 1', schemaVersion)
  }
  if (offset !== undefined && offset !== expectedOffset) throw wrong(page, line, 'offset', expectedOffset, offset)
  const recordedAtMs = recordedAt === undefined || recordedAt === null ? null : recordedAtOf(recordedAt)
  if (Number.isNaN(recordedAtMs)) throw wrong(page, line, 'recordedAt', 'integer milliseconds or ISO 8601 with Z or an offset', recordedAt)
  return {
    partition,
    offset: expectedOffset,
    type,
    schemaVersion,
    key,
    data: fields.data === undefined ? null : fields.data,
    bigIntegers: isSuspect ? findBigIntegers(fields.data) : null,
    recordedAtMs,
    headers: headers === undefined || headers === null ? NO_HEADERS : parseHeaders(page, line, headers),
    id,
  }
}

const ENVELOPE = ['type', 'key', 'recordedAt', 'schemaVersion', 'id', 'headers', 'offset']

interface LineFields {
  readonly type?: unknown
  readonly key?: unknown
  readonly data?: unknown
  readonly recordedAt?: unknown
  readonly schemaVersion?: unknown
  readonly id?: unknown
  readonly headers?: unknown
  readonly offset?: unknown
}

export function parseLine(page: LinePage, line: number, isSuspect: boolean): LineFields {
  const text = page.text(page.start(line), page.end(line))
  try {
    // The page has seen that it begins with { and so can be nothing but an object.
    return (isSuspect ? parseJson(text, { int64: 'wide', where: page.placeOf(line) }) : JSON.parse(text)) as LineFields
  } catch (cause) {
    if (isRehydrateError(cause)) throw cause
    throw page.corrupt(line, `is not JSON (${(cause as Error).message})`, { cause })
  }
}

function wrong(page: LinePage, line: number, field: string, expected: unknown, actual: unknown): RehydrateError {
  return page.corrupt(line, actual === undefined ? `has no ${field}` : `has a ${field} that is not valid`, { expected, actual })
}

function parseHeaders(page: LinePage, line: number, headers: unknown): Readonly<Record<string, string>> {
  const isRecord = typeof headers === 'object' && headers !== null && !Array.isArray(headers)
  if (!isRecord || !Object.values(headers).every((value) => typeof value === 'string')) {
    throw wrong(page, line, 'headers', 'an object of strings', headers)
  }
  return headers as Record<string, string>
}
