import { byTopic, perTopic, type Address, type Exchange } from './messages.js'
import type { TopicPartition } from './port.js'
import { WireReader, WireWriter } from './wire.js'

export interface Coordinator extends Address {
  readonly error: number
}

export function findCoordinator(group: string): Exchange<Coordinator> {
  return {
    apiKey: 10, apiName: 'FindCoordinator', apiVersion: 2, flexible: false,
    body: new WireWriter(false).string(group).int8(0).bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, false)
      reader.int32()
      const error = reader.int16()
      reader.string()
      return { error, nodeId: reader.int32(), host: reader.string() ?? '', port: reader.int32() }
    },
  }
}

export interface GroupView {
  readonly error: number
  /** As the broker names it: Stable, Empty, Dead … */
  readonly state: string
  /** `CLIENT-ID at HOST` each. */
  readonly members: readonly string[]
}

export function describeGroup(group: string): Exchange<GroupView> {
  return {
    apiKey: 15, apiName: 'DescribeGroups', apiVersion: 1, flexible: false,
    body: namesOf(false, group).bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, false)
      reader.int32()
      const [view] = reader.array(() => {
        const error = reader.int16()
        reader.string()
        const state = reader.string() ?? ''
        reader.string()
        reader.string()
        const members = reader.array(() => {
          reader.string()
          const name = `${reader.string()} at ${reader.string()?.replace(/^\//, '')}`
          reader.byteString()
          reader.byteString()
          return name
        })
        return { error, state, members }
      })
      if (view === undefined) throw new RangeError('The answer names no group.')
      return view
    },
  }
}

/** The members of a group of the newer kind (KIP-848), which `describeGroup` does not see. */
export const DESCRIBE_CONSUMER_GROUP_API = 69

export function describeConsumerGroup(group: string): Exchange<GroupView> {
  return {
    apiKey: DESCRIBE_CONSUMER_GROUP_API, apiName: 'ConsumerGroupDescribe', apiVersion: 0, flexible: true,
    body: namesOf(true, group).boolean(false).tags().bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, true)
      reader.int32()
      const [view] = reader.array(() => {
        const error = reader.int16()
        reader.string()
        reader.string()
        const state = reader.string() ?? ''
        reader.int32()
        reader.int32()
        reader.string()
        const members = reader.array(() => memberOf(reader))
        reader.int32()
        reader.tags()
        return { error, state, members }
      })
      if (view === undefined) throw new RangeError('The answer names no group.')
      return view
    },
  }
}

function memberOf(reader: WireReader): string {
  for (let field = 0; field < 3; field++) reader.string()
  reader.int32()
  const name = `${reader.string()} at ${reader.string()?.replace(/^\//, '')}`
  reader.array(() => reader.string())
  reader.string()
  // What it is assigned, and what it is to be.
  for (let list = 0; list < 2; list++) {
    reader.array(() => {
      reader.uuid()
      reader.string()
      reader.array(() => reader.int32())
      reader.tags()
    })
    reader.tags()
  }
  reader.tags()
  return name
}

export interface CommittedOffset extends TopicPartition {
  readonly error: number
  /** The next offset to be read; −1: none is committed. */
  readonly offset: number
}

/** Of all partitions that the group has offsets of. */
export function fetchCommitted(group: string): Exchange<{ error: number; partitions: CommittedOffset[] }> {
  return {
    apiKey: 9, apiName: 'OffsetFetch', apiVersion: 5, flexible: false,
    body: new WireWriter(false).string(group).int32(-1).bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, false)
      reader.int32()
      const partitions = perTopic(reader, (topic) => {
        const [partition, offset] = [reader.int32(), reader.int64()]
        reader.int32()
        reader.string()
        return { topic, partition, offset, error: reader.int16() }
      })
      return { partitions, error: reader.int16() }
    },
  }
}

/** As somebody who is no member, which a broker accepts of a group without members only. */
export function commitOffsets(
  group: string, offsets: readonly (TopicPartition & { readonly offset: number })[], metadata: string,
): Exchange<(TopicPartition & { error: number })[]> {
  const writer = new WireWriter(false).string(group).int32(-1).string('')
  writer.array(byTopic(offsets), ([topic, members]) => {
    writer.string(topic).array(members, ({ partition, offset }) => writer.int32(partition).int64(offset).string(metadata))
  })
  return {
    apiKey: 8, apiName: 'OffsetCommit', apiVersion: 5, flexible: false,
    body: writer.bytes(),
    read(bytes) {
      const reader = new WireReader(bytes, false)
      reader.int32()
      return perTopic(reader, (topic) => ({ topic, partition: reader.int32(), error: reader.int16() }))
    },
  }
}

function namesOf(flexible: boolean, group: string): WireWriter {
  const writer = new WireWriter(flexible)
  return writer.array([group], () => { writer.string(group) })
}
