import { randomUUID } from 'node:crypto'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent } from '../../adapters/memory/index.js'
import {
  compositeKey, defineProjection, defineReducer, openState, type Projection, type ReplayOptions, type SealedRun, type Value,
} from '../../src/index.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

const store = memoryStore
const events = (...list: MemoryEvent[]): Record<string, MemoryEvent[]> => ({ p: list })

function run(projection: Projection, partitions: Record<string, MemoryEvent[]>, over: Partial<ReplayOptions> = {}): Promise<SealedRun> {
  return runIn(worldOf(1), { source: memoryLog({ partitions }), projection, store: store(), ...over })
}

async function valuesOf(projection: Projection, list: MemoryEvent[], over: Partial<ReplayOptions> = {}): Promise<Record<string, Value>> {
  const kept = memoryStore()
  await run(projection, events(...list), { store: kept, ...over })
  const state = await openState(kept, { projection })
  const rows = await state.scan('things', null, 100)
  await state.close()
  return Object.fromEntries(rows.map(({ key, value }) => [key, value]))
}

/** One collection `things`; the handler of `Did` is the case at hand. */
function things(handler: (state: any, event: any) => unknown, more: object = {}): Projection {
  return defineProjection({ name: 'things', version: 1, collections: { things: {} }, on: { Did: handler as any }, ...more } as any)
}

const did = (data: Value = {}, more: Partial<MemoryEvent> = {}): MemoryEvent => ({ type: 'Did', key: 'k', data, ...more })

