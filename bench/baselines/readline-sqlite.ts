/** What one would write today: readline, JSON.parse, and better-sqlite3 with WAL, prepared statements, many events a transaction. */
import Database from 'better-sqlite3'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { bytesIn, type FoldInput, type FoldResult } from '../fold-trial.js'
import { checkOf, tableOf, type Line, type Table } from '../naive-tables.js'
import { measured, tellResult, trialInput } from '../trial.js'

export interface BaselineInput extends FoldInput {
  /** Events in one transaction; 1: autocommit. */
  readonly perTransaction: number
  /** 'json': read the row, fold in JavaScript, write it. 'columns': the fold as one upsert in SQL, nothing is read. */
  readonly table: 'json' | 'columns'
}

async function fold(path: string, database: Database.Database, table: Table, perTransaction: number): Promise<number> {
  database.exec('CREATE TABLE position (id INTEGER PRIMARY KEY, line INTEGER NOT NULL)')
  const setPosition = database.prepare('INSERT INTO position VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET line = excluded.line')
  let events = 0
  if (perTransaction > 1) database.exec('BEGIN')
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    table.apply(JSON.parse(line) as Line)
    events++
    if (events % perTransaction !== 0) continue
    setPosition.run(events)
    if (perTransaction > 1) database.exec('COMMIT; BEGIN')
  }
  setPosition.run(events)
  if (perTransaction > 1) database.exec('COMMIT')
  return events
}

const { path, folder, perTransaction, table: kind } = trialInput<BaselineInput>()
const database = new Database(join(folder, 'state.db'))
database.pragma('journal_mode = WAL')
database.pragma('synchronous = NORMAL')
const table = tableOf(kind, database)
const { value: events, cost } = await measured(async () => {
  const applied = await fold(path, database, table, perTransaction)
  // The engine's seal ends on the disk, in one file; so does this.
  database.pragma('synchronous = FULL')
  database.pragma('wal_checkpoint(TRUNCATE)')
  return applied
})
const storeBytes = bytesIn(folder)
const result: FoldResult = { ...cost, events, storeBytes, check: await checkOf(table.rows()), engine: null }
database.close()
tellResult(result)
