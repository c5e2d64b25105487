import { RehydrateError } from '../errors.js'
import { checkOptions, nearest, typeName } from './options.js'
import { isWellFormed, pathText } from './value.js'

/** What a cell holds, in a table of ours or of another program. `bigint`: 64-bit integers, exactly. */
export type Cell = null | number | bigint | string | Uint8Array

/**
 * `decimal(p,s)`: p digits in all, s of them after the point; 0 ≤ s ≤ p ≤ 1,000. `timestamp`: integer microseconds since
 * 1970 UTC.
 */
export type ColumnTypeText =
  | 'text' | 'int' | 'int64' | 'real' | 'bool' | 'bytes' | 'json' | 'timestamp' | 'date' | 'uuid'
  | `decimal(${number},${number})` | `decimal(${number}, ${number})`

/** What NULL in the column means: it may not be there, the field is absent, or the field is null. */
export type NullMeaning = 'refused' | 'absent' | 'null'

export const COLUMN_KINDS = [
  'text', 'int', 'int64', 'real', 'bool', 'bytes', 'json', 'decimal', 'timestamp', 'date', 'uuid',
] as const
export type ColumnKind = (typeof COLUMN_KINDS)[number]

/** One declared column, checked. */
export interface ColumnSpec<K extends string = ColumnKind> {
  /** As declared: `landed`, `longestDelay.delay`; `...` for the rest. */
  readonly path: string
  readonly steps: readonly string[]
  /** Where the field stands in a value, for errors: `$.longestDelay.delay`. */
  readonly at: string
  readonly kind: K
  /** Of a decimal: how many digits before and after the point. */
  readonly digits: { readonly whole: number; readonly fraction: number } | null
  /** `int`, `decimal(10,2)`. */
  readonly type: string
  readonly null: NullMeaning
  readonly column: string
  /** Options besides type, null and column. */
  readonly options: Readonly<Record<string, unknown>>
}

export interface DeclarationRules<K extends string> {
  /** Names the place in messages: `collections.airports.columns`. */
  readonly where: string
  readonly kinds: readonly K[]
  /** Options of a column besides type, null and column. */
  readonly options: readonly string[]
  /** A table of ours: its names are ours to limit, and what takes the undeclared properties may be declared. */
  readonly own: boolean
}

/**
 * The declaration of what takes the undeclared properties. It reads as the rest of an object does in TypeScript, and can not be
 * the name of a field, since names with a point can not be declared.
 */
export const REST = '...'
const DEFAULT_REST_COLUMN = 'rest'

const MAX_COLUMNS = 1_000
const MAX_NAME_LENGTH = 63
const MAX_PRECISION = 1_000
const TYPE = /^([A-Za-z0-9]+)(?:\((\d+), ?(\d+)\))?(\?| \| null)?$/
/** As the paths of int64 fields. */
const PATH = /^[^.[\]]+(\.[^.[\]]+)*$/
const NULL_MEANINGS: readonly unknown[] = ['refused', 'absent', 'null']

/** The columns in the order of their declaration. CONFIG_INVALID with the path that was declared. */
export function readDeclarations<K extends string>(declared: unknown, rules: DeclarationRules<K>): ColumnSpec<K>[] {
  if (typeof declared !== 'object' || declared === null || Array.isArray(declared)) {
    throw new RehydrateError('CONFIG_INVALID', {
      message: `${rules.where} takes an object of columns.`, actual: typeName(declared),
    })
  }
  const specs = Object.entries(declared).map(([path, given]) => readColumn(path, given, rules))
  if (specs.length === 0 || specs.length > MAX_COLUMNS) {
    throw new RehydrateError('CONFIG_INVALID', {
      message: `${rules.where} takes 1 to ${MAX_COLUMNS} columns.`, actual: specs.length,
    })
  }
  return specs
}

