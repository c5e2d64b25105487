import { expect } from 'vitest'
import type { FetchedPartition, FetchLimits, KafkaPort } from '../../../adapters/kafka/port.js'
import { readBatches, type RecordBatch } from '../../../adapters/kafka/record-batch.js'
import { failureOf } from '../../support/worlds.js'

/** A cluster that keeps its word, real or scripted, with one empty topic of one partition; offsets count from 0. */
export interface PortWorld {
  readonly port: KafkaPort
  readonly topic: string
  /** One batch. */
  write(values: readonly string[], timestamps?: readonly number[]): Promise<void>
  /** One transaction, with one batch and its marker. */
  transact(values: readonly string[], end: 'commit' | 'abort'): Promise<void>
  /** What was before an offset is gone. */
  trim(offset: number): Promise<void>
  /** The topic is deleted, and made again. */
  remake(): Promise<void>
}

export interface PortCase {
  readonly law: string
  run(world: PortWorld): Promise<void>
}

const LIMITS: FetchLimits = { bytesPerPartition: 1 << 20, bytes: 8 << 20, waitMs: 50, readCommitted: false }
const never = new AbortController().signal

function fetch({ port, topic }: PortWorld, offset: number, limits: Partial<FetchLimits> = {}): Promise<FetchedPartition> {
  return port.fetch({ topic, partition: 0, offset }, { ...LIMITS, ...limits }, never) as Promise<FetchedPartition>
}

const batchesOf = ({ records }: FetchedPartition, from: number): readonly RecordBatch[] => readBatches(records, { partition: 't/0', from }).batches

function textsOf(batch: RecordBatch): string[] {
  const records = batch.records()
  return Array.from({ length: records.count }, (_, index) => `${records.offsetAt(index)}:${records.valueAt(index)?.toString()}`)
}

/** What every cluster does that a port speaks to. The scripted one lies only where a test tells it to, so it must keep these too. */
export const portCases: readonly PortCase[] = [
  {
    law: 'a topic is described by an id and the epochs of its partitions, the same each time; one that is not there is left out',
    async run({ port, topic }) {
      const [first, second] = [await port.describe([topic, 'there-is-none']), await port.describe([topic])]
      expect(first).toEqual(second)
      expect([...first.topics.keys()]).toEqual([topic])
      expect(first.topics.get(topic)?.topicId).toMatch(/^[\w-]{22}$/)
      expect(first.topics.get(topic)?.partitions).toEqual([{ partition: 0, leaderEpoch: 0 }])
    },
  },
  {
    law: 'batches come whole and in order, from the one that holds the offset on',
    async run(world) {
      for (const letter of ['a', 'b', 'c']) await world.write([1, 2, 3, 4].map((n) => `${letter}${n}`))
      const batches = batchesOf(await fetch(world, 5), 5)
      expect(batches.map(({ baseOffset, lastOffset }) => [baseOffset, lastOffset])).toEqual([[4, 7], [8, 11]])
      expect(batches.flatMap(textsOf)).toEqual(['4:b1', '5:b2', '6:b3', '7:b4', '8:c1', '9:c2', '10:c3', '11:c4'])
    },
  },
  {
    law: 'at the end no records come, and the end is said',
    async run(world) {
      await world.write(['a', 'b'])
      const answer = await fetch(world, 2)
      expect(answer).toMatchObject({ startOffset: 0, highWatermark: 2, lastStableOffset: 2 })
      expect(answer.records).toHaveLength(0)
    },
  },
  {
    law: 'outside of the log no records come, and its bounds are said',
    async run(world) {
      for (const value of ['a', 'b', 'c', 'd']) await world.write([value])
      await world.trim(2)
      for (const offset of [1, 5, 99]) {
        const answer = await fetch(world, offset)
        expect([answer.startOffset, answer.highWatermark, answer.records.length]).toEqual([2, 4, 0])
      }
      expect(batchesOf(await fetch(world, 2), 2).flatMap(textsOf)).toEqual(['2:c', '3:d'])
      expect(await world.port.offsets([{ topic: world.topic, partition: 0 }]))
        .toEqual([{ topic: world.topic, partition: 0, startOffset: 2, lastStableOffset: 4, highWatermark: 4, leaderEpoch: 0 }])
    },
  },
  {
    law: 'a time is the first offset at or after it, or none',
    async run({ port, topic, write }) {
      await write(['a', 'b', 'c'], [1_000, 2_000, 3_000])
      const at = (timeMs: number) => port.offsetAt({ topic, partition: 0 }, timeMs)
      expect([await at(0), await at(2_000), await at(2_001), await at(3_001)]).toEqual([0, 1, 2, null])
    },
  },
  {
    law: 'the epoch of the leader ends at the end, one that is to come is not known',
    async run({ port, topic, write }) {
      await write(['a', 'b'])
      expect(await port.endOfEpoch({ topic, partition: 0 }, 0)).toEqual({ leaderEpoch: 0, endOffset: 2 })
      expect(await port.endOfEpoch({ topic, partition: 0 }, 7)).toBeNull()
    },
  },
  {
    law: 'records of aborted transactions come, and are named to who reads committed ones, and to nobody else',
    async run(world) {
      await world.write(['a'])
      await world.transact(['x', 'y'], 'abort')
      await world.transact(['b'], 'commit')
      const [committed, all] = [await fetch(world, 0, { readCommitted: true }), await fetch(world, 0)]
      expect(committed.aborted).toEqual([{ producerId: expect.any(BigInt), firstOffset: 1 }])
      expect(all.aborted).toEqual([])
      for (const answer of [committed, all]) {
        const batches = batchesOf(answer, 0)
        expect(batches.map((batch) => [batch.baseOffset, batch.marker(), batch.isTransactional]))
          .toEqual([[0, null, false], [1, null, true], [3, 'abort', true], [4, null, true], [5, 'commit', true]])
        expect(batches[1]?.producerId).toBe(committed.aborted[0]?.producerId)
      }
      // Behind its marker an aborted transaction is not named any more.
      expect((await fetch(world, 4, { readCommitted: true })).aborted).toEqual([])
    },
  },
  {
    law: 'the size of a log is that of its batches',
    async run(world) {
      const sizeOf = async () => (await world.port.logBytes([{ topic: world.topic, partition: 0 }])).get(`${world.topic}/0`)
      expect(await sizeOf()).toBe(0)
      for (const value of ['a', 'b']) await world.write([value])
      expect(await sizeOf()).toBe((await fetch(world, 0)).records.length)
    },
  },
  {
    law: 'a topic that was made again under its name is LOG_RECREATED, until it is described again',
    async run(world) {
      await world.write(['a'])
      const before = await world.port.describe([world.topic])
      await world.remake()
      expect((await failureOf(fetch(world, 0))).code).toBe('LOG_RECREATED')
      const after = await world.port.describe([world.topic])
      expect(after.topics.get(world.topic)?.topicId).not.toBe(before.topics.get(world.topic)?.topicId)
      expect((await fetch(world, 0)).highWatermark).toBe(0)
    },
  },
  {
    law: 'a fetch is null when its signal is aborted, and when the port is closed',
    async run({ port, topic, write }) {
      await write(['a'])
      expect(await port.fetch({ topic, partition: 0, offset: 0 }, LIMITS, AbortSignal.abort())).toBeNull()
      await port.close()
      expect(await port.fetch({ topic, partition: 0, offset: 0 }, LIMITS, never)).toBeNull()
    },
  },
]
