import { join, parse } from 'node:path'
import { alreadyRunning, checkOptions, generationNotFound, generationRefused, liveChanged, RehydrateError } from '../../src/index.js'
import type { Against, GenerationRow, OpenRead, OpenWrite, Shard, StateStore, StoreSession } from '../../src/index.js'
import { loadClient, transaction, translated } from './client.js'
import type { Connection, SqliteClient } from './client.js'
import { openOrCreate, openToChange, openToRead } from './database.js'
import type { DatabaseFile } from './database.js'
import { EntryTables } from './entries.js'
import { allGenerations, checked, findGeneration, liveGeneration, makeLive, publicRow, requireGeneration } from './generations.js'
import type { StoredGeneration } from './generations.js'
import { foreignTables } from './foreign.js'
import type { SqliteTablesOptions } from './foreign-options.js'
import { SqliteSession } from './session.js'
import { isHeld, sweep, takeLock } from './writer-lock.js'
import type { WriterLock } from './writer-lock.js'

export type { SqliteClient } from './client.js'
export type { ForeignField, ForeignKey, ForeignPosition, ForeignTable, SqliteTablesOptions } from './foreign-options.js'

export interface SqliteOptions {
  /** The file; its directory must exist. Two or three more (`-wal`, `-shm`, `-writer-…`) lie beside it while it is in use. */
  readonly path: string
  /** Of a store that is made new: a power of two from 512 to 65,536. Default 8,192, the fastest measured. */
  readonly pageSizeBytes?: number
  /** The class that `better-sqlite3` exports, if you have loaded it already. Default: loaded on the first use. */
  readonly client?: SqliteClient
}

const OPTIONS = ['path', 'pageSizeBytes', 'client']
const DEFAULT_PAGE_SIZE_BYTES = 8_192

/**
 * With `tables`: tables of another program, as the other side of a comparison; see SqliteTablesOptions.
 * Without: state in one SQLite file. Nothing is opened before the first call, and only `open` for writing makes the file.
 * Throws CONFIG_INVALID and OPTION_DEFERRED at once; ADAPTER_PEER_MISSING, STORE_* and STATE_CORRUPT when used.
 */
export function sqlite(options: SqliteTablesOptions): Against
export function sqlite(options: SqliteOptions): StateStore
export function sqlite(options: SqliteOptions | SqliteTablesOptions): StateStore | Against {
  if (isOfTables(options)) return foreignTables(options)
  checkOptions('sqlite()', options, OPTIONS)
  const { path, pageSizeBytes = DEFAULT_PAGE_SIZE_BYTES, client } = options
  if (typeof path !== 'string' || path === '' || path === ':memory:') {
    throw invalid('path', 'the name of a file (for a state in memory: memoryStore() of rehydrate/memory)', path)
  }
  if (!Number.isInteger(Math.log2(pageSizeBytes)) || pageSizeBytes < 512 || pageSizeBytes > 65_536) {
    throw invalid('pageSizeBytes', 'a power of two from 512 to 65536', pageSizeBytes)
  }
  return new SqliteStore(path, pageSizeBytes, client ?? null)
}

class SqliteStore implements StateStore {
  readonly capabilities = { durable: true }
  readonly #path: string
  readonly #pageSizeBytes: number
  readonly #client: SqliteClient | null
  readonly #sessions = new Set<SqliteSession>()

  constructor(path: string, pageSizeBytes: number, client: SqliteClient | null) {
    this.#path = path
    this.#pageSizeBytes = pageSizeBytes
    this.#client = client
  }

