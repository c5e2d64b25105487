import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { compositeKey, debezium, openState, type DebeziumOptions, type Projection, type SealedRun, type StateStore, type Value } from '../../src/index.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'
import { anne, anneMarie, change, source, tombstone } from './debezium-events.js'

const TOPIC = 'mysql-server-1.inventory.customers'
const CUSTOMERS = { id: 'int', first_name: 'text', last_name: 'text', email: 'text' } as const
const world = worldOf(1, { codeOf: async () => null })

const customers = (more: Partial<DebeziumOptions> = {}): Projection =>
  debezium({ name: 'inventory', version: 1, tables: { customers: { columns: CUSTOMERS } }, ...more })

const rebuild = (projection: Projection, events: readonly MemoryEvent[], store: StateStore = memoryStore(), accept: string[] = []): Promise<SealedRun> =>
  runIn(world, { source: memoryLog({ partitions: { [`${TOPIC}/0`]: events } }), projection, store, accept })

async function tableOf(projection: Projection, events: readonly MemoryEvent[], collection = 'customers', accept: string[] = []): Promise<Record<string, Value>> {
  const store = memoryStore()
  await rebuild(projection, events, store, accept)
  const state = await openState(store, { projection })
  const rows = await state.scan(collection, null, 1_000)
  await state.close()
  return Object.fromEntries(rows.map(({ key, value }) => [key, value]))
}

test('create, update, snapshot read, delete and tombstone of the documented example give the row, then none', async () => {
  for (const wrapped of [true, false]) {
    const created = [change('c', null, anne, { wrapped })]
    const updated = [...created, change('u', anne, anneMarie, { wrapped })]
    expect(await tableOf(customers(), created)).toEqual({ 1004: anne })
    expect(await tableOf(customers(), updated)).toEqual({ 1004: anneMarie })
    expect(await tableOf(customers(), [change('r', null, anne, { wrapped })])).toEqual({ 1004: anne })
    expect(await tableOf(customers(), [...updated, change('d', anneMarie, null, { wrapped })])).toEqual({})
    expect(await tableOf(customers(), [...updated, change('d', anneMarie, null, { wrapped }), tombstone({ id: 1004 }, wrapped)])).toEqual({})
    // What compaction leaves of the delete.
    expect(await tableOf(customers(), [...updated, tombstone({ id: 1004 }, wrapped)])).toEqual({})
  }
})

test('rows that ExtractNewRecordState unwrapped give the same, by __deleted, __op or tombstones', async () => {
  const projection = customers({ form: 'unwrapped' })
  const row = (more: object): MemoryEvent => ({ type: TOPIC, key: '{"id":1004}', data: { ...anne, ...more } as Value })
  expect(await tableOf(projection, [row({}), row({ first_name: 'Anne Marie', __op: 'u', __table: 'customers' })])).toEqual({ 1004: anneMarie })
  for (const gone of [{ __deleted: 'true' }, { __deleted: true }, { __op: 'd' }]) {
    expect(await tableOf(projection, [row({ __deleted: 'false' }), row(gone)])).toEqual({})
  }
  expect(await tableOf(projection, [row({}), { type: '$tombstone', key: '{"id":1004}' }])).toEqual({})
})

test('logical messages are passed over, and a truncate is refused by name unless that event is accepted', async () => {
  const message: MemoryEvent = {
    type: 'postgres.message', key: '{"prefix":"audit"}',
    data: { op: 'm', ts_ms: 1, source: { ...(source() as object), table: '' }, message: { prefix: 'audit', content: 'aGVsbG8=' } },
  }
  expect(await tableOf(customers(), [change('c', null, anne), message])).toEqual({ 1004: anne })
  const truncate: MemoryEvent = { type: TOPIC, key: null, data: { op: 't', source: source(), ts_ms: 1 } }
  const events = [change('c', null, anne), truncate, change('c', null, anneMarie)]
  expect(await failureOf(tableOf(customers(), events))).toMatchObject({
    code: 'EVENT_INVALID', message: expect.stringContaining('inventory.customers was truncated'), details: { offset: 1 },
  })
  expect(await tableOf(customers(), events, 'customers', [`EVENT_INVALID=${TOPIC}/0@1`])).toEqual({ 1004: anneMarie })
})

