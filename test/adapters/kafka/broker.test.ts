import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Message } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileLog } from '../../../adapters/file/index.js'
import { kafka } from '../../../adapters/kafka/index.js'
import { memoryStore } from '../../../adapters/memory/index.js'
import { sqlite } from '../../../adapters/sqlite/index.js'
import { defineProjection, openState, replay, type EventSource, type Holes, type RecordedEvent, type StateStore } from '../../../src/index.js'
import { accountLog, accounts } from '../../support/accounts.js'
import { canHaveKafka, kafkaBroker, ownKafkaBroker, type TestBroker } from '../../support/kafka.js'
import { failureOf } from '../../support/worlds.js'
import { messageOf, optionsFor } from './topic-log.js'

/** The last value per key, and how often it came: shows what was lost, repeated or reordered. */
const latest = defineProjection({
  name: 'latest', version: 1, collections: { values: {} }, unknownEvents: 'skip',
  on: {
    Set(state, event) {
      state.values.put(event.key as string, { n: event.data.n, times: (state.values.get(event.key as string)?.times ?? 0) + 1 })
    },
    $tombstone(state, event) {
      state.values.delete(event.key as string)
    },
  },
})

const lastValues = defineProjection({
  name: 'last-values', version: 1, history: 'last', collections: { values: {} },
  on: {
    Set: (state, event) => state.values.put(event.key as string, { n: event.data.n }),
    $tombstone: (state, event) => state.values.delete(event.key as string),
  },
})

const set = (key: string, n: number): Message => messageOf({ type: 'Set', key, data: { n } })
const sets = (count: number, from = 0): Message[] => Array.from({ length: count }, (_, i) => set(`k${(from + i) % 7}`, from + i))

async function read(source: EventSource, partition: string, after?: number): Promise<{ events: RecordedEvent[]; holes: Holes; through: number }> {
  const { first, last } = (await source.bounds()).get(partition)!
  const events: RecordedEvent[] = []
  const sum = { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 }
  let through = after ?? first - 1
  const limits = { events: 5, bytes: 1 << 20 }
  const range = { after: through, upTo: last, mark: null }
  for await (const batch of source.read(partition, range, limits, new AbortController().signal)) {
    for (let i = 0; i < batch.length; i++) events.push(batch.event(i))
    for (const reason of Object.keys(sum) as (keyof Holes)[]) sum[reason] += batch.holes[reason]
    through = batch.through
  }
  expect(through).toBe(last)
  return { events, holes: sum, through }
}

const numbersOf = (events: readonly RecordedEvent[]): number[] => events.map(({ data }) => data.n as number)

async function valuesOf(store: StateStore): Promise<Record<string, unknown>> {
  const state = await openState(store, { projection: latest })
  const entries = await state.scan('values', null, 1_000)
  await state.close()
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]))
}

