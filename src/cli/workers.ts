import type { NamedJob } from '../host/config.js'
import {
  type Eta, formatShard, isRehydrateError, type Phase, positionFromJson, positionToJson, type Progress, type RehydrateError, type Shard,
} from '../index.js'
import { type Context, usage } from './command.js'
import { duration, grouped } from './format.js'
import { EXIT_OF, type StopSignal } from './io.js'
import { openReporter } from './job.js'
import { reloadLimits } from './limits.js'
import type { Reporter } from './progress.js'
import { joinedJson, joinedScreen, joinShards } from './seal.js'
import { shardsOf } from './shard.js'
import { Worker, type WorkerLine } from './worker.js'

/** Every shard of a job in a process each, on this machine; the one seal of all in the end. The result is the exit code. */
export async function replayWorkers(context: Context, job: NamedJob, count: number): Promise<number> {
  const { io, output } = context
  if (context.flags.has('shard')) throw usage('--workers runs every shard: it takes no --shard.', { fix: 'Leave one of them out.' })
  const startedMs = performance.now()
  const reporter = await openReporter(context, job.name)
  const board = new Board(shardsOf(count), reporter)
  const workers = shardsOf(count).map((shard) => new Worker(context, job.name, shard, (line) => {
    board.take(shard, line)
    if (output.reader === 'lines') void output.document({ ...line, shard: formatShard(shard) })
  }))
  let signal: StopSignal | null = null
  const stop = (sent: StopSignal): void => { for (const worker of workers) worker.stop(sent) }
  const unlisten = io.onSignal((received) => {
    unlisten()
    signal = received
    stop(received)
  })
  const unhang = io.onHangup?.(() => void reloadLimits(context, job.name, () => { for (const worker of workers) worker.hangUp() }))
  try {
    const ends = await allEnds(workers, stop)
    const failure = ends.find(isRehydrateError)
    if (failure !== undefined) throw failure
    reporter.end()
    if (ends.includes('stopped')) {
      await reportStopped(context, job, board)
      return EXIT_OF[signal ?? 'SIGTERM']
    }
    await reportJoined(context, job, count, board.applied, performance.now() - startedMs)
    return 0
  } finally {
    reporter.end()
    unlisten()
    unhang?.()
  }
}

/** How each ended, the one that failed first in front. One that does not reach its end stops the others. */
async function allEnds(workers: readonly Worker[], stop: (signal: StopSignal) => void): Promise<('sealed' | 'stopped' | RehydrateError)[]> {
  const ends: ('sealed' | 'stopped' | RehydrateError)[] = []
  await Promise.all(workers.map(async (worker) => {
    const end = await worker.ended
    ends.push(end)
    if (end !== 'sealed') stop('SIGTERM')
  }))
  return ends
}

async function reportJoined(context: Context, job: NamedJob, count: number, applied: number, elapsedMs: number): Promise<void> {
  const { output } = context
  const joined = await joinShards(job, count)
  const durationMs = Math.round(elapsedMs)
  const eventsPerSecond = durationMs === 0 ? applied : Math.round((applied * 1_000) / durationMs)
  const document = { ...joinedJson(job.name, joined), outcome: 'sealed', applied, durationMs, eventsPerSecond }
  await output.document(output.reader === 'lines' ? { kind: 'joined', ...document } : document)
  const [title = '', ...rows] = joinedScreen(job.name, joined)
  await output.lines([title, `  applied   ${grouped(applied)} events in ${duration(durationMs)} (${grouped(eventsPerSecond)}/s)`, ...rows])
}

async function reportStopped({ output }: Context, job: NamedJob, board: Board): Promise<void> {
  const { position, applied } = board.progress
  await output.document({
    ...(output.reader === 'lines' ? { kind: 'stopped' } : {}),
    job: job.name, outcome: 'stopped', position: positionToJson(position), applied, root: null, manifest: null,
  })
  if (output.reader === 'person') output.note('  every shard wrote a checkpoint, nothing lost. The same command goes on.')
}

/** A run goes from left to right, but for seals that are asked for while it follows. */
const IN_ORDER: readonly Phase[] = ['planning', 'replaying', 'sealing', 'following', 'draining', 'sealed', 'stopped', 'failed']

/** What all shards have told, as one run would tell it. */
class Board {
  readonly #last = new Map<string, Progress>()
  readonly #phases = new Map<string, Phase>()
  readonly #reporter: Reporter
  #phase: Phase | null = null

  constructor(shards: readonly Shard[], reporter: Reporter) {
    this.#reporter = reporter
    for (const shard of shards) this.#phases.set(formatShard(shard), 'planning')
  }

  get applied(): number { return this.progress.applied }

  /** Sums over the shards; the run takes as long as the slowest. */
  get progress(): Progress {
    const all = [...this.#last.values()]
    const sum = (of: (progress: Progress) => number): number => all.reduce((total, progress) => total + of(progress), 0)
    return {
      kind: 'progress', total: sum(({ total }) => total), done: sum(({ done }) => done), applied: sum(({ applied }) => applied),
      lag: sum(({ lag }) => lag), eventsPerSecond: sum(({ lag, eventsPerSecond }) => (lag > 0 ? eventsPerSecond : 0)),
      eta: slowest(all.map(({ eta }) => eta)),
      position: new Map(all.flatMap(({ position }) => [...position])), end: new Map(all.flatMap(({ end }) => [...end])),
    }
  }

  take(shard: Shard, line: WorkerLine): void {
    const name = formatShard(shard)
    switch (line.kind) {
      case 'progress':
        this.#last.set(name, progressOf(line))
        return this.#reporter.event(this.progress)
      case 'stall':
        return this.#reporter.event({
          kind: 'stall', waitingFor: `shard ${name}: ${String(line['waitingFor'])}`, forMs: Number(line['forMs']),
        })
      case 'phase':
        this.#phases.set(name, line['phase'] as Phase)
        return this.#tellPhase()
    }
  }

  /** A phase is told when the last one of the shards has come to it; others may be beyond it by then. */
  #tellPhase(): void {
    const reached = new Set(this.#phases.values())
    const phase = IN_ORDER.find((each) => reached.has(each))
    if (phase === undefined || phase === this.#phase) return
    this.#phase = phase
    this.#reporter.event({ kind: 'phase', phase, generation: null })
  }
}

function progressOf(line: WorkerLine): Progress {
  const progress = line as unknown as Omit<Progress, 'position' | 'end'> & { position: Record<string, number>; end: Record<string, number> }
  return { ...progress, position: positionFromJson(progress.position), end: positionFromJson(progress.end) }
}

function slowest(etas: readonly Progress['eta'][]): Progress['eta'] {
  if (etas.includes(null)) return null
  if (etas.includes('never')) return 'never'
  return (etas as readonly Eta[]).reduce<Eta | null>((most, eta) => (most === null || eta.midMs > most.midMs ? eta : most), null)
}
