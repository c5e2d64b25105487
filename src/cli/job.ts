import { loadConfig, type NamedJob, selectJob } from '../host/config.js'
import { shardOptions } from '../index.js'
import type { Context } from './command.js'
import { personReporter, type Reporter, SILENT } from './progress.js'
import { shardOf } from './shard.js'

/** Loads the job that the command line names, and closes its source and store afterwards. */
export async function withJob<T>(context: Context, use: (job: NamedJob) => Promise<T>): Promise<T> {
  const config = await loadConfig(context.io.folder, context.flags.text('config'))
  const selected = selectJob(config, context.positionals.get('JOB') ?? context.flags.text('job'))
  const job = { ...selected, source: selected.source.named?.(`rehydrate-${selected.name}`) ?? selected.source }
  try {
    return await use(job)
  } finally {
    await Promise.all([job.source.close(), job.store.close()])
  }
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
