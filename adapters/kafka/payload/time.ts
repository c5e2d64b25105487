import { Unreadable } from './unreadable.js'

const NANOSECONDS = 1_000_000_000
/** Of the years 1 to 9999, from which ISO 8601 has four digits. */
const FIRST_SECOND = -62_135_596_800
const LAST_SECOND = 253_402_300_799

/** ISO 8601 with Z; as many digits of a second as it takes: none, 3, 6 or 9. Throws Unreadable. */
export function isoTime(seconds: number, nanoseconds: number): string {
  if (!(seconds >= FIRST_SECOND && seconds <= LAST_SECOND && nanoseconds >= 0 && nanoseconds < NANOSECONDS)) {
    throw new Unreadable(`has a time of ${seconds} seconds and ${nanoseconds} nanoseconds, which is none`)
  }
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}${fractionOf(nanoseconds)}Z`
}

/** `.5` as `.500`: none, 3, 6 or 9 digits. */
export function fractionOf(nanoseconds: number): string {
  if (nanoseconds === 0) return ''
  const digits = String(nanoseconds).padStart(9, '0')
  return `.${digits.endsWith('000000') ? digits.slice(0, 3) : digits.endsWith('000') ? digits.slice(0, 6) : digits}`
}