test('a new column that is not declared is COLUMN_UNKNOWN naming table and column; without columns, or with a rest, it is kept', async () => {
  const events = [change('c', null, { ...anne, phone: '+49 30 1' })]
  expect(await failureOf(tableOf(customers(), events))).toMatchObject({
    code: 'COLUMN_UNKNOWN', message: 'The table inventory.customers has a column phone that the columns of customers do not declare.',
  })
  expect(await tableOf(customers({ tables: { customers: {} } }), events)).toEqual({ 1004: { ...anne, phone: '+49 30 1' } })
  const open = { customers: { columns: { ...CUSTOMERS, '...': 'json' } } } as const
  expect(await tableOf(customers({ tables: open }), events)).toEqual({ 1004: { ...anne, phone: '+49 30 1' } })
  const { email: _, ...dropped } = anne
  expect(await failureOf(tableOf(customers(), [change('u', null, dropped)]))).toMatchObject({ code: 'VALUE_INVALID', details: { path: '$.email' } })
})

test('values come in the form of columns where the envelope has its schema: decimals, times, bytes, JSON and UUIDs, exactly', async () => {
  const named = (field: string, type: string, name?: string, parameters?: Record<string, string>): Value =>
    ({ field, type, optional: true, ...(name === undefined ? {} : { name }), ...(parameters && { parameters }) })
  const fields = [
    named('id', 'int64'), named('price', 'bytes', 'org.apache.kafka.connect.data.Decimal', { scale: '2' }),
    named('any', 'struct', 'io.debezium.data.VariableScaleDecimal'), named('born', 'int32', 'io.debezium.time.Date'),
    named('at', 'int64', 'io.debezium.time.MicroTimestamp'), named('ms', 'int64', 'io.debezium.time.Timestamp'),
    named('ns', 'int64', 'io.debezium.time.NanoTimestamp'), named('zoned', 'string', 'io.debezium.time.ZonedTimestamp'),
    named('photo', 'bytes'), named('doc', 'string', 'io.debezium.data.Json'), named('ref', 'string', 'io.debezium.data.Uuid'),
  ]
  const after = {
    id: 9_007_199_254_740_993n, price: Buffer.from([0xfb, 0x2e]).toString('base64'), any: { scale: 3, value: 'AeJA' }, born: 16_782,
    at: 1_465_581_902_461_123, ms: 1_465_581_902_461, ns: 1_465_581_902_461_123_000n, zoned: '2016-06-10T18:05:02.461+00:00',
    photo: 'AQID', doc: '{"a":[1,2]}', ref: 'F47AC10B-58CC-4372-A567-0E02B2C3D479',
  }
  const columns = {
    id: 'int64', price: 'decimal(10,2)', any: 'decimal(10,3)', born: 'date', at: 'timestamp', ms: 'timestamp', ns: 'timestamp', zoned: 'timestamp',
    photo: 'bytes', doc: 'json', ref: 'uuid',
  } as const
  const event = change('c', null, after, { fields, key: { id: 9_007_199_254 } })
  const typed = { customers: { columns, int64: ['ns'] } }
  expect(await tableOf(customers({ tables: typed }), [event])).toEqual({ 9007199254: {
    id: 9_007_199_254_740_993n, price: '-12.34', any: '123.456', born: '2015-12-13', at: 1_465_581_902_461_123, ms: 1_465_581_902_461_000,
    ns: 1_465_581_902_461_123, zoned: 1_465_581_902_461_000, photo: new Uint8Array([1, 2, 3]), doc: { a: [1, 2] },
    ref: 'f47ac10b-58cc-4372-a567-0e02b2c3d479',
  } })
  for (const [unscaled, digits] of [[[5], '0.05'], [[0xff], '-0.01'], [[0], '0'], [[0x04, 0xd2], '12.34']] as const) {
    const price = { id: 1, price: Buffer.from(unscaled).toString('base64') }
    expect(await tableOf(customers({ tables: { customers: {} } }), [change('c', null, price, { fields, key: { id: 1 } })]))
      .toEqual({ 1: { id: 1, price: digits } })
  }
  const wrong = change('c', null, { ...after, zoned: 'yesterday' }, { fields })
  expect(await failureOf(tableOf(customers({ tables: typed }), [wrong]))).toMatchObject({ code: 'VALUE_INVALID', details: { path: '$.zoned' } })
})

