import type { NamedJob } from '../host/config.js'
import {
  formatPosition, type GenerationRow, isRehydrateError, type Position, positionFromJson, positionToJson, type Progress,
  type RehydrateError, replay, type Run, type RunEvent, type SealedRun, shardStore,
} from '../index.js'
import type { Context, Handler } from './command.js'
import { acceptedText, duration, grouped, table } from './format.js'
import { EXIT_OF, type StopSignal } from './io.js'
import { openReporter, withJob } from './job.js'
import { reloadLimits } from './limits.js'
import { replayOptions } from './plan.js'
import { countOf, shardOf } from './shard.js'

export const replayCommand: Handler = (context) => withJob(context, async (job) => {
  const workers = countOf(context.flags, 'workers')
  return workers === undefined ? await replayHere(context, job) : await (await import('./workers.js')).replayWorkers(context, job, workers)
})

async function replayHere(context: Context, job: NamedJob): Promise<number> {
  const stop = new AbortController()
  let signal: StopSignal | null = null
  // Listening once only: a second signal ends the process as it would without us.
  const unlisten = context.io.onSignal((received) => {
    unlisten()
    signal = received
    stop.abort(received)
  })
  const run = replay({ ...replayOptions(context, job), signal: stop.signal })
  const unhang = context.io.onHangup?.(() => void reloadLimits(context, job.name, (limits) => run.limit(limits)))
  try {
    const tally = new Tally()
    const outcome = await watch(context, job, run, tally)
    if (isRehydrateError(outcome)) await reportStopped(context, job, tally)
    else await reportSealed(context, job, outcome)
    return isRehydrateError(outcome) ? EXIT_OF[signal ?? 'SIGINT'] : 0
  } finally {
    unlisten()
    unhang?.()
    await run.close()
  }
}

/** What a stopped run can say of itself. */
class Tally {
  generation: number | null = null
  progress: Progress | null = null

  take(event: RunEvent): void {
    if (event.kind === 'phase') this.generation = event.generation ?? this.generation
    if (event.kind === 'progress') this.progress = event
  }
}

/** Shows a run until its end: the seal, or the RUN_STOPPED that a signal asked for. Other ends are thrown. */
async function watch(context: Context, job: NamedJob, run: Run, tally: Tally): Promise<SealedRun | RehydrateError> {
  const reporter = await openReporter(context, job.name)
  try {
    for await (const event of run) {
      tally.take(event)
      reporter.event(event)
      if (context.output.reader === 'lines') await context.output.document(eventJson(job.name, event))
    }
    return await run.done
  } catch (error) {
    if (isRehydrateError(error) && error.code === 'RUN_STOPPED') return error
    throw error
  } finally {
    reporter.end()
  }
}

/** A line of `--jsonl`. */
function eventJson(job: string, event: RunEvent): object {
  switch (event.kind) {
    case 'sealed': return { ...event, job, sealed: sealedJson(job, event.sealed) }
    case 'progress': return { ...event, position: positionToJson(event.position), end: positionToJson(event.end) }
    case 'caughtUp':
    case 'checkpoint': return { ...event, position: positionToJson(event.position) }
    default: return event
  }
}

function sealedJson(job: string, sealed: SealedRun): object {
  const { seal, position, run, grade, ...rest } = sealed
  return {
    job, outcome: 'sealed', position: positionToJson(position), ...rest, manifest: seal.manifestHash, seal: seal.manifest,
    grade: grade.grade, sinceScrub: grade.sinceScrub, holes: seal.manifest.holes, ...run,
  }
}

async function reportSealed(context: Context, job: NamedJob, sealed: SealedRun): Promise<void> {
  // With --jsonl the event has said it.
  if (context.output.reader === 'document') await context.output.document(sealedJson(job.name, sealed))
  await context.output.lines(sealedScreen(job.name, sealed))
}

