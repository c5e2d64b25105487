import { setTimeout as sleep } from 'node:timers/promises'
import type { Message } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kafka, type KafkaOptions } from '../../../adapters/kafka/index.js'
import { kafkajsPort } from '../../../adapters/kafka/port-kafkajs.js'
import { KafkaSource } from '../../../adapters/kafka/source.js'
import { memoryLog, memoryStore } from '../../../adapters/memory/index.js'
import { defineProjection, openState, plan, replay, type EventSource, type SealedRun, type StateStore } from '../../../src/index.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../../support/kafka.js'
import { failureOf } from '../../support/worlds.js'
import { messageOf, optionsFor } from './topic-log.js'

const latest = defineProjection({
  name: 'latest', version: 1, history: 'last', collections: { values: {} }, unknownEvents: 'skip',
  on: {
    Set: (state, event) => state.values.put(event.key as string, event.data.n),
    $tombstone: (state, event) => state.values.delete(event.key as string),
  },
})

/** The cleaner is at work all the time, on segments of a tenth of a second. */
const COMPACTED = {
  'cleanup.policy': 'compact', 'segment.ms': '100', 'segment.bytes': '1048576', 'min.cleanable.dirty.ratio': '0.01',
  'delete.retention.ms': '86400000', 'max.compaction.lag.ms': '200', 'min.compaction.lag.ms': '0',
}

const set = (key: string, n: number): Message => messageOf({ type: 'Set', key, data: { n } })
const sets = (count: number, from = 0): Message[] => Array.from({ length: count }, (_, i) => set(`k${(from + i) % 7}`, from + i))

async function valuesOf(store: StateStore): Promise<Map<string, unknown>> {
  const state = await openState(store, { projection: latest })
  const entries = await state.scan('values', null, 10_000)
  await state.close()
  return new Map(entries.map(({ key, value }) => [key, value]))
}

/** The root of exactly these values. */
async function rootOf(values: ReadonlyMap<string, number>): Promise<string> {
  const events = [...values].map(([key, n]) => ({ type: 'Set', key, data: { n } }))
  return (await replay({ source: memoryLog({ partitions: { p: events } }), projection: latest, store: memoryStore() }).done).root
}

/** Writes to partition 0 of a topic until it is stopped: the only writer, so that it knows the offset of each of its records. */
class BusyWriter {
  readonly written: { readonly key: string; readonly n: number | null }[] = []
  readonly #broker: TestBroker
  readonly #topic: string
  #stopped = false
  #done: Promise<void> | null = null

  constructor(broker: TestBroker, topic: string) {
    this.#broker = broker
    this.#topic = topic
  }

  async write(count: number): Promise<void> {
    const records = Array.from({ length: count }, (_, i) => {
      const at = this.written.length + i
      return { key: `k${(at * 7 + i) % 23}`, n: at % 11 === 10 ? null : at }
    })
    this.written.push(...records)
    await this.#broker.produce(this.#topic, records.map(({ key, n }) => (n === null ? { key, value: null } : set(key, n))))
  }

  start(): void {
    this.#done = (async () => { while (!this.#stopped) await this.write(40) })()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  valuesAt(offset: number): Map<string, number> {
    const values = new Map<string, number>()
    for (const { key, n } of this.written.slice(0, offset + 1)) {
      if (n === null) values.delete(key)
      else values.set(key, n)
    }
    return values
  }
}

