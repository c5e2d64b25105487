/** Ours, against a table that another program wrote: every row is read and hashed. */
import { sqlite } from '../../adapters/sqlite/index.js'
import { findDifferences } from '../../src/index.js'
import { parcels, tableAt } from '../parcels.js'
import { stateFiles } from '../state-files.js'
import { measured, tellResult, trialInput, type Cost } from '../trial.js'

export interface TableInput {
  /** The folder that trials/states.ts filled. */
  readonly states: string
  readonly keys: number
  readonly other: 'equal' | 'differing'
}

export interface Found extends Cost {
  /** Keys that differ, in the order of the keys. */
  readonly keys: readonly string[]
}

const { states, keys, other } = trialInput<TableInput>()
const files = stateFiles(states)
const store = sqlite({ path: files.rebuilt })
const against = sqlite(tableAt(other === 'equal' ? files.equalTable : files.differingTable, keys))
const { value, cost } = await measured(() => findDifferences({ rebuilt: { store, projection: parcels }, against }))
await store.close()
const { verdict: { verdict, reason }, differences } = value
if (verdict !== (other === 'equal' ? 'match' : 'mismatch')) throw new Error(`The verdict is ${verdict}: ${reason?.message ?? ''}`)
const result: Found = { ...cost, keys: differences.map(({ key }) => key).sort() }
tellResult(result)
