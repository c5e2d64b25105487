/** What one would write today: readline, JSON.parse, and better-sqlite3 with WAL, prepared statements, many events a transaction. */
import Database from 'better-sqlite3'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { digestOfLines, formatHash } from '../../src/index.js'
import { nextOrder, type Order, type OrderChanged } from '../fold.js'
import { bytesIn, type FoldInput, type FoldResult } from '../fold-trial.js'
import { COLLECTION } from '../projection.js'
import { measured, tellResult, trialInput, type Check } from '../trial.js'

export interface BaselineInput extends FoldInput {
  /** Events in one transaction; 1: autocommit. */
  readonly perTransaction: number
  /** 'json': read the row, fold in JavaScript, write it. 'columns': the fold as one upsert in SQL, nothing is read. */
  readonly table: 'json' | 'columns'
}

interface Line {
  readonly key: string
  readonly recordedAt: number
  readonly data: OrderChanged
}

type Row = readonly [key: string, order: Order]

interface Table {
  apply(line: Line): void
  rows(): Iterable<Row>
}

function jsonTable(database: Database.Database): Table {
  database.exec('CREATE TABLE orders (key TEXT PRIMARY KEY, value TEXT NOT NULL)')
  const get = database.prepare<[string], string>('SELECT value FROM orders WHERE key = ?').pluck()
  const put = database.prepare('INSERT INTO orders VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
  return {
    apply({ key, recordedAt, data }) {
      const value = get.get(key)
      put.run(key, JSON.stringify(nextOrder(value === undefined ? undefined : JSON.parse(value) as Order, data, recordedAt)))
    },
    * rows() {
      for (const [key, value] of database.prepare<[], [string, string]>('SELECT key, value FROM orders').raw().iterate()) {
        yield [key, JSON.parse(value) as Order]
      }
    },
  }
}

function columnsTable(database: Database.Database): Table {
  database.exec(`CREATE TABLE orders (key TEXT PRIMARY KEY, changes INTEGER NOT NULL, totalCents INTEGER NOT NULL,
    status TEXT NOT NULL, customerId TEXT NOT NULL, items INTEGER NOT NULL, lastAtMs INTEGER NOT NULL)`)
  const put = database.prepare(`INSERT INTO orders VALUES (?, 1, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    changes = changes + 1, totalCents = totalCents + excluded.totalCents, status = excluded.status,
    customerId = excluded.customerId, items = items + excluded.items, lastAtMs = excluded.lastAtMs`)
  return {
    apply({ key, recordedAt, data: { amountCents, status, customerId, items } }) {
      put.run(key, amountCents, status, customerId, items, recordedAt)
    },
    * rows() {
      for (const row of database.prepare<[], Order & { key: string }>('SELECT * FROM orders').iterate()) {
        const { key, ...order } = row
        yield [key, order]
      }
    },
  }
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

async function checkOf(rows: Iterable<Row>): Promise<Check> {
  const check = { keys: 0, changes: 0, totalCents: 0 }
  function* lines(): Generator<string> {
    for (const [key, value] of rows) {
      check.keys++
      check.changes += value.changes
      check.totalCents += value.totalCents
      yield JSON.stringify({ collection: COLLECTION, key, value })
    }
  }
  const root = (await digestOfLines(lines())).collections.get(COLLECTION)?.root
  return { ...check, root: root === undefined ? '' : formatHash(root) }
}

const { path, folder, perTransaction, table: kind } = trialInput<BaselineInput>()
const database = new Database(join(folder, 'state.db'))
database.pragma('journal_mode = WAL')
database.pragma('synchronous = NORMAL')
const table = kind === 'json' ? jsonTable(database) : columnsTable(database)
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
