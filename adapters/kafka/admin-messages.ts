import { byTopic, perTopic, type Exchange } from './messages.js'
import type { OpenProducer, TopicPartition } from './port.js'
import { WireReader, WireWriter } from './wire.js'

export interface TopicConfig {
  readonly error: number
  readonly topic: string
  /** By name; those that the broker does not know are left out. */
  readonly values: ReadonlyMap<string, string | null>
}

export function describeConfigs(topics: readonly string[], names: readonly string[]): Exchange<TopicConfig[]> {
  const writer = new WireWriter(false)
  writer.array(topics, (topic) => writer.int8(2).string(topic).array(names, (name) => writer.string(name)))
  return {
    apiKey: 32, apiName: 'DescribeConfigs', apiVersion: 1, flexible: false,
    body: writer.boolean(false).bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, false)
      reader.int32()
      return reader.array(() => {
        const error = reader.int16()
        reader.string()
        reader.int8()
        const topic = reader.string() ?? ''
        const values = reader.array(() => {
          const entry = [reader.string() ?? '', reader.string()] as const
          reader.boolean()
          reader.int8()
          reader.boolean()
          reader.array(() => [reader.string(), reader.string(), reader.int8()])
          return entry
        })
        return { error, topic, values: new Map(values) }
      })
    },
  }
}

export interface PartitionProducers {
  readonly error: number
  /** Those with a transaction that is open. */
  readonly open: readonly OpenProducer[]
}

export const DESCRIBE_PRODUCERS_API = 61

export function describeProducers({ topic, partition }: TopicPartition): Exchange<PartitionProducers[]> {
  const writer = new WireWriter(true)
  writer.array([topic], () => writer.string(topic).array([partition], () => writer.int32(partition)).tags())
  return {
    apiKey: DESCRIBE_PRODUCERS_API, apiName: 'DescribeProducers', apiVersion: 0, flexible: true,
    body: writer.tags().bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, true)
      reader.int32()
      return reader.array(() => {
        reader.string()
        const partitions = reader.array(() => {
          reader.int32()
          const error = reader.int16()
          reader.string()
          const producers = reader.array(() => {
            const producerId = reader.bigInt64()
            reader.int32()
            reader.int32()
            reader.bigInt64()
            reader.int32()
            const producer = { producerId, firstOffset: reader.int64() }
            reader.tags()
            return producer
          })
          reader.tags()
          return { error, open: producers.filter(({ firstOffset }) => firstOffset >= 0) }
        })
        reader.tags()
        return partitions
      }).flat()
    },
  }
}

export interface ReplicaSize extends TopicPartition {
  readonly bytes: number
}

/** What lies on the disks of the broker that is asked; nothing where that may not be known. */
export function describeLogDirs(partitions: readonly TopicPartition[]): Exchange<ReplicaSize[]> {
  const writer = new WireWriter(false)
  writer.array(byTopic(partitions), ([topic, members]) => {
    writer.string(topic).array(members, ({ partition }) => writer.int32(partition))
  })
  return {
    apiKey: 35, apiName: 'DescribeLogDirs', apiVersion: 1, flexible: false,
    body: writer.bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, false)
      reader.int32()
      return reader.array(() => {
        reader.int16()
        reader.string()
        return perTopic(reader, (topic) => {
          const replica = { topic, partition: reader.int32(), bytes: reader.int64() }
          reader.int64()
          // A copy on its way to another disk counts once.
          return reader.boolean() ? { ...replica, bytes: 0 } : replica
        })
      }).flat()
    },
  }
}
