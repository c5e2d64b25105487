/** The engine, at its default settings: topic → store, sealed. */
import { join } from 'node:path'
import { kafka } from '../../adapters/kafka/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { replay, type EventSource } from '../../src/index.js'
import { bytesIn } from '../fold-trial.js'
import type { KafkaInput, KafkaResult } from '../kafka-trial.js'
import { ordersOf, sumsOf } from '../projection.js'
import { Stretch, tellResult, trialInput } from '../trial.js'

export interface KafkaReplayInput extends KafkaInput {
  /** The fields that the fold needs are declared, and only these are read. */
  readonly reads: boolean
  /** The partitioner is declared, as `init` does it, so that each record proves that its key belongs to its partition. */
  readonly partitioner: boolean
}

const { brokers, topic, folder, reads, partitioner, partitions } = trialInput<KafkaReplayInput>()
const stretch = new Stretch()
const source = kafka({ brokers, topics: [topic] })
const projection = ordersOf({ reads, partitions: partitioner ? partitions : null })
const store = sqlite({ path: join(folder, 'state.db') })
let checkpointMs = 0
const run = replay({ source: atFirst(source, () => stretch.first()), projection, store })
for await (const event of run) if (event.kind === 'checkpoint') checkpointMs = performance.now()
const sealed = await run.done
const cost = stretch.end()
const sealMs = performance.now() - checkpointMs
const check = await sumsOf(store, sealed)
const result: KafkaResult = { ...cost, events: sealed.run.applied, storeBytes: bytesIn(folder), check, sealMs }
await store.close()
tellResult(result)

/** The same source; `first` is called when its first batch is there. */
function atFirst(from: EventSource, first: () => void): EventSource {
  return {
    continuity: from.continuity,
    check: (marks) => from.check(marks),
    bounds: (options) => from.bounds(options),
    async *read(...args) {
      for await (const batch of from.read(...args)) {
        first()
        yield batch
      }
    },
    close: () => from.close(),
  }
}