describe('a handler', () => {
  test('that throws is HANDLER_FAILED, with partition, offset and cause, and the flag that leaves the event out', async () => {
    const projection = things((state, event) => {
      if (event.data.n === 2) throw new TypeError('no such account')
      state.things.put('k', event.data.n)
    })
    const list = [did({ n: 1 }), did({ n: 2 }), did({ n: 3 })]
    const error = await failureOf(run(projection, events(...list)))
    expect(error).toMatchObject({ code: 'HANDLER_FAILED', exitCode: 8, details: { partition: 'p', offset: 1 } })
    expect(error.message).toContain('no such account')
    expect(error.cause).toBeInstanceOf(TypeError)
    expect(error.fix).toContain('--accept HANDLER_FAILED=p@1')
    const sealed = await run(projection, events(...list), { accept: ['HANDLER_FAILED=p@1'] })
    expect(sealed.complete).toBe(false)
    expect(sealed.accepted).toEqual([{ code: 'HANDLER_FAILED', partition: 'p', from: 1, to: 1 }])
    expect(await valuesOf(projection, list, { accept: ['HANDLER_FAILED=p@1'] })).toEqual({ k: 3 })
  })

  test('leaves nothing behind when it throws: its writes before the throw are gone', async () => {
    const kept = store()
    const projection = things((state, event) => {
      state.things.put('k', event.data.n)
      if (event.data.n === 2) throw new Error('after the write')
    })
    await failureOf(run(projection, events(did({ n: 1 }), did({ n: 2 })), { store: kept }))
    const sealed = await run(projection, events(did({ n: 1 }), did({ n: 2 })), { store: kept, accept: ['HANDLER_FAILED=p@1'] })
    const state = await openState(kept, { projection })
    expect(await state.get('things', 'k')).toBe(1)
    expect(sealed.position.get('p')).toBe(1)
  })

  test('that returns a promise is HANDLER_ASYNC', async () => {
    const error = await failureOf(run(things(async () => { throw new Error('later') }), events(did())))
    expect(error).toMatchObject({ code: 'HANDLER_ASYNC', details: { partition: 'p', offset: 0 } })
  })

  test('sees its own writes before they take effect, and nothing after a delete', async () => {
    const seen: unknown[] = []
    const projection = things((state) => {
      state.things.put('k', { n: 1 })
      const afterPut = state.things.get('k')
      state.things.delete('k')
      seen.push([afterPut, state.things.get('k')])
      state.things.put('k', { n: 2 })
    })
    expect(await valuesOf(projection, [did()])).toEqual({ k: { n: 2 } })
    expect(seen[0]).toEqual([{ n: 1 }, undefined])
  })

  test('gets after put what it gets after a reload: undefined dropped, −0 is 0, frozen all the way', async () => {
    const seen: any[] = []
    const projection = things((state, event) => {
      if (event.data.first) state.things.put('k', { a: -0, b: undefined, c: [{ d: 1 }], e: new Uint8Array([1, 2]) })
      const value = state.things.get('k')
      seen.push(value, Object.isFrozen(value), Object.isFrozen(value.c[0]))
      value.e[0] = 99
    })
    const kept = memoryStore()
    const log = memoryLog({ partitions: events(did({ first: true })) })
    await runIn(worldOf(1), { source: log, projection, store: kept })
    log.append('p', did({ first: false }))
    await runIn(worldOf(1), { source: log, projection, store: kept })
    const [first] = seen
    expect(Object.is(first.a, 0) && !('b' in first)).toBe(true)
    expect(seen.filter((item) => item === false)).toEqual([])
    expect(seen.at(-3)).toEqual({ a: 0, c: [{ d: 1 }], e: new Uint8Array([99, 2]) })
  })

  test('can not change a value it got: the attempt throws, and the state stays', async () => {
    const projection = things((state, event) => {
      if (event.data.n === 1) state.things.put('k', { list: [1] })
      else state.things.get('k').list.push(2)
    })
    const error = await failureOf(run(projection, events(did({ n: 1 }), did({ n: 2 }))))
    expect(error.code).toBe('HANDLER_FAILED')
    expect(error.cause).toBeInstanceOf(TypeError)
  })

  test('that touches a key it did not declare is KEY_NOT_DECLARED, even where it swallows the error', async () => {
    for (const verb of ['get', 'put', 'delete']) {
      const error = await failureOf(run(things((state) => {
        try { state.things[verb]('other', 1) } catch { /* swallowed */ }
      }), events(did())))
      expect(error).toMatchObject({ code: 'KEY_NOT_DECLARED', details: { key: 'other', partition: 'p', offset: 0 } })
    }
  })

  test.each<[string, () => unknown]>([
    ['Date.now', () => Date.now()],
    ['new Date', () => new Date()],
    ['Math.random', () => Math.random()],
    ['performance.now', () => performance.now()],
    ['randomUUID', () => randomUUID()],
    ['setTimeout', () => setTimeout(() => {}, 1)],
    ['fetch', () => fetch('http://127.0.0.1:1')],
  ])('that calls %s is IMPURE_HANDLER, and the call works again outside', async (_name, impure) => {
    const error = await failureOf(run(things(() => { impure() }), events(did())))
    expect(error).toMatchObject({ code: 'IMPURE_HANDLER', details: { partition: 'p', offset: 0 } })
    expect(() => [Date.now(), new Date(), Math.random(), performance.now(), randomUUID()]).not.toThrow()
  })

  test('that keeps state in its module is NOT_DETERMINISTIC', async () => {
    let calls = 0
    const error = await failureOf(run(things((state) => { state.things.put('k', ++calls) }), events(did())))
    expect(error).toMatchObject({ code: 'NOT_DETERMINISTIC', details: { partition: 'p', offset: 0, key: 'k' } })
  })
})

describe('a reducer', () => {
  test('keeps one entity per event key; null deletes it', async () => {
    const projection = defineReducer<number>({
      name: 'r', version: 1, collection: 'things', on: { Add: (n, event) => (n ?? 0) + event.data, Drop: () => null },
    })
    const list = [{ type: 'Add', key: 'a', data: 2 }, { type: 'Add', key: 'a', data: 3 }, { type: 'Add', key: 'b', data: 1 }, { type: 'Drop', key: 'b' }]
    expect(await valuesOf(projection, list)).toEqual({ a: 5 })
  })

  test('that returns undefined is HANDLER_RETURNED_NOTHING', async () => {
    const projection = defineReducer({ name: 'r', version: 1, collection: 'things', on: { Did: () => undefined as any } })
    expect(await failureOf(run(projection, events(did())))).toMatchObject({ code: 'HANDLER_RETURNED_NOTHING', details: { offset: 0 } })
  })

  test('that returns a promise is HANDLER_ASYNC', async () => {
    const projection = defineReducer({ name: 'r', version: 1, collection: 'things', on: { Did: async () => 1 } })
    expect((await failureOf(run(projection, events(did())))).code).toBe('HANDLER_ASYNC')
  })
})