describe.skipIf(!canHaveKafka('strict offsets on a real broker'))('strict offsets, on a real broker', () => {
  let broker: TestBroker
  beforeAll(async () => { broker = await kafkaBroker() }, 180_000)
  afterAll(async () => { await broker?.dispose() })

  const source = (topic: string, more: Partial<KafkaOptions> = {}): EventSource => kafka(optionsFor(broker, topic, more))
  const runOf = (topic: string, store: StateStore, more = {}) => replay({ source: source(topic), projection: latest, store, ...more })

  /** A topic with real holes, whose writer goes on. */
  async function cleaned(): Promise<{ topic: string; writer: BusyWriter }> {
    const topic = await broker.makeTopic({ config: COMPACTED })
    const writer = new BusyWriter(broker, topic)
    for (let holes = 0; holes < 500;) {
      await writer.write(100)
      await sleep(110)
      holes = await holesOf(topic)
    }
    return { topic, writer }
  }

  async function holesOf(topic: string): Promise<number> {
    const reader = source(topic)
    const { last } = (await reader.bounds()).get(`${topic}/0`)!
    let holes = 0
    for await (const batch of reader.read(`${topic}/0`, { after: -1, upTo: last, mark: null }, { events: 500, bytes: 1 << 20 }, new AbortController().signal)) {
      holes += batch.holes.compactedOrLost
    }
    await reader.close()
    return holes
  }

  test('a compacted topic under continuous writing is sealed at an instant at its end: the last value of each key', async () => {
    const { topic, writer } = await cleaned()
    writer.start()
    const store = memoryStore()
    const seals: SealedRun[] = []
    for (let i = 0; i < 4; i++) {
      seals.push(await runOf(topic, store).done)
      expect(await valuesOf(store)).toEqual(writer.valuesAt(seals.at(-1)!.position.get(`${topic}/0`)!))
      await sleep(150)
    }
    const fresh = memoryStore()
    const whole = await runOf(topic, fresh).done
    await writer.stop()
    expect(await valuesOf(fresh)).toEqual(writer.valuesAt(whole.position.get(`${topic}/0`)!))
    expect(whole.seal.manifest.holes.compactedOrLost).toBeGreaterThan(400)
    const positions = seals.map(({ position }) => position.get(`${topic}/0`)!)
    expect(positions).toEqual([...positions].sort((a, b) => a - b))
  }, 120_000)

  test('and followed: stopped and gone on with in the middle, each seal is the last value of each key', async () => {
    const { topic, writer } = await cleaned()
    writer.start()
    const store = memoryStore()
    for (let round = 0; round < 3; round++) {
      const stop = new AbortController()
      const run = runOf(topic, store, { until: 'follow', signal: stop.signal, checkpoint: { bytes: 1 }, batch: { events: 20 } })
      const ended = failureOf(run.done)
      if (round === 1) {
        for await (const event of run) if (event.kind === 'checkpoint') break
      } else {
        const { root, position } = await run.seal()
        expect(root).toBe(await rootOf(writer.valuesAt(position.get(`${topic}/0`)!)))
      }
      stop.abort()
      expect((await ended).code).toBe('RUN_STOPPED')
    }
    await writer.stop()
    const sealed = await runOf(topic, store).done
    expect(sealed.position.get(`${topic}/0`)).toBe(writer.written.length - 1)
    expect(await valuesOf(store)).toEqual(writer.valuesAt(writer.written.length - 1))
  }, 120_000)

  test('its policy is known: a fold of all records, and an end inside of it, are refused', async () => {
    const topic = await broker.makeTopic({ config: COMPACTED })
    await broker.produce(topic, sets(5))
    const sums = defineProjection({ name: 'sums', version: 1, collections: { values: {} }, on: { Set: () => {} } })
    expect((await failureOf(replay({ source: source(topic), projection: sums, store: memoryStore() }).done)).code).toBe('COMPACTED_HISTORY')
    const until = new Map([[`${topic}/0`, 2]])
    expect((await failureOf(runOf(topic, memoryStore(), { until }).done)).code).toBe('LOG_COMPACTED')
    expect((await source(topic).bounds()).get(`${topic}/0`)).toMatchObject({ compacted: true, tombstonesMs: 86_400_000 })
  })

  test('a pass that outlasts delete.retention.ms is TOMBSTONES_EXPIRED', async () => {
    const topic = await broker.makeTopic({ config: { ...COMPACTED, 'delete.retention.ms': '60000' } })
    await broker.produce(topic, sets(5))
    const clock = { nowMs: Date.now() }
    const timed = () => new KafkaSource(() => kafkajsPort({ brokers: broker.brokers }), {
      topics: [topic], isolation: 'read_committed', partitions: null, event: {}, payload: 'json', stallMs: 30_000, clock: () => clock.nowMs,
    })
    const store = memoryStore()
    await replay({ source: timed(), projection: latest, store }).done
    await broker.produce(topic, sets(5, 5))
    clock.nowMs += 47_000
    await replay({ source: timed(), projection: latest, store }).done
    await broker.produce(topic, sets(5, 10))
    clock.nowMs += 49_000
    expect(await failureOf(replay({ source: timed(), projection: latest, store }).done)).toMatchObject({ code: 'TOMBSTONES_EXPIRED', exitCode: 7 })
  })

  test('an open transaction is named with its producer, in the seal of what is before it', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, sets(5))
    const producer = await broker.producer({ transactionalId: 'held', idempotent: true, maxInFlightRequests: 1 })
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: sets(3, 5).map((message) => ({ ...message, partition: 0 })) })
    const [held] = (await runOf(topic, memoryStore()).done).behindOpenTransaction
    expect(held).toEqual({ partition: `${topic}/0`, last: 4, written: 7, producerId: expect.stringMatching(/^\d+$/) })
    await transaction.abort()
    while ((await source(topic).bounds()).get(`${topic}/0`)!.last < 8) await sleep(20)
    expect((await runOf(topic, memoryStore()).done).behindOpenTransaction).toEqual([])
  })

  test('records that are deleted while a replay reads are LOG_TRUNCATED, with what was applied kept right', async () => {
    const topic = await broker.makeTopic()
    const text = 'x'.repeat(10_000)
    for (let n = 0; n < 600; n += 50) {
      await broker.produce(topic, Array.from({ length: 50 }, (_, i) => messageOf({ type: 'Set', key: `k${(n + i) % 7}`, data: { n: n + i, text } })))
    }
    const inner = source(topic)
    let deleted = false
    const store = memoryStore()
    const deleting: EventSource = {
      continuity: inner.continuity, bounds: (options) => inner.bounds(options), check: (marks) => inner.check(marks), close: () => inner.close(),
      async *read(partition, range, limits, signal) {
        for await (const batch of inner.read(partition, range, limits, signal)) {
          if (!deleted) await broker.deleteRecords(topic, 600)
          deleted = true
          yield batch
        }
      },
    }
    const error = await failureOf(replay({ source: deleting, projection: latest, store, checkpoint: { bytes: 1 } }).done)
    expect(error).toMatchObject({ code: 'LOG_TRUNCATED', exitCode: 7 })
    const [row] = await store.generations()
    expect(row?.checkpoint?.manifest).toMatchObject({ sealed: false, position: { [`${topic}/0`]: expect.any(Number) } })
    expect((await failureOf(runOf(topic, store).done)).code).toBe('LOG_TRUNCATED')
  })

  test('a topic that is deleted is LOG_TRUNCATED, at rest and while it is followed; made again it is LOG_RECREATED', async () => {
    for (const [change, code] of [
      [async (topic: string) => { await broker.admin.deleteTopics({ topics: [topic] }) }, 'LOG_TRUNCATED'],
      [async (topic: string) => {
        await broker.remakeTopic(topic)
        await broker.produce(topic, sets(2))
      }, 'LOG_RECREATED'],
    ] as const) {
      const topic = await broker.makeTopic()
      await broker.produce(topic, sets(10))
      const [resting, following] = [memoryStore(), memoryStore()]
      await runOf(topic, resting).done
      const run = runOf(topic, following, { until: 'follow' })
      const ended = failureOf(run.done)
      for await (const event of run) if (event.kind === 'phase' && event.phase === 'following') break
      await change(topic)
      // A topic goes before it comes back: who looks in between has lost it.
      expect(['LOG_TRUNCATED', code]).toContain((await ended).code)
      expect((await failureOf(runOf(topic, resting).done)).code).toBe(code)
      if (code !== 'LOG_TRUNCATED') continue
      expect((await failureOf(runOf(topic, memoryStore()).done)).code).toBe('CONFIG_INVALID')
      await broker.makeTopic({ name: topic })
    }
  }, 60_000)

  test('a fresh run begins where `from` says, by time and by offset, and a time is an end where records have no other', async () => {
    const topic = await broker.makeTopic()
    const hour = (n: number): number => Date.UTC(2026, 0, 1, n)
    await broker.produce(topic, Array.from({ length: 10 }, (_, n) =>
      ({ key: `k${n}`, value: JSON.stringify({ n }), headers: { type: 'Set' }, timestamp: String(hour(n)) })))
    await broker.transact('times', topic, sets(1).map((message) => ({ ...message, timestamp: String(hour(10)) })), 'abort')
    for (const from of [{ timestamp: '2026-01-01T06:00:00Z' }, { offsets: { [`${topic}/0`]: 6 } }]) {
      const run = { source: source(topic, { from }), projection: latest, store: memoryStore() }
      expect(await failureOf(replay(run).done)).toMatchObject({ code: 'HISTORY_INCOMPLETE', details: { offset: 6 } })
      const sealed = await replay({ ...run, accept: [`HISTORY_INCOMPLETE=${topic}/0@6`] }).done
      expect([sealed.run.applied, sealed.accepted]).toEqual([4, [{ code: 'HISTORY_INCOMPLETE', partition: `${topic}/0`, to: 5 }]])
    }
    const raw = defineProjection({ name: 'raw', version: 1, collections: { values: {} }, on: { Set: (state, event) => state.values.put(event.key as string, event.offset) } })
    for (const [at, last] of [[hour(0), undefined], [hour(4), 3], [hour(4) + 1, 4], [hour(10), 11], [hour(11), 11]] as const) {
      const { position } = await replay({ source: source(topic, { payload: 'raw' }), projection: raw, store: memoryStore(), until: new Date(at) }).done
      expect(position.get(`${topic}/0`)).toBe(last)
    }
  })

  test('a plan knows the bytes on the disks', async () => {
    const topic = await broker.makeTopic({ partitions: 2 })
    await broker.produce(topic, Array.from({ length: 100 }, (_, n) => messageOf({ type: 'Set', key: `k${n}`, data: { n, text: 'x'.repeat(1_000) } })))
    const { bytes } = await plan({ source: source(topic), projection: latest, store: memoryStore() })
    expect(bytes).toBeGreaterThan(100_000)
    expect(bytes).toBeLessThan(200_000)
  })
})
