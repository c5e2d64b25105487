import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { ERRORS, type ErrorCode, formatShard, RehydrateError, type Shard } from '../index.js'
import { type Context, usage } from './command.js'
import type { StopSignal } from './io.js'

/** A line that a worker printed: what a run has to tell, or how it ended. */
export interface WorkerLine extends Readonly<Record<string, unknown>> {
  readonly kind?: string
  readonly error?: { readonly code: string; readonly message: string }
}

/** 'sealed', 'stopped' after a clean checkpoint, or what went wrong. */
export type WorkerEnd = 'sealed' | 'stopped' | RehydrateError

/** How a run ends that was stopped by a signal: after its checkpoint, or before it had begun. */
const STOPPED: readonly (number | NodeJS.Signals | null)[] = [130, 143, 'SIGINT', 'SIGTERM']

/**
 * One shard in a process of its own: the same command line with `--shard` in the place of `--workers`. Its lines of `--jsonl` are what it
 * tells; it stops when this process is gone.
 */
export class Worker {
  readonly shard: Shard
  readonly ended: Promise<WorkerEnd>
  readonly #child: ChildProcess
  #stopping = false
  /** It listens for SIGHUP, which ended it before. */
  #listening = false
  #hangUpDue = false

  constructor(context: Context, job: string, shard: Shard, tell: (line: WorkerLine) => void) {
    this.shard = shard
    const [program, ...args] = context.io.program ?? []
    if (program === undefined) throw usage('--workers needs a command line that can be started once more.')
    this.#child = spawn(program, [...args, ...argumentsOf(context, job, shard)], {
      cwd: context.io.folder, env: { ...process.env, ...context.io.env }, stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      // Ctrl-C of a terminal is for the one who started them, who passes it on once.
      detached: true,
    })
    this.ended = this.#watch(tell)
  }

  /** Stops it after a clean checkpoint. It is told once: a second signal would end it without one. */
  stop(signal: StopSignal): void {
    if (!this.#stopping) this.#child.kill(signal)
    this.#stopping = true
  }

  /** It reads its configuration again: at once, or when it has said its first word. */
  hangUp(): void {
    if (this.#listening) this.#child.kill('SIGHUP')
    else this.#hangUpDue = true
  }

  #heard(): void {
    this.#listening = true
    if (this.#hangUpDue) this.hangUp()
    this.#hangUpDue = false
  }

  async #watch(tell: (line: WorkerLine) => void): Promise<WorkerEnd> {
    let error: WorkerLine['error']
    const lines = createInterface({ input: this.#child.stdout! })
    lines.on('line', (text) => {
      const line = parsed(text)
      if (line?.kind !== undefined) this.#heard()
      error = line?.error ?? error
      if (line !== null && line.error === undefined) tell(line)
    })
    const read = new Promise<void>((resolve) => lines.on('close', resolve))
    const { code, signal, failed } = await new Promise<Ended>((resolve) => {
      this.#child.on('error', (cause) => resolve({ code: null, signal: null, failed: cause }))
      this.#child.on('close', (exit, by) => resolve({ code: exit, signal: by, failed: null }))
    })
    if (failed === null) await read
    if (code === 0) return 'sealed'
    if (error !== undefined) return this.#failure(error)
    if (STOPPED.includes(code ?? signal)) return 'stopped'
    const how = failed?.message ?? (signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`)
    return new RehydrateError('UNEXPECTED', {
      message: `The worker of shard ${formatShard(this.shard)} did not finish: ${how}.`,
      why: 'Its process is gone without a word: somebody killed it, or the system did, which had no memory left.',
      safe: ERRORS.RUN_STOPPED.safe, fix: 'Run the same command again: every shard goes on from its last checkpoint.',
      ...(failed !== null && { cause: failed }),
    })
  }

  /** What the worker said of its end, with whose end it is. */
  #failure({ code, message, ...place }: NonNullable<WorkerLine['error']>): RehydrateError {
    const known = Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'UNEXPECTED'
    return new RehydrateError(known, { ...place, message: `Shard ${formatShard(this.shard)}: ${message}` })
  }
}

/** Null for a line that was cut off with its process. */
function parsed(text: string): WorkerLine | null {
  try {
    return JSON.parse(text) as WorkerLine
  } catch {
    return null
  }
}

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly failed: Error | null
}

function argumentsOf({ flags }: Context, job: string, shard: Shard): string[] {
  const args = ['replay', job, '--shard', formatShard(shard), '--jsonl', '--log-level', 'silent']
  for (const name of ['config', 'until'] as const) {
    const value = flags.text(name)
    if (value !== undefined) args.push(`--${name}=${value}`)
  }
  for (const name of ['restart', 'takeover'] as const) if (flags.has(name)) args.push(`--${name}`)
  return [...args, ...flags.list('accept').map((waiver) => `--accept=${waiver}`)]
}
