import { isRehydrateError, RehydrateError } from '../../src/index.js'

/** The part of better-sqlite3 12 that this adapter uses; a ready-made class of that shape may be passed as `client`. */
export type SqliteClient = new (path: string, options?: ConnectionOptions) => Connection

export interface ConnectionOptions {
  readonly readonly?: boolean
  readonly fileMustExist?: boolean
  /** Milliseconds to wait for a lock. */
  readonly timeout?: number
}

export interface Connection {
  readonly inTransaction: boolean
  exec(sql: string): unknown
  pragma(sql: string, options?: { readonly simple?: boolean }): unknown
  prepare(sql: string): Statement
  close(): unknown
}

export interface Statement {
  run(...values: readonly unknown[]): unknown
  get(...values: readonly unknown[]): unknown
  all(...values: readonly unknown[]): unknown[]
  /** Rows as arrays from now on. */
  raw(): Statement
}

/** Loads better-sqlite3, on the first use only: it is an optional dependency. */
export async function loadClient(name = 'better-sqlite3'): Promise<SqliteClient> {
  try {
    const module = (await import(name)) as { readonly default: SqliteClient }
    return module.default
  } catch (cause) {
    throw new RehydrateError('ADAPTER_PEER_MISSING', {
      message: 'The SQLite store needs the package better-sqlite3, which could not be loaded.',
      fix: 'npm install better-sqlite3@12',
      cause,
    })
  }
}

/** SQLITE_BUSY, SQLITE_IOERR_WRITE …; null for an error that is not SQLite's. */
export function sqliteCode(error: unknown): string | null {
  const code = error instanceof Error && 'code' in error ? error.code : null
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : null
}

/** True where another connection holds a lock that this one needs: nothing was done, and it may be tried again. */
export function isBusy(error: unknown): boolean {
  const code = sqliteCode(error) ?? ''
  return code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')
}

/** STATE_CORRUPT or STORE_FAILED for an error of SQLite's; any other (the engine's, the caller's) as it is. */
export function storeError(error: unknown, path: string): unknown {
  const code = sqliteCode(error)
  if (code === null || isRehydrateError(error)) return error
  const details = { file: path, actual: code, cause: error }
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) {
    return new RehydrateError('STATE_CORRUPT', { message: `${path} is damaged, or is not a SQLite database (${code}).`, ...details })
  }
  if (isBusy(error)) {
    return new RehydrateError('STORE_FAILED', {
      message: `${path} was locked by another process for too long (${code}).`,
      safe: 'Nothing was changed.',
      fix: 'Find the program that keeps the file locked, then run the same command again.',
      ...details,
    })
  }
  return new RehydrateError('STORE_FAILED', { message: `${path} could not be read or written (${code}).`, ...details })
}

/** Runs `work`; what it throws comes out as storeError says. */
export function translated<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw storeError(error, path)
  }
}

/** BEGIN IMMEDIATE … COMMIT around `work`, or nothing at all. */
export function transaction<T>(connection: Connection, work: () => T): T {
  connection.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    connection.exec('COMMIT')
    return result
  } catch (error) {
    rollBack(connection)
    throw error
  }
}

/** SQLite has rolled back by itself after some errors (full disk, I/O); the error that led here is the one to tell of. */
function rollBack(connection: Connection): void {
  try {
    if (connection.inTransaction) connection.exec('ROLLBACK')
  } catch {
    // Closing the connection rolls back too.
  }
}
