import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { onTestFinished } from 'vitest'
import { sqlite, type ForeignTable, type SqliteTablesOptions } from '../../../adapters/sqlite/index.js'
import { decode, defineProjection, type Projection, type RowSide, type Value } from '../../../src/index.js'

export type OtherDatabase = InstanceType<typeof Database>

/** A database as another program would make it, by plain SQL. */
export function otherDatabase(sql: string): { path: string; database: OtherDatabase } {
  const directory = mkdtempSync(join(tmpdir(), 'rehydrate-foreign-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'other.db')
  const database = new Database(path)
  onTestFinished(() => void database.close())
  // Nothing here has to survive a power cut.
  database.pragma('synchronous = OFF')
  database.exec(sql)
  return { path, database }
}

export function projectionOf(collections: Record<string, object>): Projection {
  return defineProjection({ name: 'p', version: 1, collections, keys: { T: () => [] }, on: { T: () => {} } })
}

/** Opens tables as the other side of a projection with these collections. */
export async function openTables(
  path: string, tables: SqliteTablesOptions['tables'], more: Partial<SqliteTablesOptions> = {}, projection?: Projection,
): Promise<RowSide> {
  const collections = Object.fromEntries(Object.keys(tables).map((name) => [name, {}]))
  const against = sqlite({ path, tables, ...more })
  const side = await against.open({ projection: projection ?? projectionOf(collections), signal: new AbortController().signal })
  onTestFinished(() => side.close())
  return side as RowSide
}

/** One table as the collection `things`. */
export function openTable(path: string, table: ForeignTable, more: Partial<SqliteTablesOptions> = {}): Promise<RowSide> {
  return openTables(path, { things: table }, more)
}

/** All rows of a collection, decoded. */
export async function rowsOf(side: RowSide, collection = 'things'): Promise<Record<string, Value>> {
  const rows: Record<string, Value> = {}
  for await (const { keys, bytes, ends } of side.scan(collection)) {
    keys.forEach((key, i) => (rows[key] = decode(bytes.subarray(ends[i - 1] ?? 0, ends[i]))))
  }
  return rows
}

export async function valuesOf(side: RowSide, keys: readonly string[], collection = 'things'): Promise<Record<string, Value>> {
  return Object.fromEntries([...(await side.values(collection, keys))].map(([key, bytes]) => [key, decode(bytes)]))
}
