import { RehydrateError } from '../errors.js'
import {
  type Cell, type ColumnKind, type ColumnSpec, type ColumnTypeText, type NullMeaning, COLUMN_KINDS, readDeclarations, refused,
} from './column-declaration.js'
import { type DecodeCell, type Leaf, buildTree, encodeRow } from './column-tree.js'
import { anyJsonOf, decimalWithin, unfit } from './column-types.js'
import { bytesOfHex, dateOf, decimalOf, int64Of, timestampOf, uuidOf } from './logical.js'
import { type Value, MAX_BYTES, valueInvalid } from './value.js'
import type { CanonicalWriter } from './writer.js'

/** `stored`: whatever the database holds, as it is: integer, real, text or bytes. */
export type ForeignTypeText = ColumnTypeText | 'stored'

export interface ForeignColumnOptions {
  readonly type: ForeignTypeText
  /** What NULL means. Default 'refused'; 'absent' for `stored`. */
  readonly null?: NullMeaning
  /** The column of the table. Default: the path with `_` for each point. */
  readonly column?: string
  /** In place of a column: an expression over the row. */
  readonly sql?: string
  /** Of a timestamp kept as a number: what it counts since 1970 UTC. Numbers are refused without it. */
  readonly unit?: 's' | 'ms' | 'us'
  /** Of a timestamp kept as text without an offset: UTC, or an offset such as `+02:00`. Such text is refused without it. */
  readonly zone?: string
  /** Of a text: spaces at its end are padding, and no part of it. */
  readonly trim?: 'end'
}

export type ForeignColumnDeclaration = ForeignTypeText | `${ForeignTypeText}?` | `${ForeignTypeText} | null` | ForeignColumnOptions

/** The fields of a value and where another program's table keeps them, by path as in ColumnDeclarations. */
export type ForeignColumnDeclarations = Readonly<Record<string, ForeignColumnDeclaration>>

export interface ForeignColumn {
  /** As declared: `longestDelay.delay`. */
  readonly path: string
  readonly source: { readonly column: string } | { readonly sql: string }
  /** 'text': integers must be read as their digits, since a number would round those beyond 2^53; the rest as it is stored. */
  readonly readAs: 'plain' | 'text'
}

/** Reads rows that another program wrote. */
export interface ForeignColumns {
  /** In the order of the declaration, and of the cells. */
  readonly columns: readonly ForeignColumn[]
  /**
   * Appends the canonical bytes of the value in a row. With the path: VALUE_INVALID for a cell that is none of its type,
   * NUMBER_INEXACT for a number that may have been rounded when it was read.
   */
  encodeRow(cells: readonly Cell[], writer: CanonicalWriter): void
}

type ForeignKind = ColumnKind | 'stored'
type ForeignSpec = ColumnSpec<ForeignKind>
type Decoder = (cell: Exclude<Cell, null>, at: string, spec: ForeignSpec) => Value

/** Which types have which options. */
const OPTIONS_OF: Readonly<Record<string, string>> = { unit: 'timestamp', zone: 'timestamp', trim: 'text' }
const ZONE = /^(?:UTC|[+-]\d\d:\d\d)$/
const MICROS: Readonly<Record<string, number>> = { s: 1_000_000, ms: 1_000, us: 1 }

/** CONFIG_INVALID with the path; `where` names the place: `tables.airports.columns`. */
export function compileForeign(where: string, declared: ForeignColumnDeclarations): ForeignColumns {
  const kinds: readonly ForeignKind[] = [...COLUMN_KINDS, 'stored']
  const specs = readDeclarations(declared, { where, kinds, options: ['sql', ...Object.keys(OPTIONS_OF)], own: false })
  for (const spec of specs) checkForeign(where, spec, declared[spec.path]!)
  const leaves = specs.map((spec, index): Leaf => ({ spec, index, decode: decoderOf(spec) }))
  const tree = buildTree(where, leaves)
  return {
    columns: specs.map(({ path, kind, column, options }) => {
      const { sql } = options
      const readAs = kind === 'int64' || kind === 'decimal' ? 'text' : 'plain'
      return { path, source: sql === undefined ? { column } : { sql: sql as string }, readAs }
    }),
    encodeRow(cells, writer) {
      const from = writer.length
      encodeRow(tree, cells, writer)
      if (writer.length - from <= MAX_BYTES) return
      throw valueInvalid('$', `takes more than ${MAX_BYTES / 1024 / 1024} MiB as canonical bytes`)
    },
  }
}

function checkForeign(where: string, { path, kind, options }: ForeignSpec, given: ForeignColumnDeclaration): void {
  const { sql, unit, zone, trim } = options
  for (const [name, value] of Object.entries(options)) {
    const type = OPTIONS_OF[name]
    if (type === undefined || type === kind || value === undefined) continue
    throw refused(where, path, `${name} is for columns of type ${type}`, kind)
  }
  if (sql !== undefined && (typeof sql !== 'string' || sql.trim() === '')) {
    throw refused(where, path, 'sql must be an expression', sql)
  }
  const { column } = given as ForeignColumnOptions
  if (sql !== undefined && column !== undefined) {
    throw refused(where, path, 'it comes from a column or from an sql expression, not from both', column)
  }
  if (unit !== undefined && !Object.hasOwn(MICROS, String(unit))) {
    throw refused(where, path, "unit must be 's', 'ms' or 'us'", unit)
  }
  if (zone !== undefined && !ZONE.test(String(zone))) {
    throw refused(where, path, "zone must be 'UTC' or an offset such as '+02:00'", zone)
  }
  if (trim !== undefined && trim !== 'end') throw refused(where, path, "trim must be 'end'", trim)
}

