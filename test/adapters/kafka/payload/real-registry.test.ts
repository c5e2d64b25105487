import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import avro from 'avsc'
import protobuf from 'protobufjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileLog } from '../../../../adapters/file/index.js'
import { kafka, saveBundle, type KafkaOptions } from '../../../../adapters/kafka/index.js'
import { memoryStore } from '../../../../adapters/memory/index.js'
import { defineProjection, plan, replay, type Mark, type Projection, type RecordedEvent } from '../../../../src/index.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../../../support/kafka.js'
import { canHaveRegistry, schemaRegistry, type TestRegistry } from '../../../support/registry.js'
import { failureOf } from '../../../support/worlds.js'
import { wired } from './readings.js'

const SUITE = 'schema registry'
const CAN = canHaveKafka(SUITE) && canHaveRegistry(SUITE)
const CITY = { type: 'record', name: 'City', namespace: 'shop', fields: [{ name: 'name', type: 'string' }] } as const
const ORDER = {
  type: 'record', name: 'Order', namespace: 'shop', fields: [
    { name: 'id', type: 'string' }, { name: 'cents', type: 'long' }, { name: 'city', type: ['null', 'shop.City'] },
  ],
} as const
const ORDER_WHOLE = { ...ORDER, fields: [...ORDER.fields.slice(0, 2), { name: 'city', type: ['null', CITY] }] }
const MONEY = 'syntax = "proto3";\npackage shop;\n\nmessage Money {\n  int64 units = 1;\n}\n'
const PAID = `syntax = "proto3";
package shop;

import "money.proto";
import "google/protobuf/timestamp.proto";

message Paid {
  string id = 1;
  shop.Money sum = 2;
  google.protobuf.Timestamp at = 3;
}
`
const PARTS = `syntax = "proto3";
package shop;

message Paid {
  repeated Part some_parts = 1;
}

message Part {
  string sku = 1;
}
`
const LEFT = JSON.stringify({ $schema: 'http://json-schema.org/draft-07/schema#', type: 'object', properties: { id: { type: 'string' }, big: { type: 'integer' } } })

