/** Starts a broker, which ends when the process `owner` does. */
import { ownKeep } from '../../src/cli/local-kafka/keep.js'
import { tellResult, trialInput } from '../trial.js'

export interface StartInput {
  readonly owner: number
}

// As a server has it, not as a test that must start soon.
const { brokers } = await ownKeep({ java: ['-Xmx1g', '-XX:+UseG1GC'] }, trialInput<StartInput>().owner)
tellResult({ brokers: brokers.join() })
