import { join } from 'node:path'

/** What trials/states.ts makes. */
export interface StateFiles {
  /** Stores of ours: the rebuilt state, one that is equal, one that is not. */
  readonly rebuilt: string
  readonly equal: string
  readonly differing: string
  /** The same as plain tables that our engine never wrote. */
  readonly equalTable: string
  readonly differingTable: string
  readonly equalCsv: string
  readonly differingCsv: string
}

export function stateFiles(folder: string): StateFiles {
  return {
    rebuilt: join(folder, 'rebuilt.db'), equal: join(folder, 'equal.db'), differing: join(folder, 'differing.db'),
    equalTable: join(folder, 'equal-table.db'), differingTable: join(folder, 'differing-table.db'),
    equalCsv: join(folder, 'equal.csv'), differingCsv: join(folder, 'differing.csv'),
  }
}
