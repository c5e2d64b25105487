/** Every stored byte of a state is read again, and all hashes are made from it. */
import { sqlite } from '../../adapters/sqlite/index.js'
import { scrub } from '../../src/index.js'
import { stateFiles } from '../state-files.js'
import { measured, tellResult, trialInput, type Cost } from '../trial.js'

export interface ScrubResult extends Cost {
  readonly entries: number
  readonly bytes: number
}

const store = sqlite({ path: stateFiles(trialInput<{ readonly states: string }>().states).rebuilt })
const { value: { entries, bytes }, cost } = await measured(() => scrub({ store }))
await store.close()
const result: ScrubResult = { ...cost, entries, bytes }
tellResult(result)
