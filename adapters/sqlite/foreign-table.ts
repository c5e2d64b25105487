import { CanonicalWriter, isRehydrateError, RehydrateError, type Cell, type RowBlock } from '../../src/index.js'
import type { Connection } from './client.js'
import type { TablePlan } from './foreign-schema.js'
import { prepared, quoteName, reading, type Raw, type ReadStatement } from './foreign-sql.js'

/** Rows to a block: so many at first, then as many as make about BLOCK_BYTES of canonical bytes. */
const FIRST_ROWS = 64
const MOST_ROWS = 1_024
const BLOCK_BYTES = 1 << 20
const LEAST_ROWID = -(2n ** 63n)

/** What better-sqlite3 makes of bytes that are no UTF-8, and the UTF-8 of it. */
const REPLACEMENT = '\uFFFD'
const REPLACEMENT_BYTES = Buffer.from(REPLACEMENT)

type Row = readonly unknown[]

/** A row as it is stored, for statements that change it. */
export interface RawRow {
  /** Of each column of the mapping; undefined where it is an expression. */
  readonly cells: readonly (Raw | undefined)[]
  /** The condition that finds it by its key. */
  readonly condition: string
}

/** Reads one table by its mapping, in the transaction of the connection. */
export class ForeignTableReader {
  readonly plan: TablePlan
  readonly #connection: Connection

  constructor(connection: Connection, plan: TablePlan) {
    this.#connection = connection
    this.plan = plan
    // Expressions are refused now, not with the first row.
    this.#prepared(this.#select())
  }

  async *scan(signal: AbortSignal): AsyncGenerator<RowBlock, void, void> {
    const writer = new CanonicalWriter()
    const size = { rows: FIRST_ROWS }
    for (const rows of this.#pages(size)) {
      signal.throwIfAborted()
      writer.reset()
      const keys = new Array<string>(rows.length)
      const ends = new Array<number>(rows.length)
      for (let i = 0; i < rows.length; i++) {
        keys[i] = this.#encode(rows[i]!, writer)
        ends[i] = writer.length
      }
      this.#refuseReplaced(rows, keys, writer)
      yield { keys, bytes: writer.bytes, ends }
      size.rows = Math.min(MOST_ROWS, Math.ceil((rows.length * BLOCK_BYTES) / Math.max(writer.length, 1)))
    }
  }

  values(keys: readonly string[]): Map<string, Uint8Array> {
    const wanted = new Set(keys)
    const found = new Map<string, Uint8Array>()
    const writer = new CanonicalWriter()
    for (const row of this.#lookup(keys, (condition) => this.#select(condition))) {
      const key = this.plan.key.keyOf(row, this.plan.cells.length)
      if (!wanted.has(key)) continue
      writer.reset()
      this.#encode(row, writer)
      this.#refuseReplaced([row], [key], writer)
      found.set(key, new Uint8Array(writer.bytes.subarray(0, writer.length)))
    }
    return found
  }

  /** The rows under these keys as they are stored, integers as bigints. */
  rawRows(keys: readonly string[]): Map<string, RawRow> {
    const { key, columns } = this.plan
    const cells = columns.columns.map(({ source }) => ('column' in source ? quoteName(source.column) : 'NULL'))
    const found = new Map<string, RawRow>()
    for (const row of this.#lookup(keys, (condition) => this.#select(condition, [...cells, ...key.typedCells], []), true)) {
      found.set(key.keyOf(row, cells.length), {
        cells: columns.columns.map(({ source }, i) => ('column' in source ? (row[i] as Raw) : undefined)),
        condition: key.condition(row, cells.length),
      })
    }
    return found
  }

