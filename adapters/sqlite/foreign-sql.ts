import { isRehydrateError, RehydrateError } from '../../src/index.js'
import { isBusy, sqliteCode, storeError } from './client.js'
import type { Connection, Statement } from './client.js'

/** What SQLite holds in one place. bigint: an integer that was read exactly. */
export type Raw = null | number | bigint | string | Uint8Array

/** The part of a statement that only reading other programs' tables needs. */
export interface ReadStatement extends Statement {
  iterate(...values: readonly unknown[]): IterableIterator<unknown>
  /** Integers as bigints from now on, exactly. */
  safeIntegers(): ReadStatement
  raw(): ReadStatement
}

export function prepared(connection: Connection, sql: string): ReadStatement {
  return connection.prepare(sql) as ReadStatement
}

/** A name as SQL takes it, whatever characters are in it. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A literal that SQLite reads back as this very value, of the same storage class. */
export function literal(value: Raw): string {
  if (value === null) return 'NULL'
  if (typeof value === 'string') return textLiteral(value)
  if (typeof value === 'bigint') return value === -(2n ** 63n) ? '(-9223372036854775807 - 1)' : value.toString()
  if (typeof value === 'number') return realLiteral(value)
  return `X'${Buffer.from(value).toString('hex')}'`
}

/** The condition that an expression is this very value: with `isCollated`, also where its collation takes other texts for the same. */
export function isExactly(expression: string, value: Raw, isCollated: boolean): string {
  return `${expression}${isCollated && typeof value === 'string' ? ' COLLATE BINARY' : ''} IS ${literal(value)}`
}

/** SQL text can not hold NUL, and no control character of the data shall reach a terminal: they are named by number. */
function textLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  // oxlint-disable-next-line no-control-regex
  const named = quoted.replace(/[\x00-\x1f\x7f]+/g, (controls) => `' || char(${[...controls].map((c) => c.charCodeAt(0)).join(', ')}) || '`)
  return named === quoted ? quoted : `(${named})`
}

/** A real, also where it is a whole number: digits alone would be an integer. */
function realLiteral(value: number): string {
  if (value === Infinity || value === -Infinity) return value > 0 ? '9e999' : '-9e999'
  const text = String(value)
  return /[.e]/.test(text) ? text : `${text}.0`
}

/** Runs what reads a database of another program; its errors say what is wrong there. */
export function reading<T>(path: string, what: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw readError(error, path, what)
  }
}

function readError(error: unknown, path: string, what: string): unknown {
  // The client refuses by itself what is not one statement.
  const code = error instanceof RangeError || error instanceof TypeError ? 'SQLITE_ERROR' : sqliteCode(error)
  if (code === null || isRehydrateError(error)) return error
  const why = (error as Error).message
  const details = { file: path, actual: why, cause: error }
  if (code === 'SQLITE_ERROR') {
    return new RehydrateError('CONFIG_INVALID', { message: `${path}: ${what} is refused by SQLite: ${why}.`, ...details })
  }
  if (code === 'SQLITE_NOTADB') {
    return new RehydrateError('CONFIG_INVALID', { message: `${path} is not a SQLite database.`, ...details })
  }
  if (code.startsWith('SQLITE_CORRUPT')) {
    return new RehydrateError('AGAINST_INVALID', {
      message: `${path} is damaged: ${what} can not be read (${code}).`, ...details,
      fix: "Let `sqlite3 FILE 'PRAGMA integrity_check'` say where, and restore the file from a copy.",
    })
  }
  if (code === 'SQLITE_CANTOPEN' && !isBusy(error)) {
    return new RehydrateError('STORE_FAILED', {
      message: `${path} could not be opened to read (${why}).`, ...details, safe: 'Nothing was changed.',
      fix: 'Check that it is a file that may be read. In WAL mode SQLite also writes beside it (-shm); copy the database where it can not.',
    })
  }
  return storeError(error, path)
}
