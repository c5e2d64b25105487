import {
  CanonicalWriter, compileForeign, encode, isRehydrateError, stringifyJson,
  type Cell, type ForeignColumnOptions, type Value,
} from '../../src/index.js'
import type { Raw } from './foreign-sql.js'

/** Where a value goes back to: its column, and what is known of how the other program writes into it. */
export interface CellPlace {
  /** The declaration of the column. */
  readonly options: ForeignColumnOptions
  /** As the table was made: `INTEGER`, `VARCHAR(3)`. */
  readonly declaredType: string
  /** What this row, or else another, holds there; undefined: not known. */
  readonly sample: Raw | undefined
}

/**
 * What to store so that the mapping reads this value (undefined: an absent field) from the column; undefined where nothing does. Each
 * form that a program might write is tried, the usual ones of this column first, and is read back to be sure.
 */
export function rawFor(value: Value | undefined, place: CellPlace): Raw | undefined {
  const { options, sample } = place
  const reads = readerOf(options)
  const wanted = Buffer.from(encode(value === undefined ? {} : { field: value }))
  const forms = candidates(value, options, sample)
  const alike = (form: Raw): number => (sample !== undefined && classOf(form) === classOf(sample) ? 0 : 1)
  return forms
    .sort((a, b) => alike(a) - alike(b))
    .map((form) => stored(form, place.declaredType))
    .find((form) => form !== undefined && reads(form)?.equals(wanted) === true)
}

/** Canonical bytes of { field } as the mapping reads it from a stored form; null where it does not. */
function readerOf(options: ForeignColumnOptions): (form: Raw) => Buffer | null {
  const { sql: _sql, ...rest } = options
  const columns = compileForeign('mend', { field: { ...rest, column: 'field' } })
  const asText = columns.columns[0]?.readAs === 'text'
  const writer = new CanonicalWriter(1_024)
  return (form) => {
    const cell = typeof form === 'bigint' ? (asText ? String(form) : Number(form)) : form
    writer.reset()
    try {
      columns.encodeRow([cell as Cell], writer)
    } catch (error) {
      if (isRehydrateError(error)) return null
      throw error
    }
    return Buffer.from(writer.bytes.subarray(0, writer.length))
  }
}

function candidates(value: Value | undefined, options: ForeignColumnOptions, sample: Raw | undefined): Raw[] {
  if (value === undefined || value === null) return [null, 'null']
  if (typeof value === 'boolean') {
    const letters = value ? 't' : 'f'
    return typeof sample === 'string' && sample.length === 1 ? [letters] : [value ? 1n : 0n, String(value), letters]
  }
  if (typeof value === 'bigint') return [value, String(value)]
  if (typeof value === 'number') return [...numbers(value), ...times(value, options, sample)]
  if (typeof value === 'string') return [value, ...otherTexts(value)]
  if (value instanceof Uint8Array) return [value, Buffer.from(value).toString('hex')]
  return [stringifyJson(value)]
}

function numbers(value: number): Raw[] {
  return Number.isSafeInteger(value) ? [BigInt(value), value, String(value)] : [value, String(value)]
}

/** Digits and UUIDs have other forms; JSON holds a text in quotes. */
function otherTexts(value: string): Raw[] {
  const bare = value.replaceAll('-', '')
  return [
    ...(/^-?\d{1,18}$/.test(value) ? [BigInt(value)] : []),
    ...(/^[0-9a-f]{32}$/.test(bare) ? [Buffer.from(bare, 'hex'), value.toUpperCase(), bare] : []),
    JSON.stringify(value),
  ]
}

const MICROS = { s: 1_000_000, ms: 1_000, us: 1 } as const

/** Forms of a timestamp in microseconds. */
function times(micros: number, { unit, zone }: ForeignColumnOptions, sample: Raw | undefined): Raw[] {
  const counts = unit === undefined ? [] : numbers(micros / MICROS[unit])
  const separator = typeof sample === 'string' && sample[10] === ' ' ? ' ' : 'T'
  const offset = zone === undefined || zone === 'UTC' ? 0 : Number(`${zone[0]}1`) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4)))
  const texts = [
    ...(zone === undefined ? [] : [isoOf(micros + offset * 60_000_000, separator)]),
    ...[isoOf(micros, separator)].map((text) => (text === null ? null : `${text}Z`)),
  ]
  return [...counts, ...texts.filter((text) => text !== null)]
}

function isoOf(micros: number, separator: string): string | null {
  const seconds = Math.floor(micros / 1_000_000)
  const date = new Date(seconds * 1_000)
  if (Number.isNaN(date.getTime())) return null
  const fraction = String(micros - seconds * 1_000_000).padStart(6, '0').replace(/0+$/, '')
  return `${date.toISOString().slice(0, 19).replace('T', separator)}${fraction === '' ? '' : `.${fraction}`}`
}

function classOf(form: Raw): string {
  return form instanceof Uint8Array ? 'bytes' : form === null ? 'null' : typeof form
}

/** What becomes of a form in a column of this type, by SQLite's rules of affinity; undefined where it would turn into another value. */
export function stored(form: Raw, declaredType: string): Raw | undefined {
  const type = declaredType.toUpperCase()
  if (form === null || form instanceof Uint8Array) return form
  if (type.includes('INT')) return numeric(form)
  if (/CHAR|CLOB|TEXT/.test(type)) return typeof form === 'string' ? form : typeof form === 'bigint' ? String(form) : undefined
  if (type === '' || type.includes('BLOB')) return form
  if (/REAL|FLOA|DOUB/.test(type)) return typeof form === 'bigint' ? Number(form) : numeric(form)
  return numeric(form)
}

/** Text that looks like a number becomes one, and may lose digits: another form is found. */
function numeric(form: Raw): Raw | undefined {
  return typeof form === 'string' && form.trim() !== '' && !Number.isNaN(Number(form)) ? undefined : form
}