function sealedScreen(job: string, sealed: SealedRun): string[] {
  const { generation, live, root, position, seal, grade, complete, accepted, run, collections } = sealed
  const holes = Object.entries(seal.manifest.holes).filter(([, count]) => count > 0)
  const scrub = grade.sinceScrub === null ? 'never scrubbed' : `scrubbed ${grouped(grade.sinceScrub)} offsets ago`
  return [
    `${job}  sealed at ${formatPosition(position) || 'the start of an empty log'}`,
    ...table([
      ['applied', appliedText(run)],
      ...(run.skipped > 0 ? [['skipped', `${grouped(run.skipped)} events of unknown types`] as const] : []),
      ...(holes.length > 0 ? [['holes', holes.map(([name, count]) => `${grouped(count)} ${name}`).join(', ')] as const] : []),
      ...(accepted.length > 0 ? [['accepted', accepted.map(acceptedText).join(', ')] as const] : []),
      ...sealed.behindOpenTransaction.map((held) => ['behind an open transaction', heldBackText(held)] as const),
      ...(complete ? [] : [['complete', 'no: events were left out'] as const]),
      ['state', Object.entries(collections).map(([name, { count }]) => `${grouped(count)} ${name}`).join(', ') || 'empty'],
      ['root', root],
      ['manifest', seal.manifestHash],
      ['grade', grade.grade === 'scrubbed' ? 'scrubbed' : `maintained, ${scrub}`],
      ['generation', `${generation}${live ? ', live' : `; \`rehydrate generation switch ${generation}\` makes it live`}`],
    ]),
  ]
}

function heldBackText({ partition, last, written, producerId }: SealedRun['behindOpenTransaction'][number]): string {
  const whose = producerId === null ? '' : `, of producer ${producerId}`
  return `${partition}: readable up to ${grouped(last)}, written up to ${grouped(written)}${whose}`
}

function appliedText({ applied, durationMs, eventsPerSecond, duplicates }: SealedRun['run']): string {
  return `${grouped(applied)} events in ${duration(durationMs)} (${grouped(eventsPerSecond)}/s), ${grouped(duplicates)} duplicates`
}

async function reportStopped(context: Context, job: NamedJob, tally: Tally): Promise<void> {
  const { output } = context
  const row = await rowOf(context, job, tally.generation)
  const manifest = row?.checkpoint?.manifest ?? null
  const position = positionFromJson(manifest?.position ?? {})
  // What was not counted, because the run did not end, is null.
  await output.document({
    ...(output.reader === 'lines' ? { kind: 'stopped' } : {}),
    job: job.name, outcome: 'stopped', position: positionToJson(position), root: manifest?.root ?? null,
    manifest: row?.checkpoint?.manifestHash ?? null, collections: userCollections(row), grade: null,
    applied: tally.progress?.applied ?? 0, duplicates: null, holes: manifest?.holes ?? null, accepted: manifest?.accepted ?? [],
    durationMs: null, eventsPerSecond: tally.progress?.eventsPerSecond ?? null, generation: tally.generation,
  })
  if (output.reader !== 'person') return
  output.note(`  checkpoint at ${checkpointText(position)} written, nothing lost. The same command goes on.`)
}

/** Null while the digest is not kept yet. */
function userCollections(row: GenerationRow | undefined): object | null {
  const collections = row?.checkpoint?.collections ?? null
  return collections && Object.fromEntries(Object.entries(collections).filter(([name]) => !name.startsWith('$')))
}

async function rowOf({ flags }: Context, job: NamedJob, generation: number | null): Promise<GenerationRow | undefined> {
  const shard = shardOf(flags)
  const store = shard === undefined ? job.store : shardStore(job.store, shard)
  return (await store.generations()).find((row) => row.generation === generation)
}

function checkpointText(position: Position): string {
  const [only] = position
  if (position.size === 1 && only !== undefined) return grouped(only[1])
  const offsets = [...position.values()].reduce((sum, offset) => sum + offset + 1, 0)
  return position.size === 0 ? 'the start' : `${grouped(offsets)} offsets of ${position.size} partitions`
}