test('a value that the database did not log is refused, in every form of its placeholder, and never kept', async () => {
  const placeholder = '__debezium_unavailable_value'
  const bytes = Buffer.from(placeholder)
  for (const email of [placeholder, bytes.toString('base64'), [placeholder], [...bytes], ['b68a35a7-17ad-35b3-af2a-ae46edb4545a'], { [placeholder]: placeholder },
    JSON.stringify({ [placeholder]: placeholder })]) {
    const toast = change('u', null, { ...anne, email })
    expect(await failureOf(tableOf(customers({ tables: { customers: {} } }), [toast])), String(email)).toMatchObject({
      code: 'EVENT_INVALID', message: expect.stringContaining('the value of email'), fix: expect.stringContaining('REPLICA IDENTITY FULL'),
    })
  }
  const tags = { ...anne, email: ['a', placeholder], more: [1, 2] }
  expect(await tableOf(customers({ tables: { customers: {} } }), [change('c', null, tags)])).toEqual({ 1004: tags })
})

test('without a schema texts come in the one form of their columns: digits of decimals, times and UUIDs as connectors write them', async () => {
  const columns = { id: 'int', price: 'decimal(10,2)?', at: { type: 'timestamp', null: 'null' }, ref: 'uuid | null', note: 'text' } as const
  const event = (after: Value): MemoryEvent => change('c', null, after, { wrapped: false })
  expect(await tableOf(customers({ tables: { customers: { columns } } }), [
    event({ id: 1004, price: '-12.30', at: '2016-06-10T20:05:02.461+02:00', ref: 'F47AC10B-58CC-4372-A567-0E02B2C3D479', note: '12.30' }),
  ])).toEqual({ 1004: { id: 1004, price: '-12.3', at: 1_465_581_902_461_000, ref: 'f47ac10b-58cc-4372-a567-0e02b2c3d479', note: '12.30' } })
  expect(await failureOf(tableOf(customers({ tables: { customers: { columns } } }), [event({ id: 1, price: 'NaN', at: null, ref: null, note: '' })])))
    .toMatchObject({ code: 'VALUE_INVALID', details: { path: '$.price' } })
})

test('what its schema says otherwise is EVENT_INVALID with its path: numbers for decimals, days that are in no year, parts of nanoseconds', async () => {
  const of = (field: object, value: Value): Promise<unknown> => failureOf(tableOf(customers({ tables: { customers: {} } }),
    [change('c', null, { v: value }, { fields: [{ field: 'v', ...field }] })]))
  const refused = { code: 'EVENT_INVALID', details: { path: '$.v' } }
  const decimal = { type: 'bytes', name: 'org.apache.kafka.connect.data.Decimal', parameters: { scale: '2' } }
  expect(await of(decimal, 12.34)).toMatchObject({ ...refused, fix: expect.stringContaining("decimal.handling.mode 'string'") })
  // PostgreSQL's infinity, and a year before the first.
  for (const days of [2_147_483_647, -800_000]) expect(await of({ type: 'int32', name: 'io.debezium.time.Date' }, days)).toMatchObject(refused)
  for (const nanoseconds of ['x', 1.5, 1]) expect(await of({ type: 'int64', name: 'io.debezium.time.NanoTimestamp' }, nanoseconds)).toMatchObject(refused)
})