  /** What a column holds elsewhere in the table, to know how this program writes such values; undefined: nothing. */
  sample(column: string): Raw | undefined {
    const { table, path } = this.plan
    const sql = `SELECT ${quoteName(column)} FROM main.${quoteName(table)} WHERE ${quoteName(column)} IS NOT NULL LIMIT 1`
    const row = reading(path, `the column ${column}`, () => prepared(this.#connection, sql).safeIntegers().raw().get()) as [Raw] | undefined
    return row?.[0]
  }

  #select(condition?: string, cells = this.plan.cells, keys = this.plan.key.cells): string {
    const { table, where } = this.plan
    const conditions = [where, condition].flatMap((one) => (one === null || one === undefined ? [] : [`(${one}\n)`]))
    return `SELECT ${[...cells, ...keys].join(', ')} FROM main.${quoteName(table)}`
      + (conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`)
  }

  /** All rows. Pages of an ordinary table are cut by rowid: a page at once is a fifth faster than its rows one by one. */
  *#pages(size: { readonly rows: number }): Generator<readonly Row[], void, void> {
    const { table, rowid } = this.plan
    if (rowid === null) return yield* this.#pagesOfCursor(size)
    const next = this.#prepared(
      `SELECT max(${rowid}) FROM (SELECT ${rowid} FROM main.${quoteName(table)} WHERE ${rowid} >= ? ORDER BY ${rowid} LIMIT ?)`,
    ).safeIntegers().raw()
    const page = this.#prepared(this.#select(`${rowid} BETWEEN ? AND ?`)).raw()
    for (let from = LEAST_ROWID; ;) {
      const [upTo] = this.#reading(() => next.get(from, size.rows)) as [bigint | null]
      if (upTo === null) return
      const rows = this.#reading(() => page.all(from, upTo)) as Row[]
      if (rows.length > 0) yield rows
      if (upTo === -LEAST_ROWID - 1n) return
      from = upTo + 1n
    }
  }

  *#pagesOfCursor(size: { readonly rows: number }): Generator<readonly Row[], void, void> {
    const cursor = this.#reading(() => this.#prepared(this.#select()).raw().iterate()) as IterableIterator<Row>
    try {
      for (;;) {
        const rows = this.#reading(() => take(cursor, size.rows))
        if (rows.length === 0) return
        yield rows
      }
    } finally {
      cursor.return?.()
    }
  }

  *#lookup(keys: readonly string[], select: (condition: string) => string, exact = false): Generator<Row, void, void> {
    const { most, lookup } = this.plan.key
    for (let from = 0; from < keys.length; from += most) {
      const condition = lookup(keys.slice(from, from + most))
      if (condition === null) continue
      const statement = this.#prepared(select(condition.sql)).raw()
      yield* this.#reading(() => (exact ? statement.safeIntegers() : statement).all(...condition.values)) as Row[]
    }
  }

  #prepared(sql: string): ReadStatement {
    return this.#reading(() => prepared(this.#connection, sql))
  }

  #reading<T>(work: () => T): T {
    return reading(this.plan.path, `the mapping of ${this.plan.table}`, work)
  }

  /** Appends the canonical bytes of a row, and gives its key. */
  #encode(row: Row, writer: CanonicalWriter): string {
    const { key: keys, cells, columns } = this.plan
    const key = keys.keyOf(row, cells.length)
    try {
      columns.encodeRow(row as readonly Cell[], writer)
    } catch (error) {
      throw this.#located(error, key)
    }
    return key
  }

  #located(error: unknown, key: string): unknown {
    if (!isRehydrateError(error)) return error
    const { table, columns, collection, path: file } = this.plan
    const { path = '$' } = error.details
    const column = columns.columns.find((one) => path === `$.${one.path}` || path.startsWith(`$.${one.path}.`))
    const where = column === undefined ? '' : 'column' in column.source ? `, column ${column.source.column}` : `, ${column.source.sql}`
    const message = `${table}, row ${JSON.stringify(key)}${where}: ${error.message}`
    return new RehydrateError(error.code, { ...error.details, message, file, collection, key, path, safe: 'Nothing was changed.' })
  }

  /**
   * Text that is no UTF-8 comes with replacement characters, and would look equal to other such text. Where one is seen, the bytes in
   * the file must be those of the text.
   */
  #refuseReplaced(rows: readonly Row[], keys: readonly string[], writer: CanonicalWriter): void {
    const isSuspect = writer.bytes.subarray(0, writer.length).includes(REPLACEMENT_BYTES) || keys.some((key) => key.includes(REPLACEMENT))
    if (!isSuspect) return
    rows.forEach((row, i) => {
      const places = row.flatMap((cell, at) => (typeof cell === 'string' && cell.includes(REPLACEMENT) ? [at] : []))
      if (places.length > 0 && !this.#holds(row, keys[i] as string, places)) throw this.#malformed(keys[i] as string)
    })
  }

  #holds(row: Row, key: string, places: readonly number[]): boolean {
    const { cells, key: plan, encoding } = this.plan
    const all = [...cells, ...plan.cells]
    const blobs = places.map((at) => `CAST(${all[at] as string} AS BLOB)`)
    for (const found of this.#lookup([key], (condition) => this.#select(condition, blobs, []))) {
      if (places.every((at, i) => Buffer.compare(bytesOf(row[at] as string, encoding), found[i] as Buffer) === 0)) return true
    }
    return false
  }

  #malformed(key: string): RehydrateError {
    const { table, collection, path } = this.plan
    return new RehydrateError('VALUE_INVALID', {
      message: `${table}, row ${JSON.stringify(key)}: a text in it is not well-formed.`, file: path, collection, key,
      safe: 'Nothing was changed.', fix: 'Correct the row, or read the column as bytes: { sql: \'CAST(name AS BLOB)\', type: \'bytes\' }.',
    })
  }
}

function take(cursor: IterableIterator<Row>, count: number): Row[] {
  const rows: Row[] = []
  while (rows.length < count) {
    const { done, value } = cursor.next()
    if (done === true) break
    rows.push(value)
  }
  return rows
}

function bytesOf(text: string, encoding: string): Buffer {
  if (encoding === 'UTF-8') return Buffer.from(text)
  const bytes = Buffer.from(text, 'utf16le')
  return encoding === 'UTF-16be' ? bytes.swap16() : bytes
}
