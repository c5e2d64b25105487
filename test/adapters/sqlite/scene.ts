import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { OpenWrite, StateStore, StoreSession } from '../../../src/index.js'

/** A directory that is gone after the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'rehydrate-sqlite-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export function openWriter(store: StateStore, over: Partial<OpenWrite> = {}): Promise<StoreSession> {
  const incarnation = `test-${Math.random()}`
  return store.open({ generation: 1, mode: 'write', incarnation, owner: 'test', nowMs: 1, takeover: false, ...over })
}

export interface Child {
  readonly process: ChildProcess
  /** The next line it says; null after the last. */
  line(): Promise<string | null>
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
}

/** A writer in another process: child.ts. `shell`: commands to run before it, in its own shell. */
export function writerProcess(path: string, mode: 'hold' | 'loop', options: { rows?: number; shell?: string } = {}): Child {
  const script = fileURLToPath(new URL('child.ts', import.meta.url))
  const command = `${options.shell ?? ':'}; exec ${process.execPath} --import jiti/register ${script} "$0" ${mode} ${options.rows ?? 40}`
  const child = spawn('bash', ['-c', command, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  onTestFinished(() => void child.kill('SIGKILL'))
  return {
    process: child,
    async line() {
      const next = await lines.next()
      return next.done === true ? null : next.value
    },
    async kill() {
      child.kill('SIGKILL')
      await gone
    },
  }
}
