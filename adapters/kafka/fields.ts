import { isUtf8 } from 'node:buffer'

/** The field of an envelope that says its type. */
export const ENVELOPE_TYPE = 'type'

const TYPE = Buffer.from('{"type":"')
const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20

/** Types by their bytes: a log has few of them. */
const KNOWN_TYPES: { readonly quoted: Buffer; readonly text: string }[] = []
const MAX_KNOWN_TYPES = 64

/**
 * The type of an envelope of the usual layout, `{"type":"…","key":…` or `{"type":"…","data":…`, without parsing it; null in any other.
 * What is not an envelope may look like one here: parsing decides.
 */
export function typeOfEnvelope(value: Buffer): string | null {
  if (!startsWith(value, 0, TYPE)) return null
  for (const { quoted, text } of KNOWN_TYPES) {
    if (startsWith(value, TYPE.length, quoted)) return text
  }
  for (let at = TYPE.length; at < value.length; at++) {
    const byte = value[at] as number
    if (byte === BACKSLASH || byte < SPACE) return null
    if (byte !== QUOTE) continue
    const bytes = value.subarray(TYPE.length, at)
    if (bytes.length === 0 || !isUtf8(bytes)) return null
    const text = bytes.toString()
    if (KNOWN_TYPES.length < MAX_KNOWN_TYPES) KNOWN_TYPES.push({ quoted: Buffer.from(value.subarray(TYPE.length, at + 1)), text })
    return text
  }
  return null
}

function startsWith(buffer: Buffer, at: number, bytes: Buffer): boolean {
  if (at + bytes.length > buffer.length) return false
  for (let i = 0; i < bytes.length; i++) {
    if (buffer[at + i] !== bytes[i]) return false
  }
  return true
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

/** Own properties only: a path must not find what every object inherits. Undefined where there is nothing. */
export function fieldAt(value: unknown, path: string): unknown {
  let at: unknown = value
  for (const name of path.split('.')) {
    if (!isObject(at) || !Object.hasOwn(at, name)) return undefined
    at = at[name]
  }
  return at
}

/** Base64 where it is not UTF-8, so that nothing is lost; empty for a null. */
export function headerText(value: Buffer | null): string {
  if (value === null) return ''
  return isUtf8(value) ? value.toString() : value.toString('base64')
}

const ISO_8601 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)$/

/** Integer milliseconds, or ISO 8601 with Z or an offset and a day that its month has; null for anything else. */
export function timeOf(given: unknown): number | null {
  if (typeof given === 'number' && Number.isSafeInteger(given)) return given
  if (typeof given !== 'string' || !ISO_8601.test(given)) return null
  const lastDay = new Date(Date.UTC(Number(given.slice(0, 4)), Number(given.slice(5, 7)), 0)).getUTCDate()
  const atMs = Date.parse(given)
  return Number(given.slice(8, 10)) > lastDay || Number.isNaN(atMs) ? null : atMs
}
