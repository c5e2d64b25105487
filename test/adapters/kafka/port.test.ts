import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kafkajsPort } from '../../../adapters/kafka/port-kafkajs.js'
import type { FetchedPartition, FetchLimits, KafkaPort } from '../../../adapters/kafka/port.js'
import { readBatches, type RecordBatch } from '../../../adapters/kafka/record-batch.js'
import { abortedBatches } from '../../../adapters/kafka/transactions.js'
import { canHaveKafka, kafkaBroker, ownKafkaBroker, type TestBroker } from '../../support/kafka.js'
import { failureOf } from '../../support/worlds.js'

const LIMITS: FetchLimits = { bytesPerPartition: 1 << 20, bytes: 8 << 20, waitMs: 50, readCommitted: false }
const never = new AbortController().signal

describe.runIf(canHaveKafka('the port over kafkajs'))('the port over kafkajs, against a real broker', { timeout: 120_000 }, () => {
  let broker: TestBroker
  let port: KafkaPort

  beforeAll(async () => {
    broker = await kafkaBroker()
    port = kafkajsPort({ brokers: broker.brokers, giveUpAfterMs: 5_000 })
  }, 120_000)
  afterAll(async () => {
    await port.close()
    await broker.dispose()
  })

  async function all(topic: string, { partition = 0, from = 0, readCommitted = false } = {}): Promise<{ batch: RecordBatch; aborted: boolean }[]> {
    const found: { batch: RecordBatch; aborted: boolean }[] = []
    for (let offset = from; ;) {
      const answer = await port.fetch({ topic, partition, offset }, { ...LIMITS, readCommitted }, never) as FetchedPartition
      const { batches } = readBatches(answer.records, { partition: `${topic}/${partition}`, from: offset })
      const aborted = abortedBatches(batches, answer.aborted)
      found.push(...batches.map((batch, index) => ({ batch, aborted: aborted[index] as boolean })))
      offset = (batches.at(-1)?.lastOffset ?? offset - 1) + 1
      if (offset >= (readCommitted ? answer.lastStableOffset : answer.highWatermark)) return found
    }
  }

  function values(found: Awaited<ReturnType<typeof all>>): string[] {
    return found.filter(({ batch, aborted }) => !batch.isControl && !aborted).flatMap(({ batch }) => {
      const records = batch.records()
      return Array.from({ length: records.count }, (_, index) => `${records.offsetAt(index)}:${records.valueAt(index)?.toString()}`)
    })
  }

  test('a topic is described by id, epochs and policy; one that does not exist is left out', async () => {
    const plain = await broker.makeTopic({ partitions: 3 })
    const compacted = await broker.makeTopic({ config: { 'cleanup.policy': 'compact' } })
    const view = await port.describe([plain, compacted, 'there-is-none'])
    expect([...view.topics.keys()].toSorted()).toEqual([plain, compacted].toSorted())
    expect(view.clusterId).not.toBe('')
    expect(view.topics.get(plain)?.topicId).toMatch(/^[\w-]{22}$/)
    expect(view.topics.get(plain)).toMatchObject({ compacted: false, partitions: [0, 1, 2].map((partition) => ({ partition, leaderEpoch: 0 })) })
    expect(view.topics.get(compacted)?.compacted).toBe(true)
    const bounded = await broker.makeTopic({ config: { 'retention.ms': '1000', 'delete.retention.ms': '2000', 'message.timestamp.type': 'LogAppendTime' } })
    const { topics } = await port.describe([bounded, compacted])
    expect(topics.get(bounded)).toMatchObject({
      retentionMs: 1_000, retentionBytes: Infinity, deleteRetentionMs: 2_000, minCompactionLagMs: 0, timestampType: 'append',
    })
    expect(topics.get(compacted)).toMatchObject({ retentionMs: Infinity, timestampType: 'create' })
  })

  test('what was produced is fetched, from several partitions at once, and from the middle of a batch', async () => {
    const topic = await broker.makeTopic({ partitions: 2 })
    for (const partition of [0, 1]) {
      const messages = Array.from({ length: 10 }, (_, index) => ({ key: `k${index}`, value: `v${partition}.${index}`, headers: { h: 'x' } }))
      await broker.produce(topic, messages, { partition, compression: partition })
    }
    const fetched = await Promise.all([0, 1].map((partition) => port.fetch({ topic, partition, offset: 5 }, LIMITS, never)))
    expect(fetched).toMatchObject([0, 1].map((partition) => ({ partition, startOffset: 0, highWatermark: 10 })))
    const batch = (await all(topic, { partition: 1, from: 5 }))[0]?.batch as RecordBatch
    expect([batch.baseOffset, batch.lastOffset, batch.compression]).toEqual([0, 9, 'gzip'])
    expect(batch.records().headersAt(0)).toEqual([{ name: 'h', value: Buffer.from('x') }])
    expect(Date.now() - batch.records().timestampAt(9)).toBeLessThan(60_000)
    expect(values(await all(topic, { partition: 0 }))).toEqual(Array.from({ length: 10 }, (_, index) => `${index}:v0.${index}`))
  })

  test('batches of every codec, as the Java client writes them, give the records that were written', async () => {
    const topic = await broker.makeTopic()
    const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
    await broker.produceWithJava(topic, 2_000, codecs)
    const found = await all(topic)
    expect(new Set(found.map(({ batch }) => batch.compression))).toEqual(new Set(codecs))
    const all5 = values(found)
    expect(all5).toHaveLength(10_000)
    const perCodec = codecs.map((_, index) => all5.slice(index * 2_000, (index + 1) * 2_000).map((text) => text.replace(/^\d+:/, '')))
    for (const texts of perCodec.slice(1)) expect(texts.map((text) => text.replaceAll(/gzip|snappy|lz4|zstd/g, 'none'))).toEqual(perCodec[0])
  })

  test('read_committed leaves out what was aborted, from any offset; markers are control batches', async () => {
    const topic = await broker.makeTopic()
    await broker.transact('a', topic, [{ value: 'c0' }, { value: 'c1' }], 'commit')
    await broker.transact('b', topic, [{ value: 'x3' }, { value: 'x4' }], 'abort')
    await broker.produce(topic, [{ value: 'c6' }])
    await broker.transact('a', topic, [{ key: Buffer.alloc(4), value: 'x7' }], 'abort')
    await broker.transact('b', topic, [{ value: 'c9' }], 'commit')
    expect(values(await all(topic, { readCommitted: true }))).toEqual(['0:c0', '1:c1', '6:c6', '9:c9'])
    for (let from = 0; from <= 10; from++) {
      const whole = values(await all(topic, { readCommitted: true, from })).filter((text) => Number.parseInt(text) >= from)
      expect(whole).toEqual(['0:c0', '1:c1', '6:c6', '9:c9'].filter((text) => Number.parseInt(text) >= from))
    }
    expect(values(await all(topic))).toHaveLength(7)
    expect((await all(topic)).map(({ batch }) => batch.marker())).toEqual([null, 'commit', null, 'abort', null, null, 'abort', null, 'commit'])
  })

  test('the last stable offset stands before an open transaction, the high watermark behind it', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, [{ value: 'a' }])
    const producer = await broker.producer({ transactionalId: 'open', idempotent: true, maxInFlightRequests: 1 })
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ partition: 0, value: 'b' }] })
    expect(await port.offsets([{ topic, partition: 0 }])).toMatchObject([{ startOffset: 0, lastStableOffset: 1, highWatermark: 2, leaderEpoch: 0 }])
    expect(await port.openTransaction({ topic, partition: 0 })).toEqual({ producerId: expect.any(BigInt), firstOffset: 1 })
    await transaction.abort()
    while ((await port.openTransaction({ topic, partition: 0 })) !== null) await sleep(5)
  })

  test('bounds, offsets by time and the ends of epochs are the leader\'s', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, [1_000, 2_000, 3_000].map((timestamp) => ({ value: 'v', timestamp: String(timestamp) })))
    await broker.deleteRecords(topic, 1)
    expect(await port.offsets([{ topic, partition: 0 }])).toMatchObject([{ startOffset: 1, highWatermark: 3, lastStableOffset: 3 }])
    expect(await port.offsetAt({ topic, partition: 0 }, 2_001)).toBe(2)
    expect(await port.offsetAt({ topic, partition: 0 }, 3_001)).toBe(null)
    expect(await port.endOfEpoch({ topic, partition: 0 }, 0)).toEqual({ leaderEpoch: 0, endOffset: 3 })
    expect(await port.endOfEpoch({ topic, partition: 0 }, 7)).toBe(null)
  })

  test('the bytes of partitions are those of their leaders\' disks', async () => {
    const topic = await broker.makeTopic({ partitions: 2 })
    await broker.produce(topic, [{ value: 'x'.repeat(5_000) }], { partition: 1 })
    const bytes = await port.logBytes([0, 1].map((partition) => ({ topic, partition })))
    expect([bytes.get(`${topic}/0`), bytes.get(`${topic}/1`)]).toEqual([0, expect.toSatisfy((size: number) => size > 5_000 && size < 6_000)])
  })

  test('an offset out of range is answered without records, by the bounds of the leader', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, Array.from({ length: 4 }, () => ({ value: 'v' })))
    await broker.deleteRecords(topic, 2)
    for (const offset of [1, 5]) {
      const answer = await port.fetch({ topic, partition: 0, offset }, LIMITS, never) as FetchedPartition
      expect(answer).toMatchObject({ startOffset: 2, highWatermark: 4 })
      expect(answer.records).toHaveLength(0)
    }
  })

  test('a topic that was made again under its name is not read on: LOG_RECREATED, until it is described again', async () => {
    const topic = await broker.makeTopic()
    await port.describe([topic])
    await broker.remakeTopic(topic)
    const failure = await failureOf(port.fetch({ topic, partition: 0, offset: 0 }, LIMITS, never))
    expect(failure.code).toBe('LOG_RECREATED')
    await port.describe([topic])
    expect(await port.fetch({ topic, partition: 0, offset: 0 }, LIMITS, never)).toMatchObject({ highWatermark: 0 })
  })

  test('an aborted fetch ends at once, and so does one whose port is closed', async () => {
    const topic = await broker.makeTopic()
    const other = kafkajsPort({ brokers: broker.brokers })
    await other.describe([topic])
    const stop = new AbortController()
    const started = Date.now()
    const waiting = other.fetch({ topic, partition: 0, offset: 0 }, { ...LIMITS, waitMs: 20_000 }, stop.signal)
    setTimeout(() => stop.abort(), 100)
    expect(await waiting).toBe(null)
    const closed = other.fetch({ topic, partition: 0, offset: 0 }, { ...LIMITS, waitMs: 20_000 }, never)
    setTimeout(() => void other.close(), 100)
    expect(await closed).toBe(null)
    await other.close()
    expect(Date.now() - started).toBeLessThan(3_000)
  })

  test('all partitions come where an answer holds only one of them', async () => {
    const topic = await broker.makeTopic({ partitions: 3 })
    for (const partition of [0, 1, 2]) await broker.produce(topic, [{ value: 'x'.repeat(20_000) }], { partition })
    const limits = { ...LIMITS, bytes: 1_000, bytesPerPartition: 1_000 }
    const answers = await Promise.all([0, 1, 2].map((partition) => port.fetch({ topic, partition, offset: 0 }, limits, never)))
    for (const answer of answers) expect(answer?.records.length).toBeGreaterThan(20_000)
  })

  test('a broker that is killed in the middle of a fetch and comes back goes on where it was', async () => {
    const own = await ownKafkaBroker()
    const mine = kafkajsPort({ brokers: own.brokers, requestTimeoutMs: 5_000 })
    try {
      const topic = await own.makeTopic()
      await own.produce(topic, [{ value: 'a' }])
      const first = await mine.fetch({ topic, partition: 0, offset: 0 }, LIMITS, never) as FetchedPartition
      const waiting = mine.fetch({ topic, partition: 0, offset: first.highWatermark }, { ...LIMITS, waitMs: 60_000 }, never)
      await own.kill()
      await own.produce(topic, [{ value: 'b' }])
      const second = await waiting as FetchedPartition
      const [batch] = readBatches(second.records, { partition: topic, from: 1 }).batches as [RecordBatch]
      expect([batch.baseOffset, batch.records().valueAt(0)?.toString()]).toEqual([1, 'b'])
    } finally {
      await mine.close()
      await own.dispose()
    }
  })
})
