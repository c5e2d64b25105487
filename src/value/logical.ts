import { type Value, INT64_MIN, isWellFormed, valueInvalid } from './value.js'

/**
 * What "the same value" means for things that stores write differently: each function takes one of the usual forms and gives the
 * canonical value, exactly or not at all (VALUE_INVALID). `path` is where the value stands, for the error.
 */

/** Text without exponent, without zeros behind the last digit after the point, "0" for every zero: `-12.50` → "-12.5". */
export function decimalOf(source: string | bigint, path = '$'): string {
  const text = String(source)
  const parts = /^([+-]?)(\d+)(?:\.(\d+))?$/.exec(text)
  if (parts === null) throw valueInvalid(path, `is no decimal number: ${JSON.stringify(text)}`)
  const whole = parts[2]!.replace(/^0+(?=\d)/, '')
  const fraction = (parts[3] ?? '').replace(/0+$/, '')
  const digits = fraction === '' ? whole : `${whole}.${fraction}`
  return digits === '0' || parts[1] !== '-' ? digits : `-${digits}`
}

const ISO = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)$/

/** Microseconds since 1970 UTC of an ISO 8601 text with its offset. Digits finer than a microsecond must be zero. */
export function timestampOf(text: string, path = '$'): number {
  return plainInstant(text) ?? instantOf(text, path)
}

/**
 * `2024-01-30T12:00:00Z` and `….123Z` by their digits, which is what most programs write and takes a fraction of the time; null for
 * all other forms, and for what has to be looked at closely (the last days of a month, mistakes).
 */
function plainInstant(text: string): number | null {
  const separator = text.charCodeAt(10)
  const end = text.length - 1
  const isPlain = (end === 19 || (end > 20 && end <= 26 && text[19] === '.')) && text[end] === 'Z' && text[4] === '-' && text[7] === '-'
    && (separator === 0x54 || separator === 0x20) && text[13] === ':' && text[16] === ':'
  if (!isPlain) return null
  const [century, year, month, day] = [twoDigits(text, 0), twoDigits(text, 2), twoDigits(text, 5), twoDigits(text, 8)]
  const [hour, minute, second] = [twoDigits(text, 11), twoDigits(text, 14), twoDigits(text, 17)]
  const isWithin = century >= 17 && century <= 21 && year >= 0 && month >= 1 && month <= 12
    && day >= 1 && (day <= 28 || (day <= 30 && month !== 2))
    && hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59 && second >= 0 && second <= 59
  if (!isWithin) return null
  let micros = 0
  for (let at = 20, unit = 100_000; at < end; at++, unit /= 10) {
    const digit = text.charCodeAt(at) - 0x30
    if (digit < 0 || digit > 9) return null
    micros += digit * unit
  }
  const seconds = ((daysSince1970(century * 100 + year, month, day) * 24 + hour) * 60 + minute) * 60 + second
  return seconds * 1_000_000 + micros
}

/** −1 or less where they are none. */
function twoDigits(text: string, at: number): number {
  const [tens, ones] = [text.charCodeAt(at) - 0x30, text.charCodeAt(at + 1) - 0x30]
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1
}

function instantOf(text: string, path: string): number {
  const parts = ISO.exec(text)
  if (parts === null) throw valueInvalid(path, `is no ISO 8601 time with an offset: ${JSON.stringify(text)}`)
  const [, year, month, day, hour, minute, second, fraction = '', zone] = parts
  dateOf(`${year!}-${month!}-${day!}`, path)
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) throw valueInvalid(path, `is no time of day: ${text}`)
  if (/[^0]/.test(fraction.slice(6))) throw valueInvalid(path, `is finer than a microsecond: ${text}`)
  if (zone !== 'Z' && (Number(zone!.slice(1, 3)) > 23 || Number(zone!.slice(-2)) > 59)) {
    throw valueInvalid(path, `has an offset that there is not: ${text}`)
  }
  const utc = zone === 'Z' ? 0 : Number(`${zone![0]!}1`) * (Number(zone!.slice(1, 3)) * 60 + Number(zone!.slice(-2)))
  const minutes = (daysSince1970(Number(year), Number(month), Number(day)) * 24 + Number(hour)) * 60 + Number(minute) - utc
  const seconds = minutes * 60 + Number(second)
  const micros = seconds * 1_000_000 + Number(fraction.slice(0, 6).padEnd(6, '0'))
  if (!Number.isSafeInteger(micros)) throw valueInvalid(path, `is too far from 1970 for exact microseconds: ${text}`)
  return micros
}

/** Of the Gregorian calendar; years begin in March here, so that the leap day comes last. */
function daysSince1970(year: number, month: number, day: number): number {
  const y = month > 2 ? year : year - 1
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  return y * 365 + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468
}

/** "YYYY-MM-DD", a day of the Gregorian calendar. */
export function dateOf(text: string, path = '$'): string {
  const parts = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text)
  const [year, month, day] = [Number(parts?.[1]), Number(parts?.[2]), Number(parts?.[3])]
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  const days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
  if (parts === null || days === undefined || day < 1 || day > days) throw valueInvalid(path, `is no date: ${JSON.stringify(text)}`)
  return text
}

/** Lower case with hyphens, from 32 hexadecimal digits with or without hyphens or braces. */
export function uuidOf(text: string, path = '$'): string {
  const bare = /^\{?([0-9a-fA-F]{8})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{12})\}?$/.exec(text)
  if (bare === null) throw valueInvalid(path, `is no UUID: ${JSON.stringify(text)}`)
  return bare.slice(1).join('-').toLowerCase()
}

/** A signed 64-bit integer, always as a bigint, from its digits, a safe integer or a bigint. */
export function int64Of(source: string | number | bigint, path = '$'): bigint {
  const isExact = typeof source === 'bigint' || (typeof source === 'number' ? Number.isSafeInteger(source) : /^-?\d+$/.test(source))
  if (!isExact) throw valueInvalid(path, `is no exact integer: ${JSON.stringify(source)}`)
  const value = BigInt(source)
  if (value < INT64_MIN || value >= 2n ** 63n) throw valueInvalid(path, `is beyond 64 bits: ${value}`)
  return value
}

/** Bytes from hexadecimal digits (`\x` of PostgreSQL or `0x` may stand before them). */
export function bytesOfHex(text: string, path = '$'): Uint8Array {
  const digits = /^(?:\\x|0x)?((?:[0-9a-fA-F]{2})*)$/.exec(text)
  if (digits === null) throw valueInvalid(path, 'is not pairs of hexadecimal digits')
  return new Uint8Array(Buffer.from(digits[1]!, 'hex'))
}

/** Text as it is: no trimming, no folding of case, no Unicode form is guessed. Lone surrogates are refused. */
export function textOf(text: string, path = '$'): Value {
  if (!isWellFormed(text)) throw valueInvalid(path, 'holds a lone surrogate, which has no UTF-8 form')
  return text
}
