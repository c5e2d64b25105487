import { isKey, parseJson, RehydrateError } from '../../src/index.js'
import type { ForeignKey } from './foreign-options.js'
import { isExactly, quoteName, type Raw } from './foreign-sql.js'

/** How the keys of a table are read and looked up. */
export interface KeyPlan {
  /** Columns of the table that hold it; none where it is an expression. */
  readonly columns: readonly string[]
  /** What to select for it. */
  readonly cells: readonly string[]
  /** The same with its storage classes, for `condition`. */
  readonly typedCells: readonly string[]
  /** The key in the cells of a row, which begin at `from`. KEY_INVALID. */
  keyOf(row: readonly unknown[], from: number): string
  /** At most so many keys to a condition. */
  readonly most: number
  /** A condition that rows with these keys meet, and perhaps others; null: no row can have one of them. */
  lookup(keys: readonly string[]): { readonly sql: string; readonly values: readonly Raw[] } | null
  /** The condition that a row meets by its key, as SQL text; `row` holds the typed cells. */
  condition(row: readonly unknown[], from: number): string
  /** What an inserted row may hold in each of `columns`, any of those; null where that can not be said. */
  valuesOf(key: string): readonly (readonly Raw[])[] | null
}

/** `where` names the place of the table in errors; `isCollated`: texts may have to be told apart that its collations do not. */
export function planKey(where: string, key: ForeignKey, isCollated: boolean): KeyPlan {
  if (typeof key === 'object' && 'columns' in key) return compositePlan(where, key.columns, isCollated)
  return typeof key === 'string'
    ? simplePlan(where, quoteName(key), key, isCollated) : simplePlan(where, `(${key.sql}\n)`, null, isCollated)
}

/** The expression with integers as their digits: as numbers those beyond 2^53 would be rounded. */
export function digitsOf(expression: string): string {
  return `iif(typeof(${expression}) = 'integer', CAST(${expression} AS TEXT), ${expression})`
}

const MOST_SIMPLE = 10_000
const MOST_COMPOSITE = 100

function simplePlan(where: string, expression: string, column: string | null, isCollated: boolean): KeyPlan {
  return {
    columns: column === null ? [] : [column],
    cells: [digitsOf(expression)],
    typedCells: [digitsOf(expression), `typeof(${expression})`],
    keyOf(row, from) {
      const text = row[from]
      if (typeof text === 'string' && isKey(text)) return text
      throw keyInvalid(where, text)
    },
    most: MOST_SIMPLE,
    lookup(keys) {
      const values = keys.flatMap((key): Raw[] => [key, ...(asInteger(key) ?? [])])
      return { sql: `${expression} IN (${values.map(() => '?').join(', ')})`, values }
    },
    condition: (row, from) => isExactly(expression, keyCell(row, from), isCollated),
    valuesOf: (key) => (column === null ? null : [[key, ...(asInteger(key) ?? [])]]),
  }
}

/** Two cells for each column: its text, and its type. */
function compositePlan(where: string, columns: readonly string[], isCollated: boolean): KeyPlan {
  const names = columns.map(quoteName)
  const cells = names.flatMap((name) => [digitsOf(name), `typeof(${name})`])
  return {
    columns, cells,
    typedCells: cells,
    keyOf(row, from) {
      const parts = columns.map((column, i) => {
        const [cell, type] = [row[from + 2 * i], row[from + 2 * i + 1]]
        if (typeof cell !== 'string') throw keyInvalid(`${where}, column ${column}`, cell)
        return type === 'integer' ? cell : JSON.stringify(cell)
      })
      const key = `[${parts.join(',')}]`
      if (isKey(key)) return key
      throw keyInvalid(where, key)
    },
    most: MOST_COMPOSITE,
    lookup(keys) {
      const parts = keys.map((key) => partsOf(key, columns.length)).filter((part) => part !== null)
      if (parts.length === 0) return null
      const one = `(${names.map((name) => `${name} = ?`).join(' AND ')})`
      return { sql: parts.map(() => one).join(' OR '), values: parts.flat() }
    },
    condition: (row, from) => names.map((name, i) => isExactly(name, keyCell(row, from + 2 * i), isCollated)).join(' AND '),
    valuesOf: (key) => partsOf(key, columns.length)?.map((part) => [part]) ?? null,
  }
}

/** Of a cell and its type: an integer came as its digits. */
function keyCell(row: readonly unknown[], at: number): string | bigint {
  return row[at + 1] === 'integer' ? BigInt(row[at] as string) : row[at] as string
}

function asInteger(key: string): [bigint] | null {
  if (!/^-?\d{1,19}$/.test(key)) return null
  const value = BigInt(key)
  return BigInt.asIntN(64, value) === value && String(value) === key ? [value] : null
}

/** The texts and integers of a composite key; null where it is none of so many parts. */
function partsOf(key: string, count: number): (string | bigint)[] | null {
  try {
    const parts = parseJson(key, { int64: 'wide' })
    if (!Array.isArray(parts) || parts.length !== count) return null
    const isPart = (part: unknown): boolean => typeof part === 'string' || typeof part === 'bigint' || Number.isSafeInteger(part)
    return parts.every(isPart) ? parts.map((part: string | bigint | number) => (typeof part === 'number' ? BigInt(part) : part)) : null
  } catch {
    return null
  }
}

function keyInvalid(where: string, cell: unknown): RehydrateError {
  const what = cell === null ? 'NULL' : typeof cell === 'number' ? 'a real' : cell instanceof Uint8Array ? 'bytes'
    : cell === '' ? 'an empty text' : 'a text of more than 1,024 bytes'
  return new RehydrateError('KEY_INVALID', {
    message: `${where}: a row has ${what} for its key.`, path: where, actual: what,
    safe: 'Nothing was changed.',
    fix: 'Keys are texts and integers. Name other columns, make one with key: { sql }, or leave such rows out with `where`.',
  })
}
