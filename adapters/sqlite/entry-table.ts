import type { Entry, PutEntry } from '../../src/index.js'
import type { ReadBlock } from './block.js'
import type { Statement } from './client.js'

/** Where the entries of one collection are in one generation, as one connection reaches them. */
export interface EntryTable {
  readonly get: Statement
  readonly scan: Statement
  readonly scanAfter: Statement
  /** Left out where rows are not bytes. */
  readonly block?: () => ReadBlock
  /** Prepared by the first call: a reader writes nothing. */
  readonly writes: () => WriteStatements
  readonly rowsPerStatement: number
  /** How many values are bound for a row. */
  readonly width: number
  /** Appends the values of one row. */
  bind(put: PutEntry, values: unknown[]): void
  /** The entries in the rows of `get` and the scans. STATE_CORRUPT for a row that was never written. */
  entriesOf(rows: readonly unknown[]): readonly Entry[]
}

export interface WriteStatements {
  readonly put: Statement
  /** `rowsPerStatement` rows at once. */
  readonly putMany: Statement
  readonly remove: Statement
}

/** The same at each call, made by the first. */
export function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}

/** So many rows go into one statement: a third less time a row than one by one. */
export const ROWS_PER_STATEMENT = 64