test("a document of MongoDB, which comes as a text, is kept as it is; without 'after' it is refused", async () => {
  const from = { connector: 'mongodb', name: 'm', db: 'inventory', collection: 'customers', rs: 'rs0' }
  const key = { id: '{"$oid":"596e275826f08b2730779e1f"}' }
  const created = change('c', null, '{"_id":{"$oid":"596e275826f08b2730779e1f"},"name":"Anne"}', { from, key })
  expect(await tableOf(customers({ tables: { customers: { table: 'inventory.customers' } } }), [created]))
    .toEqual({ [key.id]: { _id: { $oid: '596e275826f08b2730779e1f' }, name: 'Anne' } })
  expect(await tableOf(customers({ tables: { customers: {} } }), [created, change('d', null, null, { from, key })])).toEqual({})
  expect(await failureOf(tableOf(customers({ tables: { customers: {} } }), [change('u', null, null, { from, key })])))
    .toMatchObject({ code: 'EVENT_INVALID', fix: expect.stringContaining('change_streams_update_full') })
})

test('keys of several columns are compositeKey in their order there; 64-bit ones keep their digits; a table without one is refused', async () => {
  const event = (key: string | null): MemoryEvent => ({ ...change('c', null, anne), key })
  expect(Object.keys(await tableOf(customers(), [event('{"b":2,"a":"x"}')]))).toEqual([compositeKey(2, 'x')])
  expect(Object.keys(await tableOf(customers(), [event('{"id":9007199254740993}')]))).toEqual(['9007199254740993'])
  expect(Object.keys(await tableOf(customers(), [event('plain')]))).toEqual(['plain'])
  for (const none of [null, '{"id":null}']) {
    expect(await failureOf(tableOf(customers(), [event(none)]))).toMatchObject({ code: 'EVENT_KEY_MISSING' })
  }
})

test('a table is told by its name from its last part on; one that is not declared halts by name, or is passed over', async () => {
  const orders = change('c', null, { id: 1 }, { from: source({ table: 'orders' }), key: { id: 1 } })
  const both = { customers: { table: 'inventory.customers' }, bought: { table: 'orders' } }
  expect(await tableOf(customers({ tables: both }), [orders, change('c', null, anne)], 'bought')).toEqual({ 1: { id: 1 } })
  expect(await failureOf(tableOf(customers(), [orders]))).toMatchObject({ code: 'EVENT_TYPE_UNKNOWN', message: expect.stringContaining('inventory.orders') })
  expect(await tableOf(customers({ otherTables: 'skip' }), [orders, change('c', null, anne)])).toEqual({ 1004: anne })
  for (const table of ['sales.customers', 'stomers']) {
    const another = customers({ tables: { customers: { table }, orders: {} } })
    expect(await failureOf(tableOf(another, [change('c', null, anne)]))).toMatchObject({ code: 'EVENT_TYPE_UNKNOWN' })
  }
})

test('of several tables that fit, it is the one of the longest name', async () => {
  const archived = change('c', null, { id: 2 }, { from: source({ schema: 'archive' }), key: { id: 2 } })
  for (const tables of [{ customers: {}, old: { table: 'archive.customers' } }, { old: { table: 'archive.customers' }, customers: {} }]) {
    expect(await tableOf(customers({ tables }), [change('c', null, anne), archived], 'old')).toEqual({ 2: { id: 2 } })
    expect(await tableOf(customers({ tables }), [change('c', null, anne), archived])).toEqual({ 1004: anne })
  }
})

test('tombstones and rows alone are told by their topic: that of no declared table is refused, or passed over, never taken for another', async () => {
  const anywhere = { ...tombstone(), type: 'T' }
  const row: MemoryEvent = { type: 'T', key: '{"id":1004}', data: anne }
  const at = async (topic: string, event: MemoryEvent, more: Partial<DebeziumOptions>): Promise<unknown> => {
    const projection = customers({ tables: { customers: {} }, ...more })
    const store = memoryStore()
    const log = memoryLog({ partitions: { [`${topic}/0`]: [event] } })
    await runIn(world, { source: log, projection, store })
    const state = await openState(store, { projection })
    const rows = await state.scan('customers', null, 9)
    await state.close()
    return rows.length
  }
  for (const topic of ['mysql-server-1.inventory.orders', '__debezium-heartbeat.mysql-server-1', 'renamed']) {
    const refused = { code: 'EVENT_TYPE_UNKNOWN', details: { actual: topic }, fix: expect.stringContaining('tables.NAME.topic') }
    expect(await failureOf(at(topic, anywhere, {}))).toMatchObject(refused)
    expect(await failureOf(at(topic, row, { form: 'unwrapped' }))).toMatchObject(refused)
    expect(await at(topic, row, { form: 'unwrapped', otherTables: 'skip' })).toBe(0)
  }
  expect(await at('renamed', row, { form: 'unwrapped', tables: { customers: { topic: 'renamed' } } })).toBe(1)
  expect(await at('renamed', change('c', null, anne), { tables: { customers: { topic: 'renamed' } } })).toBe(1)
})

