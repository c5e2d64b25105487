import { isUtf8 } from 'node:buffer'

/** The field of an envelope that says its type. */
export const ENVELOPE_TYPE = 'type'
/** All that it may hold besides `data`. */
export const ENVELOPE_PARTS = [ENVELOPE_TYPE, 'key', 'id', 'recordedAt', 'schemaVersion', 'headers']

const TYPE = Buffer.from('{"type":"')
const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20

/** Types by their bytes: a log has few of them. */
const KNOWN_TYPES: { readonly quoted: Buffer; readonly text: string }[] = []
const MAX_KNOWN_TYPES = 64

/** Keys of the usual kind that were there, by a hash of their bytes: the same key is the same string, made and hashed once. */
const KNOWN_KEYS = new Array<string>(4_096).fill('')
const HASHES = new Int32Array(KNOWN_KEYS.length)
const LONGEST_KNOWN_KEY_BYTES = 40

/** The text of bytes[from, to), if it is short and ASCII; else null. */
export function keyText(bytes: Buffer, from: number, to: number): string | null {
  if (to - from > LONGEST_KNOWN_KEY_BYTES || to === from) return null
  let hash = 0
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number
    if (byte > 127) return null
    hash = (Math.imul(hash, 31) + byte) | 0
  }
  const slot = (hash ^ (hash >>> 12)) & (KNOWN_KEYS.length - 1)
  const known = KNOWN_KEYS[slot] as string
  if (HASHES[slot] === hash && holdsText(bytes, from, to, known)) return known
  HASHES[slot] = hash
  return (KNOWN_KEYS[slot] = bytes.toString('latin1', from, to))
}

function holdsText(bytes: Buffer, from: number, to: number, text: string): boolean {
  if (text.length !== to - from) return false
  for (let at = from, unit = 0; at < to; at++, unit++) {
    if (bytes[at] !== text.charCodeAt(unit)) return false
  }
  return true
}

/**
 * The type of an envelope of the usual layout, `{"type":"…","key":…` or `{"type":"…","data":…`, without parsing it; null in any other.
 * What is not an envelope may look like one here: parsing decides.
 */
export function typeOfEnvelope(value: Buffer, from: number, to: number): string | null {
  const start = from + TYPE.length
  if (!startsWith(value, from, to, TYPE)) return null
  for (const { quoted, text } of KNOWN_TYPES) {
    if (startsWith(value, start, to, quoted)) return text
  }
  for (let at = start; at < to; at++) {
    const byte = value[at] as number
    if (byte === BACKSLASH || byte < SPACE) return null
    if (byte !== QUOTE) continue
    const bytes = value.subarray(start, at)
    if (bytes.length === 0 || !isUtf8(bytes)) return null
    const text = bytes.toString()
    const quoted = Buffer.from(value.subarray(start, at + 1))
    if (KNOWN_TYPES.length < MAX_KNOWN_TYPES) KNOWN_TYPES.push({ quoted, text })
    return text
  }
  return null
}

function startsWith(buffer: Buffer, at: number, end: number, bytes: Buffer): boolean {
  if (at + bytes.length > end) return false
  for (let i = 0; i < bytes.length; i++) {
    if (buffer[at + i] !== bytes[i]) return false
  }
  return true
}

/** Base64 where it is not UTF-8, so that nothing is lost; empty for a null. */
export function headerText(value: Buffer | null): string {
  if (value === null) return ''
  return isUtf8(value) ? value.toString() : value.toString('base64')
}
