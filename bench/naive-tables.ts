/** The tables that a program would keep its orders in without us, and what is read of them at the end. */
import type Database from 'better-sqlite3'
import { digestOfLines, formatHash } from '../src/index.js'
import { nextOrder, type Order, type OrderChanged } from './fold.js'
import { COLLECTION } from './projection.js'
import type { Check } from './trial.js'

/** A line of the log, or the value of a record. */
export interface Line {
  readonly key: string
  readonly recordedAt: number
  readonly data: OrderChanged
}

type Row = readonly [key: string, order: Order]

export interface Table {
  apply(line: Line): void
  rows(): Iterable<Row>
}

/** Read the row, fold in JavaScript, write it. */
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

/** The fold as one upsert in SQL: nothing is read. */
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

export function tableOf(kind: 'json' | 'columns', database: Database.Database): Table {
  return kind === 'json' ? jsonTable(database) : columnsTable(database)
}

/** Root and sums of a state that a table holds. */
export async function checkOf(rows: Iterable<Row>): Promise<Check> {
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
