import type { Value } from '../value/canonical.js'
import { MAX_FIELDS, type FieldDifference } from './fields.js'

/** What a column of another database may have done to all fields that differ, in words; null where that does not explain them. */
export function columnDetail(fields: readonly FieldDifference[]): string | null {
  const found = fields.map(({ path, rebuilt, against }) => ({ path, text: transformation(rebuilt, against) }))
  // Of more than MAX_FIELDS the others are not known.
  if (found.length === 0 || found.length > MAX_FIELDS || found.some(({ text }) => text === null)) return null
  const texts = new Set(found.map(({ text }) => text))
  return texts.size === 1 ? found[0]?.text ?? null : found.map(({ path, text }) => `${path} ${text}`).join(', ')
}

function transformation(ours: Value | undefined, theirs: Value | undefined): string | null {
  if (isNumber(ours) && isNumber(theirs)) return numberTransformation(ours, theirs)
  if (typeof ours === 'string' && typeof theirs === 'string') return textTransformation(ours, theirs)
  if (typeof ours === 'boolean' && theirs === Number(ours)) return 'kept as 0 or 1'
  if (isNumber(ours) && theirs === String(ours)) return 'kept as text'
  return null
}

function isNumber(value: Value | undefined): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint'
}

function numberTransformation(ours: number | bigint, theirs: number | bigint): string | null {
  const isWhole = typeof ours === 'bigint' || Number.isInteger(ours)
  if (isWhole && (typeof theirs === 'bigint' || Number.isInteger(theirs))) {
    const narrowed = narrowing(BigInt(ours), BigInt(theirs))
    if (narrowed !== null) return narrowed
  }
  const [from, to] = [Number(ours), Number(theirs)]
  // No float is exactly theirs, then: what follows speaks of floats.
  if (typeof theirs === 'bigint' && BigInt(to) !== theirs) return null
  if (Math.fround(from) === to) return 'kept as a 32-bit float'
  if (typeof ours === 'bigint' && from === to) return 'kept as a 64-bit float'
  return (isWhole ? timeNumber(from, to) : rounding(from, to)) ?? fewerDigits(from, to)
}

const INTEGERS = [
  { name: 'a 32-bit integer', bits: 32, isSigned: true }, { name: 'an unsigned 32-bit integer', bits: 32, isSigned: false },
  { name: 'a 16-bit integer', bits: 16, isSigned: true }, { name: 'an unsigned 16-bit integer', bits: 16, isSigned: false },
]

/** Cut off to fewer bits, or to the nearest that there is. */
function narrowing(ours: bigint, theirs: bigint): string | null {
  for (const { name, bits, isSigned } of INTEGERS) {
    if ((isSigned ? BigInt.asIntN(bits, ours) : BigInt.asUintN(bits, ours)) === theirs) return `kept as ${name}`
    const most = 2n ** BigInt(isSigned ? bits - 1 : bits) - 1n
    const least = isSigned ? -most - 1n : 0n
    if ((ours > most && theirs === most) || (ours < least && theirs === least)) return `held to the range of ${name}`
  }
  return null
}

const MAX_DECIMALS = 15

function rounding(ours: number, theirs: number): string | null {
  let decimals = 0
  while (decimals <= MAX_DECIMALS && Number(theirs.toFixed(decimals)) !== theirs) decimals++
  if (decimals > MAX_DECIMALS || Number(ours.toFixed(decimals)) === ours) return null
  const unit = 10 ** -decimals
  const by = Math.abs(ours - theirs)
  const places = decimals === 0 ? 'a whole number' : decimals === 1 ? '1 decimal' : `${decimals} decimals`
  if (by <= unit / 2 + Math.abs(ours) * Number.EPSILON) return `rounded to ${places}`
  return by < unit && Math.abs(theirs) <= Math.abs(ours) ? `cut to ${places}` : null
}

function fewerDigits(ours: number, theirs: number): string | null {
  const digits = [6, 7, 15].find((count) => Number(ours.toPrecision(count)) === theirs)
  return digits === undefined ? null : `rounded to ${digits} digits`
}

/** Of 2000 to 2100: only such integers are taken for times. */
const UNITS = [
  { perSecond: 1, name: 'seconds' }, { perSecond: 1_000, name: 'milliseconds' }, { perSecond: 1_000_000, name: 'microseconds' },
].map((unit) => ({ ...unit, from: 946_684_800 * unit.perSecond, to: 4_102_444_800 * unit.perSecond }))

function timeNumber(ours: number, theirs: number): string | null {
  const unit = UNITS.find(({ from, to }) => ours >= from && ours < to)
  if (unit === undefined) return null
  const coarser = UNITS.find(({ perSecond }) => perSecond < unit.perSecond && Math.floor(ours / (unit.perSecond / perSecond)) === theirs)
  return coarser === undefined ? moved(ours, theirs, unit.perSecond) : `kept in ${coarser.name}`
}

/** Cut off or rounded, shifted, or both. Times in units of which a second has `perSecond`. */
function moved(ours: number, theirs: number, perSecond: number): string | null {
  const plain = shiftText((theirs - ours) / perSecond / 60)
  if (plain !== null) return plain
  const units = [
    ...(perSecond > 1_000 ? [{ to: perSecond / 1_000, cut: 'microseconds cut off', rounded: 'rounded to milliseconds' }] : []),
    ...(perSecond > 1 ? [{ to: perSecond, cut: 'milliseconds cut off', rounded: 'rounded to seconds' }] : []),
    { to: perSecond * 60, cut: 'seconds cut off', rounded: 'rounded to minutes' },
  ]
  for (const { to, cut, rounded } of units) {
    for (const [kept, text] of [[Math.floor(ours / to) * to, cut], [Math.round(ours / to) * to, rounded]] as const) {
      if (kept === ours) continue
      if (kept === theirs) return text
      const shift = shiftText((theirs - kept) / perSecond / 60)
      if (shift !== null) return `${text}, ${shift}`
    }
  }
  return null
}

/** Offsets of time zones are whole quarters of an hour, up to 14 hours; two of them lie up to 26 apart. */
function shiftText(minutes: number): string | null {
  if (minutes === 0 || minutes % 15 !== 0 || Math.abs(minutes) > 26 * 60) return null
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60]
  const parts = [...(hours > 0 ? [`${hours} h`] : []), ...(rest > 0 ? [`${rest} min`] : [])]
  return `shifted by ${minutes < 0 ? '−' : ''}${parts.join(' ')}`
}

function textTransformation(ours: string, theirs: string): string | null {
  const [from, to] = [timeOf(ours), timeOf(theirs)]
  if (from !== null && to !== null) return from === to ? 'another form of the same time' : moved(from, to, 1_000_000)
  if (theirs === ours.trimEnd()) return 'trailing spaces cut off'
  if (ours === theirs.trimEnd()) return 'filled up with spaces'
  if (theirs === '' || !ours.startsWith(theirs)) return null
  const count = [...theirs].length
  return `truncated to ${count} character${count === 1 ? '' : 's'}`
}

const ISO_TIME = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?$/

/** Microseconds since 1970 of an ISO 8601 text, in UTC where it names no zone; null where it is none. */
function timeOf(text: string): number | null {
  const match = ISO_TIME.exec(text)
  if (match === null) return null
  const [, date, time, fraction = '', zone = 'Z'] = match
  const ms = Date.parse(`${date}T${time}${zone.replace(/^([+-]\d\d):?(\d\d)$/, '$1:$2')}`)
  return Number.isNaN(ms) ? null : ms * 1_000 + Number(fraction.padEnd(6, '0').slice(0, 6))
}
