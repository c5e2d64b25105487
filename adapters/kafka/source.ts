import {
  RehydrateError,
  type Bounds, type EventBatch, type EventSource, type Mark, type MarkCheck, type Offset, type ReadLimits, type ReadRange,
} from '../../src/index.js'
import { batchesOf } from './batch.js'
import { InputChain } from './chain.js'
import { EventReader, type EventMapping } from './event.js'
import type { Isolation } from './mark.js'
import { readPages } from './pages.js'
import type { ClusterView, KafkaPort, PartitionOffsets, TopicPartition } from './port.js'
import { keptBehind, proveMark, type PartitionView, type Proved } from './prove.js'

export interface SourceSettings {
  readonly topics: readonly string[]
  readonly isolation: Isolation
  /** Names such as orders/0; null: all. */
  readonly partitions: readonly string[] | null
  readonly event: EventMapping
  readonly payload: 'json' | 'raw'
  /** So long the broker may send nothing of what it says it has. */
  readonly stallMs: number
}

/** Topics as a log: partitions are called TOPIC/N. Positions are ours: no group, nothing is committed to the cluster. */
export class KafkaSource implements EventSource {
  readonly continuity = 'sparse'
  readonly #openPort: () => KafkaPort
  readonly #settings: SourceSettings
  #port: KafkaPort | null = null
  /** As seen last, so that a read fits the bounds that were given last. */
  #views: ReadonlyMap<string, PartitionView> | null = null

  constructor(openPort: () => KafkaPort, settings: SourceSettings) {
    this.#openPort = openPort
    this.#settings = settings
  }

  async bounds(): Promise<ReadonlyMap<string, Bounds>> {
    const views = await this.#look()
    return new Map([...views].map(([name, { first, last }]) => [name, { first, last }]))
  }

  async check(
    marks: ReadonlyMap<string, { readonly mark: Mark; readonly at: Offset }>,
  ): Promise<ReadonlyMap<string, MarkCheck>> {
    if (marks.size === 0) return new Map()
    const views = await this.#look({ all: false })
    const checks = new Map<string, MarkCheck>()
    for (const [partition, { mark, at }] of marks) {
      const view = views.get(partition)
      const gone = { is: 'different', code: 'LOG_TRUNCATED', why: 'The cluster has no such partition any more.' } as const
      checks.set(partition, view === undefined ? gone : (await this.#prove(view, mark, at, new AbortController().signal)).check)
    }
    return checks
  }

  async *read(
    partition: string, range: ReadRange, limits: ReadLimits, signal: AbortSignal,
  ): AsyncGenerator<EventBatch, void, void> {
    if (signal.aborted || range.upTo <= range.after) return
    const view = await this.#viewOf(partition, range)
    const next = range.after + 1
    if (next < view.first) throw startsAfter(view, next)
    const { chain, kept: keptBefore } = await this.#begin(view, range, signal)
    const reader = new EventReader(view.topic, view.partition, this.#settings.event, this.#settings.payload)
    let kept = keptBefore
    for await (const page of readPages(this.#connect(), view, next, range.upTo, signal)) {
      const read = { page, partition, identity: view.identity, reader, chain: chain?.take(page) ?? null, kept }
      for (const batch of batchesOf(read, limits)) {
        if (signal.aborted) return
        yield batch
      }
      if (signal.aborted) return
      kept = keptBehind(page, kept)
    }
  }

  async close(): Promise<void> {
    const port = this.#port
    this.#port = null
    this.#views = null
    await port?.close()
  }

  #connect(): KafkaPort {
    this.#port ??= this.#openPort()
    return this.#port
  }

  /** With which chain to go on; a mark is proved first, so that a changed log is never read on. */
  async #begin(view: PartitionView, { after, mark }: ReadRange, signal: AbortSignal): Promise<Pick<Proved, 'chain' | 'kept'>> {
    if (mark === null) return { chain: after < view.first ? new InputChain(null) : null, kept: [] }
    const proved = await this.#prove(view, mark, after, signal)
    if (proved.check.is !== 'different') return proved
    const { code, why } = proved.check
    throw new RehydrateError(code, {
      message: `Partition ${view.name} is not the log that was read before: ${why}`, partition: view.name, offset: after, why,
    })
  }

  #prove(view: PartitionView, mark: Mark, at: Offset, signal: AbortSignal): Promise<Proved> {
    return proveMark(this.#connect(), view, mark, at, signal)
  }

  async #viewOf(partition: string, { upTo, mark }: ReadRange): Promise<PartitionView> {
    // A mark is proved against what the cluster says now, not against what it said once.
    const views = mark === null && this.#views !== null ? this.#views : await this.#look()
    const view = views.get(partition)
    if (view !== undefined && view.last >= upTo) return view
    const where = view === undefined ? `There is no partition ${partition}` : `Partition ${partition} ends at ${view.last}`
    throw new RehydrateError('LOG_TRUNCATED', { message: `${where}; it was to be read up to ${upTo}.`, partition, offset: upTo })
  }

  /** Asks the cluster. Errors: CONFIG_INVALID for a topic or a partition that does not exist, where all have to. */
  async #look({ all } = { all: true }): Promise<ReadonlyMap<string, PartitionView>> {
    const { topics, partitions } = this.#settings
    const port = this.#connect()
    const cluster = await port.describe(topics)
    const missing = topics.find((topic) => !cluster.topics.has(topic))
    if (all && missing !== undefined) throw notThere('topic', missing)
    const wanted = [...cluster.topics].flatMap(([topic, view]) => view.partitions.map(({ partition }) => ({ topic, partition })))
      .filter((each) => partitions === null || partitions.includes(nameOf(each)))
    const stray = partitions?.find((name) => !wanted.some((each) => nameOf(each) === name))
    if (all && stray !== undefined) throw notThere('partition', stray)
    const views = (await port.offsets(wanted)).map((offsets): [string, PartitionView] => [nameOf(offsets), this.#view(cluster, offsets)])
    this.#views = new Map(views)
    return this.#views
  }

  #view(cluster: ClusterView, offsets: PartitionOffsets): PartitionView {
    const { topic, partition, startOffset: first, highWatermark, lastStableOffset } = offsets
    const { isolation, stallMs } = this.#settings
    const { topicId, compacted } = cluster.topics.get(topic) as { topicId: string; compacted: boolean | null }
    const end = isolation === 'read_committed' ? lastStableOffset : highWatermark
    return {
      topic, partition, isolation, stallMs, first, name: nameOf(offsets),
      identity: { clusterId: cluster.clusterId, topicId, partition, isolation },
      last: Math.max(end, first) - 1,
      // A policy that may not be read may be any.
      compacted: compacted !== false,
    }
  }
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

function startsAfter({ name, first }: PartitionView, next: Offset): RehydrateError {
  return new RehydrateError('LOG_TRUNCATED', {
    message: `${name} begins at ${first} now, and ${next} is needed next.`, partition: name, offset: next, expected: next, actual: first,
  })
}

function notThere(kind: string, name: string): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `kafka(): there is no ${kind} ${name} in the cluster.`, path: `${kind}s`, actual: name,
  })
}
