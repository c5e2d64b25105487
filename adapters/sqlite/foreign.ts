import { existsSync } from 'node:fs'
import {
  nearest, RehydrateError,
  type Against, type AgainstOptions, type Position, type Projection, type RowSide, type Standing,
} from '../../src/index.js'
import { loadClient } from './client.js'
import type { Connection, SqliteClient } from './client.js'
import { mendStatements } from './foreign-mend.js'
import { checkTablesOptions, type SqliteTablesOptions } from './foreign-options.js'
import { queryPosition } from './foreign-position.js'
import { planTable } from './foreign-schema.js'
import { prepared, reading } from './foreign-sql.js'
import { ForeignTableReader } from './foreign-table.js'

/** How long another program may keep the file locked. */
const BUSY_TIMEOUT_MS = 10_000

/**
 * Tables that another program keeps in a SQLite file, as the other side of a comparison. Read-only; all of it is read in one
 * transaction, while the other program may go on writing.
 *
 * Throws CONFIG_INVALID and OPTION_DEFERRED at once. When opened: STORE_NOT_FOUND, CONFIG_INVALID and COLUMN_UNKNOWN for a mapping
 * that does not fit file or projection, AGAINST_POSITION_UNKNOWN, ADAPTER_PEER_MISSING, STORE_FAILED.
 */
export function foreignTables(options: SqliteTablesOptions): Against {
  const { asserted } = checkTablesOptions(options)
  return {
    kind: 'against',
    name: options.path,
    open: async (asked) => openSide(options, asserted, asked, options.client ?? (await loadClient())),
  }
}

function openSide(
  options: SqliteTablesOptions, asserted: Position | null, { projection, signal }: AgainstOptions, client: SqliteClient,
): RowSide {
  const { path, tables } = options
  checkCollections(tables, projection)
  if (!existsSync(path)) {
    throw new RehydrateError('STORE_NOT_FOUND', {
      message: `There is no file ${path}.`, file: path, fix: 'Check the path of the database.',
    })
  }
  const connection = reading(path, 'the file', () => new client(path, { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS }))
  try {
    // The first read of a transaction fixes what all of it sees.
    reading(path, 'the file', () => {
      connection.exec('BEGIN')
      prepared(connection, 'SELECT count(*) FROM main.sqlite_schema').get()
    })
    const readers = new Map(projection.collections.flatMap((collection) => {
      const mapping = tables[collection.name]
      if (mapping === null || mapping === undefined) return []
      return [[collection.name, new ForeignTableReader(connection, planTable(connection, path, collection, mapping))] as const]
    }))
    const standing = standingOf(connection, options, asserted)
    return side(options, connection, readers, standing, signal)
  } catch (error) {
    connection.close()
    throw error
  }
}

function side(
  { path, tables }: SqliteTablesOptions, connection: Connection, readers: ReadonlyMap<string, ForeignTableReader>,
  standing: Standing | null, signal: AbortSignal,
): RowSide {
  const readerOf = (collection: string): ForeignTableReader => {
    const reader = readers.get(collection)
    if (reader !== undefined) return reader
    throw new RehydrateError('USAGE', { message: `${path}: ${collection} has no table here.`, collection })
  }
  return {
    kind: 'rows',
    name: path,
    standing,
    collections: new Map([...readers].map(([name, { plan }]) => [name, { omitted: plan.omitted }])),
    leftOut: Object.entries(tables).flatMap(([name, table]) => (table === null ? [name] : [])),
    scan: (collection) => readerOf(collection).scan(signal),
    values: async (collection, keys) => readerOf(collection).values(keys),
    mend: (changes) => mendStatements(readerOf, changes),
    close: async () => void connection.close(),
  }
}

/** Every collection is named, so that none is forgotten without a word. */
function checkCollections(tables: SqliteTablesOptions['tables'], projection: Projection): void {
  const known = projection.collections.map(({ name }) => name)
  for (const name of Object.keys(tables)) {
    if (known.includes(name)) continue
    const near = nearest(name, known)
    throw new RehydrateError('CONFIG_INVALID', {
      message: `sqlite(): tables.${name}: the projection has no such collection.${near === null ? '' : ` Did you mean ${near}?`}`,
      path: `tables.${name}`, expected: known.join(', '), actual: name,
    })
  }
  const forgotten = known.find((name) => tables[name] === undefined)
  if (forgotten === undefined) return
  throw new RehydrateError('CONFIG_INVALID', {
    message: `sqlite(): tables does not say where the collection ${forgotten} is.`, path: `tables.${forgotten}`,
    fix: `Name its table, or leave it out of the comparison: ${forgotten}: null.`,
  })
}

function standingOf(connection: Connection, options: SqliteTablesOptions, asserted: Position | null): Standing | null {
  if (asserted !== null) return { position: asserted, known: 'asserted' }
  const { position, path } = options
  if (position === undefined || !('query' in position)) return null
  return { position: queryPosition(connection, path, position.query), known: 'proved' }
}
