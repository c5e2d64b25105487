/** The engine, at its default settings: file → store, sealed. */
import { join } from 'node:path'
import { fileLog } from '../../adapters/file/index.js'
import { memoryStore } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { openState, replay, type SealedRun, type StateStore } from '../../src/index.js'
import type { Order } from '../fold.js'
import { bytesIn, type FoldInput, type FoldResult } from '../fold-trial.js'
import { COLLECTION, orders, ordersInColumns } from '../projection.js'
import { measured, tellResult, trialInput, type Check } from '../trial.js'

export interface EngineInput extends FoldInput {
  /** 'tables': SQLite, the fields in columns. */
  readonly store: 'sqlite' | 'memory' | 'tables'
  readonly memoryBytes?: number
}

const PAGE = 10_000

async function checkOf(store: StateStore, sealed: SealedRun): Promise<Check> {
  const state = await openState(store, { projection: orders })
  const check = { keys: 0, changes: 0, totalCents: 0, root: sealed.collections[COLLECTION]?.root ?? '' }
  for (let after: string | null = null; ;) {
    const entries = await state.scan(COLLECTION, after, PAGE)
    for (const { value } of entries) {
      const { changes, totalCents } = value as unknown as Order
      check.keys++
      check.changes += changes
      check.totalCents += totalCents
    }
    if (entries.length < PAGE) break
    after = entries.at(-1)?.key ?? null
  }
  await state.close()
  return check
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
  ...cost, events: applied, storeBytes: bytesIn(folder), check: await checkOf(store, value.sealed),
  engine: { checkpoints, pausedMs, sealMs: value.sealMs },
}
await store.close()
tellResult(result)