describe('keys and values', () => {
  test.each<[string, unknown]>([
    ['an empty string', ''], ['a number', 7], ['null', null], ['a lone surrogate', '\ud800'], ['1,025 bytes', 'é'.repeat(512) + 'x'],
  ])('a key that is %s is KEY_INVALID, never coerced', async (_name, key) => {
    const projection = things(() => {}, { keys: { Did: () => [{ collection: 'things', key }] } })
    expect(await failureOf(run(projection, events(did())))).toMatchObject({ code: 'KEY_INVALID', details: { partition: 'p', offset: 0 } })
  })

  test('a key of 1,024 bytes and one of several parts are fine', async () => {
    const key = 'é'.repeat(512)
    const composite = compositeKey('a', 1)
    const projection = things((state, event) => state.things.put(event.data, 1), {
      keys: { Did: (event: any) => [{ collection: 'things', key: event.data }] },
    })
    expect(await valuesOf(projection, [did(key), did(composite)])).toEqual({ [key]: 1, '["a",1]': 1 })
  })

  test('an event without a key is legal, unless the state is kept under it: EVENT_KEY_MISSING', async () => {
    const error = await failureOf(run(things(() => {}), events(did({}, { key: null }))))
    expect(error).toMatchObject({ code: 'EVENT_KEY_MISSING', details: { partition: 'p', offset: 0 } })
    const named = things((state) => state.things.put('x', 1), { keys: { Did: () => [{ collection: 'things', key: 'x' }] } })
    expect(await valuesOf(named, [did({}, { key: null })])).toEqual({ x: 1 })
  })

  test.each<[string, () => unknown, string]>([
    ['NaN', () => ({ a: [Number.NaN] }), '$.a[0]'],
    ['a Date', () => ({ at: new Date(0) }), '$.at'],
    ['a Map', () => new Map(), '$'],
    ['a bigint that fits a number', () => ({ n: 5n }), '$.n'],
    ['__proto__', () => JSON.parse('{"__proto__": 1}'), '__proto__'],
  ])('a value with %s is VALUE_INVALID, with its path', async (_name, make, path) => {
    const error = await failureOf(run(things((state) => state.things.put('k', make())), events(did())))
    expect(error).toMatchObject({ code: 'VALUE_INVALID', details: { partition: 'p', offset: 0, collection: 'things', key: 'k' } })
    expect(`${error.details.path} ${error.message}`).toContain(path)
  })

  test('a declared int64 field is a bigint after put and after a reload, whatever its size', async () => {
    const seen: unknown[] = []
    const projection = things((state, event) => {
      seen.push(state.things.get('k')?.total)
      state.things.put('k', { total: (state.things.get('k')?.total ?? 0n) + BigInt(event.data.n) })
    }, { collections: { things: { int64: ['total'] } } })
    const kept = memoryStore()
    const log = memoryLog({ partitions: events(did({ n: 5 }), did({ n: 6 })) })
    await runIn(worldOf(1), { source: log, projection, store: kept })
    log.append('p', did({ n: 2 ** 52 }))
    await runIn(worldOf(1), { source: log, projection, store: kept })
    expect(new Set(seen)).toEqual(new Set([undefined, 5n, 11n]))
  })

  test('a schema of a collection is asked on every put, and its output is what is kept', async () => {
    const schema = v.object({ n: v.number(), tag: v.optional(v.string(), 'none') })
    const projection = things((state, event) => state.things.put('k', event.data), { collections: { things: { schema } } })
    expect(await valuesOf(projection, [did({ n: 1 })])).toEqual({ k: { n: 1, tag: 'none' } })
    const error = await failureOf(run(projection, events(did({ n: 'one' }))))
    expect(error).toMatchObject({ code: 'VALUE_INVALID', details: { path: '$.n', collection: 'things', key: 'k', offset: 0 } })
  })
})

