const ISO_8601 = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d))?$/

/** The day read last, as `2026-01-31T`, and its start: neighbours in a log share it. */
let knownDay = '-'
let knownDayMs = NaN

/**
 * Milliseconds since 1970 of a `recordedAt`: integer milliseconds, or ISO 8601 with Z or an offset and a day that its month has. A date
 * without a time is midnight UTC; a time without a zone is none, because it would mean what the machine's zone says. NaN for anything else.
 */
export function recordedAtOf(given: unknown): number {
  if (typeof given === 'number') return Number.isSafeInteger(given) ? given : NaN
  if (typeof given !== 'string') return NaN
  const plain = parseUtc(given)
  if (!Number.isNaN(plain)) return plain
  return isCalendarTime(given) ? Date.parse(given.replace(',', '.')) : NaN
}

/** `2026-01-31T12:34:56Z` and `…56.789Z`: what nearly all logs write, without the cost of Date.parse. NaN for any other form. */
function parseUtc(text: string): number {
  const { length } = text
  if ((length !== 20 && length !== 24) || text.charCodeAt(length - 1) !== 0x5a) return NaN
  if (!text.startsWith(knownDay)) {
    knownDay = text.slice(0, 11)
    const midnight = `${knownDay}00:00:00Z`
    knownDayMs = isCalendarTime(midnight) ? Date.parse(midnight) : NaN
  }
  const hour = twoDigits(text, 11)
  const minute = twoDigits(text, 14)
  const second = twoDigits(text, 17)
  const ms = length === 24 ? twoDigits(text, 20) * 10 + twoDigits(text, 21) % 10 : 0
  const isPlain = hour < 24 && minute < 60 && second < 60 && text.charCodeAt(13) === 0x3a && text.charCodeAt(16) === 0x3a
  if (!isPlain || (length === 24 && text.charCodeAt(19) !== 0x2e)) return NaN
  return knownDayMs + hour * 3_600_000 + minute * 60_000 + second * 1_000 + ms
}

function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 0x30
  const ones = text.charCodeAt(at + 1) - 0x30
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : NaN
}

/** ISO 8601, with a day that its month has: Date.parse makes March out of February 30. */
function isCalendarTime(text: string): boolean {
  const day = Number(text.slice(8, 10))
  return ISO_8601.test(text) && day <= new Date(Date.UTC(Number(text.slice(0, 4)), Number(text.slice(5, 7)), 0)).getUTCDate()
}
