import {
  compileForeign, nearest, RehydrateError,
  type Collection, type ForeignColumnOptions, type ForeignColumns,
} from '../../src/index.js'
import type { Connection } from './client.js'
import { digitsOf, planKey, type KeyPlan } from './foreign-key.js'
import type { ForeignTable } from './foreign-options.js'
import { prepared, quoteName, reading } from './foreign-sql.js'

/** A mapping that was checked against projection and file: nothing in it is missing, and nothing of the table is left unsaid. */
export interface TablePlan {
  readonly path: string
  readonly collection: string
  readonly table: string
  readonly isView: boolean
  /** A name of the rowid; null where there is none, or rows are not kept by it. */
  readonly rowid: string | null
  readonly key: KeyPlan
  readonly columns: ForeignColumns
  /** Per column of `columns` its declaration in full. */
  readonly declared: readonly ForeignColumnOptions[]
  /** What to select for the columns, in their order. */
  readonly cells: readonly string[]
  readonly where: string | null
  readonly omitted: readonly string[]
  /** Declared types of the table's columns. */
  readonly types: ReadonlyMap<string, string>
  /** Columns that SQLite computes, and that can not be written. */
  readonly generated: ReadonlySet<string>
  /** Some column may have a collation that takes different texts for the same. */
  readonly isCollated: boolean
  readonly encoding: string
}

/** CONFIG_INVALID for a table or a column that is not there, COLUMN_UNKNOWN for one that the mapping does not speak of. */
export function planTable(connection: Connection, path: string, collection: Collection, mapping: ForeignTable): TablePlan {
  const place = `tables.${collection.name}`
  const { types, generated } = columnsOf(connection, path, place, mapping.table)
  const expressionOfKey = typeof mapping.key === 'object' && 'sql' in mapping.key ? mapping.key.sql : ''
  const isCollated = /\bcollate\b/i.test(sqlOf(connection, mapping.table) + expressionOfKey)
  const declared = declarationsOf(mapping, collection)
  const columns = compileForeign(`${place}.columns`, declared)
  const key = planKey(`${place}: ${mapping.table}`, mapping.key, isCollated)
  const plain = columns.columns.flatMap(({ source }) => ('column' in source ? [source.column] : []))
  for (const [option, names] of [['columns', plain], ['key', key.columns], ['ignore', mapping.ignore ?? []]] as const) {
    for (const name of names) if (!types.has(name)) throw unknownColumn(path, `${place}.${option}`, mapping.table, name, types)
  }
  const read = [...plain, ...key.columns]
  const both = (mapping.ignore ?? []).find((name) => read.includes(name))
  if (both !== undefined) throw invalid(path, `${place}.ignore`, `the column ${both} is read and ignored at once`)
  const expressions = [
    ...columns.columns.flatMap(({ source }) => ('sql' in source ? [source.sql] : [])),
    ...(expressionOfKey === '' ? [] : [expressionOfKey]),
    ...(mapping.where === undefined ? [] : [mapping.where]),
  ]
  for (const one of expressions) {
    reading(path, `${place}: ${one}`, () => prepared(connection, `SELECT (${one}\n) FROM main.${quoteName(mapping.table)}`))
  }
  const unsaid = [...types.keys()].filter((name) => !read.includes(name) && !mapping.ignore?.includes(name))
  refuseUnsaid(path, place, mapping.table, unsaid.filter((name) => !isReadBy(connection, mapping.table, expressions, name, types)))
  return {
    path, collection: collection.name, table: mapping.table, key, columns, types, generated, isCollated,
    isView: isView(connection, mapping.table),
    rowid: rowidOf(connection, mapping.table, [...types.keys()]),
    declared: Object.values(declared),
    cells: columns.columns.map(({ source, readAs }) => {
      const expression = 'column' in source ? quoteName(source.column) : `(${source.sql}\n)`
      return readAs === 'text' ? digitsOf(expression) : expression
    }),
    where: mapping.where ?? null,
    omitted: mapping.omit ?? [],
    encoding: connection.pragma('encoding', { simple: true }) as string,
  }
}

function isView(connection: Connection, table: string): boolean {
  return prepared(connection, "SELECT 1 FROM main.sqlite_schema WHERE type = 'view' AND name = ?").get(table) !== undefined
}

/** Views, virtual tables and tables WITHOUT ROWID have none; a column may have taken its name. */
function rowidOf(connection: Connection, table: string, columns: readonly string[]): string | null {
  const name = ['rowid', '_rowid_', 'oid'].find((one) => !columns.some((column) => column.toLowerCase() === one))
  const isOrdinary = prepared(connection, "SELECT 1 FROM pragma_table_list(?) WHERE type = 'table' AND wr = 0 AND schema = 'main'")
  return name !== undefined && isOrdinary.get(table) !== undefined ? name : null
}

