/** Follows a growing log over a sealed state, whose digest each checkpoint brings up to date: how long it stops reading. */
import { appendFileSync, copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileLog } from '../../adapters/file/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { replay, type Run } from '../../src/index.js'
import { lineOf } from '../data.js'
import type { FoldInput } from '../fold-trial.js'
import { orders } from '../projection.js'
import { tellResult, trialInput } from '../trial.js'

export interface PauseInput extends FoldInput {
  readonly events: number
  readonly keys: number
  /** Keys that change between two checkpoints. */
  readonly dirtyKeys: number
  readonly checkpoints: number
}

export interface PauseResult {
  readonly pausesMs: readonly number[]
  /** Keys in each checkpoint. */
  readonly keys: readonly number[]
}

const CHECKPOINT_SECONDS = 2
const LINES_PER_APPEND = 10_000

/** Appends one event for each of `count` keys, spread over all of them. */
function grow(path: string, { keys, dirtyKeys, events }: PauseInput, round: number): void {
  const step = Math.floor(keys / dirtyKeys)
  for (let from = 0; from < dirtyKeys; from += LINES_PER_APPEND) {
    const lines: string[] = []
    for (let i = from; i < Math.min(dirtyKeys, from + LINES_PER_APPEND); i++) {
      lines.push(lineOf(events + round * dirtyKeys + i, (i * step + round) % keys))
    }
    appendFileSync(path, lines.join(''))
  }
}

async function follow(run: Run, path: string, input: PauseInput): Promise<PauseResult> {
  const pausesMs: number[] = []
  const keys: number[] = []
  let isSealed = false
  for await (const event of run) {
    if (event.kind === 'sealed') isSealed = true
    else if (event.kind !== 'checkpoint' || !isSealed) continue
    else if (event.keys > 0) {
      pausesMs.push(event.pauseMs)
      keys.push(event.keys)
    }
    if (pausesMs.length >= input.checkpoints) break
    // The whole of it is there before the first is read, so that one checkpoint holds it.
    grow(path, input, pausesMs.length)
  }
  return { pausesMs, keys }
}

const input = trialInput<PauseInput>()
const path = join(input.folder, 'orders.ndjson')
copyFileSync(input.path, path)
const store = sqlite({ path: join(input.folder, 'state.db') })
const run = replay({
  source: fileLog({ path }), projection: orders, store, until: 'follow', checkpoint: { seconds: CHECKPOINT_SECONDS },
})
const result = await follow(run, path, input)
await run.close()
await store.close()
tellResult(result)
