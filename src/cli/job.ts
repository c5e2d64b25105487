import { loadConfig, type NamedJob, selectJob } from '../host/config.js'
import { isRehydrateError, RehydrateError, shardOptions } from '../index.js'
import type { Context } from './command.js'
import { personReporter, type Reporter, SILENT } from './progress.js'
import { shardOf } from './shard.js'

/** Loads the job that the command line names, and closes its source and store afterwards. */
export async function withJob<T>(context: Context, use: (job: NamedJob) => Promise<T>): Promise<T> {
  const config = await loadConfig(context.io.folder, context.flags.text('config'))
  const selected = selectJob(config, jobNamed(context))
  const job = { ...selected, source: selected.source.named?.(`rehydrate-${selected.name}`) ?? selected.source }
  try {
    return await use(job)
  } catch (error) {
    throw isRehydrateError(error) ? advised(error, context) : error
  } finally {
    await Promise.all([job.source.close(), job.store.close()])
  }
}

function jobNamed({ positionals, flags }: Context): string | undefined {
  return positionals.get('JOB') ?? flags.text('job')
}

/** Advice with the job that the command line named, in the commands that take one and do not have it yet. */
export function adviceFor(context: Context, fix: string): string {
  const job = jobNamed(context)
  return job === undefined ? fix : fix.replace(/`rehydrate (?:replay|plan|handover)(?= -|`)/g, (command) => `${command} ${job}`)
}

function advised(error: RehydrateError, context: Context): RehydrateError {
  const fix = adviceFor(context, error.fix)
  if (fix === error.fix) return error
  return Object.assign(new RehydrateError(error.code, { ...error.details, fix }), { stack: error.stack })
}

/** The same, with only that part of its log and its store which is the shard's of `--shard`. */
export function withPart<T>(context: Context, use: (job: NamedJob) => Promise<T>): Promise<T> {
  const shard = shardOf(context.flags)
  if (shard === undefined) return withJob(context, use)
  return withJob(context, async (job) => {
    const part = shardOptions(job, shard)
    try {
      return await use(part)
    } finally {
      await part.store.close()
    }
  })
}

/** Where the events of a run go besides the result: stderr, as `--log-level` says. */
export async function openReporter({ io, output }: Context, job: string): Promise<Reporter> {
  if (output.logLevel === undefined) return personReporter(io, job)
  if (output.logLevel === 'silent') return SILENT
  const { logReporter, openLog } = await import('./log.js')
  return logReporter(await openLog(io, output.logLevel, job))
}