describe('what events may be', () => {
  const schema = v.object({ n: v.number() })

  test('a schema is asked for every event; one that does not fit is EVENT_INVALID and can be left out', async () => {
    const projection = things((state, event) => state.things.put('k', event.data.n), { events: { Did: { schema } } })
    const list = [did({ n: 1, more: true }), did({ n: 'two' })]
    const error = await failureOf(run(projection, events(...list)))
    expect(error).toMatchObject({ code: 'EVENT_INVALID', details: { partition: 'p', offset: 1, path: '$.n' } })
    expect(error.fix).toContain('--accept EVENT_INVALID=p@1')
    expect(await valuesOf(projection, list, { accept: ['EVENT_INVALID=p@1'] })).toEqual({ k: 1 })
  })

  test('an asynchronous schema is refused before the first event', async () => {
    const slow = v.pipeAsync(v.any(), v.checkAsync(async () => true))
    const error = await failureOf(run(things(() => {}, { events: { Did: { schema: slow } } }), events(did())))
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
    expect(error.message).toContain('events.Did.schema')
  })

  test('old versions go up the chain of upcasters, one step at a time', async () => {
    const projection = things((state, event) => state.things.put('k', [event.schemaVersion, event.data]), {
      upcasters: { Did: { 1: (data: any) => ({ ...data, two: true }), 2: (data: any) => ({ ...data, three: true }) } },
    })
    expect(await valuesOf(projection, [did({ n: 1 })])).toEqual({ k: [3, { n: 1, two: true, three: true }] })
    expect(await valuesOf(projection, [did({ n: 1 }, { schemaVersion: 2 })])).toEqual({ k: [3, { n: 1, three: true }] })
    const error = await failureOf(run(projection, events(did({}, { schemaVersion: 4 }))))
    expect(error).toMatchObject({ code: 'EVENT_TYPE_UNKNOWN', details: { offset: 0, actual: 'Did version 4' } })
  })

  test('an upcaster that throws is EVENT_INVALID; one that returns a promise is HANDLER_ASYNC', async () => {
    const throwing = things(() => {}, { upcasters: { Did: { 1: () => { throw new Error('cannot') } } } })
    expect(await failureOf(run(throwing, events(did())))).toMatchObject({ code: 'EVENT_INVALID', details: { offset: 0 } })
    const slow = things(() => {}, { upcasters: { Did: { 1: async () => ({}) } } })
    expect((await failureOf(run(slow, events(did())))).code).toBe('HANDLER_ASYNC')
  })

  test('an unknown type halts by default, and is passed over and counted where the projection says so', async () => {
    const list = [did({ n: 1 }), { type: 'Other', key: 'k' }, did({ n: 2 }, { schemaVersion: 9 })]
    const error = await failureOf(run(things(() => {}), events(...list)))
    expect(error).toMatchObject({ code: 'EVENT_TYPE_UNKNOWN', details: { partition: 'p', offset: 1, actual: 'Other' } })
    const sealed = await run(things(() => {}, { unknownEvents: 'skip' }), events(...list))
    expect(sealed.run).toMatchObject({ applied: 1, skipped: 2 })
    expect(sealed.position.get('p')).toBe(2)
  })

  test('integers beyond 2^53 are NUMBER_INEXACT with their path, and bigints where the field is declared', async () => {
    const big = did({ items: [{ n: 2n ** 60n }] })
    const error = await failureOf(run(things(() => {}), events(big)))
    expect(error).toMatchObject({ code: 'NUMBER_INEXACT', details: { path: '$.items[0].n', offset: 0 } })
    expect(error.fix).toContain("int64: ['items[].n']")
    const declared = things((state, event) => state.things.put('k', typeof event.data.items[0].n), {
      events: { Did: { int64: ['items[].n'] } },
    })
    expect(await valuesOf(declared, [big])).toEqual({ k: 'bigint' })
    expect(await valuesOf(declared, [did({ items: [{ n: 7 }] })])).toEqual({ k: 'bigint' })
  })

  test('of two errors in one batch, the earlier offset is the one that is told', async () => {
    const projection = things((_state, event) => { if (event.data.n === 1) throw new Error('first') })
    const list = [did({ n: 0 }), did({ n: 1 }), { type: 'Unknown', key: 'k' }]
    for (const size of [1, 2, 3]) {
      const error = await failureOf(run(projection, events(...list), { batch: { events: size } }))
      expect(error).toMatchObject({ code: 'HANDLER_FAILED', details: { offset: 1 } })
    }
  })
})

