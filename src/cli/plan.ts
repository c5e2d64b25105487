import type { NamedJob } from '../host/config.js'
import { plan, type ReplayOptions, type Shard, shardOfPartition } from '../index.js'
import type { Context, Handler } from './command.js'
import { withJob } from './job.js'
import { exitOf } from './output.js'
import { planScreen, type ShardPart } from './plan-text.js'
import { shardOf, shardsOf } from './shard.js'
import { untilAnswered } from './waiting.js'

export const planCommand: Handler = (context) => withJob(context, async (job) => {
  const shard = shardOf(context.flags)
  const planned = await untilAnswered(context, job.name, plan(replayOptions(context, job)))
  const split = shard === undefined ? null : { planned: shard, parts: await partsOf(job, shard) }
  await context.output.document({ job: job.name, ...planned, ...(split === null ? {} : { shards: split.parts }) })
  await context.output.lines(planScreen({ job: job.name, planned, isDense: job.source.continuity === 'dense', split }))
  const [refusal] = planned.refusals
  return refusal === undefined ? 0 : exitOf(refusal.code)
})

/** What each of as many shards has of the log as it is now. */
async function partsOf({ source, projection }: NamedJob, { of }: Shard): Promise<ShardPart[]> {
  const parts = shardsOf(of).map((shard) => ({ shard, partitions: 0, offsets: 0 }))
  for (const [partition, { first, last }] of await source.bounds()) {
    const part = parts[shardOfPartition(partition, of, projection)] as { partitions: number; offsets: number }
    part.partitions += 1
    part.offsets += last - first + 1
  }
  return parts
}

/** Flags over configuration over defaults. */
export function replayOptions({ flags }: Context, job: NamedJob): ReplayOptions {
  const { name: _, verify: _verify, ...options } = job
  const until = flags.text('until')
  const shard = shardOf(flags)
  return {
    ...options,
    ...(shard === undefined ? {} : { shard }),
    ...(until === undefined ? {} : { until }),
    restart: flags.has('restart'),
    takeover: flags.has('takeover'),
    accept: flags.list('accept'),
  }
}