  async generations(): Promise<readonly GenerationRow[]> {
    const file = await this.#file()
    return translated(this.#path, () => {
      const connection = openToRead(file)
      if (connection === null) return []
      try {
        return allGenerations(connection).map((row) => publicRow(row, isHeld(file.client, file.path, row.lock)))
      } finally {
        connection.close()
      }
    })
  }

  async switchTo(generation: number, expected: number | null): Promise<void> {
    await this.#change(generation, (connection, row) => {
      if (row.everSealed === 0) throw generationRefused(generation, 'was never sealed')
      const live = liveGeneration(connection)
      if (live !== expected) throw liveChanged(expected, live)
      makeLive(connection, generation)
    })
  }

  async drop(generation: number): Promise<void> {
    await this.#change(generation, (connection, row, { client, path }) => {
      if (row.live === 1) throw generationRefused(generation, 'is the live one')
      if (isHeld(client, path, row.lock)) throw generationRefused(generation, `has a living writer (${row.owner})`)
      sweep(path, row.lock)
      new EntryTables(connection, generation).drop()
      connection.prepare('DELETE FROM generations WHERE generation = ?').run(generation)
    })
  }

  async open(options: OpenRead | OpenWrite): Promise<StoreSession> {
    const file = await this.#file()
    const session = translated(this.#path, () =>
      options.mode === 'read' ? this.#openRead(file, options) : this.#openWrite(file, options),
    )
    this.#sessions.add(session)
    return session
  }

  shard(shard: Shard): StateStore {
    return new SqliteStore(shardPath(this.#path, shard), this.#pageSizeBytes, this.#client)
  }

  async close(): Promise<void> {
    for (const session of this.#sessions) await session.close()
  }

  async #file(): Promise<DatabaseFile> {
    return { client: this.#client ?? (await loadClient()), path: this.#path, pageSizeBytes: this.#pageSizeBytes }
  }

  /** One transaction over a generation that must be there, on the disk when it returns. */
  async #change(
    generation: number,
    work: (connection: Connection, row: StoredGeneration, file: DatabaseFile) => void,
  ): Promise<void> {
    const file = await this.#file()
    translated(this.#path, () => {
      const connection = openToChange(file)
      if (connection === null) throw generationRefused(generation, 'does not exist')
      try {
        connection.pragma('synchronous = FULL')
        transaction(connection, () => {
          const row = findGeneration(connection, generation)
          if (row === null) throw generationRefused(generation, 'does not exist')
          work(connection, row, file)
        })
      } finally {
        connection.close()
      }
    })
  }

  #openRead(file: DatabaseFile, { generation }: OpenRead): SqliteSession {
    const connection = openToRead(file)
    if (connection === null) throw generationNotFound(generation, this.#path)
    return closedOnError(connection, () => {
      // The first read of a transaction fixes what all of it sees.
      connection.exec('BEGIN')
      const row = requireGeneration(connection, generation, this.#path)
      return this.#session(connection, row, null)
    })
  }

  #openWrite(file: DatabaseFile, options: OpenWrite): SqliteSession {
    const connection = openOrCreate(file)
    return closedOnError(connection, () => {
      const lock = takeLock(file.client, file.path)
      return closedOnError(lock, () => {
        connection.pragma('synchronous = FULL')
        const row = transaction(connection, () => takeEpoch(connection, file, options, lock.name))
        connection.pragma('synchronous = NORMAL')
        return this.#session(connection, row, lock)
      })
    })
  }

  #session(connection: Connection, row: StoredGeneration, lock: WriterLock | null): SqliteSession {
    const onClose = (session: SqliteSession): void => void this.#sessions.delete(session)
    return new SqliteSession({ path: this.#path, connection, row, lock, onClose })
  }
}

/** The file of a shard beside that of the whole: `state.db` → `state.2-of-8.db`. */
function shardPath(path: string, { index, of }: Shard): string {
  const { dir, name, ext } = parse(path)
  return join(dir, `${name}.${index}-of-${of}${ext}`)
}

/** Makes this opener the generation's newest writer, within a transaction. */
function takeEpoch(connection: Connection, file: DatabaseFile, options: OpenWrite, lock: string): StoredGeneration {
  const { generation, incarnation, owner, nowMs, takeover, tables } = options
  const present = findGeneration(connection, generation)
  if (present !== null) {
    if (!isHeld(file.client, file.path, present.lock)) sweep(file.path, present.lock)
    else if (!takeover) throw alreadyRunning(generation, present)
  }
  if (tables !== undefined) new EntryTables(connection, generation).declare(tables)
  const row = connection
    .prepare(
      `INSERT INTO generations (generation, epoch, incarnation, owner, sinceMs, beatMs, lock)
       VALUES (@generation, 1, @incarnation, @owner, @nowMs, @nowMs, @lock)
       ON CONFLICT (generation) DO UPDATE SET epoch = epoch + 1, incarnation = excluded.incarnation,
         owner = excluded.owner, sinceMs = excluded.sinceMs, beatMs = excluded.beatMs, lock = excluded.lock
       RETURNING *`,
    )
    .get({ generation, incarnation, owner, nowMs, lock })
  return checked(row)
}

/** A store of ours knows its position: who states one means tables of another program. */
function isOfTables(options: SqliteOptions | SqliteTablesOptions): options is SqliteTablesOptions {
  return typeof options === 'object' && options !== null && ('tables' in options || 'position' in options)
}

/** Runs `work`; closes the resource where that throws. */
function closedOnError<T>(resource: { close(): unknown }, work: () => T): T {
  try {
    return work()
  } catch (error) {
    resource.close()
    throw error
  }
}

function invalid(path: string, expected: string, actual: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', { message: `sqlite(): ${path} must be ${expected}.`, path, expected, actual })
}
