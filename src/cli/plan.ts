import type { NamedJob } from '../host/config.js'
import { type Plan, plan, type ReplayOptions } from '../index.js'
import type { Context, Handler } from './command.js'
import { duration, grouped, megabytes } from './format.js'
import { withJob } from './job.js'
import { exitOf } from './output.js'
import { shardOf } from './shard.js'

export const planCommand: Handler = (context) => withJob(context, async (job) => {
  const planned = await plan(replayOptions(context, job))
  await context.output.document({ job: job.name, ...planned })
  await context.output.lines(planScreen(job.name, planned))
  const [refusal] = planned.refusals
  return refusal === undefined ? 0 : exitOf(refusal.code)
})

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

const STARTS = {
  new: 'a new generation', resume: 'goes on with the generation being built', extend: 'goes on from its seal',
}

function planScreen(job: string, { generation, start, partitions, events, bytes, estimate, placement, refusals }: Plan): string[] {
  const size = bytes === null ? '' : `, ${megabytes(bytes)}`
  const time = estimate === null ? '' : `, about ${duration(estimate.ms)}`
  return [
    `${job}  generation ${generation}: ${STARTS[start]}`,
    ...partitions.map(({ partition, from, upTo }) =>
      `  ${partition}  ${upTo < from ? 'nothing to read' : `${grouped(from)} … ${grouped(upTo)}`}`),
    `  ${grouped(events)} offsets to read${size}${time}`,
    ...(placement === null ? [] : [`  ${placementText(placement)}`]),
    ...(refusals.length === 0 ? ['  nothing is refused'] : []),
    ...refusals.flatMap(({ code, message, fix }) => [`  refused ${code}  ${message}`, `    fix: ${fix}`]),
  ]
}

function placementText({ hash, counts, sampled, explained, movedKeys }: NonNullable<Plan['placement']>): string {
  const share = `${grouped(explained)} of ${grouped(sampled)} sampled keys`
  if (hash === null) return `keys: no partitioner explains where they lie (${share}); where they cross partitions, use order 'time'`
  if (counts.length === 1) return `keys: lie where ${hash} puts them with ${counts.join()} partitions (${share})`
  const moved = `${Math.round(100 * movedKeys)} % of them moved`
  return `keys: the topics grew, and ${moved} (${share}): partitioner: { hash: '${hash}', counts: [${counts.join(', ')}] }`
}
