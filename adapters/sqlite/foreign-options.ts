import {
  checkOptions, parsePosition, RehydrateError,
  type ForeignColumnOptions, type Position,
} from '../../src/index.js'
import type { SqliteClient } from './client.js'

export interface SqliteTablesOptions {
  /** A SQLite file that another program writes. It is only read. */
  readonly path: string
  /** Per collection of the projection the table that holds it; null: left out of the comparison. */
  readonly tables: Readonly<Record<string, ForeignTable | null>>
  /** Where in the log the rows stand. Left out: not known, so that no verdict is possible. */
  readonly position?: ForeignPosition
  /** The class that `better-sqlite3` exports, if you have loaded it already. Default: loaded on the first use. */
  readonly client?: SqliteClient
}

/**
 * `at`: asserted, `orders/0@41,orders/1@17`. `query`: proved, since it is read in the transaction of the rows: rows of partition and last
 * applied offset, or one text of that form.
 */
export type ForeignPosition = { readonly at: string } | { readonly query: string }

export interface ForeignTable {
  /** A table or a view of the main schema. */
  readonly table: string
  /** Where the state key is. Of several columns it is what `compositeKey` makes of them; integers are their digits. */
  readonly key: ForeignKey
  /** Per field of the values (`landed`, `longestDelay.delay`) the column it is in, or more about it. */
  readonly columns: Readonly<Record<string, string | ForeignField>>
  /** Columns of the table that are no part of the state. */
  readonly ignore?: readonly string[]
  /** Fields of the rebuilt values that the table does not have: left out on both sides. */
  readonly omit?: readonly string[]
  /** Which rows count: an SQL condition over the row. Default: all. */
  readonly where?: string
}

/** Without a type: the one that the projection declares for the field, or else whatever is stored. */
export type ForeignField = Omit<ForeignColumnOptions, 'type'> & Partial<Pick<ForeignColumnOptions, 'type'>>

export type ForeignKey = string | { readonly columns: readonly string[] } | { readonly sql: string }

const POSITION_DEFERRED = {
  slot: 'A replication slot belongs to a database server; SQLite has none.',
  marker: "A marker row proves only that it was visible. Write the position in the transaction of the rows, and use { query }.",
}

/** Everything that can be told without the file and the projection. CONFIG_INVALID, OPTION_DEFERRED. */
export function checkTablesOptions(options: SqliteTablesOptions): { asserted: Position | null } {
  checkOptions('sqlite()', options, ['path', 'tables', 'position', 'client'])
  const { path, tables } = options
  if (typeof path !== 'string' || path === '' || path === ':memory:') throw invalid('path', 'the name of a file', path)
  if (typeof tables !== 'object' || tables === null || Array.isArray(tables)) {
    throw invalid('tables', 'an object: collection → table, or null', tables)
  }
  for (const [collection, table] of Object.entries(tables)) if (table !== null) checkTable(`tables.${collection}`, table)
  return { asserted: checkPosition(options.position) }
}

function checkPosition(position: ForeignPosition | undefined): Position | null {
  if (position === undefined) return null
  checkOptions('sqlite(): position', position, ['at', 'query'], POSITION_DEFERRED)
  const { at, query } = position as { readonly at?: unknown; readonly query?: unknown }
  if ((at === undefined) === (query === undefined)) {
    throw invalid('position', "one of { at: 'orders/0@41' } and { query: 'SELECT …' }", position)
  }
  if (query !== undefined) {
    if (typeof query !== 'string' || query.trim() === '') throw invalid('position.query', 'an SQL query', query)
    return null
  }
  if (typeof at !== 'string') throw invalid('position.at', 'a position such as orders/0@41', at)
  try {
    return parsePosition(at)
  } catch (error) {
    throw invalid('position.at', `a position such as orders/0@41 (${(error as Error).message})`, at)
  }
}

function checkTable(where: string, given: unknown): void {
  checkOptions(`sqlite(): ${where}`, given, ['table', 'key', 'columns', 'ignore', 'omit', 'where'])
  const { table, key, columns, ignore = [], omit = [], where: condition } = given as Readonly<Record<string, unknown>>
  if (!isText(table)) throw invalid(`${where}.table`, 'the name of a table or a view', table)
  checkKey(`${where}.key`, key)
  if (typeof columns !== 'object' || columns === null || Array.isArray(columns) || Object.keys(columns).length === 0) {
    throw invalid(`${where}.columns`, 'an object: field → column, with one at least', columns)
  }
  for (const [field, column] of Object.entries(columns)) {
    if (!isText(column) && (typeof column !== 'object' || column === null)) {
      throw invalid(`${where}.columns.${field}`, "the name of a column, or { column: 'name', type: 'int' }", column)
    }
  }
  for (const [name, list] of [['ignore', ignore], ['omit', omit]] as const) {
    if (!Array.isArray(list) || !list.every(isText)) throw invalid(`${where}.${name}`, 'an array of names', list)
  }
  const both = (omit as readonly string[]).find((field) => Object.hasOwn(columns, field))
  if (both !== undefined) throw invalid(`${where}.omit`, 'fields that have no column here', both)
  if (condition !== undefined && !isText(condition)) throw invalid(`${where}.where`, 'an SQL condition', condition)
}

function checkKey(where: string, key: unknown): void {
  if (isText(key)) return
  const expected = "the name of a column, { columns: ['a', 'b'] } or { sql: '…' }"
  if (typeof key !== 'object' || key === null) throw invalid(where, expected, key)
  checkOptions(`sqlite(): ${where}`, key, ['columns', 'sql'])
  const { columns, sql } = key as { readonly columns?: unknown; readonly sql?: unknown }
  const areColumns = Array.isArray(columns) && columns.length > 0 && columns.every(isText)
  if (columns === undefined ? !isText(sql) : sql !== undefined || !areColumns) throw invalid(where, expected, key)
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== ''
}

export function invalid(path: string, expected: string, actual: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', { message: `sqlite(): ${path} must be ${expected}.`, path, expected, actual })
}
