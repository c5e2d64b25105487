import { setTimeout as sleep } from 'node:timers/promises'
import type {
  ClusterView, FetchedPartition, FetchLimits, FetchRequest, KafkaPort, OpenProducer, PartitionOffsets, TopicPartition,
} from '../../../adapters/kafka/port.js'
import { KafkaSource, type SourceSettings } from '../../../adapters/kafka/source.js'
import { encodeBatch, encodeMarker, type TestRecord } from './encode-batch.js'

interface PaperBatch {
  readonly base: number
  readonly last: number
  readonly bytes: Buffer
}

/** One partition `t/0` on paper: what no broker can be brought to hold, or to say, at the moment a test needs it. */
export class PaperCluster implements KafkaPort {
  topicId = 'topic-1'
  compacted: boolean | null = false
  deleteRetentionMs: number | null = 86_400_000
  retentionMs = Infinity
  startOffset = 0
  /** Where the readable log ends, exclusive; null: behind the last batch. */
  end: number | null = null
  /** … and the written one; null: there as well. */
  written: number | null = null
  openProducer: OpenProducer | null = null
  bytes: number | null = null
  /** The first offset of a time, as the broker's index has it. */
  offsetOf: (timeMs: number) => number | null = () => null
  /** The topic was deleted. */
  gone = false
  /** What happens while a fetch is under way, before the broker looks. */
  beforeFetch: () => void = () => {}
  epochEnd: { leaderEpoch: number; endOffset: number } | null = null
  aborted: FetchedPartition['aborted'] = []
  /** Batches in one answer. */
  batchesPerFetch = 2
  fetches = 0
  /** So many answers are empty, as those of a broker that throttles are. */
  throttled = 0
  holdsBack: (fetch: number) => boolean = () => false
  /** How long an answer takes. */
  answerMs = 0
  readonly batches: PaperBatch[] = []

  /** A source over it. */
  source(more: Partial<SourceSettings> = {}): KafkaSource {
    const settings = { topics: ['t'], isolation: 'read_committed', partitions: null, event: {}, payload: 'json', stallMs: 30_000 } as const
    return new KafkaSource(() => this, { ...settings, ...more })
  }

  /** One batch from `base` on with a record for each of `offsets`; `last`: its last offset, where records behind them are gone. */
  put(offsets: readonly number[], options: { base?: number; last?: number; text?: string; producerId?: number; leaderEpoch?: number } = {}): void {
    const { base = offsets[0] as number, last = offsets.at(-1) as number, text = 'v', producerId, leaderEpoch = 3 } = options
    const records = offsets.map((offset): TestRecord => ({
      delta: offset - base, timestampDelta: offset,
      key: Buffer.from(`k${offset % 3}`), value: Buffer.from(JSON.stringify({ type: 'Set', data: { n: offset, text } })),
    }))
    const transaction = producerId === undefined ? {} : { producerId, transactional: true }
    this.#add({ base, last, bytes: encodeBatch({ base, records, lastDelta: last - base, leaderEpoch, ...transaction }) })
  }

  putMarker(offset: number, producerId: number, type: 'commit' | 'abort'): void {
    this.#add({ base: offset, last: offset, bytes: encodeMarker(offset, producerId, type) })
  }

  /** Takes all batches from the one that holds `offset` on away. */
  cut(offset: number): void {
    this.batches.splice(this.batches.findIndex(({ last }) => last >= offset))
  }

  async describe(): Promise<ClusterView> {
    const partitions = [{ partition: 0, leaderEpoch: 3 }]
    const { topicId, compacted, deleteRetentionMs, retentionMs } = this
    const rest = { minCompactionLagMs: 0, retentionMs, retentionBytes: Infinity, timestampType: 'create' } as const
    return { clusterId: 'paper', topics: new Map(this.gone ? [] : [['t', { topicId, partitions, compacted, deleteRetentionMs, ...rest }]]) }
  }

  async offsets(): Promise<readonly PartitionOffsets[]> {
    return this.gone ? [] : [{ topic: 't', partition: 0, leaderEpoch: 3, startOffset: this.startOffset, ...this.#ends() }]
  }

  async offsetAt(_: TopicPartition, timeMs: number): Promise<number | null> { return this.offsetOf(timeMs) }

  async endOfEpoch(): Promise<{ leaderEpoch: number; endOffset: number } | null> { return this.epochEnd }

  async openTransaction(): Promise<OpenProducer | null> { return this.openProducer }

  async logBytes(): Promise<ReadonlyMap<string, number>> { return new Map(this.bytes === null ? [] : [['t/0', this.bytes]]) }

  group(): never { throw new Error('There are no groups on paper.') }

  async fetch({ offset }: FetchRequest, _limits: FetchLimits, _signal: AbortSignal): Promise<FetchedPartition> {
    this.fetches++
    this.beforeFetch()
    if (this.answerMs > 0) await sleep(this.answerMs)
    const readable = this.batches.filter(({ base }) => base < this.#ends().lastStableOffset)
    const from = readable.findIndex(({ last }) => last >= offset)
    const some = from < 0 || this.throttled-- > 0 || this.holdsBack(this.fetches) ? [] : readable.slice(from, from + this.batchesPerFetch)
    const records = Buffer.concat(some.map(({ bytes }) => bytes))
    return { topic: 't', partition: 0, records, startOffset: this.startOffset, aborted: this.aborted, ...this.#ends() }
  }

  async close(): Promise<void> {}

  #ends(): { highWatermark: number; lastStableOffset: number } {
    const end = this.end ?? (this.batches.at(-1)?.last ?? -1) + 1
    return { highWatermark: this.written ?? end, lastStableOffset: end }
  }

  #add(batch: PaperBatch): void {
    this.batches.push(batch)
    this.batches.sort((a, b) => a.base - b.base)
  }
}
