import type { FetchedPartition, FetchRequest, TopicPartition } from './port.js'
import { WireReader, WireWriter } from './wire.js'

/** One request, and how its answer is read, which begins with a throttle time. Versions are such that brokers from 2.8 to 4.x know. */
export interface Exchange<Answer> {
  readonly apiKey: number
  readonly apiName: string
  readonly apiVersion: number
  /** In the newer of the two spellings. */
  readonly flexible: boolean
  readonly body: Buffer
  /** Throws RangeError where the answer is not such a message. */
  read(bytes: Buffer): Answer
}

export const FETCH_API = 1

export interface Address {
  readonly nodeId: number
  readonly host: string
  readonly port: number
}

export interface TopicMetadata {
  readonly error: number
  readonly name: string
  readonly topicId: string
  /** Leader −1: none at the moment. */
  readonly partitions: readonly { readonly partition: number; readonly leader: number; readonly leaderEpoch: number }[]
}

export interface Metadata {
  readonly brokers: readonly Address[]
  readonly clusterId: string
  readonly topics: readonly TopicMetadata[]
}

/** Creates no topic. */
export function metadata(topics: readonly string[]): Exchange<Metadata> {
  const writer = new WireWriter(true)
  writer.array(topics, (name) => writer.uuid('A'.repeat(22)).string(name).tags())
  return {
    apiKey: 3, apiName: 'Metadata', apiVersion: 12, flexible: true,
    body: writer.boolean(false).boolean(false).tags().bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, true)
      reader.int32()
      const brokers = reader.array(() => {
        const broker = { nodeId: reader.int32(), host: reader.string() ?? '', port: reader.int32() }
        reader.string()
        reader.tags()
        return broker
      })
      const clusterId = reader.string() ?? ''
      reader.int32()
      return { brokers, clusterId, topics: reader.array(() => topicMetadata(reader)) }
    },
  }
}

function topicMetadata(reader: WireReader): TopicMetadata {
  const error = reader.int16()
  const name = reader.string() ?? ''
  const topicId = reader.uuid()
  reader.boolean()
  const partitions = reader.array(() => {
    reader.int16()
    const partition = { partition: reader.int32(), leader: reader.int32(), leaderEpoch: reader.int32() }
    // Replicas, in-sync ones, offline ones.
    for (let list = 0; list < 3; list++) reader.array(() => reader.int32())
    reader.tags()
    return partition
  })
  reader.int32()
  reader.tags()
  return { error, name, topicId, partitions: partitions.toSorted((a, b) => a.partition - b.partition) }
}

/** A partition as its leader is asked: with the epoch it is thought to lead in, so that no other one answers. */
export interface LedPartition extends TopicPartition {
  readonly leaderEpoch: number
}

export interface ListedOffset extends TopicPartition {
  readonly error: number
  /** −1: none. */
  readonly offset: number
}

export const EARLIEST = -2
export const LATEST = -1

/** The offset at a time, or at an end: EARLIEST, or LATEST (the last stable one with `readCommitted`). */
export function listOffsets(partitions: readonly LedPartition[], timeMs: number, readCommitted: boolean): Exchange<ListedOffset[]> {
  const writer = new WireWriter(false).int32(-1).int8(readCommitted ? 1 : 0)
  writer.array(byTopic(partitions), ([topic, members]) => {
    writer.string(topic).array(members, ({ partition, leaderEpoch }) => writer.int32(partition).int32(leaderEpoch).int64(timeMs))
  })
  return {
    apiKey: 2, apiName: 'ListOffsets', apiVersion: 5, flexible: false,
    body: writer.bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, false)
      reader.int32()
      return perTopic(reader, (topic) => {
        const partition = reader.int32()
        const error = reader.int16()
        reader.int64()
        const offset = reader.int64()
        reader.int32()
        return { topic, partition, error, offset }
      })
    },
  }
}

export interface EpochEnd extends TopicPartition {
  readonly error: number
  /** The largest epoch there is that is not above the one asked for; −1: unknown. */
  readonly leaderEpoch: number
  readonly endOffset: number
}