describe.skipIf(!CAN)('a topic in the wire format of a real registry', () => {
  let broker: TestBroker
  let registry: TestRegistry
  let folder: string
  let topic: string
  const ids = { order: 0, paid: 0, left: 0, key: 0 }
  const subjects: string[] = []

  beforeAll(async () => {
    [broker, registry, folder] = await Promise.all([kafkaBroker(), schemaRegistry(), mkdtemp(join(tmpdir(), 'rehydrate-schemas-'))])
    topic = await broker.makeTopic()
    const named = (name: string): string => `${name}-${randomUUID()}`
    const [city, money] = [named('city'), named('money')]
    await registry.register(city, 'AVRO', JSON.stringify(CITY))
    await registry.register(money, 'PROTOBUF', MONEY)
    subjects.push(named('order'), named('paid'), named('left'), named('key'))
    const [order, paid, left, key] = subjects as [string, string, string, string]
    ids.order = await registry.register(order, 'AVRO', JSON.stringify(ORDER), [{ name: 'shop.City', subject: city, version: 1 }])
    ids.paid = await registry.register(paid, 'PROTOBUF', PAID, [{ name: 'money.proto', subject: money, version: 1 }])
    ids.left = await registry.register(left, 'JSON', LEFT)
    ids.key = await registry.register(key, 'AVRO', '{"type":"record","name":"Key","fields":[{"name":"id","type":"long"}]}')
    await broker.produce(topic, messages())
  }, 180_000)

  afterAll(async () => {
    registry?.dispose()
    await broker?.dispose()
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  })

  function messages() {
    const order = avro.Type.forSchema(ORDER_WHOLE as never, { wrapUnions: 'never' } as never).toBuffer({ id: 'a', cents: 5, city: { name: 'Ulm' } })
    const root = new protobuf.Root()
    root.addJSON(protobuf.common.get('google/protobuf/timestamp.proto')!.nested!)
    protobuf.parse(MONEY, root)
    protobuf.parse(PAID, root)
    const paid = root.lookupType('shop.Paid').encode({ id: 'a', sum: { units: 7 }, at: { seconds: 1 } }).finish()
    const key = wired(ids.key, Buffer.from([84]))
    return [
      { key, value: wired(ids.order, order) }, { key, value: wired(ids.paid, Buffer.from([0]), paid) },
      { key, value: wired(ids.left, Buffer.from('{"id":"a","big":9007199254740993}')), headers: { type: 'Left' } }, { key, value: null },
    ]
  }

  async function read(options: Partial<KafkaOptions>, after = -1, mark: Mark | null = null): Promise<{ events: RecordedEvent[]; marks: Mark[] }> {
    const source = kafka({ brokers: broker.brokers, topics: [topic], key: 'registry', ...options })
    const [events, marks]: [RecordedEvent[], Mark[]] = [[], []]
    try {
      const partition = `${topic}/0`
      const upTo = (await source.bounds()).get(partition)!.last
      for await (const batch of source.read(partition, { after, upTo, mark }, { events: 100, bytes: 1 << 20 }, new AbortController().signal)) {
        for (let i = 0; i < batch.length; i++) {
          events.push(batch.event(i))
          marks.push(batch.markAt(i))
        }
      }
      return { events, marks }
    } finally {
      await source.close()
    }
  }

  const schemasOf = (mark: Mark | undefined): unknown => (mark?.proof as { schemas?: unknown } | undefined)?.schemas

  test('is read as Avro, Protobuf and JSON, with what its schemas refer to; keys too', async () => {
    const { events } = await read({ registry: { url: registry.url } })
    expect(events.map(({ type, key, data, bigIntegers }) => ({ type, key, data: data as unknown, bigIntegers }))).toEqual([
      { type: 'shop.Order', key: '42', data: { id: 'a', cents: 5, city: { name: 'Ulm' } }, bigIntegers: null },
      { type: 'shop.Paid', key: '42', data: { id: 'a', sum: { units: 7 }, at: '1970-01-01T00:00:01Z' }, bigIntegers: null },
      { type: 'Left', key: '42', data: { id: 'a', big: 9_007_199_254_740_993n }, bigIntegers: ['$.big'] },
      { type: '$tombstone', key: '42', data: null, bigIntegers: null },
    ])
  })

  test('is read from a bundle as from its registry, with the same marks', async () => {
    const path = join(folder, 'bundle.json')
    expect([...await saveBundle({ url: registry.url, path, subjects })].sort()).toEqual(Object.values(ids).sort())
    const online = await read({ registry: { url: registry.url } })
    expect(await read({ registry: { bundle: path } })).toEqual(online)
  })

  test('pins in its marks the schemas that were met up to each', async () => {
    const { marks } = await read({ registry: { url: registry.url } })
    expect(marks.map((mark) => Object.keys(schemasOf(mark) as object).map(Number).sort())).toEqual([
      [ids.order, ids.key].sort(), [ids.order, ids.key, ids.paid].sort(), Object.values(ids).sort(), Object.values(ids).sort(),
    ])
  })

  test('is refused where an id that was met has another schema now', async () => {
    const path = join(folder, 'changed.json')
    await saveBundle({ url: registry.url, path, subjects })
    const { marks } = await read({ registry: { bundle: path } })
    await writeFile(path, (await readFile(path, 'utf8')).replaceAll('message Paid {', 'message  Paid {'))
    await broker.produce(topic, messages().slice(1, 2))
    const error = await failureOf(read({ registry: { bundle: path } }, 3, marks[3]!))
    expect([error.code, error.details.partition, error.details.path]).toEqual(['SCHEMA_INCOMPATIBLE', `${topic}/0`, `schemas/ids/${ids.paid}`])
    const hashes = schemasOf(marks[3]) as Record<string, string>
    expect([error.details.expected, error.message]).toEqual([hashes[ids.paid], expect.stringContaining(error.details.actual as string)])
    expect((await read({ registry: { url: registry.url } }, 3, marks[3]!)).events).toMatchObject([{ type: 'shop.Paid', offset: 4 }])
  })

  test('is refused at plan time where a projection reads a field that no version of its schema has', async () => {
    const source = kafka({ brokers: broker.brokers, topics: [topic], key: 'registry', registry: { url: registry.url } })
    const refusals = async (types: readonly string[], reads: readonly string[]) => {
      const on = Object.fromEntries(types.map((type) => [type, () => ({ orders: {} })]))
      const projection = defineProjection({ name: 'orders', version: 1, collections: { orders: {} }, unknownEvents: 'skip', reads, on } as never)
      return (await plan({ source, projection: projection as never, store: memoryStore() })).refusals
    }
    await registry.register(`${topic}-value`, 'AVRO', JSON.stringify(ORDER_WHOLE))
    await registry.register('shop.Paid', 'PROTOBUF', PARTS)
    const ORDERS = ['shop.Order']
    expect(await refusals(ORDERS, ['cents', 'city.name'])).toEqual([])
    expect(await refusals(ORDERS, ['cents', 'city.zip', 'total'])).toMatchObject([
      { code: 'SCHEMA_INCOMPATIBLE', message: expect.stringContaining('city.zip of shop.Order') }, { message: expect.stringContaining('total') },
    ])
    expect(await refusals(['shop.Order', 'shop.Paid'], ['cents', 'someParts[].sku'])).toEqual([])
    expect(await refusals(['shop.Order', 'shop.Paid'], ['some_parts'])).toMatchObject([{ code: 'SCHEMA_INCOMPATIBLE' }])
    expect(await refusals(['shop.Order', 'Unknown'], ['anything'])).toEqual([])
    const noted = { ...ORDER_WHOLE, fields: [...ORDER_WHOLE.fields, { name: 'note', type: 'string' }] }
    await registry.register(`${topic}-value`, 'AVRO', JSON.stringify(noted))
    await registry.deleteLatest(`${topic}-value`)
    expect(await refusals(ORDERS, ['note'])).toEqual([])
    await source.close()
  })

  test('is rebuilt to the root that the same events give from a file of CloudEvents; what can not be read is left out by name', async () => {
    const other = await broker.makeTopic()
    const projection = defineProjection({
      name: 'orders', version: 1, collections: { cities: {} },
      keys: { 'shop.Order': (event: any) => [{ collection: 'cities', key: event.data.city.name }] },
      on: { 'shop.Order': (state: any, event: any) => {
        const { orders, cents } = state.cities.get(event.data.city.name) ?? { orders: 0, cents: 0 }
        state.cities.put(event.data.city.name, { orders: orders + 1, cents: cents + event.data.cents })
      } },
    } as never) as Projection
    const type = avro.Type.forSchema(ORDER_WHOLE as never, { wrapUnions: 'never' } as never)
    const orders = Array.from({ length: 300 }, (_, i) => ({ id: `o${i}`, cents: i * 7, city: { name: `c${i % 9}` } }))
    await broker.produce(other, orders.map((order) => ({ key: order.id, value: wired(ids.order, type.toBuffer(order)) })))
    await broker.produce(other, [{ key: 'x', value: wired(ids.order, Buffer.from([2])) }])
    const path = join(folder, 'orders.ndjson')
    const lines = orders.map((data) => JSON.stringify({ specversion: '1.0', type: 'shop.Order', source: '/', id: data.id, data }))
    await writeFile(path, `${lines.join('\n')}\n`)
    const fromFile = await replay({ source: fileLog({ path, envelope: 'cloudevents' }), projection, store: memoryStore() }).done
    const topicOptions = { source: kafka({ brokers: broker.brokers, topics: [other], registry: { url: registry.url } }), projection }
    const error = await failureOf(replay({ ...topicOptions, store: memoryStore() }).done)
    expect([error.code, error.details.partition, error.details.offset]).toEqual(['EVENT_INVALID', `${other}/0`, 300])
    const fromTopic = await replay({ ...topicOptions, store: memoryStore(), accept: [`EVENT_INVALID=${other}/0@300`] }).done
    expect(fromTopic.root).toBe(fromFile.root)
    await topicOptions.source.close()
  })

  test('names the record and the id of a schema that the registry does not have; a record that nobody looks at halts nothing', async () => {
    const other = await broker.makeTopic()
    await broker.produce(other, [{ key: 'k', value: wired(2_000_000_000, Buffer.from([1])) }, { key: 'k', value: Buffer.from('{"type":"T"}') }])
    const source = kafka({ brokers: broker.brokers, topics: [other], registry: { url: registry.url } })
    const refusals: string[] = []
    for await (const batch of source.read(`${other}/0`, { after: -1, upTo: 1, mark: null }, { events: 9, bytes: 1 << 20 }, new AbortController().signal)) {
      for (let i = 0; i < batch.length; i++) {
        const error = await failureOf((async () => batch.event(i))())
        expect([error.code, error.details.partition, error.details.offset]).toEqual(['EVENT_INVALID', `${other}/0`, i])
        refusals.push(error.message as string)
      }
    }
    await source.close()
    expect(refusals).toEqual([expect.stringContaining('schema 2000000000'), expect.stringContaining('not in the wire format')])
  })
})
