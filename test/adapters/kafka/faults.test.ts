import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { kafka } from '../../../adapters/kafka/index.js'
import { kafkajsPort } from '../../../adapters/kafka/port-kafkajs.js'
import { KafkaSource } from '../../../adapters/kafka/source.js'
import { memoryStore } from '../../../adapters/memory/index.js'
import { defineProjection, replay, type EventSource } from '../../../src/index.js'
import { expectRoot, knownLog, once, PARTITIONS, topicOf, type KnownLog } from '../../support/kafka-replays.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../../support/kafka.js'
import { failureOf } from '../../support/worlds.js'
import { encodeBatch } from './encode-batch.js'
import { PaperCluster } from './paper-cluster.js'
import { ScriptedCluster } from './scripted-broker.js'

const latest = defineProjection({
  name: 'latest', version: 1, collections: { values: {} }, history: 'last',
  on: { Set: (state, event) => state.values.put(event.key as string, event.data.n) },
})

interface Reading {
  readonly numbers: number[]
  /** Null: it ended well. */
  readonly code: string | null
}

async function read(source: EventSource, after = -1): Promise<Reading> {
  const numbers: number[] = []
  try {
    const { last } = (await source.bounds()).get('t/0')!
    const range = { after, upTo: last, mark: null }
    for await (const batch of source.read('t/0', range, { events: 100, bytes: 1 << 20 }, new AbortController().signal)) {
      for (let i = 0; i < batch.length; i++) numbers.push(batch.event(i).data.n as number)
    }
    return { numbers, code: null }
  } catch (error) {
    return { numbers, code: (error as { code: string }).code }
  } finally {
    await source.close()
  }
}

const upTo = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i)

/** What kafkajs alone does wrong, by name, and what happens here instead. */
describe('traps of kafkajs', () => {
  test('no CRC check: of all bits of a batch that are flipped, one at a time, none gives another event', async () => {
    const sound = new PaperCluster()
    sound.put([0, 1, 2])
    const { bytes } = sound.batches[0]!
    const found = new Map<string, number>()
    // On a compacted topic no gap is a fault: there, only the batch itself can show it.
    for (const compacted of [false, true]) {
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const flipped = Buffer.from(bytes)
        flipped[bit >> 3]! ^= 1 << (bit & 7)
        const cluster = new PaperCluster()
        cluster.batches.push({ base: 0, last: 2, bytes: flipped })
        cluster.compacted = compacted
        const { numbers, code } = await read(cluster.source({ stallMs: 2 }))
        expect(numbers).toEqual(code === null ? [0, 1, 2] : [])
        found.set(code ?? 'none', (found.get(code ?? 'none') ?? 0) + 1)
      }
    }
    // The epoch of the leader is outside of the checksum: brokers write it into batches that they take. And a batch which says that it is
    // longer than it is never comes whole.
    expect(found.get('none')).toBe(2 * 32)
    expect([...found.keys()].toSorted()).toEqual(['LOG_CORRUPT', 'SOURCE_UNREACHABLE', 'none'])
  })

  test('retention passed the checkpoint: LOG_TRUNCATED, not the new start', async () => {
    const cluster = new PaperCluster()
    for (const base of [0, 2, 4, 6]) cluster.put([base, base + 1])
    const run = { source: cluster.source(), projection: latest, store: memoryStore() }
    await replay({ ...run, until: new Map([['t/0', 1]]) }).done
    cluster.batches.splice(0, 3)
    cluster.startOffset = 6
    expect(await failureOf(replay({ ...run, source: cluster.source() }).done)).toMatchObject({ code: 'LOG_TRUNCATED', details: { offset: 2 } })
  })

  test('the last batch compacted to nothing: the end is reached, with few fetches', async () => {
    const cluster = new PaperCluster()
    cluster.compacted = true
    cluster.put([0, 1])
    cluster.end = 10
    expect(await read(cluster.source())).toEqual({ numbers: [0, 1], code: null })
    expect(cluster.fetches).toBeLessThan(20)
  })

  test('a batch whose last 99 offsets were compacted: passed with the fetch that brought it, not with 101', async () => {
    const cluster = new PaperCluster()
    cluster.compacted = true
    cluster.put([0], { last: 99 })
    cluster.put([100])
    cluster.batchesPerFetch = 1
    expect(await read(cluster.source())).toEqual({ numbers: [0, 100], code: null })
    expect(cluster.fetches).toBe(2)
  })

  test('an aborted transaction with the key 0x00000000, and resuming inside overlapping aborted transactions: nothing of them is an event', async () => {
    const cluster = new PaperCluster()
    const value = Buffer.from(JSON.stringify({ type: 'Set', key: 'zero', data: { n: 3 } }))
    cluster.put([0])
    cluster.put([1], { producerId: 8 })
    cluster.put([2], { producerId: 9 })
    // To who takes any record with such a key for the end of a transaction, this one ends it.
    cluster.batches.push({ base: 3, last: 3, bytes: encodeBatch({ base: 3, producerId: 8, transactional: true, records: [{ delta: 0, key: Buffer.alloc(4), value }] }) })
    cluster.put([4], { producerId: 8 })
    cluster.putMarker(5, 8, 'abort')
    cluster.put([6], { producerId: 9 })
    cluster.put([7])
    cluster.putMarker(8, 9, 'abort')
    cluster.put([9])
    const transactions = [{ producerId: 8n, firstOffset: 1, lastOffset: 5 }, { producerId: 9n, firstOffset: 2, lastOffset: 8 }]
    for (let after = -1; after < 9; after++) {
      // A broker names those that reach into what was asked for.
      cluster.aborted = transactions.filter(({ lastOffset }) => lastOffset > after)
      cluster.batchesPerFetch = 20
      expect(await read(cluster.source(), after)).toEqual({ numbers: [0, 7, 9].filter((n) => n > after), code: null })
    }
  })

  test('a gzip bomb: 256 MiB in 261 KB are LOG_CORRUPT', async () => {
    const cluster = new PaperCluster()
    const payload = gzipSync(Buffer.alloc(256 << 20))
    expect(payload.length).toBeLessThan(300_000)
    cluster.batches.push({ base: 0, last: 0, bytes: encodeBatch({ base: 0, codec: 1, payload, records: [{ delta: 0, key: null, value: null }] }) })
    expect(await read(cluster.source())).toEqual({ numbers: [], code: 'LOG_CORRUPT' })
  })

  describe('over connections', () => {
    let cluster: ScriptedCluster
    beforeEach(async () => {
      cluster = await new ScriptedCluster().listen()
      for (let base = 0; base < 30; base += 10) {
        const records = upTo(10).map((delta) => ({ delta, key: Buffer.from('k'), value: Buffer.from(JSON.stringify({ type: 'Set', data: { n: base + delta } })) }))
        cluster.log[0]!.push({ base, last: base + 9, bytes: encodeBatch({ base, records }) })
      }
    })
    afterEach(() => cluster.close())

    const source = (): KafkaSource => {
      const openPort = () => kafkajsPort({ brokers: [cluster.address(0), cluster.address(1)], requestTimeoutMs: 1_000, connectTimeoutMs: 1_000, giveUpAfterMs: 10_000 })
      return new KafkaSource(openPort, { topics: ['t'], isolation: 'read_committed', partitions: null, event: {}, payload: 'json', stallMs: 10_000 })
    }

    test.each<[string, () => void]>([
      ['a leader move', () => {
        cluster.leaders = [1]
        cluster.epoch = 1
      }],
      ['a broker that is down', () => {
        cluster.leaders = [1]
        cluster.stop(0)
        cluster.cut()
      }],
      ['NOT_LEADER five times', () => { cluster.faults.push(6, 6, 6, 6, 6) }],
      ['one OFFSET_OUT_OF_RANGE', () => { cluster.faults.push(1) }],
    ])('%s: each event once, in order, from where the reader was', async (_, fault) => {
      const trapped = source()
      await trapped.bounds()
      fault()
      expect(await read(trapped, 9)).toEqual({ numbers: upTo(20, 10), code: null })
      expect(cluster.fetches.every(({ offsets }) => offsets.every((offset) => offset >= 10))).toBe(true)
    })

    test('no manual assignment of partitions: no group is asked for, and nothing committed', async () => {
      expect(await read(source())).toEqual({ numbers: upTo(30), code: null })
      // ApiVersions, metadata, configuration, sizes of logs, producers, ends, epochs, fetches: nothing of groups.
      const others = cluster.requests.filter(({ api }) => ![18, 3, 32, 35, 61, 2, 23, 1].includes(api))
      expect(others).toEqual([])
    })
  })
})

