import { CanonicalWriter, isRehydrateError, RehydrateError } from '../../src/index.js'
import type { Columns, Entry, PutEntry, StoredColumn } from '../../src/index.js'
import type { Connection } from './client.js'
import { once, ROWS_PER_STATEMENT } from './entry-table.js'
import type { EntryTable } from './entry-table.js'

/**
 * A collection that is kept as a table with columns: `airports__g7` with the key, the columns and the entry's hash. What people
 * and services read is the view `airports` over the live generation's table.
 */

const SQL_TYPES: Readonly<Record<StoredColumn['kind'], string>> = {
  text: 'TEXT', int: 'INTEGER', int64: 'INTEGER', real: 'REAL', bool: 'INTEGER', bytes: 'BLOB', json: 'TEXT',
  decimal: 'TEXT', timestamp: 'INTEGER', date: 'TEXT', uuid: 'TEXT',
}

export function physicalName(collection: string, generation: number): string {
  return `${collection}__g${generation}`
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Within a transaction. */
export function createTypedTable(connection: Connection, collection: string, generation: number, columns: Columns): void {
  const lines = columns.names.map(({ name, kind, nullable }) => `${quoted(name)} ${SQL_TYPES[kind]}${nullable ? '' : ' NOT NULL'}`)
  connection.exec(`CREATE TABLE ${quoted(physicalName(collection, generation))}
    ("key" TEXT NOT NULL PRIMARY KEY, ${lines.join(', ')}, "hash" BLOB NOT NULL) WITHOUT ROWID`)
}

/** SQLite takes so many values in one statement. */
const MAX_VALUES = 32_766

export function typedTable(connection: Connection, collection: string, generation: number, columns: Columns): EntryTable {
  const table = quoted(physicalName(collection, generation))
  // A row begins with its cells, so that it can be taken for them as it is.
  const names = [...columns.names.map(({ name }) => quoted(name)), '"key"', '"hash"']
  const select = `SELECT ${[...columns.names.map(readExpression), '"key"', '"hash"'].join(', ')} FROM ${table}`
  const rowsPerStatement = Math.min(ROWS_PER_STATEMENT, Math.floor(MAX_VALUES / names.length))
  const upsert = (rows: number): string => {
    const row = `(${names.map(() => '?').join(', ')})`
    const replaced = names.filter((name) => name !== '"key"').map((name) => `${name} = excluded.${name}`)
    return `INSERT INTO ${table} (${names.join(', ')}) VALUES ${Array(rows).fill(row).join(', ')}
      ON CONFLICT ("key") DO UPDATE SET ${replaced.join(', ')}`
  }
  const reader = new RowReader(collection, columns)
  return {
    get: connection.prepare(`${select} WHERE "key" IN (SELECT value FROM json_each(?))`).raw(),
    scan: connection.prepare(`${select} ORDER BY "key" LIMIT ?`).raw(),
    scanAfter: connection.prepare(`${select} WHERE "key" > ? ORDER BY "key" LIMIT ?`).raw(),
    writes: once(() => ({
      put: connection.prepare(upsert(1)),
      putMany: connection.prepare(upsert(rowsPerStatement)),
      remove: connection.prepare(`DELETE FROM ${table} WHERE "key" = ?`),
    })),
    rowsPerStatement,
    width: names.length,
    bind: (put, values) => bind(columns, put, values),
    entriesOf: (rows) => reader.entries(rows),
  }
}

/** Of a column in which a number would round: the digits. Anything but an integer comes as it is, and is refused then. */
function readExpression({ name, readAs }: StoredColumn): string {
  const column = quoted(name)
  return readAs === 'plain' ? column : `CASE typeof(${column}) WHEN 'integer' THEN CAST(${column} AS TEXT) ELSE ${column} END`
}

function bind(columns: Columns, { collection, key, value, hash }: PutEntry, values: unknown[]): void {
  try {
    values.push(...columns.toCells(value), key, hash)
  } catch (error) {
    if (!isRehydrateError(error)) throw error
    throw new RehydrateError(error.code, { collection, key, ...error.details })
  }
}

type Row = readonly (string | number | Uint8Array | null)[]

/** Makes canonical bytes of rows of `cells …, key, hash`. */
class RowReader {
  readonly #collection: string
  readonly #columns: Columns
  readonly #writer = new CanonicalWriter()

  constructor(collection: string, columns: Columns) {
    this.#collection = collection
    this.#columns = columns
  }

  entries(rows: readonly unknown[]): readonly Entry[] {
    const writer = this.#writer
    const width = this.#columns.names.length
    writer.reset()
    const ends = rows.map((row) => {
      this.#encode(row as Row)
      return writer.length
    })
    const all = Buffer.from(writer.bytes.subarray(0, writer.length))
    return rows.map((row, i): Entry => {
      const [key, hash] = [(row as Row)[width], (row as Row)[width + 1]]
      if (typeof key !== 'string' || !(hash instanceof Uint8Array)) throw this.#corrupt(key, 'its key or hash has another type')
      return { collection: this.#collection, key, bytes: all.subarray(ends[i - 1] ?? 0, ends[i]), hash }
    })
  }

  #encode(row: Row): void {
    try {
      this.#columns.encodeCells(row, this.#writer)
    } catch (error) {
      if (!isRehydrateError(error)) throw error
      // Not in the words of the error: they show the value.
      throw this.#corrupt(row.at(-2), `${error.details.path ?? 'a column'} holds what its column can not`, error)
    }
  }

  #corrupt(key: unknown, why: string, cause?: RehydrateError): RehydrateError {
    return new RehydrateError('STATE_CORRUPT', {
      message: `The row ${String(key)} of ${this.#collection} is not one that was written: ${why.replace(/\.$/, '')}.`,
      collection: this.#collection, key: String(key), path: cause?.details.path,
    })
  }
}

