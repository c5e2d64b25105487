import type { Message } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kafka } from '../../../adapters/kafka/index.js'
import { memoryStore } from '../../../adapters/memory/index.js'
import { debezium, latest, openState, type Projection, type Value } from '../../../src/index.js'
import { anne, anneMarie, change, tombstone } from '../../projection/debezium-events.js'
import { stringifyJson } from '../../../src/value/json.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../../support/kafka.js'
import { runIn, worldOf } from '../../support/worlds.js'
import { optionsFor } from './topic-log.js'

const world = worldOf(1, { codeOf: async () => null })

describe.skipIf(!canHaveKafka('ready-made projections over real topics'))('ready-made projections, on a real broker', () => {
  let broker: TestBroker
  beforeAll(async () => { broker = await kafkaBroker() }, 180_000)
  afterAll(async () => { await broker?.dispose() })

  async function tableOf(topic: string, projection: Projection, collection: string): Promise<Record<string, Value>> {
    const store = memoryStore()
    // Values of such topics carry no type of their own: that of the topic stands for it.
    await runIn(world, { source: kafka(optionsFor(broker, topic, { event: { type: { topic: true } } })), projection, store })
    const state = await openState(store, { projection })
    const rows = await state.scan(collection, null, 1_000)
    await state.close()
    return Object.fromEntries(rows.map(({ key, value }) => [key, value]))
  }

  test('latest() makes a table of a compacted topic of plain values, without a handler', async () => {
    const topic = await broker.makeTopic({ config: { 'cleanup.policy': 'compact' } })
    const values: Message[] = [
      { key: 'a', value: '{"cents":1}' }, { key: 'b', value: '{"type":"not one","data":5}' }, { key: 'a', value: '{"cents":2}' },
      { key: 'c', value: '3' }, { key: 'c', value: null },
    ]
    await broker.produce(topic, values)
    expect(await tableOf(topic, latest({ name: 'prices', version: 1 }), 'rows')).toEqual({ a: { cents: 2 }, b: { type: 'not one', data: 5 } })
  })

  test('debezium() makes the table of a topic of change events, deletes and their tombstones included', async () => {
    const topic = await broker.makeTopic({ config: { 'cleanup.policy': 'compact' } })
    const kept = { ...anne, id: 1005 }
    const events = [
      change('r', null, anne), change('c', null, kept, { key: { id: 1005 } }), change('u', anne, anneMarie), change('d', anneMarie, null), tombstone(),
      change('c', null, { ...anne, id: 1006 }, { key: { id: 1006 }, wrapped: false }),
    ]
    await broker.produce(topic, events.map(({ key, data }) => ({ key: key!, value: data === null ? null : stringifyJson(data!) })))
    const columns = { id: 'int', first_name: 'text', last_name: 'text', email: 'text' } as const
    const projection = debezium({ name: 'inventory', version: 1, tables: { customers: { topic, columns } } })
    expect(await tableOf(topic, projection, 'customers')).toEqual({ 1005: kept, 1006: { ...anne, id: 1006 } })
  })
})