describe.skipIf(!canHaveKafka('what only a real broker shows of the Kafka source'))('the Kafka source, on a real broker', () => {
  let broker: TestBroker
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'rehydrate-kafka-test-'))
    broker = await kafkaBroker()
  }, 180_000)
  afterAll(async () => {
    await broker?.dispose()
    await rm(folder, { recursive: true, force: true })
  })

  const source = (topic: string, more = {}): EventSource => kafka(optionsFor(broker, topic, more))

  test('reads committed transactions only, wherever a read begins, and counts aborted records and markers', async () => {
    const topic = await broker.makeTopic()
    const producers = await Promise.all(['x', 'y'].map((transactionalId) =>
      broker.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 })))
    const committed: number[] = []
    let n = 0
    const send = async (transaction: { send: (record: any) => Promise<unknown> }, count: number): Promise<number[]> => {
      const messages = sets(count, n).map((message) => ({ ...message, partition: 0 }))
      n += count
      await transaction.send({ topic, messages })
      return Array.from({ length: count }, (_, i) => n - count + i)
    }
    for (let round = 0; round < 4; round++) {
      // They overlap: each has records of the other between its own.
      const [x, y] = [await producers[0]!.transaction(), await producers[1]!.transaction()]
      const ofX = await send(x, 3)
      await send(y, 2)
      ofX.push(...(await send(x, 2)))
      await send(y, 1)
      await (round % 2 === 0 ? x.commit() : x.abort())
      await y.abort()
      if (round % 2 === 0) committed.push(...ofX)
    }
    const all = await read(source(topic), `${topic}/0`)
    expect(numbersOf(all.events)).toEqual(committed)
    expect(all.holes).toEqual({ control: 8, aborted: 22, filtered: 0, compactedOrLost: 0 })
    for (let after = 0; after < all.through; after++) {
      const { events } = await read(source(topic), `${topic}/0`, after)
      expect(events.map(({ offset }) => offset)).toEqual(all.events.map(({ offset }) => offset).filter((offset) => offset > after))
    }
    const dirty = await read(source(topic, { isolation: 'read_uncommitted' }), `${topic}/0`)
    expect([dirty.events.length, dirty.holes]).toEqual([32, { control: 8, aborted: 0, filtered: 0, compactedOrLost: 0 }])
  })

  test('ends before an open transaction, and goes on when it is over', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, sets(5))
    const producer = await broker.producer({ transactionalId: 'open', idempotent: true, maxInFlightRequests: 1 })
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: sets(3, 5).map((message) => ({ ...message, partition: 0 })) })
    await broker.produce(topic, sets(2, 8))
    const store = memoryStore()
    const first = await replay({ source: source(topic), projection: latest, store, until: 'head' }).done
    expect(first.position).toEqual(new Map([[`${topic}/0`, 4]]))
    await transaction.commit()
    const second = await replay({ source: source(topic), projection: latest, store, until: 'head' }).done
    expect([second.position, second.run.applied]).toEqual([new Map([[`${topic}/0`, 10]]), 5])
  })

  test('a topic that ends in a marker is sealed at the marker, and again from there', async () => {
    const topic = await broker.makeTopic()
    await broker.transact('end', topic, sets(4), 'commit')
    const store = memoryStore()
    for (const applied of [4, 0]) {
      const sealed = await replay({ source: source(topic), projection: latest, store, until: 'head' }).done
      expect([sealed.position.get(`${topic}/0`), sealed.run.applied, sealed.seal.manifest.holes.control]).toEqual([4, applied, 1])
    }
    await broker.transact('end', topic, sets(1), 'abort')
    const sealed = await replay({ source: source(topic), projection: latest, store, until: 'head' }).done
    expect([sealed.position.get(`${topic}/0`), sealed.run.applied, sealed.seal.manifest.holes.aborted]).toEqual([6, 0, 1])
  })

  test('a run in pieces, cut at markers and inside of transactions, ends in the manifest of one in a piece', async () => {
    const topic = await broker.makeTopic()
    for (let round = 0; round < 4; round++) {
      await broker.transact('pieces', topic, sets(3, round * 10), 'commit')
      await broker.transact('pieces', topic, sets(2, round * 10 + 5), round % 2 === 0 ? 'abort' : 'commit')
      await broker.produce(topic, sets(1, round * 10 + 9))
    }
    const whole = await replay({ source: source(topic), projection: latest, store: memoryStore(), until: 'head' }).done
    const store = memoryStore()
    for (const offset of [0, 1, 3, 4, 5, 6, 7, 12, 14, 20]) {
      const sealed = await replay({ source: source(topic), projection: latest, store, until: new Map([[`${topic}/0`, offset]]) }).done
      expect(sealed.position).toEqual(new Map([[`${topic}/0`, offset]]))
    }
    const last = await replay({ source: source(topic), projection: latest, store, until: 'head' }).done
    const { scrubbedAt: _, ...manifest } = last.seal.manifest
    expect(manifest).toEqual({ ...whole.seal.manifest, scrubbedAt: undefined })
    expect(last.root).toBe(whole.root)
  })

  test('records deleted before a fresh run are HISTORY_INCOMPLETE, those deleted before a resumed one LOG_TRUNCATED', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, sets(10))
    const store = memoryStore()
    await replay({ source: source(topic), projection: latest, store, until: 'head' }).done
    await broker.produce(topic, sets(10, 10))
    await broker.deleteRecords(topic, 15)
    expect(await failureOf(replay({ source: source(topic), projection: latest, store, until: 'head' }).done))
      .toMatchObject({ code: 'LOG_TRUNCATED', exitCode: 7, details: { partition: `${topic}/0`, offset: 10 } })
    const fresh = { source: source(topic), projection: latest, store: memoryStore(), until: 'head' as const }
    expect((await failureOf(replay(fresh).done)).code).toBe('HISTORY_INCOMPLETE')
    const sealed = await replay({ ...fresh, accept: [`HISTORY_INCOMPLETE=${topic}/0@15`] }).done
    expect([sealed.run.applied, sealed.accepted]).toEqual([5, [{ code: 'HISTORY_INCOMPLETE', partition: `${topic}/0`, to: 14 }]])
  })

  test('a read that finds its next record deleted is LOG_TRUNCATED, never a reset', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, sets(10))
    const reader = source(topic)
    await reader.bounds()
    await broker.deleteRecords(topic, 6)
    const range = { after: 2, upTo: 9, mark: null }
    const iterator = reader.read(`${topic}/0`, range, { events: 5, bytes: 1 << 20 }, new AbortController().signal)[Symbol.asyncIterator]()
    expect(await failureOf(iterator.next())).toMatchObject({ code: 'LOG_TRUNCATED' })
    await reader.close()
  })

  test('a topic whose retention takes the next record while a run rests is LOG_TRUNCATED', async () => {
    const topic = await broker.makeTopic({ config: { 'retention.ms': '3600000' } })
    await broker.produce(topic, sets(10))
    const store = memoryStore()
    await replay({ source: source(topic), projection: latest, store, until: 'head' }).done
    await broker.produce(topic, sets(10, 10).map((message) => ({ ...message, timestamp: '1700000000000' })))
    await broker.admin.alterConfigs({ validateOnly: false, resources: [
      { type: 2, name: topic, configEntries: [{ name: 'retention.ms', value: '100' }] },
    ] })
    const reader = source(topic)
    while ((await reader.bounds()).get(`${topic}/0`)!.first === 0) await new Promise((done) => setTimeout(done, 50))
    expect(await failureOf(replay({ source: reader, projection: latest, store, until: 'head' }).done)).toMatchObject({
      code: 'LOG_TRUNCATED', details: { partition: `${topic}/0`, offset: 10 },
    })
  })

  test('a topic that was deleted and made again is LOG_RECREATED, with the same records too', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, sets(10))
    const store = memoryStore()
    await replay({ source: source(topic), projection: latest, store, until: 'head' }).done
    await broker.remakeTopic(topic)
    await broker.produce(topic, sets(12))
    const error = await failureOf(replay({ source: source(topic), projection: latest, store, until: 'head' }).done)
    expect(error).toMatchObject({ code: 'LOG_RECREATED', exitCode: 7 })
    expect(error.message).toContain('its id is')
  })

  test('the other isolation is another log, and a topic that is not there is CONFIG_INVALID', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, sets(3))
    const store = memoryStore()
    await replay({ source: source(topic), projection: latest, store, until: 'head' }).done
    const other = source(topic, { isolation: 'read_uncommitted' })
    expect((await failureOf(replay({ source: other, projection: latest, store, until: 'head' }).done)).code).toBe('LOG_RECREATED')
    expect(await failureOf(source(`${topic}-not`).bounds())).toMatchObject({ code: 'CONFIG_INVALID', exitCode: 64 })
    expect(await failureOf(source(topic, { partitions: [`${topic}/3`] }).bounds())).toMatchObject({ code: 'CONFIG_INVALID' })
  })

  test('a compacted topic is read through its holes, with its tombstones, to its end', async () => {
    const topic = await broker.makeTopic({ config: {
      'cleanup.policy': 'compact', 'segment.ms': '100', 'segment.bytes': '1048576', 'min.cleanable.dirty.ratio': '0.01',
      'delete.retention.ms': '86400000', 'max.compaction.lag.ms': '500', 'min.compaction.lag.ms': '0',
    } })
    const wanted: Record<string, number> = {}
    const put = async (messages: Message[]): Promise<void> => {
      await broker.produce(topic, messages)
      for (const { key, value } of messages) {
        if (value === null) delete wanted[key as string]
        else wanted[key as string] = (JSON.parse(value as string) as { data: { n: number } }).data.n
      }
    }
    for (let round = 0; round < 6; round++) await put(sets(40, round * 40))
    await put([{ key: 'k3', value: null }])
    // Segments are closed by what comes after them; the cleaner takes its time.
    let holes = 0
    for (let filler = 0; holes < 200 && filler < 100; filler++) {
      await put([set(`filler-${filler}`, filler)])
      await new Promise((done) => setTimeout(done, 200))
      holes = (await read(source(topic), `${topic}/0`)).holes.compactedOrLost
    }
    expect(holes).toBeGreaterThanOrEqual(200)
    const store = memoryStore()
    const sealed = await replay({ source: source(topic), projection: lastValues, store, until: 'head' }).done
    expect(sealed.seal.manifest.holes.compactedOrLost).toBeGreaterThanOrEqual(200)
    const values = await valuesOf(store)
    expect(Object.fromEntries(Object.entries(values).map(([key, value]) => [key, (value as { n: number }).n]))).toEqual(wanted)
  }, 60_000)

  test('every codec of the Java client is read, in one topic', async () => {
    const topic = await broker.makeTopic()
    const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
    await broker.produceWithJava(topic, 1_500, codecs)
    const { events } = await read(source(topic), `${topic}/0`)
    expect(events.map(({ type, key, data }) => [type, key, data.codec, data.n, data.text.length])).toEqual(codecs.flatMap((codec) =>
      Array.from({ length: 1_500 }, (_, n) => ['Written', `k${n % 10}`, codec, n, n % 200])))
  }, 60_000)

  test('partitions that are added while a run follows are followed too', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, [set('a', 1)])
    const store = memoryStore()
    const stop = new AbortController()
    const run = replay({ source: source(topic), projection: latest, store, until: 'follow', signal: stop.signal, checkpoint: { seconds: 0.05 } })
    const ended = failureOf(run.done)
    for await (const event of run) if (event.kind === 'phase' && event.phase === 'following') break
    await broker.growTopic(topic, 2)
    await broker.produce(topic, [set('b', 2)], { partition: 1 })
    const end = Date.now() + 10_000
    while (Date.now() < end && (await valuesOf(store))['b'] === undefined) await new Promise((done) => setTimeout(done, 50))
    stop.abort()
    expect((await ended).code).toBe('RUN_STOPPED')
    expect(await valuesOf(store)).toEqual({ a: { n: 1, times: 1 }, b: { n: 2, times: 1 } })
  })

  test('a replay into SQLite has the root that the same events give from files', async () => {
    const log = accountLog(7, 3, 2_000)
    const topic = await broker.makeTopic({ partitions: 3 })
    await Promise.all(Object.values(log).map(async (events, partition) => {
      await broker.produce(topic, events.map(({ type, key, data, recordedAt }) => ({
        key: key as string, value: JSON.stringify({ type, data }), timestamp: String(recordedAt),
      })), { partition, compression: partition % 2 })
      await writeFile(join(folder, `moves-${partition}.ndjson`), events.map((event) => `${JSON.stringify(event)}\n`).join(''))
    }))
    const fromKafka = await replay({
      source: source(topic), projection: accounts, store: sqlite({ path: join(folder, 'kafka.db') }), until: 'head', checkpoint: { bytes: 50_000 },
    }).done
    const fromFiles = await replay({
      source: fileLog({ path: join(folder, '*.ndjson') }), projection: accounts, store: sqlite({ path: join(folder, 'files.db') }), until: 'head',
    }).done
    expect([fromKafka.root, fromKafka.run.applied]).toEqual([fromFiles.root, 6_000])
  })
})