function readColumn<K extends string>(path: string, given: unknown, rules: DeclarationRules<K>): ColumnSpec<K> {
  const { where } = rules
  if (path === REST && !rules.own) throw refused(where, path, 'no column for undeclared fields is possible here')
  const steps = path === REST ? [] : stepsOf(where, path)
  const options = typeof given === 'string' ? { type: given } : given
  checkOptions(`${where}: ${path}`, options, ['type', 'null', 'column', ...rules.options])
  const { type: typeText, null: nullMeaning, column, ...more } = options as Readonly<Record<string, unknown>>
  const type = readType(path, typeText, nullMeaning, rules)
  if (path === REST && (type.kind !== 'json' || type.null !== 'refused')) {
    throw refused(where, path, "what takes the undeclared fields is 'json'", typeText)
  }
  const name = column ?? (path === REST ? DEFAULT_REST_COLUMN : path.replaceAll('.', '_'))
  return { path, steps, at: pathText([...steps], steps.length), ...type, column: checkName(path, name, rules), options: more }
}

function stepsOf(where: string, path: string): string[] {
  if (!PATH.test(path) || path.split('.').includes('__proto__') || !isWellFormed(path)) {
    const why = 'is no path of a field: names in it are joined by points, and have none of . [ ] themselves'
    throw new RehydrateError('CONFIG_INVALID', { message: `${where}: ${JSON.stringify(path)} ${why}.`, path })
  }
  return path.split('.')
}

type ReadType<K extends string> = Pick<ColumnSpec<K>, 'kind' | 'digits' | 'type' | 'null'>

function readType<K extends string>(path: string, text: unknown, meaning: unknown, rules: DeclarationRules<K>): ReadType<K> {
  const { where, kinds } = rules
  const parts = typeof text === 'string' ? TYPE.exec(text) : null
  const kind = kinds.find((known) => known === parts?.[1])
  if (parts === null || kind === undefined) {
    const near = typeof text === 'string' ? nearest(parts?.[1] ?? text, kinds) : null
    const known = `one of ${kinds.join(', ')}, with ? where the field may be absent or | null where it may be null`
    throw refused(where, path, `the type must be ${known}${near === null ? '' : `. Did you mean ${near}?`}`, text)
  }
  const [, , precision, scale, suffix] = parts
  if ((precision !== undefined) !== (kind === 'decimal')) {
    throw refused(where, path, 'a decimal, and nothing else, has digits: decimal(10,2)', text)
  }
  if (meaning !== undefined && (suffix !== undefined || !NULL_MEANINGS.includes(meaning))) {
    throw refused(where, path, "null must be 'refused', 'absent' or 'null', and be said once", meaning)
  }
  const said = suffix === '?' ? 'absent' : suffix === undefined ? (meaning as NullMeaning | undefined) : 'null'
  return {
    kind, type: precision === undefined ? kind : `${kind}(${Number(precision)},${Number(scale)})`,
    digits: precision === undefined ? null : digitsOf(where, path, Number(precision), Number(scale)),
    null: said ?? (kind === 'stored' ? 'absent' : 'refused'),
  }
}

function digitsOf(where: string, path: string, precision: number, scale: number): { whole: number; fraction: number } {
  if (precision < 1 || precision > MAX_PRECISION || scale > precision) {
    throw refused(where, path, `a decimal(p,s) has 1 ≤ p ≤ ${MAX_PRECISION} and s ≤ p`, `decimal(${precision},${scale})`)
  }
  return { whole: precision - scale, fraction: scale }
}

/** The limit is that of PostgreSQL, so that a table can move there. */
function checkName(path: string, name: unknown, { where, own }: DeclarationRules<string>): string {
  // oxlint-disable-next-line no-control-regex
  const fits = typeof name === 'string' && name !== '' && isWellFormed(name) && !/[\x00-\x1f\x7f]/.test(name)
  if (fits && (!own || name.length <= MAX_NAME_LENGTH)) return name
  const needed = `1 to ${MAX_NAME_LENGTH} characters, none of them control characters`
  throw refused(where, path, `the name of its column must have ${needed}`, name)
}

/** CONFIG_INVALID for the declaration under `path`. */
export function refused(where: string, path: string, why: string, actual?: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `${where}: ${path}: ${why}.`, path, actual: typeof actual === 'object' ? typeName(actual) : actual,
  })
}