test('a column that is declared is kept, though its name begins as what ExtractNewRecordState adds', async () => {
  const row: MemoryEvent = { type: TOPIC, key: '{"id":1}', data: { id: 1, __v: 3, __op: 'c' } }
  const typed = { customers: { columns: { id: 'int', __v: 'int' } } } as const
  expect(await tableOf(customers({ form: 'unwrapped', tables: typed }), [row])).toEqual({ 1: { id: 1, __v: 3 } })
  expect(await tableOf(customers({ form: 'unwrapped', tables: { customers: {} } }), [row])).toEqual({ 1: { id: 1 } })
})

test('what is no change event is refused with its fields, and rows alone only where they are declared', async () => {
  expect(await failureOf(tableOf(customers(), [{ type: TOPIC, key: '{"id":1}', data: anne }]))).toMatchObject({
    code: 'EVENT_INVALID', message: expect.stringContaining('first_name'), fix: expect.stringContaining("form: 'unwrapped'"),
  })
  expect(await failureOf(tableOf(customers({ form: 'unwrapped', tables: { customers: {} } }), [change('c', null, anne)]))).toMatchObject({
    code: 'EVENT_INVALID', message: expect.stringContaining('rows alone'), fix: expect.stringContaining('ExtractNewRecordState'),
  })
})

test('any changes of any keys give what a map gives, and a compacted log gives the same', async () => {
  const step = fc.record({ id: fc.integer({ min: 1, max: 6 }), op: fc.constantFrom('c', 'u', 'r', 'd'), n: fc.integer() })
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.boolean(), async (steps, wrapped) => {
    const expected = new Map<string, Value>()
    const events = steps.flatMap(({ id, op, n }) => {
      const row = { id, n }
      if (op === 'd') expected.delete(String(id))
      else expected.set(String(id), row)
      const options = { wrapped, key: { id } }
      return op === 'd' ? [change('d', row, null, options), tombstone({ id }, wrapped)] : [change(op, null, row, options)]
    })
    const lastOf = new Map(events.map((event, i) => [event.key, i]))
    const compacted = events.filter((event, i) => lastOf.get(event.key) === i)
    const projection = customers({ tables: { customers: { columns: { id: 'int', n: 'int' } } } })
    expect(await tableOf(projection, events)).toEqual(Object.fromEntries(expected))
    expect(await tableOf(projection, compacted)).toEqual(Object.fromEntries(expected))
  }), { numRuns: 40 })
})

test('a table with columns in SQLite has the root of bytes in memory', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'debezium-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const events = [change('c', null, anne), change('u', anne, anneMarie), change('c', null, { ...anne, id: 1005 }, { key: { id: 1005 } })]
  const inSqlite = await rebuild(customers(), events, sqlite({ path: join(folder, 'state.db') }))
  expect(inSqlite.root).toBe((await rebuild(customers({ tables: { customers: {} } }), events)).root)
})

test('options that are not right are CONFIG_INVALID, naming the place', () => {
  expect(() => customers({ form: 'flat' as never })).toThrow(/form/)
  expect(() => customers({ tables: {} })).toThrow(/collections/)
  expect(() => customers({ tables: { customers: {}, others: { table: 'customers' } } })).toThrow(/tables.others.table/)
  expect(() => customers({ tables: { customers: { topic: 'cdc' }, orders: { topic: 'cdc' } } })).toThrow(/tables.orders.topic/)
  expect(() => customers({ tables: { customers: { colums: {} } as never } })).toThrow(/Did you mean columns/)
})
