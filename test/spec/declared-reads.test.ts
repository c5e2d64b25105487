import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { afterAll, describe, expect, test } from 'vitest'
import { fileLog } from '../../adapters/file/index.js'
import { memoryLog, memoryStore, type MemoryEvent } from '../../adapters/memory/index.js'
import {
  defineProjection, defineReducer, openState, stringifyJson, type EventSource, type Projection, type SealedRun, type Value,
} from '../../src/index.js'
import { batchWith, failureOf, runIn, tampered, worldOf } from '../support/worlds.js'

const folder = mkdtempSync(join(tmpdir(), 'declared-reads-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let logs = 0
/** The same events in memory, which ignores reads, and in a file, of which only those are scanned. */
function sourcesOf(events: readonly MemoryEvent[]): Record<'memory' | 'file', EventSource> {
  const path = join(folder, String(logs++), 'p')
  mkdirSync(path, { recursive: true })
  const lines = events.map(({ type, key = null, ...rest }) => stringifyJson({ type, key, ...rest } as Value))
  writeFileSync(join(path, '0.ndjson'), lines.map((line) => `${line}\n`).join(''))
  return { memory: memoryLog({ partitions: { 'p/0': events } }), file: fileLog({ path: join(path, '..') }) }
}

const order = {
  id: 'o-1', amount: 12.5, note: 'gift', customer: { id: 'c-1', name: 'Ada', city: null },
  items: [{ sku: 's-1', price: 5, tax: { rate: 7 } }, { sku: 's-2', price: 7.5, tax: { rate: 19 } }], big: 9_007_199_254_740_993n,
}
const placed = (data: unknown = order, more: Partial<MemoryEvent> = {}): MemoryEvent => ({ type: 'Placed', key: 'k', data: data as Value, ...more })
const READS = ['amount', 'customer.id', 'items[].sku', 'items[].tax', 'absent']

/** The handler of `Placed` is the case at hand. */
function projectionOf(handler: (data: any, put: (value: any) => void, event: any) => unknown, more: object = {}): Projection {
  return defineProjection({
    name: 'orders', version: 1, collections: { orders: {} }, reads: READS,
    on: { Placed: (state: any, event: any) => handler(event.data, (value) => state.orders.put('k', value), event) }, ...more,
  } as any)
}

async function valueOf(projection: Projection, source: EventSource): Promise<{ value: Value | undefined; sealed: SealedRun }> {
  const store = memoryStore()
  const sealed = await runIn(worldOf(1), { source, projection, store })
  const state = await openState(store, { projection })
  const value = await state.get('orders', 'k')
  await state.close()
  return { value, sealed }
}

/** What both sources give, which must be the same. */
async function givenBy(projection: Projection, events: readonly MemoryEvent[] = [placed()]): Promise<Value | undefined> {
  const { memory, file } = sourcesOf(events)
  const [first, second] = [await valueOf(projection, memory), await valueOf(projection, file)]
  expect(second.sealed.root).toBe(first.sealed.root)
  expect(second.value).toEqual(first.value)
  return first.value
}

async function refusalOf(projection: Projection, events: readonly MemoryEvent[] = [placed()]): Promise<any> {
  const { memory, file } = sourcesOf(events)
  const [first, second] = [await failureOf(valueOf(projection, memory)), await failureOf(valueOf(projection, file))]
  expect(second.code).toBe(first.code)
  expect(second.message).toBe(first.message)
  expect(second.details).toMatchObject({ partition: first.details.partition, offset: first.details.offset })
  return first
}

describe('declared reads', () => {
  test('give a handler what it declared, nested too, whatever the source', async () => {
    const projection = projectionOf((data, put) => put([data.amount, data.customer.id, data.items.map((item: any) => [item.sku, item.tax.rate])]))
    expect(await givenBy(projection)).toEqual([12.5, 'c-1', [['s-1', 7], ['s-2', 19]]])
  })

  test('a field that is declared and not there is undefined, and is not in the data', async () => {
    const projection = projectionOf((data, put) => put([data.absent === undefined, 'absent' in data, 'amount' in data, Object.hasOwn(data, 'amount')]))
    expect(await givenBy(projection)).toEqual([true, false, true, true])
  })

  test('what is under a declared path is whole: it can be kept, listed and spread', async () => {
    const projection = projectionOf((data, put) => put({ ...data.items[0].tax, all: data.items.map((item: any) => item.tax) }))
    expect(await givenBy(projection)).toEqual({ rate: 7, all: [{ rate: 7 }, { rate: 19 }] })
  })

  test("are all that is asked for where partitions are merged, too", async () => {
    const { memory } = sourcesOf([placed(order, { recordedAt: 1 }), placed(order, { recordedAt: 2 })])
    const asked: unknown[] = []
    const source = tampered(memory, (batch) => ({
      ...batchWith(batch, Array.from({ length: batch.length }, (_, i) => ({ from: i, offset: batch.offsetAt(i) })), batch.through),
      event(i, reads) {
        asked.push(reads?.paths)
        return batch.event(i, reads)
      },
    }))
    await valueOf(projectionOf((data, put) => put(data.amount), { order: 'time' }), source)
    expect(new Set(asked.map(String))).toEqual(new Set([String([...READS].sort())]))
  })

  test('of a type win over those of the projection', async () => {
    const projection = projectionOf((data, put) => put(data.note), { events: { Placed: { reads: ['note'] } } })
    expect(await givenBy(projection)).toBe('gift')
    const error = await refusalOf(projectionOf((data) => data.amount, { events: { Placed: { reads: ['note'] } } }))
    expect(error.code).toBe('FIELD_NOT_DECLARED')
  })

  test('none at all: the event is there, and of its data nothing', async () => {
    const projection = projectionOf((data, put, event) => put([event.key, typeof data]), { reads: [] })
    expect(await givenBy(projection)).toEqual(['k', 'object'])
    expect((await refusalOf(projectionOf((data) => data.amount, { reads: [] }))).details.path).toBe('$.amount')
  })

  test('data that is no object is read whole', async () => {
    for (const data of [5, 'text', null, [1, { note: 2 }]]) {
      expect(await givenBy(projectionOf((given, put) => put([given])), [placed(data)])).toEqual([data])
    }
  })

  test('work for reducers, and with declared int64 fields, whose data stays guarded', async () => {
    const events = [placed({ amount: 5, big: 7, note: 'gift' })]
    const reducer = (on: (data: any) => Value): Projection => defineReducer({
      name: 'orders', version: 1, collection: 'orders', reads: ['amount', 'big'], events: { Placed: { int64: ['big'] } },
      on: { Placed: (_: unknown, { data }) => on(data) },
    })
    expect(await givenBy(reducer((data) => `${data.amount} ${typeof data.big} ${data.big}`), events)).toBe('5 bigint 7')
    expect((await refusalOf(reducer((data) => data.note), events)).details.path).toBe('$.note')
  })
})

describe('a field that is not declared', () => {
  test.each<[string, string, (data: any, put: (value: any) => void) => unknown]>([
    ['$.note', 'read', (data) => data.note],
    ['$.nowhere', 'read, though it is in no event', (data) => data.nowhere],
    ['$.constructor', 'read, though every object inherits one', (data, put) => put(data.constructor === 'Ferrari')],
    ['$.note', 'asked for with in', (data) => 'note' in data],
    ['$.note', 'taken apart', ({ note }) => note],
    ['$.customer.name', 'read in an object', (data) => data.customer.name],
    ['$.items[].price', 'read in an element', (data) => data.items[1].price],
    ['$.note', 'read, and the error swallowed', (data, put) => {
      try {
        put(data.note)
      } catch {
        put(null)
      }
    }],
    ['$.note', 'asked for with hasOwn', (data) => Object.hasOwn(data, 'note')],
    ['$', 'kept with the whole data', (data, put) => put(data)],
    ['$.customer', 'kept with an object of the data', (data, put) => put({ customer: data.customer })],
    ['$.items[]', 'kept with an array of the data', (data, put) => put(data.items)],
    ['$', 'in a copy of all of the data', (data, put) => put({ ...data })],
    ['$', 'in a list of names', (data, put) => put(Object.keys(data))],
    ['$.items[]', 'in a list of an element', (data, put) => put(Object.entries(data.items[0]).length)],
    ['$', 'in a loop over names', (data) => { for (const name in data) String(name) }],
    ['$', 'in JSON of the data', (data, put) => put(JSON.stringify(data))],
    ['$.customer', 'in JSON that holds an object of the data', (data, put) => put(JSON.stringify([data.customer]))],
  ])('%s is FIELD_NOT_DECLARED where it is %s', async (path, _, handler) => {
    const data = { amount: 1, note: 1, customer: { id: 1, name: 2 }, items: [{ sku: 1, price: 2 }, { sku: 1, price: 2 }] }
    const error = await refusalOf(projectionOf(handler), [placed(data)])
    expect(error).toMatchObject({ code: 'FIELD_NOT_DECLARED', exitCode: 8, details: { path, partition: 'p/0', offset: 0 } })
    expect(error.message).toContain('Placed')
  })

  test('is named with the event that touched it, not one that was read ahead', async () => {
    const keys = { Placed: (event: any) => [{ collection: 'orders', key: event.data.amount > 2 ? event.data.note : 'k' }] }
    const projection = projectionOf((data, put) => put(data.amount), { keys })
    const error = await refusalOf(projection, Array.from({ length: 400 }, (_, i) => placed({ amount: i === 399 ? 3 : 1 })))
    expect(error).toMatchObject({ code: 'FIELD_NOT_DECLARED', details: { path: '$.note', offset: 399 } })
  })

  test('is refused to upcasters, whatever they list, and to schemas', async () => {
    const upcast = (upcaster: (data: any) => unknown): Projection => projectionOf((data, put) => put(data.amount), { upcasters: { Placed: { 1: upcaster } } })
    expect((await refusalOf(upcast((data) => ({ amount: data.note })))).details.path).toBe('$.note')
    expect((await refusalOf(upcast((data) => ({ ...data, currency: 'EUR' })))).code).toBe('FIELD_NOT_DECLARED')
    expect(await givenBy(upcast((data) => ({ amount: data.amount * 2 })))).toBe(25)
    expect(await givenBy(upcast((data) => data))).toBe(12.5)
    expect(await givenBy(upcast((data) => {
      data.note = 'new'
      data.amount += data.note.length
      return data
    }))).toBe(15.5)
    const valid = (schema: v.GenericSchema): Projection => projectionOf((data, put) => put(data.amount), { events: { Placed: { schema } } })
    expect(await givenBy(valid(v.object({ amount: v.number(), absent: v.optional(v.number()) })))).toBe(12.5)
    expect((await refusalOf(valid(v.object({ amount: v.number(), note: v.string() })))).details.path).toBe('$.note')
    expect((await refusalOf(valid(v.looseObject({ amount: v.number() })))).code).toBe('FIELD_NOT_DECLARED')
  })

  test('may hold an integer that no number holds: it is not read', async () => {
    expect(await givenBy(projectionOf((data, put) => put(data.amount)))).toBe(12.5)
    const error = await refusalOf(projectionOf((data, put) => put(data.amount), { reads: ['amount', 'big'] }))
    expect(error).toMatchObject({ code: 'NUMBER_INEXACT', details: { path: '$.big' } })
  })
})

describe('the definition', () => {
  test.each(['', 'a.', '.a', 'a[0]', 'a[]b', '[]', 'a..b', '__proto__', 'a.__proto__.b', 5])('%j is not a path', (path) => {
    expect(() => projectionOf(() => {}, { reads: [path] })).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })

  test('has reads in its fingerprint only where they are declared', () => {
    const shape = (more: object): any => projectionOf(() => {}, more).shape['events']
    expect(shape({ reads: undefined })[0]).not.toHaveProperty('reads')
    expect(shape({ reads: ['b', 'a', 'b'] })[0].reads).toEqual(['a', 'b'])
  })
})
