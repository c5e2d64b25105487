import { RehydrateError, type Offset } from '../../src/index.js'
import type { Isolation } from './mark.js'
import { nameOf, type ClusterView, type KafkaPort, type PartitionOffsets, type TopicView } from './port.js'
import type { PartitionView } from './prove.js'

export interface ViewSettings {
  readonly topics: readonly string[]
  readonly isolation: Isolation
  /** Names such as orders/0; null: all. */
  readonly partitions: readonly string[] | null
  /** So long the broker may send nothing of what it says it has. */
  readonly stallMs: number
  /** Milliseconds since 1970; must not go back. */
  readonly clock: () => number
}

/** Asks the cluster for all partitions that are meant, and keeps the last answer. */
export class Views {
  readonly #settings: ViewSettings
  /** As seen last, so that a read fits the bounds that were given last. */
  latest: ReadonlyMap<string, PartitionView> | null = null

  constructor(settings: ViewSettings) {
    this.#settings = settings
  }

  /**
   * CONFIG_INVALID for a topic or a partition that is named and is not there, unless it is `known`: then it was there once, and is left
   * out. With null nothing has to be there.
   */
  async look(port: KafkaPort, known: ReadonlySet<string> | null): Promise<ReadonlyMap<string, PartitionView>> {
    const { topics, partitions, clock } = this.#settings
    const askedMs = clock()
    const cluster = await port.describe(topics)
    const missing = known === null ? undefined
      : topics.find((topic) => !cluster.topics.has(topic) && ![...known].some((name) => topicOf(name) === topic))
    if (missing !== undefined) throw notThere('topic', missing)
    const wanted = [...cluster.topics].flatMap(([topic, view]) => view.partitions.map(({ partition }) => ({ topic, partition })))
      .filter((each) => partitions === null || partitions.includes(nameOf(each)))
    const stray = known === null ? undefined
      : partitions?.find((name) => !known.has(name) && !wanted.some((each) => nameOf(each) === name))
    if (stray !== undefined) throw notThere('partition', stray)
    const offsets = await port.offsets(wanted)
    const asked = { askedMs, answeredMs: clock() }
    this.latest = new Map(offsets.map((each) => [nameOf(each), this.#view(cluster, each, asked)]))
    return this.latest
  }

  #view(cluster: ClusterView, offsets: PartitionOffsets, asked: Pick<PartitionView, 'askedMs' | 'answeredMs'>): PartitionView {
    const { topic, partition, startOffset: first, highWatermark, lastStableOffset } = offsets
    const { isolation, stallMs, clock } = this.#settings
    const { topicId, compacted: policy, deleteRetentionMs } = cluster.topics.get(topic) as TopicView
    const end = isolation === 'read_committed' ? lastStableOffset : highWatermark
    return {
      topic, partition, isolation, stallMs, clock, first, policy, ...asked, name: nameOf(offsets),
      identity: { clusterId: cluster.clusterId, topicId, partition, isolation },
      last: Math.max(end, first) - 1,
      written: highWatermark - 1,
      // A policy that may not be read may be any.
      compacted: policy !== false,
      tombstonesMs: policy === true ? deleteRetentionMs : null,
    }
  }
}

function topicOf(name: string): string {
  return name.slice(0, name.lastIndexOf('/'))
}

export function notThere(kind: string, name: string): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `kafka(): there is no ${kind} ${name} in the cluster.`, path: `${kind}s`, actual: name,
    fix: `Correct \`${kind}s\` in the configuration, or allow this user to describe it: without that it looks as if it were not there.`,
  })
}

export function startsAfter({ name, first }: PartitionView, next: Offset): RehydrateError {
  return new RehydrateError('LOG_TRUNCATED', {
    message: `${name} begins at ${first} now, and ${next} is needed next.`, partition: name, offset: next, expected: next, actual: first,
  })
}
