import type { Entry, PutEntry } from '../../src/index.js'
import type { Statement } from './client.js'

/** Where the entries of one collection are in one generation, as one connection reaches them. */
export interface EntryTable {
  readonly get: Statement
  readonly scan: Statement
  readonly scanAfter: Statement
  readonly put: Statement
  /** `rowsPerStatement` rows at once. */
  readonly putMany: Statement
  readonly rowsPerStatement: number
  readonly remove: Statement
  /** How many values are bound for a row. */
  readonly width: number
  /** Appends the values of one row. */
  bind(put: PutEntry, values: unknown[]): void
  /** The entries in the rows of `get` and the scans. STATE_CORRUPT for a row that was never written. */
  entriesOf(rows: readonly unknown[]): readonly Entry[]
}

/** So many rows go into one statement: a third less time a row than one by one. */
export const ROWS_PER_STATEMENT = 64
