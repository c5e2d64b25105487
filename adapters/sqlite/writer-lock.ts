import { randomBytes } from 'node:crypto'
import { existsSync, realpathSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { isBusy } from './client.js'
import type { SqliteClient } from './client.js'

/**
 * A living writer holds an exclusive lock on an empty file of its own beside the store, `STORE-writer-NAME`. The operating
 * system frees it the moment the process ends, kill -9 included: no clock decides who lives. The file is a SQLite database
 * only because that is the portable way to lock a file from Node. A name is random and never used twice, and it is written
 * into the store only after the lock was taken.
 */
export interface WriterLock {
  readonly name: string
  /** Idempotent. */
  close(): void
}

/** The store's file must be there. */
export function takeLock(client: SqliteClient, store: string): WriterLock {
  const name = randomBytes(6).toString('hex')
  const file = lockFile(store, name)
  const connection = new client(file, { timeout: 0 })
  connection.pragma('journal_mode = MEMORY')
  connection.exec('BEGIN EXCLUSIVE')
  return {
    name,
    close() {
      connection.close()
      rmSync(file, { force: true })
    },
  }
}

export function isHeld(client: SqliteClient, store: string, name: string): boolean {
  const file = lockFile(store, name)
  if (!existsSync(file)) return false
  // Not with node:fs: to open and close a file there would drop this process's own lock on it.
  const connection = new client(file, { readonly: true, fileMustExist: true, timeout: 0 })
  try {
    connection.prepare('SELECT count(*) FROM sqlite_master').get()
    return false
  } catch (error) {
    if (isBusy(error)) return true
    throw error
  } finally {
    connection.close()
  }
}

/** Removes what a killed writer left behind. Its lock must not be held. */
export function sweep(store: string, name: string): void {
  rmSync(lockFile(store, name), { force: true })
}

/** Beside the file itself, so that all who reach it through links agree. */
function lockFile(store: string, name: string): string {
  const file = realpathSync(store)
  return join(dirname(file), `${basename(file)}-writer-${name}`)
}
