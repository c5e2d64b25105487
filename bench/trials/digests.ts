/** Ours, with maintained digests: two states in one process, or the other one served over HTTP by another process. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { sqlite } from '../../adapters/sqlite/index.js'
import { remoteSide } from '../../src/host/remote.js'
import { findDifferences, verify, type Against } from '../../src/index.js'
import { openStoreSide } from '../../src/verify/open.js'
import { parcels } from '../parcels.js'
import { stateFiles } from '../state-files.js'
import { measured, tellResult, trialInput, type Cost } from '../trial.js'
import { watched, type Seen } from '../watched.js'

export interface DigestsInput {
  /** The folder that trials/states.ts filled. */
  readonly states: string
  readonly other: 'equal' | 'differing'
  readonly over: 'process' | 'http'
  readonly calls: number
}

export interface DigestsCall {
  readonly wallMs: number
  /** From the hellos of both to the end of all work, before the files are closed. */
  readonly afterHelloMs: number
  readonly seen: Seen
}

export interface DigestsResult extends Cost {
  /** The first one finds nothing compiled and nothing in memory. */
  readonly calls: readonly DigestsCall[]
  readonly verdict: string
  /** Keys that differ, in the order of the keys. */
  readonly keys: readonly string[]
}

interface Served {
  readonly against: Against
  stop(): Promise<void>
}

const TOKEN = 'only-for-the-bench-on-this-machine'

function inProcess(path: string): Served {
  const store = sqlite({ path })
  return { against: { kind: 'against', name: path, open: () => openStoreSide(store, path) }, stop: () => store.close() }
}

async function overHttp(path: string): Promise<Served> {
  const server = spawn(process.execPath, [fileURLToPath(new URL('serve.js', import.meta.url)), JSON.stringify({ path, token: TOKEN })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [told] = await once(server.stdout, 'data') as [Buffer]
  const { url } = JSON.parse(String(told)) as { url: string }
  const stop = async (): Promise<void> => {
    const ended = once(server, 'exit')
    server.stdin.end()
    await ended
  }
  return { against: remoteSide(url, { token: TOKEN }), stop }
}

const { states, other, over, calls: wanted } = trialInput<DigestsInput>()
const files = stateFiles(states)
const served = over === 'http' ? await overHttp(files[other]) : inProcess(files[other])
const rebuilt = { store: sqlite({ path: files.rebuilt }), projection: parcels }
const calls: DigestsCall[] = []
const { value, cost } = await measured(async () => {
  for (;;) {
    const { against, seen } = watched(served.against)
    const startMs = performance.now()
    const { verdict, differences } = other === 'equal'
      ? { verdict: await verify({ rebuilt, against }), differences: [] }
      : await findDifferences({ rebuilt, against })
    calls.push({ wallMs: performance.now() - startMs, afterHelloMs: seen.closingAtMs - seen.openedAtMs, seen })
    if (calls.length === wanted) return { verdict: verdict.verdict, keys: differences.map(({ key }) => key).sort() }
  }
})
await rebuilt.store.close()
await served.stop()
const result: DigestsResult = { ...cost, ...value, calls }
tellResult(result)
