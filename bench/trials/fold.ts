/** The engine, at its default settings: file → store, sealed. */
import { join } from 'node:path'
import { fileLog } from '../../adapters/file/index.js'
import { memoryStore } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { replay } from '../../src/index.js'
import { bytesIn, type FoldInput, type FoldResult } from '../fold-trial.js'
import { orders, ordersInColumns, sumsOf } from '../projection.js'
import { measured, tellResult, trialInput } from '../trial.js'

export interface EngineInput extends FoldInput {
  /** 'tables': SQLite, the fields in columns. */
  readonly store: 'sqlite' | 'memory' | 'tables'
  readonly memoryBytes?: number
}

const { path, folder, store: kind, memoryBytes } = trialInput<EngineInput>()
const projection = kind === 'tables' ? ordersInColumns : orders
const store = kind === 'memory' ? memoryStore() : sqlite({ path: join(folder, 'state.db') })
let pausedMs = 0
let checkpointMs = 0
const { value, cost } = await measured(async () => {
  const run = replay({ source: fileLog({ path }), projection, store, ...(memoryBytes === undefined ? {} : { memoryBytes }) })
  for await (const event of run) {
    if (event.kind !== 'checkpoint') continue
    pausedMs += event.pauseMs
    checkpointMs = performance.now()
  }
  const sealed = await run.done
  return { sealed, sealMs: performance.now() - checkpointMs }
})
const { applied, checkpoints } = value.sealed.run
const result: FoldResult = {
  ...cost, events: applied, storeBytes: bytesIn(folder), check: await sumsOf(store, value.sealed),
  engine: { checkpoints, pausedMs, sealMs: value.sealMs },
}
await store.close()
tellResult(result)
