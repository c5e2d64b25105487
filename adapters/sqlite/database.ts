import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { FORMAT_VERSION, RehydrateError } from '../../src/index.js'
import { isBusy, transaction } from './client.js'
import type { Connection, SqliteClient } from './client.js'

/** "rhyd": says that a SQLite file is one of ours. */
const APPLICATION_ID = 0x72687964
const BUSY_TIMEOUT_MS = 10_000
const RETRY_MS = 5
/** How much write-ahead log may gather before it is folded into the file: with the default (4 MB) loads are 1.3 times slower. */
const WAL_BYTES = 200_000_000
const WAL_BYTES_KEPT = 64_000_000
const WRITER_CACHE_KIB = 65_536

const SCHEMA = `
  CREATE TABLE generations (
    generation INTEGER PRIMARY KEY,
    live       INTEGER NOT NULL DEFAULT 0,
    everSealed INTEGER NOT NULL DEFAULT 0,
    checkpoint BLOB,
    epoch INTEGER NOT NULL, incarnation TEXT NOT NULL, owner TEXT NOT NULL,
    sinceMs INTEGER NOT NULL, beatMs INTEGER NOT NULL,
    lock TEXT NOT NULL
  );
  CREATE UNIQUE INDEX one_live_generation ON generations (live) WHERE live = 1;
  CREATE TABLE collections (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    generation INTEGER NOT NULL,
    name       TEXT NOT NULL,
    columns    TEXT,
    UNIQUE (generation, name)
  );
`

export interface DatabaseFile {
  readonly client: SqliteClient
  readonly path: string
  readonly pageSizeBytes: number
}

/** A connection that can not change the file, or null where there is no store yet. It is never made here. */
export function openToRead({ client, path }: DatabaseFile): Connection | null {
  if (!existsSync(path)) return null
  const connection = new client(path, { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS })
  return keptIf(connection, () => holdsStore(connection, path)) ? connection : null
}

/** Null where there is no store yet. */
export function openToChange(file: DatabaseFile): Connection | null {
  const reader = openToRead(file)
  if (reader === null) return null
  reader.close()
  const connection = writable(file)
  keptIf(connection, () => {
    if (versionOf(connection) < FORMAT_VERSION) transaction(connection, () => raise(connection))
    return true
  })
  return connection
}

/** False for a store from before there were typed tables. */
export function holdsColumns(connection: Connection): boolean {
  return connection.prepare("SELECT 1 FROM pragma_table_info('collections') WHERE name = 'columns'").get() !== undefined
}

/** From here on programs that know nothing of typed tables refuse the store: they would leave views on what is not live. */
function raise(connection: Connection): void {
  if (!holdsColumns(connection)) connection.exec('ALTER TABLE collections ADD COLUMN columns TEXT')
  connection.pragma(`user_version = ${FORMAT_VERSION}`)
}

function versionOf(connection: Connection): number {
  return connection.pragma('user_version', { simple: true }) as number
}

/** Makes the store where there is none. */
export function openOrCreate(file: DatabaseFile): Connection {
  const present = openToChange(file)
  if (present !== null) return present
  if (!existsSync(dirname(file.path))) {
    throw new RehydrateError('STORE_FAILED', {
      message: `The directory of ${file.path} does not exist.`,
      file: file.path,
      safe: 'Nothing was changed.',
      fix: `mkdir -p ${dirname(file.path)}`,
    })
  }
  const connection = writable(file)
  keptIf(connection, () => {
    create(connection, file)
    return true
  })
  return connection
}

function writable({ client, path, pageSizeBytes }: DatabaseFile): Connection {
  const connection = new client(path, { timeout: BUSY_TIMEOUT_MS })
  connection.pragma(`wal_autocheckpoint = ${Math.ceil(WAL_BYTES / pageSizeBytes)}`)
  connection.pragma(`journal_size_limit = ${WAL_BYTES_KEPT}`)
  connection.pragma(`cache_size = -${WRITER_CACHE_KIB}`)
  connection.pragma('synchronous = NORMAL')
  return connection
}

function create(connection: Connection, { path, pageSizeBytes }: DatabaseFile): void {
  connection.pragma(`page_size = ${pageSizeBytes}`)
  patiently(() => connection.pragma('journal_mode = WAL'))
  transaction(connection, () => {
    // Another process may have been first.
    if (holdsStore(connection, path)) return
    connection.exec(SCHEMA)
    connection.pragma(`application_id = ${APPLICATION_ID}`)
    connection.pragma(`user_version = ${FORMAT_VERSION}`)
  })
}

/** False for an empty file. CONFIG_INVALID for someone else's database, STORE_FORMAT_NEWER for one of a later version. */
function holdsStore(connection: Connection, path: string): boolean {
  // In this order: the transaction that makes the tables also sets the id, and may take place between the two.
  const tables = connection.prepare('SELECT name FROM sqlite_master LIMIT 3').all() as { readonly name: string }[]
  const application = connection.pragma('application_id', { simple: true })
  if (application === APPLICATION_ID) {
    checkVersion(versionOf(connection), path)
    return true
  }
  if (application === 0 && tables.length === 0) return false
  throw new RehydrateError('CONFIG_INVALID', {
    message: `${path} is a SQLite database of another program. It was not touched.`,
    file: path,
    expected: 'a new path, or a store that rehydrate made',
    actual: tables.map(({ name }) => name).join(', '),
  })
}

function checkVersion(version: number, path: string): void {
  if (version <= FORMAT_VERSION) return
  throw new RehydrateError('STORE_FORMAT_NEWER', {
    message: `${path} has format ${version}; this version of rehydrate knows formats up to ${FORMAT_VERSION}.`,
    file: path,
    expected: FORMAT_VERSION,
    actual: version,
  })
}

/** For what SQLite does not wait for by itself: two processes that make the store at once both change its journal mode. */
function patiently(work: () => unknown): void {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (let waitedMs = 0; ; waitedMs += RETRY_MS) {
    try {
      work()
      return
    } catch (error) {
      if (!isBusy(error) || waitedMs >= BUSY_TIMEOUT_MS) throw error
      Atomics.wait(pause, 0, 0, RETRY_MS)
    }
  }
}

/** What `check` says; the connection is closed unless that is true. */
function keptIf(connection: Connection, check: () => boolean): boolean {
  let kept = false
  try {
    kept = check()
    return kept
  } finally {
    if (!kept) connection.close()
  }
}
