import type { Message } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kafka } from '../../../adapters/kafka/index.js'
import { memoryStore } from '../../../adapters/memory/index.js'
import { defineProjection, openState, plan, replay } from '../../../src/index.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../../support/kafka.js'
import { messageOf, optionsFor } from './topic-log.js'

/** Under each key its events, in the order in which they applied. */
const journals = (more: object = {}) => defineProjection({
  name: 'journals', version: 1, collections: { journals: {} },
  on: { Did: (state: any, event: any) => state.journals.put(event.key, [...(state.journals.get(event.key) ?? []), event.data.n]) },
  ...more,
} as any)

const KEYS = Array.from({ length: 20 }, (_, i) => `key-${i}`)
/** Where it lies is for the client to say. */
const did = (key: string, n: number): Message => ({ ...messageOf({ type: 'Did', key, data: { n } }), partition: undefined as any })

describe.skipIf(!canHaveKafka)('orders over a real topic', () => {
  let broker: TestBroker
  beforeAll(async () => { broker = await kafkaBroker() }, 120_000)
  afterAll(async () => { await broker?.dispose() })

  test('a topic that grew: plan finds how, and declared so, each key has its events in their order', async () => {
    const topic = await broker.makeTopic({ partitions: 2 })
    for (let n = 0; n < 5; n++) await broker.produce(topic, KEYS.map((key) => did(key, n)))
    await broker.growTopic(topic, 3)
    for (let n = 5; n < 10; n++) await broker.produce(topic, KEYS.map((key) => did(key, n)))
    const source = () => kafka(optionsFor(broker, topic))
    const { placement } = await plan({ source: source(), projection: journals(), store: memoryStore() })
    expect(placement).toMatchObject({ hash: 'murmur2', counts: [2, 3], sampled: 200, explained: 200 })

    const projection = journals({ partitioner: { hash: 'murmur2', counts: [2, 3] } })
    const store = memoryStore()
    await replay({ source: source(), projection, store, batch: { events: 7 } }).done
    const state = await openState(store, { projection })
    for (const key of KEYS) expect(await state.get('journals', key)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    await state.close()
  }, 60_000)

  test("order 'time' counts the holes that transactions leave where it passes them, whatever a delivery holds", async () => {
    const topic = await broker.makeTopic()
    const other = await broker.makeTopic()
    for (let n = 0; n < 6; n++) {
      const [at, between] = [2 * n, 2 * n + 1].map((ms) => String(1_700_000_000_000 + 1_000 * ms)) as [string, string]
      await broker.transact('orders', topic, [{ ...messageOf({ type: 'Did', key: 'a', data: { n } }), timestamp: at }], n % 3 === 2 ? 'abort' : 'commit')
      await broker.produce(other, [{ ...messageOf({ type: 'Did', key: 'a', data: { n: 100 + n } }), timestamp: between }])
    }
    const projection = journals({ order: 'time' })
    const [many, single] = await Promise.all([1_000, 1].map((events) =>
      replay({ source: kafka(optionsFor(broker, topic, { topics: [topic, other] })), projection, store: memoryStore(), batch: { events }, checkpoint: { bytes: 1 } }).done))
    expect(many?.seal.manifest.holes).toEqual({ control: 6, aborted: 2, filtered: 0, compactedOrLost: 0 })
    expect(single?.seal.manifestHash).toBe(many?.seal.manifestHash)
    expect(many?.run.applied).toBe(10)
  }, 60_000)
})