/** Within a transaction: a view for each typed table, in place of another generation's. CONFIG_INVALID where a name is taken. */
export function replaceViews(
  connection: Connection, generation: number, tables: readonly { readonly name: string; readonly columns: Columns }[],
): void {
  const views = connection.prepare("SELECT type, name, sql FROM sqlite_master WHERE type = 'view'").all() as Listed[]
  for (const view of views) if (isOurView(view)) connection.exec(`DROP VIEW ${quoted(view.name)}`)
  for (const { name, columns } of tables) {
    assertFree(connection, name, name)
    const shown = ['key', ...columns.names.map((column) => column.name)].map(quoted).join(', ')
    connection.exec(`CREATE VIEW ${quoted(name)} AS SELECT ${shown} FROM ${quoted(physicalName(name, generation))}`)
  }
}

interface Listed {
  readonly type: string
  readonly name: string
  readonly sql: string
}

function isOurView({ type, name, sql }: Listed): boolean {
  const table = ` FROM "${name}__g`
  const generation = sql.slice(sql.lastIndexOf(table) + table.length)
  return type === 'view' && sql.startsWith(`CREATE VIEW ${quoted(name)} AS SELECT "key"`) && /^\d+"$/.test(generation)
}

/** Names that a later table of the store or of another collection will have. */
const RESERVED = /^(?:sqlite_.*|entries_\d+|.*__g\d+)$/i

/** CONFIG_INVALID where the view of a collection, or a table that is to be made, can not have its name. */
export function assertTableNames(
  connection: Connection, generation: number, collections: readonly string[], added: readonly string[],
): void {
  const seen = new Map<string, string>()
  for (const name of collections) {
    if (RESERVED.test(name)) throw nameTaken(name, name, 'The store keeps such names for itself.')
    const other = seen.get(name.toLowerCase())
    if (other !== undefined) throw nameTaken(name, name, `SQLite takes it for the same as ${other}.`)
    seen.set(name.toLowerCase(), name)
    assertFree(connection, name, name)
  }
  for (const name of added) assertFree(connection, name, physicalName(name, generation))
}

/** SQLite's names are the same whatever the case of their ASCII letters. A view of ours may be there: it will be replaced. */
function assertFree(connection: Connection, collection: string, name: string): void {
  const present = connection
    .prepare('SELECT type, name, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE')
    .get(name) as Listed | undefined
  if (present === undefined || (present.name === collection && isOurView(present))) return
  throw nameTaken(collection, name, `There is a ${present.type} ${present.name} already.`)
}

function nameTaken(collection: string, name: string, why: string): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `The collection ${collection} has columns, and SQLite can not give its table or view the name ${name}. ${why}`,
    path: `collections.${collection}.columns`, collection, actual: name, why,
    fix: 'Give the collection another name, or rename what has that name in the file.',
  })
}
