import type { ConsumerGroup, Offset } from '../../src/index.js'

/**
 * What the source needs of a Kafka cluster, and all it needs: so that the client behind it can be another one. Offsets are Kafka's own
 * here (a next offset is the one after the last); the source translates. Errors: SOURCE_UNREACHABLE after its own back-off, LOG_* for what
 * a broker says of the log, CONFIG_INVALID for credentials and topics.
 */
export interface KafkaPort {
  /** Connects on the first call. What there is of these topics; a topic that does not exist is left out. */
  describe(topics: readonly string[]): Promise<ClusterView>
  /** Per partition, asked of the leaders. `endOffset` is the high watermark, or the last stable offset with `readCommitted`. */
  offsets(partitions: readonly TopicPartition[]): Promise<readonly PartitionOffsets[]>
  /** The first offset whose timestamp is at or after `timeMs`; null: there is none. */
  offsetAt(partition: TopicPartition, timeMs: number): Promise<Offset | null>
  /** The first offset behind what a leader epoch wrote (OffsetForLeaderEpoch); null where the broker does not know that epoch. */
  endOfEpoch(partition: TopicPartition, leaderEpoch: number): Promise<{ readonly leaderEpoch: number; readonly endOffset: Offset } | null>
  /**
   * The raw records of one partition; null once the signal is aborted, or the port closed. Those that wait for one broker at the same time
   * are asked for in one request. No records: the broker had none for this partition, though no other one took its room in the answer.
   */
  fetch(request: FetchRequest, limits: FetchLimits, signal: AbortSignal): Promise<FetchedPartition | null>
  /**
   * The oldest open transaction of a partition (DescribeProducers), asked of its leader: what holds the last stable offset back. Null where
   * there is none at that moment, or the broker does not say.
   */
  openTransaction(partition: TopicPartition): Promise<OpenProducer | null>
  /** Bytes on the leaders' disks, by `TOPIC/N`; partitions of which the broker does not say, or may not, are left out. */
  logBytes(partitions: readonly TopicPartition[]): Promise<ReadonlyMap<string, number>>
  /** A consumer group, which is set for partitions of `topics` only. Inert. Errors of its calls: those above, and GROUP_ACTIVE. */
  group(name: string, topics: readonly string[]): ConsumerGroup
  /** Idempotent. */
  close(): Promise<void>
}

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** As partitions are called everywhere: `orders/0`. */
export function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

export interface ClusterView {
  readonly clusterId: string
  readonly topics: ReadonlyMap<string, TopicView>
}

export interface TopicView {
  /** Of this incarnation of the topic: another one after it was deleted and made again. Base64url. */
  readonly topicId: string
  readonly partitions: readonly { readonly partition: number; readonly leaderEpoch: number }[]
  // The rest is from the topic's configuration: each null where it may not be read, or the broker does not know it.
  /** `cleanup.policy` has `compact`. */
  readonly compacted: boolean | null
  /** How long a tombstone stays at least, once compaction saw it. */
  readonly deleteRetentionMs: number | null
  /** For how long a record is not compacted at least. */
  readonly minCompactionLagMs: number | null
  /** Records older than this are deleted; Infinity: no bound by time, also where `cleanup.policy` has no `delete`. */
  readonly retentionMs: number | null
  /** A partition that is larger loses its oldest records; Infinity: no bound by size. */
  readonly retentionBytes: number | null
  /** Are timestamps the producer's, or the broker's? */
  readonly timestampType: 'create' | 'append' | null
}

/** Who has a transaction open. */
export interface OpenProducer {
  readonly producerId: bigint
  /** The first offset of the transaction. */
  readonly firstOffset: Offset
}

export interface PartitionOffsets extends TopicPartition {
  readonly startOffset: Offset
  readonly highWatermark: Offset
  readonly lastStableOffset: Offset
  readonly leaderEpoch: number
}

export interface FetchRequest extends TopicPartition {
  /** The first offset wanted. */
  readonly offset: Offset
}

export interface FetchLimits {
  /** Of this partition; a first batch that is larger comes whole, if it comes first. */
  readonly bytesPerPartition: number
  /** Of the answer, over all partitions that are asked for together. */
  readonly bytes: number
  /** How long the broker may wait for a byte. */
  readonly waitMs: number
  readonly readCommitted: boolean
  /** Not of another replica that may be nearer. */
  readonly ofLeader?: boolean
}

export interface FetchedPartition extends TopicPartition {
  /** Record batches as they lie on the broker's disk; the last one may be cut off. */
  readonly records: Buffer
  readonly startOffset: Offset
  readonly highWatermark: Offset
  readonly lastStableOffset: Offset
  /** Producers with transactions that were aborted, by the first offset of each. */
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: Offset }[]
  /** Which broker answered, for messages. */
  readonly broker?: string
}
