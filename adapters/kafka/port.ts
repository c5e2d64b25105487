import type { Offset } from '../../src/index.js'

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
  /** One fetch of the raw records of some partitions of one leader or of several; answers come as they come, empty ones too. */
  fetch(requests: readonly FetchRequest[], limits: FetchLimits, signal: AbortSignal): Promise<readonly FetchedPartition[]>
  /** Idempotent. */
  close(): Promise<void>
}

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface ClusterView {
  readonly clusterId: string
  readonly topics: ReadonlyMap<string, TopicView>
}

export interface TopicView {
  /** Of this incarnation of the topic: another one after it was deleted and made again. Base64url. */
  readonly topicId: string
  readonly partitions: readonly { readonly partition: number; readonly leaderEpoch: number }[]
  /** From the topic's configuration; null where it may not be read. */
  readonly compacted: boolean | null
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
  readonly bytesPerPartition: number
  readonly bytes: number
  /** How long the broker may wait for a byte. */
  readonly waitMs: number
  readonly readCommitted: boolean
}

export interface FetchedPartition extends TopicPartition {
  /** Record batches as they lie on the broker's disk; the last one may be cut off. */
  readonly records: Buffer
  readonly startOffset: Offset
  readonly highWatermark: Offset
  readonly lastStableOffset: Offset
  /** Producers with transactions that were aborted, by the first offset of each. */
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: Offset }[]
}