export function offsetForLeaderEpoch(of: LedPartition, epoch: number): Exchange<EpochEnd[]> {
  const writer = new WireWriter(false).int32(-1)
  writer.array([of], ({ topic, partition, leaderEpoch }) => {
    writer.string(topic).array([partition], () => writer.int32(partition).int32(leaderEpoch).int32(epoch))
  })
  return {
    apiKey: 23, apiName: 'OffsetForLeaderEpoch', apiVersion: 3, flexible: false,
    body: writer.bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, false)
      reader.int32()
      return perTopic(reader, (topic) => {
        const error = reader.int16()
        return { topic, error, partition: reader.int32(), leaderEpoch: reader.int32(), endOffset: reader.int64() }
      })
    },
  }
}

export interface FetchFrom extends FetchRequest, LedPartition {
  readonly topicId: string
  readonly bytes: number
}

/** Of the whole request. */
export interface FetchTerms {
  readonly bytes: number
  readonly waitMs: number
  readonly readCommitted: boolean
  /** Where we are, so that the leader may name a replica that is nearer; "": nowhere. */
  readonly rack: string
}

export interface FetchAnswer {
  readonly throttleMs: number
  /** Of the whole request. */
  readonly error: number
  readonly partitions: readonly FetchedFrom[]
}

export interface FetchedFrom extends FetchedPartition {
  readonly error: number
  /** The node that is to be asked instead; −1: this one is right. */
  readonly preferredReplica: number
}

/**
 * By topic id with version 13, so that a topic which was made again under its name is not read on; by name with version 11. The requests
 * are to be in the order of `inWireOrder`, in which the broker serves them.
 */
export function fetchRecords(requests: readonly FetchFrom[], terms: FetchTerms, version: 11 | 13): Exchange<FetchAnswer> {
  const byId = version === 13
  const writer = new WireWriter(byId).int32(-1).int32(terms.waitMs).int32(1).int32(clamp(terms.bytes))
  // No fetch session: its epoch is −1, and each request names all it wants.
  writer.int8(terms.readCommitted ? 1 : 0).int32(0).int32(-1)
  writer.array(byTopic(requests), ([topic, members]) => {
    if (byId) writer.uuid((members[0] as FetchFrom).topicId)
    else writer.string(topic)
    writer.array(members, ({ partition, leaderEpoch, offset, bytes }) => {
      writer.int32(partition).int32(leaderEpoch).int64(offset)
      if (byId) writer.int32(-1)
      writer.int64(-1).int32(clamp(bytes)).tags()
    }).tags()
  })
  const names = new Map(requests.map(({ topic, topicId }) => [topicId, topic]))
  return {
    apiKey: FETCH_API, apiName: 'Fetch', apiVersion: version, flexible: byId,
    body: writer.array([], () => {}).string(terms.rack).tags().bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, byId)
      const throttleMs = reader.int32()
      const error = reader.int16()
      reader.int32()
      const topics = reader.array(() => {
        const topic = (byId ? names.get(reader.uuid()) : reader.string()) ?? ''
        const partitions = reader.array(() => fetchedPartition(reader, topic))
        reader.tags()
        return partitions
      })
      return { throttleMs, error, partitions: topics.flat() }
    },
  }
}

function fetchedPartition(reader: WireReader, topic: string): FetchedFrom {
  const partition = reader.int32()
  const error = reader.int16()
  const highWatermark = reader.int64()
  const lastStableOffset = reader.int64()
  const startOffset = reader.int64()
  const aborted = reader.array(() => {
    const transaction = { producerId: reader.bigInt64(), firstOffset: reader.int64() }
    reader.tags()
    return transaction
  })
  const preferredReplica = reader.int32()
  const records = reader.byteString()
  reader.tags()
  return { topic, partition, error, preferredReplica, highWatermark, lastStableOffset, startOffset, aborted, records }
}

/** A request names each topic once. */
export function inWireOrder<Item extends TopicPartition>(items: readonly Item[]): Item[] {
  return byTopic(items).flatMap(([, members]) => members)
}

/** Reads what most answers are: topics by name, each with its partitions. */
export function perTopic<Item>(reader: WireReader, read: (topic: string) => Item): Item[] {
  return reader.array(() => {
    const topic = reader.string() ?? ''
    return reader.array(() => read(topic))
  }).flat()
}

export function byTopic<Item extends TopicPartition>(items: readonly Item[]): [string, Item[]][] {
  const topics = new Map<string, Item[]>()
  for (const item of items) {
    const members = topics.get(item.topic)
    if (members === undefined) topics.set(item.topic, [item])
    else members.push(item)
  }
  return [...topics]
}

function clamp(bytes: number): number { return Math.min(bytes, 0x7fffffff) }
