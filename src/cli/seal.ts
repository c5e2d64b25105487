import type { NamedJob } from '../host/config.js'
import { formatPosition, formatShard, type JoinedSeal, joinSeals, positionToJson, shardStore } from '../index.js'
import { type Handler, usage } from './command.js'
import { acceptedText, grouped, table } from './format.js'
import { withJob } from './job.js'
import { countOf, shardsOf } from './shard.js'

/** Joins the seals of shards. A run seals by itself. */
export const sealCommand: Handler = (context) => withJob(context, async (job) => {
  const { flags, output } = context
  const count = countOf(flags, 'join')
  if (count === undefined) throw usage('seal takes --join N, the number of shards. A replay seals by itself.', { expected: '--join N' })
  const joined = await joinShards(job, count, flags.whole('generation'))
  await output.document(joinedJson(job.name, joined))
  await output.lines(joinedScreen(job.name, joined))
  return 0
})

export async function joinShards({ store, projection, source }: NamedJob, count: number, generation?: number): Promise<JoinedSeal> {
  const stores = shardsOf(count).map((shard) => shardStore(store, shard))
  try {
    return await joinSeals({ stores, projection, source, ...(generation !== undefined && { generation }) })
  } finally {
    for (const each of stores) await each.close()
  }
}

/** What `--json` prints. */
export function joinedJson(job: string, { seal, position, grade, shards, ...rest }: JoinedSeal): object {
  return {
    job, position: positionToJson(position), ...rest, manifest: seal.manifestHash, seal: seal.manifest, grade: grade.grade,
    sinceScrub: grade.sinceScrub, holes: seal.manifest.holes,
    shards: shards.map(({ shard, generation, position: own, root, manifestHash }) =>
      ({ shard: formatShard(shard), generation, position: positionToJson(own), root, manifest: manifestHash })),
  }
}

export function joinedScreen(job: string, { position, collections, root, seal, grade, complete, accepted, shards }: JoinedSeal): string[] {
  const since = grade.sinceScrub === null ? 'never scrubbed' : `scrubbed ${grouped(grade.sinceScrub)} offsets ago`
  return [
    `${job}  ${shards.length} shards joined at ${formatPosition(position) || 'the start of an empty log'}`,
    ...table([
      ...shards.map(({ shard, position: own, root: ownRoot }) =>
        [formatShard(shard), `${ownRoot}  ${formatPosition(own) || 'no partition'}`] as const),
      ...(accepted.length > 0 ? [['accepted', accepted.map(acceptedText).join(', ')] as const] : []),
      ...(complete ? [] : [['complete', 'no: events were left out'] as const]),
      ['state', Object.entries(collections).map(([name, { count }]) => `${grouped(count)} ${name}`).join(', ') || 'empty'],
      ['root', root],
      ['manifest', seal.manifestHash],
      ['grade', grade.grade === 'scrubbed' ? 'scrubbed' : `maintained, ${since}`],
    ]),
  ]
}
