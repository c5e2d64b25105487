import { rm } from 'node:fs/promises'
import type { Position } from '../index.js'
import type { Airport, LostFlight } from './flights-tally.js'

const TABLES = `
  CREATE TABLE airport (
    iata TEXT PRIMARY KEY,
    landed INTEGER NOT NULL, late INTEGER NOT NULL, delay_minutes INTEGER NOT NULL,
    longest_minutes INTEGER NOT NULL, longest_departed TEXT NOT NULL, longest_origin TEXT NOT NULL,
    last_departed TEXT NOT NULL, last_origin TEXT NOT NULL,
    updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
  );
  CREATE TABLE progress (partition TEXT PRIMARY KEY, last_offset INTEGER NOT NULL);
`

/**
 * The database of an "old service": plain SQL, none of it ours. It holds what a plain loop over the flights counted, but for one flight
 * that it lost, and in the same transaction how far it had read.
 */
export async function layOldService(
  file: string, airports: ReadonlyMap<string, Airport>, lost: LostFlight, position: Position,
): Promise<void> {
  for (const suffix of ['', '-wal', '-shm', '-journal']) await rm(`${file}${suffix}`, { force: true })
  await withDatabase(file, (database) => {
    database.exec(TABLES)
    const airport = database.prepare(`INSERT INTO airport (iata, landed, late, delay_minutes, longest_minutes, longest_departed,
      longest_origin, last_departed, last_origin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`)
    const progress = database.prepare('INSERT INTO progress VALUES (?, ?)')
    database.exec('BEGIN')
    for (const [iata, counted] of airports) {
      const { landed, delayed, delayTotal, longestDelay, lastArrival } = iata === lost.airport ? without(counted, lost.delay) : counted
      airport.run(iata, landed, delayed, delayTotal, longestDelay.delay, longestDelay.departed, longestDelay.origin,
        lastArrival.departed, lastArrival.origin)
    }
    for (const [partition, offset] of position) progress.run(partition, offset)
    database.exec('COMMIT')
  })
}

/** Runs statements on it, as `sqlite3 old.db < repair.sql` would. */
export async function runStatements(file: string, statements: string): Promise<void> {
  await withDatabase(file, (database) => database.exec(statements))
}

function without(airport: Airport, delay: number): Airport {
  return {
    ...airport, landed: airport.landed - 1, delayed: airport.delayed - (delay > 15 ? 1 : 0), delayTotal: airport.delayTotal - delay,
  }
}

interface Database {
  exec(sql: string): unknown
  prepare(sql: string): { run(...values: readonly unknown[]): unknown }
  close(): unknown
}

async function withDatabase(file: string, use: (database: Database) => unknown): Promise<void> {
  const { default: SqliteDatabase } = await import('better-sqlite3')
  const database: Database = new SqliteDatabase(file)
  try {
    use(database)
  } finally {
    database.close()
  }
}
