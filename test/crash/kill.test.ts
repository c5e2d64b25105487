import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { seeded } from '../support/worlds.js'

const KILLS = 100
const EVENTS_PER_PARTITION = 12_000

const folder = mkdtempSync(join(tmpdir(), 'kill-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Outcome {
  readonly sealed: { readonly root: string; readonly manifestHash: string; readonly applied: number } | null
  readonly killed: boolean
  readonly stderr: string
}

/** Runs a replay; kills it so many ms after it started, or lets it end. */
function replayChild(log: string, db: string, killAfterMs: number | null): Promise<Outcome> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'replay-child.mjs'), log, db], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => {
    if (stdout === '' && killAfterMs !== null) setTimeout(() => child.kill('SIGKILL'), killAfterMs)
    stdout += String(chunk)
  })
  child.stderr.on('data', (chunk) => { stderr += String(chunk) })
  return new Promise((resolve) => child.on('close', (_code, signal) => {
    const line = stdout.split('\n')[1] ?? ''
    resolve({ sealed: line === '' ? null : JSON.parse(line), killed: signal === 'SIGKILL', stderr })
  }))
}

function writeLog(): string {
  const random = seeded(5)
  const log = join(folder, 'log')
  mkdirSync(log)
  for (const p of [0, 1, 2]) {
    const lines = Array.from({ length: EVENTS_PER_PARTITION }, (_, i) => {
      const key = `${p}-${Math.floor(random() * 900)}`
      // Every 40th id comes twice in a row of its kind, so that the id window has something to drop.
      const id = `e${p}-${i % 40 === 1 ? i - 1 : i}`
      const same = i % 40 === 0 || i % 40 === 1
      return JSON.stringify(random() < 0.03 && !same
        ? { type: 'Removed', key, id, data: {} }
        : { type: 'Added', key: same ? `${p}-same` : key, id, data: { by: same ? 1 : Math.floor(random() * 100) } })
    })
    writeFileSync(join(log, `p${p}.ndjson`), `${lines.join('\n')}\n`)
  }
  return log
}

test(`SIGKILL at ${KILLS} random moments always ends in the root and manifest of an undisturbed run`, async () => {
  const log = writeLog()
  const undisturbed = await replayChild(log, join(folder, 'undisturbed.db'), null)
  expect(undisturbed.stderr).toBe('')
  expect(undisturbed.sealed).not.toBeNull()
  const random = seeded(9)
  let kills = 0
  let finished = 0
  let resumed = 0
  for (let chain = 0; kills < KILLS; chain++) {
    const db = join(folder, `${chain}.db`)
    for (;;) {
      const outcome = await replayChild(log, db, kills < KILLS ? Math.floor(random() * 1_200) : null)
      if (outcome.killed) {
        kills++
        continue
      }
      expect(outcome.stderr).toBe('')
      expect(outcome.sealed?.root).toBe(undisturbed.sealed?.root)
      expect(outcome.sealed?.manifestHash).toBe(undisturbed.sealed?.manifestHash)
      if ((outcome.sealed?.applied ?? 0) < (undisturbed.sealed?.applied ?? 0)) resumed++
      finished++
      break
    }
  }
  expect(finished).toBeGreaterThan(0)
  expect(resumed).toBeGreaterThan(0)
  console.log(`${kills} kills, ${finished} runs sealed, ${resumed} of them after a resume`)
}, 300_000)
