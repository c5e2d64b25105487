import {
  checkpointBytes,
  checkpointFromBytes,
  fenced,
  generationRefused,
  sessionClosed,
  sessionReadOnly,
} from '../../src/index.js'
import type { Changes, Checkpoint, Entry, EntryBlock, StoreSession, Writer } from '../../src/index.js'
import { isBusy, sqliteCode, storeError, transaction, translated } from './client.js'
import type { Connection } from './client.js'
import { EntryTables } from './entries.js'
import type { EntryTable } from './entry-table.js'
import { findGeneration, makeLive } from './generations.js'
import type { StoredGeneration } from './generations.js'
import type { WriterLock } from './writer-lock.js'

export interface SessionParts {
  readonly path: string
  /** This session's own; a reader's is inside the transaction that pins its view. */
  readonly connection: Connection
  readonly row: StoredGeneration
  /** Null for a reader. */
  readonly lock: WriterLock | null
  readonly onClose: (session: SqliteSession) => void
}

export class SqliteSession implements StoreSession {
  readonly checkpoint: Checkpoint | null
  readonly writer: Writer | null
  readonly #parts: SessionParts
  readonly #tables: EntryTables
  #closed = false
  /** The error of a commit that failed on the disk. SQLite and the disk may disagree after it, so nothing is tried again. */
  #broken: unknown = null

  constructor(parts: SessionParts) {
    const { row, lock } = parts
    this.checkpoint = row.checkpoint === null ? null : checkpointFromBytes(row.checkpoint)
    this.writer = lock === null ? null : { epoch: row.epoch, incarnation: row.incarnation }
    this.#parts = parts
    this.#tables = new EntryTables(parts.connection, row.generation)
  }

  async load(collection: string, keys: readonly string[]): Promise<readonly Entry[]> {
    return this.#read(collection, (table) => table.get.all(JSON.stringify(keys)))
  }

  async scan(collection: string, after: string | null, limit: number): Promise<readonly Entry[]> {
    return this.#read(collection, (table) => (after === null ? table.scan.all(limit) : table.scanAfter.all(after, limit)))
  }

  async scanBlock(collection: string, after: string | null, limit: number): Promise<EntryBlock | null> {
    this.#usable()
    return translated(this.#parts.path, () => this.#tables.find(collection)?.block?.()(after, limit) ?? null)
  }

  async collections(): Promise<readonly string[]> {
    this.#usable()
    return translated(this.#parts.path, () => this.#tables.names())
  }

  async commit(
    changes: Changes,
    next: Checkpoint,
    expected: Writer,
    options: { readonly durable: boolean; readonly goLive?: boolean },
  ): Promise<void> {
    this.#writable()
    const { connection } = this.#parts
    this.#onDisk(() => {
      if (options.durable) connection.pragma('synchronous = FULL')
      try {
        transaction(connection, () => {
          this.#unfenced(expected)
          this.#apply(changes)
          this.#move(next, options.goLive ?? false)
        })
      } finally {
        if (options.durable) connection.pragma('synchronous = NORMAL')
      }
      if (options.durable) foldLog(connection)
    })
  }

  async beat(nowMs: number): Promise<void> {
    const writer = this.#writable()
    const { connection, row } = this.#parts
    this.#onDisk(() =>
      transaction(connection, () => {
        this.#unfenced(writer)
        connection.prepare('UPDATE generations SET beatMs = ? WHERE generation = ?').run(nowMs, row.generation)
      }),
    )
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const { path, connection, lock, onClose } = this.#parts
    onClose(this)
    translated(path, () => {
      try {
        connection.close()
      } finally {
        lock?.close()
      }
    })
  }

  #apply({ puts, deletes }: Changes): void {
    for (const { collection, key } of deletes) this.#tables.find(collection)?.writes().remove.run(key)
    let collection: string | null = null
    let table: EntryTable | null = null
    let values: unknown[] = []
    for (const put of puts) {
      if (table === null || put.collection !== collection) {
        if (table !== null) putRows(table, values)
        values = []
        collection = put.collection
        table = this.#tables.findOrCreate(collection)
      }
      table.bind(put, values)
      if (values.length < table.width * table.rowsPerStatement) continue
      table.writes().putMany.run(...values)
      values = []
    }
    if (table !== null) putRows(table, values)
  }

  /** Checkpoint and switch: the rest of the commit. */
  #move(next: Checkpoint, goLive: boolean): void {
    const { connection, row } = this.#parts
    const sealed = next.manifest.sealed ? 1 : 0
    connection
      .prepare('UPDATE generations SET checkpoint = ?, everSealed = max(everSealed, ?) WHERE generation = ?')
      .run(checkpointBytes(next), sealed, row.generation)
    if (!goLive) return
    if (findGeneration(connection, row.generation)?.everSealed !== 1) {
      throw generationRefused(row.generation, 'was never sealed')
    }
    makeLive(connection, row.generation)
  }

  #unfenced(expected: Writer): void {
    const { connection, row } = this.#parts
    const newest = findGeneration(connection, row.generation)
    if (newest?.epoch !== expected.epoch || newest.incarnation !== expected.incarnation) {
      throw fenced(row.generation, expected, newest)
    }
  }

  #read(collection: string, rows: (table: EntryTable) => readonly unknown[]): readonly Entry[] {
    this.#usable()
    return translated(this.#parts.path, () => {
      const table = this.#tables.find(collection)
      return table === null ? [] : table.entriesOf(rows(table))
    })
  }

  /** Runs a change. What the caller's iterables throw leaves the session as it was; an error of SQLite's ends its use. */
  #onDisk(change: () => void): void {
    try {
      change()
    } catch (error) {
      this.#tables.forget()
      const refusal = storeError(error, this.#parts.path)
      if (sqliteCode(error) !== null && !isBusy(error)) this.#broken = refusal
      throw refusal
    }
  }

  #usable(): void {
    if (this.#closed) throw sessionClosed(this.#parts.row.generation)
    if (this.#broken !== null) throw this.#broken
  }

  #writable(): Writer {
    this.#usable()
    if (this.writer === null) throw sessionReadOnly(this.#parts.row.generation)
    return this.writer
  }
}

/**
 * Brings the write-ahead log into the file. What was committed is safe already; a reader with an old view only keeps the
 * log long, so that is no error and nothing to wait for.
 */
function foldLog(connection: Connection): void {
  const timeoutMs = connection.pragma('busy_timeout', { simple: true })
  connection.pragma('busy_timeout = 0')
  try {
    connection.pragma('wal_checkpoint(TRUNCATE)')
  } catch (error) {
    if (!isBusy(error)) throw error
  } finally {
    connection.pragma(`busy_timeout = ${String(timeoutMs)}`)
  }
}

/** Rows too few for one statement of many. */
function putRows({ writes, width }: EntryTable, values: readonly unknown[]): void {
  for (let i = 0; i < values.length; i += width) writes().put.run(...values.slice(i, i + width))
}
