import type { Cell, ColumnKind, ColumnSpec } from './column-declaration.js'
import type { DecodeCell } from './column-tree.js'
import { parseJson, stringifyJson } from './json.js'
import { dateOf, decimalOf, int64Of, uuidOf } from './logical.js'
import { typeName } from './options.js'
import { shapeOf } from './shape.js'
import { type Value, MAX_DEPTH, isWellFormed, valueInvalid } from './value.js'

/** How a type is kept in our own tables: one cell for each value, one value for each cell. */
export interface CellCodec {
  /** VALUE_INVALID for a value of another type, or one that the cell would not give back exactly. */
  readonly toCell: (value: NonNullable<Value>, at: string, spec: ColumnSpec) => Exclude<Cell, null>
  /** VALUE_INVALID for any cell that `toCell` does not give, so that a changed cell can not pass for an unchanged one. */
  readonly fromCell: (cell: Exclude<Cell, null>, at: string, spec: ColumnSpec) => Value
}

const text: CellCodec = {
  toCell: (value, at) => {
    if (typeof value !== 'string') throw unfit(value, 'a text', at)
    if (!isWellFormed(value)) throw valueInvalid(at, 'holds a lone surrogate, which has no UTF-8 form')
    return value
  },
  fromCell: (cell, at) => (typeof cell === 'string' ? cell : fails(cell, 'a text', at)),
}

const int: CellCodec = {
  toCell: (value, at) => {
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value + 0
    if (typeof value === 'bigint' && Number.isSafeInteger(Number(value))) return Number(value)
    throw unfit(value, 'an integer within ±(2^53 − 1)', at)
  },
  fromCell: (cell, at) =>
    (Number.isSafeInteger(cell) && !Object.is(cell, -0) ? (cell as number) : fails(cell, 'an integer', at)),
}

const int64: CellCodec = {
  toCell: (value, at) => {
    if (typeof value !== 'bigint' && typeof value !== 'number') throw unfit(value, 'a 64-bit integer', at)
    return int64Of(value, at)
  },
  // Tables are read as digits where a number would round: see StoredColumn.
  fromCell: (cell, at) =>
    (typeof cell === 'string' || typeof cell === 'bigint' ? int64Of(cell, at) : fails(cell, 'a 64-bit integer', at)),
}

const real: CellCodec = {
  toCell: (value, at) => {
    if (typeof value !== 'number' || !Number.isFinite(value)) throw unfit(value, 'a finite number', at)
    return value + 0
  },
  fromCell: (cell, at) =>
    (Number.isFinite(cell) && !Object.is(cell, -0) ? (cell as number) : fails(cell, 'a finite number', at)),
}

const bool: CellCodec = {
  toCell: (value, at) => {
    if (typeof value !== 'boolean') throw unfit(value, 'true or false', at)
    return value ? 1 : 0
  },
  fromCell: (cell, at) => (cell === 1 || cell === 0 ? cell === 1 : fails(cell, '0 or 1', at)),
}

const bytes: CellCodec = {
  toCell: (value, at) => (value instanceof Uint8Array ? value : fails(value, 'bytes', at)),
  fromCell: (cell, at) => (cell instanceof Uint8Array ? cell : fails(cell, 'bytes', at)),
}

const json: CellCodec = {
  toCell: (value, at) => canonicalJson(value, at),
  fromCell: (cell, at) => (typeof cell === 'string' ? jsonOf(cell, at) : fails(cell, 'JSON text', at)),
}

/** A type whose value is a text of one form: `canonical` gives that form of any. */
function form(what: string, canonical: (source: string, at: string, spec: ColumnSpec) => string): CellCodec {
  const check = (value: unknown, at: string, spec: ColumnSpec): string => {
    if (typeof value !== 'string') throw unfit(value, what, at)
    if (canonical(value, at, spec) !== value) {
      throw valueInvalid(at, `is not in the one form of ${what}: ${JSON.stringify(value)}`)
    }
    return value
  }
  return { toCell: check, fromCell: check }
}

export const CODECS: Readonly<Record<ColumnKind, CellCodec>> = {
  text, int, int64, real, bool, bytes, json, timestamp: int,
  decimal: form('a decimal', (source, at, spec) => decimalWithin(decimalOf(source, at), at, spec)),
  date: form('a date', dateOf),
  uuid: form('a UUID', uuidOf),
}

/** The codec of a column as the tree of fields takes it. */
export function decoderOf(spec: ColumnSpec): DecodeCell {
  const { fromCell } = CODECS[spec.kind]
  return (cell, at) => fromCell(cell, at, spec)
}

/** A canonical decimal that has no more digits than declared. */
export function decimalWithin(canonical: string, at: string, { type, digits }: ColumnSpec<string>): string {
  const [whole = '', fraction = ''] = canonical.replace('-', '').split('.')
  const wholeDigits = whole === '0' ? 0 : whole.length
  if (digits !== null && (wholeDigits > digits.whole || fraction.length > digits.fraction)) {
    throw valueInvalid(at, `has more digits than ${type}: ${canonical.slice(0, 60)}`)
  }
  return canonical
}

/** The one JSON text of a value: as `stringifyJson`, with names in canonical order whatever the order of the object. */
export function canonicalJson(value: Value, at: string): string {
  return jsonText(value, at, 0)
}

function jsonText(value: Value, at: string, depth: number): string {
  if (typeof value !== 'object' || value === null) return stringifyJson(value)
  if (value instanceof Uint8Array) throw holdsBytes(at)
  if (depth >= MAX_DEPTH) throw valueInvalid(at, `is nested deeper than ${MAX_DEPTH} levels`)
  if (Array.isArray(value)) return `[${value.map((item: Value) => jsonText(item, at, depth + 1)).join(',')}]`
  const items = value as { readonly [name: string]: Value | undefined }
  const fields = shapeOf(Object.keys(items)).names.flatMap((name) => {
    const item = items[name]
    return item === undefined ? [] : [`${JSON.stringify(name)}:${jsonText(item, at, depth + 1)}`]
  })
  return `{${fields.join(',')}}`
}

/** The value of a JSON text, not frozen. VALUE_INVALID unless the text is the one `canonicalJson` gives. */
export function jsonOf(source: string, at: string): Value {
  const value = anyJsonOf(source, at)
  if (canonicalJson(value, at) !== source) throw valueInvalid(at, 'is not the one JSON text of its value')
  return value
}

/** The value of any JSON text, not frozen. */
export function anyJsonOf(source: string, at: string): Value {
  try {
    return parseJson(source, { int64: 'wide' }) as Value
  } catch (cause) {
    throw valueInvalid(at, `is no JSON that can be read exactly (${cause instanceof Error ? cause.message : String(cause)})`)
  }
}

/** What `canonicalJson` would refuse, without making the text. */
export function refuseBytes(value: Value, at: string): void {
  if (typeof value !== 'object' || value === null) return
  if (value instanceof Uint8Array) throw holdsBytes(at)
  for (const item of Object.values(value)) refuseBytes(item as Value, at)
}

function holdsBytes(at: string): Error {
  return valueInvalid(at, 'holds bytes, which JSON can not', "Keep them in a column of type 'bytes'.")
}

export function unfit(value: unknown, expected: string, at: string): Error {
  const shown = ['number', 'bigint', 'boolean'].includes(typeof value) ? String(value)
    : value instanceof Uint8Array ? 'bytes' : typeName(value)
  return valueInvalid(at, `must be ${expected}, not ${shown}`)
}

function fails(value: unknown, expected: string, at: string): never {
  throw unfit(value, expected, at)
}