describe('event ids', () => {
  const counting = (window: number): Projection =>
    things((state) => state.things.put('k', (state.things.get('k') ?? 0) + 1), { ids: { window } })
  const withIds = (...ids: (string | null)[]): MemoryEvent[] => ids.map((id) => did({}, { id }))

  test('a repeat within the window is dropped and counted; beyond it, it is not checked', async () => {
    const sealed = await run(counting(3), events(...withIds('a', 'b', 'a', 'c', 'd', 'e', 'b')))
    expect(sealed.run).toMatchObject({ applied: 6, duplicates: 1 })
    expect(sealed.idWindow).toBe(3)
    expect((await run(counting(0), events(...withIds('a', 'a')))).run.applied).toBe(2)
  })

  test('the window holds over restarts, and the control root says the same', async () => {
    const ids = ['a', 'b', 'c', 'a', 'd', 'b', 'e', 'a', 'f', 'f']
    const whole = await run(counting(4), events(...withIds(...ids)))
    for (let cut = 0; cut < ids.length - 1; cut++) {
      const kept = memoryStore()
      const options = { store: kept, until: `p@${cut}` }
      await run(counting(4), events(...withIds(...ids)), options)
      const sealed = await run(counting(4), events(...withIds(...ids)), { store: kept })
      expect(sealed.root).toBe(whole.root)
      expect(sealed.seal.manifest.control).toBe(whole.seal.manifest.control)
    }
  })

  test('the same id with other content is EVENT_ID_REUSED', async () => {
    const error = await failureOf(run(counting(5), events(did({ n: 1 }, { id: 'x' }), did({ n: 2 }, { id: 'x' }))))
    expect(error).toMatchObject({ code: 'EVENT_ID_REUSED', details: { partition: 'p', offset: 1 } })
  })
})

describe('keys and partitions', () => {
  const projection = things((state, event) => { if (event.data.write) state.things.put('k', 1) })

  test('a key that two partitions touch is KEY_CROSSES_PARTITIONS, also where it was only read or is deleted', async () => {
    const deleting = things((state) => { state.things.put('k', 1); state.things.delete('k') })
    for (const [which, first] of [[projection, did({ write: false })], [deleting, did({})], [projection, did({ write: true })]] as const) {
      const error = await failureOf(run(which, { a: [first], b: [did({ write: true })] }))
      expect(error).toMatchObject({ code: 'KEY_CROSSES_PARTITIONS', details: { collection: 'things', key: 'k' } })
      expect(error.message).toMatch(/belongs to [ab], and [ab]@0/)
    }
  })

  test('it is found after a restart too, when the first partition was sealed alone', async () => {
    const kept = memoryStore()
    const log = { a: [did({ write: true }), did({})], b: [did({ write: true })] }
    await run(projection, log, { store: kept, until: 'a@1' })
    expect((await failureOf(run(projection, log, { store: kept }))).code).toBe('KEY_CROSSES_PARTITIONS')
  })
})