function decoderOf(spec: ForeignSpec): DecodeCell {
  const decodeCell = DECODERS[spec.kind]
  return (cell, at) => decodeCell(typeof cell === 'number' ? exact(cell, at) : cell, at, spec)
}

/** A number as it came from the client, unless it may be a rounded 64-bit integer. From 2^64 on no integer is that large. */
function exact(cell: number, at: string): number {
  const magnitude = Math.abs(cell)
  if (magnitude <= Number.MAX_SAFE_INTEGER || magnitude >= 2 ** 64 || !Number.isInteger(cell)) return cell
  throw new RehydrateError('NUMBER_INEXACT', {
    message: `${at} is the integer ${cell}, beyond ±(2^53 − 1): digits may be lost already.`, path: at, actual: cell,
    fix: 'Declare the column int64: it is then read exactly.',
  })
}

const DECODERS: Readonly<Record<ForeignKind, Decoder>> = {
  text: (cell, at, { options }) => {
    const source = stringOf(cell, 'a text', at)
    return options['trim'] === 'end' ? source.replace(/ +$/, '') : source
  },
  int: (cell, at) => {
    if (Number.isSafeInteger(cell)) return cell as number
    throw unfit(cell, 'an integer', at)
  },
  int64: (cell, at) => {
    if (cell instanceof Uint8Array || (typeof cell === 'number' && !Number.isSafeInteger(cell))) {
      throw unfit(cell, 'a 64-bit integer', at)
    }
    return int64Of(cell, at)
  },
  real: (cell, at) => {
    if (Number.isFinite(cell)) return cell as number
    throw unfit(cell, 'a finite number', at)
  },
  bool: (cell, at) => {
    const value = BOOLEANS.get(cell)
    if (value !== undefined) return value
    throw unfit(cell, "0, 1, 'true', 'false', 't' or 'f'", at)
  },
  bytes: (cell, at) => (cell instanceof Uint8Array ? cell : bytesOfHex(stringOf(cell, 'bytes or hexadecimal digits', at), at)),
  json: (cell, at) => anyJsonOf(stringOf(cell, 'JSON text', at), at),
  decimal: (cell, at, spec) => {
    if (typeof cell === 'string' || typeof cell === 'bigint') return decimalWithin(decimalOf(cell, at), at, spec)
    if (Number.isSafeInteger(cell)) return decimalWithin(decimalOf(String(cell), at), at, spec)
    throw unfit(cell, 'a decimal as text or an integer: a real is not exact', at)
  },
  timestamp: (cell, at, { options }) =>
    (typeof cell === 'number' ? microsOf(cell, options['unit'], at) : instantOf(stringOf(cell, 'a time', at), options['zone'], at)),
  date: (cell, at) => dateOf(stringOf(cell, 'a date', at), at),
  uuid: (cell, at) => {
    if (!(cell instanceof Uint8Array)) return uuidOf(stringOf(cell, 'a UUID', at), at)
    if (cell.length !== 16) throw valueInvalid(at, `must be a UUID of 16 bytes, not of ${cell.length}`)
    return uuidOf(Buffer.from(cell).toString('hex'), at)
  },
  stored: (cell) => cell,
}

const BOOLEANS = new Map<Cell, boolean>([
  [0, false], [1, true], ['false', false], ['true', true], ['f', false], ['t', true],
])

function stringOf(cell: Exclude<Cell, null>, expected: string, at: string): string {
  if (typeof cell === 'string') return cell
  throw unfit(cell, expected, at)
}

/** A real is taken for the microsecond it is nearest to, and must be the real nearest to that. */
function microsOf(count: number, unit: unknown, at: string): number {
  const perUnit = MICROS[String(unit)]
  if (perUnit === undefined) throw valueInvalid(at, 'is a number, and no unit of it is declared', "Declare unit: 's', 'ms' or 'us'.")
  const micros = Math.round(count * perUnit)
  if (!Number.isSafeInteger(micros)) throw valueInvalid(at, `is too far from 1970 for exact microseconds: ${count}`)
  if (micros / perUnit !== count) throw valueInvalid(at, `is finer than a microsecond: ${count}`)
  return micros
}

function instantOf(source: string, zone: unknown, at: string): number {
  if (!/\d$/.test(source) || /[+-]\d\d:?\d\d$/.test(source.slice(10))) return timestampOf(source, at)
  if (zone === undefined) {
    throw valueInvalid(at, `is a time without an offset: ${source}`, "Declare zone: 'UTC', or an offset such as '+02:00'.")
  }
  return timestampOf(`${source}${zone === 'UTC' ? 'Z' : String(zone)}`, at)
}