/** The statement that made a table or a view. */
function sqlOf(connection: Connection, table: string): string {
  const made = prepared(connection, 'SELECT sql FROM main.sqlite_schema WHERE name = ?').get(table) as { readonly sql: string | null }
  return made.sql ?? ''
}

type TableColumns = Pick<TablePlan, 'types' | 'generated'>

/** Columns of a table or view, with their declared types; generated ones too. */
function columnsOf(connection: Connection, path: string, place: string, table: string): TableColumns {
  const names = prepared(connection, "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view')").raw().all() as [string][]
  const known = names.map(([name]) => name)
  if (!known.includes(table)) {
    const near = nearest(table, known)
    throw new RehydrateError('CONFIG_INVALID', {
      message: `${path} has no table or view ${table}.${near === null ? '' : ` Did you mean ${near}?`}`,
      file: path, path: `${place}.table`, expected: known.join(', '), actual: table,
    })
  }
  return reading(path, `the table ${table}`, () => {
    const rows = prepared(connection, "SELECT name, type, hidden IN (2, 3) FROM pragma_table_xinfo(?, 'main')").raw().all(table)
    const columns = rows as [name: string, type: string, isGenerated: 0 | 1][]
    return {
      types: new Map(columns.map(([name, type]) => [name, type])),
      generated: new Set(columns.flatMap(([name, , isGenerated]) => (isGenerated === 1 ? [name] : []))),
    }
  })
}

/** The short form of a column is its name; its type is what the projection declares for the field, or else whatever is stored. */
function declarationsOf(mapping: ForeignTable, collection: Collection): Record<string, ForeignColumnOptions> {
  const own = ownDeclarations(collection)
  const declared = Object.entries(mapping.columns).map(([field, given]): [string, ForeignColumnOptions] => {
    const options = typeof given === 'string' ? { column: given } : given
    return [field, { type: 'stored', ...own.get(field), ...options }]
  })
  return Object.fromEntries(declared)
}

function ownDeclarations({ columns }: Collection): Map<string, ForeignColumnOptions> {
  const shape = (columns?.shape ?? []) as unknown as readonly (ForeignColumnOptions & { readonly path: string })[]
  return new Map(shape.map(({ path, type, null: meaning = 'refused' }) => [path, { type, null: meaning }]))
}

/**
 * Does an expression read this column? It does if SQLite can not compile it over a table that lacks that column only. Where it can not
 * be compiled over such a table at all (`rowid`), no: the column must then be ignored by name.
 */
function isReadBy(
  connection: Connection, table: string, expressions: readonly string[], column: string, types: ReadonlyMap<string, string>,
): boolean {
  const compiles = (names: readonly string[], expression: string): boolean => {
    try {
      const fields = names.length === 0 ? '1' : names.map(quoteName).join(', ')
      prepared(connection, `SELECT (${expression}\n) FROM (SELECT ${fields} FROM main.${quoteName(table)}) AS ${quoteName(table)}`)
      return true
    } catch {
      return false
    }
  }
  const all = [...types.keys()]
  return expressions.some((one) => compiles(all, one) && !compiles(all.filter((name) => name !== column), one))
}

function refuseUnsaid(path: string, place: string, table: string, columns: readonly string[]): void {
  if (columns.length === 0) return
  const list = columns.join(', ')
  const names = columns.map((name) => `'${name}'`).join(', ')
  const [what, them] = columns.length === 1 ? ['the column', 'it'] : ['the columns', 'them']
  throw new RehydrateError('COLUMN_UNKNOWN', {
    message: `${path}: ${place} says nothing of ${what} ${list} of ${table}.`,
    file: path, path: place, actual: list, safe: 'Nothing was changed.',
    fix: `Name ${them} in columns, or leave ${them} out: ignore: [${names}].`,
  })
}

function unknownColumn(path: string, where: string, table: string, name: string, types: ReadonlyMap<string, string>): RehydrateError {
  const known = [...types.keys()]
  const near = nearest(name, known)
  return new RehydrateError('CONFIG_INVALID', {
    message: `${path}: ${table} has no column ${name}.${near === null ? '' : ` Did you mean ${near}?`}`,
    file: path, path: where, expected: known.join(', '), actual: name,
  })
}

function invalid(path: string, where: string, what: string): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', { message: `${path}: ${where}: ${what}.`, file: path, path: where })
}