describe.skipIf(!canHaveKafka('the Kafka source through the death of its broker', { own: true }))('the death of a broker', () => {
  test('in the middle of a read costs no record, and repeats none', async () => {
    const broker = await ownKafkaBroker()
    try {
      const topic = await broker.makeTopic()
      const value = 'x'.repeat(400)
      for (let sent = 0; sent < 20_000; sent += 1_000) {
        const messages = Array.from({ length: 1_000 }, (_, i) => messageOf({ type: 'Set', key: `k${i % 5}`, data: { n: sent + i, value } }))
        await broker.produce(topic, messages)
      }
      const source = kafka(optionsFor(broker, topic))
      const { last } = (await source.bounds()).get(`${topic}/0`)!
      const numbers: number[] = []
      const range = { after: -1, upTo: last, mark: null }
      for await (const batch of source.read(`${topic}/0`, range, { events: 500, bytes: 1 << 20 }, new AbortController().signal)) {
        for (let i = 0; i < batch.length; i++) numbers.push(batch.event(i).data.n as number)
        if (numbers.length === 1_000) await broker.kill()
      }
      expect(numbers).toEqual(Array.from({ length: 20_000 }, (_, i) => i))
      await source.close()
    } finally {
      await broker.dispose()
    }
  }, 120_000)
})