describe.skipIf(!canHaveKafka('a log that is taken away in the middle of a replay'))('a log that is taken away in the middle of a replay', { timeout: 60_000 }, () => {
  let broker: TestBroker
  let log: KnownLog
  beforeAll(async () => {
    broker = await kafkaBroker()
    log = await knownLog(9, 6_000)
  }, 180_000)
  afterAll(() => broker?.dispose())

  /** How a replay ends where this happens behind its first records. What it has read ahead it may still apply. */
  async function failure(topic: string, happens: () => Promise<void>) {
    const source = kafka({ brokers: broker.brokers, topics: [topic] })
    return await failureOf(expectRoot(log, source, once(200, happens)))
  }

  test('by retention is LOG_TRUNCATED', async () => {
    const topic = await topicOf(broker, log)
    // Its records are of 2023.
    const retention = { type: 2, name: topic, configEntries: [{ name: 'retention.ms', value: '1000' }] }
    const error = await failure(topic, async () => {
      await broker.admin.alterConfigs({ validateOnly: false, resources: [retention] })
      while ((await broker.admin.fetchTopicOffsets(topic)).some(({ low, high }) => low !== high)) await sleep(50)
    })
    expect(error).toMatchObject({ code: 'LOG_TRUNCATED', exitCode: 7, details: { partition: expect.stringContaining(topic) } })
  })

  test('and made again under its name is LOG_RECREATED', async () => {
    const topic = await topicOf(broker, log)
    const error = await failure(topic, () => broker.remakeTopic(topic, { partitions: PARTITIONS }))
    expect(error).toMatchObject({ code: 'LOG_RECREATED', exitCode: 7 })
    expect(error.message).toContain(topic)
  })
})
