import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent, type MemoryLog } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { defineProjection, openState, plan, replay, type Projection, type ReplayOptions } from '../../src/index.js'
import { batchWith, failureOf, runIn, tampered, worldOf } from '../support/worlds.js'

const folder = mkdtempSync(join(tmpdir(), 'refusals-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const add = (n: number): MemoryEvent => ({ type: 'Add', key: `k${n % 3}`, data: { n } })
const log = (count = 10, partition = 'p'): MemoryLog =>
  memoryLog({ partitions: { [partition]: Array.from({ length: count }, (_, i) => add(i)) } })

function sums(more: object = {}, factor = 1): Projection {
  return defineProjection({
    name: 'sums', version: 1, collections: { sums: {} },
    on: factor === 1
      ? { Add: (state: any, event: any) => state.sums.put(event.key, (state.sums.get(event.key) ?? 0) + event.data.n) }
      : { Add: (state: any, event: any) => state.sums.put(event.key, (state.sums.get(event.key) ?? 0) + 2 * event.data.n) },
    ...more,
  } as any)
}

/** The code of a projection as the host would hash it, chosen by the test. */
const world = (code = 'sh1:one', seed = 1) => worldOf(seed, { codeOf: async () => code })

async function sealedStore(source = log(), projection = sums(), over: Partial<ReplayOptions> = {}) {
  const store = memoryStore()
  const sealed = await runIn(world(), { source, projection, store, ...over })
  return { store, sealed, source }
}

describe('resuming under a changed projection', () => {
  test('other code under the same version is PROJECTION_CHANGED: code; it can be accepted, and stands in the seal', async () => {
    const { store, source } = await sealedStore()
    const options = { source, projection: sums(), store }
    const error = await failureOf(runIn(world('sh1:two'), options))
    expect(error).toMatchObject({ code: 'PROJECTION_CHANGED', exitCode: 8 })
    expect(error.message).toContain('code')
    expect(error.fix).toContain('--accept PROJECTION_CHANGED=code')
    const sealed = await runIn(world('sh1:two'), { ...options, accept: ['PROJECTION_CHANGED=code'] })
    expect(sealed.accepted).toEqual([{ code: 'PROJECTION_CHANGED', detail: 'code' }])
    await runIn(world('sh1:two'), options)
  })

  test.each<[string, object]>([
    ['collections', { collections: { sums: { version: 2 } } }],
    ['events', { on: { Add: () => {}, More: () => {} } }],
    ['policies', { unknownEvents: 'skip' }],
    ['order', { order: 'time' }],
    ['name', { name: 'other' }],
  ])('another shape is PROJECTION_CHANGED naming the part (%s), and can not be accepted', async (part, more) => {
    const { store, source } = await sealedStore()
    const error = await failureOf(runIn(world(), { source, projection: sums(more), store, accept: ['PROJECTION_CHANGED=code'] }))
    expect(error.code).toBe('PROJECTION_CHANGED')
    expect(error.message).toContain(part)
  })

  test('without a module, the text of the handlers is the code', async () => {
    const { store, source } = await sealedStore()
    const textWorld = worldOf(1, { codeOf: async () => null })
    const other = memoryStore()
    await runIn(textWorld, { source, projection: sums(), store: other })
    expect((await failureOf(runIn(textWorld, { source, projection: sums({}, 2), store: other }))).code).toBe('PROJECTION_CHANGED')
    expect((await failureOf(runIn(textWorld, { source, projection: sums(), store }))).code).toBe('PROJECTION_CHANGED')
  })

  test('another version opens a new generation, and the first goes on when its version comes back', async () => {
    const { store, source } = await sealedStore()
    const second = await runIn(world('sh1:two'), { source, projection: sums({ version: 2 }, 2), store })
    expect(second).toMatchObject({ generation: 2, live: true })
    const first = await runIn(world(), { source, projection: sums(), store })
    expect(first).toMatchObject({ generation: 1, live: false })
    expect((await store.generations()).map(({ generation, live }) => [generation, live])).toEqual([[1, false], [2, true]])
  })
})

describe('resuming under a changed log', () => {
  test('another first record is LOG_RECREATED', async () => {
    const { store, source } = await sealedStore()
    source.replace('p', Array.from({ length: 20 }, (_, i) => add(i + 100)))
    expect(await failureOf(runIn(world(), { source, projection: sums(), store }))).toMatchObject({ code: 'LOG_RECREATED', exitCode: 7, details: { partition: 'p' } })
  })

  test('a record that was applied and has other content is LOG_REWRITTEN', async () => {
    const { store, source } = await sealedStore()
    source.replace('p', [...Array.from({ length: 9 }, (_, i) => add(i)), add(99), add(10)])
    expect((await failureOf(runIn(world(), { source, projection: sums(), store }))).code).toBe('LOG_REWRITTEN')
  })

  test('a log that ends before the position, one that starts after it, and one that is gone are LOG_TRUNCATED', async () => {
    for (const change of [
      (source: MemoryLog) => source.replace('p', Array.from({ length: 5 }, (_, i) => add(i))),
      (source: MemoryLog) => { for (let i = 10; i < 20; i++) source.append('p', add(i)); source.expire('p', 12) },
    ]) {
      const { store, source } = await sealedStore()
      change(source)
      expect(await failureOf(runIn(world(), { source, projection: sums(), store }))).toMatchObject({ code: 'LOG_TRUNCATED', details: { partition: 'p' } })
    }
    const { store } = await sealedStore()
    expect((await failureOf(runIn(world(), { source: log(10, 'q'), projection: sums(), store }))).code).toBe('LOG_TRUNCATED')
  })

  test('a fresh run on a log without its beginning is HISTORY_INCOMPLETE, unless accepted by name', async () => {
    const source = log()
    source.expire('p', 4)
    const error = await failureOf(runIn(world(), { source, projection: sums(), store: memoryStore() }))
    expect(error).toMatchObject({ code: 'HISTORY_INCOMPLETE', details: { partition: 'p', offset: 4 } })
    expect(error.fix).toContain('--accept HISTORY_INCOMPLETE=p@4')
    const sealed = await runIn(world(), { source, projection: sums(), store: memoryStore(), accept: ['HISTORY_INCOMPLETE=p@4'] })
    expect(sealed).toMatchObject({ complete: false, accepted: [{ code: 'HISTORY_INCOMPLETE', partition: 'p', to: 3 }], run: { applied: 6 } })
    expect((await failureOf(runIn(world(), { source, projection: sums(), store: memoryStore(), accept: ['HISTORY_INCOMPLETE=p@3'] }))).code).toBe('HISTORY_INCOMPLETE')
  })
})

describe('what a source delivers', () => {
  const faulty = (change: Parameters<typeof tampered>[1]) => tampered(log(), change)

  test('a missing offset is LOG_GAP, unless that gap is accepted; then it stands in the seal', async () => {
    const source = (): any => faulty((batch) => batchWith(batch, [0, 1, 2, 5, 6, 7, 8, 9].map((i) => ({ from: i, offset: i })), 9))
    const error = await failureOf(runIn(world(), { source: source(), projection: sums(), store: memoryStore() }))
    expect(error).toMatchObject({ code: 'LOG_GAP', details: { partition: 'p', offset: 3 } })
    expect(error.fix).toContain('--accept LOG_GAP=p@3..4')
    const sealed = await runIn(world(), { source: source(), projection: sums(), store: memoryStore(), accept: ['LOG_GAP=p@3..4'] })
    expect(sealed).toMatchObject({ complete: false, accepted: [{ code: 'LOG_GAP', partition: 'p', from: 3, to: 4 }] })
    expect(sealed.seal.manifest.holes.compactedOrLost).toBe(2)
  })

  test('a gap at the end of a delivery is LOG_GAP too', async () => {
    const source = faulty((batch) => batchWith(batch, [0, 1].map((i) => ({ from: i, offset: i })), 9))
    expect(await failureOf(runIn(world(), { source, projection: sums(), store: memoryStore() }))).toMatchObject({ code: 'LOG_GAP', details: { offset: 2 } })
  })

  test('a repeated delivery is dropped and counted', async () => {
    const plain = await runIn(world(), { source: log(), projection: sums(), store: memoryStore(), batch: { events: 4 } })
    const source = faulty((batch) => [batch, batch])
    const sealed = await runIn(world(), { source, projection: sums(), store: memoryStore(), batch: { events: 4 } })
    expect(sealed.root).toBe(plain.root)
    expect(sealed.seal.manifestHash).toBe(plain.seal.manifestHash)
    expect(sealed.run).toMatchObject({ applied: 10, duplicates: 8 })
  })

  test('a repeat with other content is LOG_REWRITTEN', async () => {
    let last: any = null
    const source = faulty((batch) => {
      const again = last === null ? [batch] : [batchWith(batch, [{ from: 1, offset: last.offsetAt(0) }, { from: 0, offset: batch.offsetAt(0) }], batch.offsetAt(0))]
      last = batch
      return again
    })
    const error = await failureOf(runIn(world(), { source, projection: sums(), store: memoryStore(), batch: { events: 4 } }))
    expect(error).toMatchObject({ code: 'LOG_REWRITTEN', details: { offset: 0 } })
  })

  test('offsets that do not rise are read again once, then LOG_REORDERED', async () => {
    let disordered = 1
    const swap = (batch: any): any => batchWith(batch, [1, 0, 2, 3].map((i) => ({ from: i, offset: batch.offsetAt(i) })), batch.through)
    const once = faulty((batch) => (batch.length === 4 && disordered-- > 0 ? swap(batch) : batch))
    expect((await runIn(world(), { source: once, projection: sums(), store: memoryStore(), batch: { events: 4 } })).run.applied).toBe(10)
    const always = faulty((batch) => (batch.length === 4 ? swap(batch) : batch))
    const error = await failureOf(runIn(world(), { source: always, projection: sums(), store: memoryStore(), batch: { events: 4 } }))
    expect(error).toMatchObject({ code: 'LOG_REORDERED', details: { partition: 'p', offset: 0 } })
  })

  test('holes that a sparse log explains are counted in the seal; one it does not explain is LOG_GAP', async () => {
    const partitions = { p: [add(0), { hole: 'control' as const }, add(2), { hole: 'aborted' as const }, { hole: 'control' as const }] }
    const sealed = await runIn(world(), { source: memoryLog({ partitions, continuity: 'sparse' }), projection: sums(), store: memoryStore() })
    expect(sealed.position.get('p')).toBe(4)
    expect(sealed.seal.manifest.holes).toEqual({ control: 2, aborted: 1, filtered: 0, compactedOrLost: 0 })
    const lying = tampered(memoryLog({ partitions, continuity: 'sparse' }), (batch) => ({
      ...batchWith(batch, Array.from({ length: batch.length }, (_, i) => ({ from: i, offset: batch.offsetAt(i) })), batch.through),
      holes: { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 },
    }))
    expect((await failureOf(runIn(world(), { source: lying, projection: sums(), store: memoryStore() }))).code).toBe('LOG_GAP')
  })
})

describe('resuming under a changed store', () => {
  async function flipped(change: (db: Database.Database) => void, more: MemoryEvent[] = []) {
    const path = join(folder, `${Math.random()}.db`)
    const source = log()
    await runIn(world(), { source, projection: sums(), store: sqlite({ path }) })
    const db = new Database(path)
    change(db)
    db.close()
    for (const event of more) source.append('p', event)
    return await failureOf(runIn(world(), { source, projection: sums(), store: sqlite({ path }) }))
  }

  const tableOf = (db: Database.Database, collection: string): string =>
    `entries_${String(db.prepare('SELECT id FROM collections WHERE name = ?').pluck().get(collection))}`

  test('a row whose bytes were changed is STATE_CORRUPT, naming the key, before a handler sees it', async () => {
    const error = await flipped((db) => {
      db.prepare(`UPDATE "${tableOf(db, 'sums')}" SET bytes = x'07' WHERE key = 'k1'`).run()
    }, [add(1)])
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', exitCode: 2, details: { collection: 'sums', key: 'k1' } })
  })

  test('a changed checkpoint is STATE_CORRUPT, and --restart leads past it', async () => {
    const path = join(folder, 'checkpoint.db')
    const source = log()
    const first = await runIn(world(), { source, projection: sums(), store: sqlite({ path }) })
    const db = new Database(path)
    const bytes = db.prepare('SELECT checkpoint FROM generations').pluck().get() as Buffer
    bytes[100] = (bytes[100] as number) ^ 1
    db.prepare('UPDATE generations SET checkpoint = ?').run(bytes)
    db.close()
    const error = await failureOf(runIn(world(), { source, projection: sums(), store: sqlite({ path }) }))
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', exitCode: 2 })
    const again = await runIn(world(), { source, projection: sums(), store: sqlite({ path }), restart: true })
    expect(again).toMatchObject({ generation: 2, root: first.root, live: true })
  })

  test('a changed page of the digest is STATE_CORRUPT', async () => {
    const path = join(folder, 'both.db')
    const source = log()
    await runIn(world(), { source, projection: sums(), store: sqlite({ path }) })
    const db = new Database(path)
    db.prepare(`UPDATE "${tableOf(db, '$digest')}" SET bytes = x'c400'`).run()
    db.close()
    source.append('p', add(1))
    const error = await failureOf(runIn(world(), { source, projection: sums(), store: sqlite({ path }) }))
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: '$digest' } })
  })
})

describe('two writers', () => {
  test('while one writes the other is ALREADY_RUNNING; a takeover fences the first, which changes nothing more', async () => {
    const store = memoryStore()
    const source = log()
    const first = replay({ source, projection: sums(), store, until: 'follow' })
    for await (const event of first) if (event.kind === 'phase' && event.phase === 'following') break
    expect(await failureOf(replay({ source, projection: sums(), store }).done)).toMatchObject({ code: 'ALREADY_RUNNING', exitCode: 5 })
    source.append('p', add(10))
    const second = await replay({ source, projection: sums(), store, takeover: true }).done
    expect(second.position.get('p')).toBe(10)
    source.append('p', add(11))
    expect(await failureOf(first.done)).toMatchObject({ code: 'FENCED', exitCode: 5 })
    const rows = await store.generations()
    expect(rows[0]?.checkpoint?.manifest.position).toEqual({ p: 10 })
  })
})

describe('where a run may end', () => {
  test('before what is applied is USAGE, with inspect --at as the fix', async () => {
    const { store, source } = await sealedStore()
    const error = await failureOf(runIn(world(), { source, projection: sums(), store, until: 'p@3' }))
    expect(error).toMatchObject({ code: 'USAGE', exitCode: 64 })
    expect(error.fix).toContain('inspect KEY --at')
  })

  test.each(['p@10', 'q@0', 'nonsense', 'p@', '2026-13-45', 'p@1,p@2'])('--until %s is USAGE', async (until) => {
    expect((await failureOf(runIn(world(), { source: log(), projection: sums(), store: memoryStore(), until }))).code).toBe('USAGE')
  })

  test('a time ends each partition before its first record at or after it', async () => {
    const at = (ms: number): MemoryEvent => ({ ...add(1), recordedAt: ms })
    const source = memoryLog({ partitions: { a: [at(10), at(30), at(20)], b: [{ ...at(20), key: 'b' }, { ...at(5), key: 'b' }] } })
    const sealed = await runIn(world(), { source, projection: sums(), store: memoryStore(), until: new Date(20) })
    expect(Object.fromEntries(sealed.position)).toEqual({ a: 0 })
    const missing = log()
    expect((await failureOf(runIn(world(), { source: missing, projection: sums(), store: memoryStore(), until: new Date(20) }))).code).toBe('RECORDED_AT_MISSING')
  })

  test('an empty log is sealed like any other', async () => {
    const sealed = await runIn(world(), { source: memoryLog({ partitions: { p: [] } }), projection: sums(), store: memoryStore() })
    expect(sealed).toMatchObject({ root: 'sh1:e77b9a9ae9e30b0dbdb6f510a264ef9de781501d7b6b92ae89eb059c5ab743db', live: true })
    expect(sealed.collections['sums']?.count).toBe(0)
  })

  test('running again at the head changes nothing', async () => {
    const { store, source, sealed } = await sealedStore()
    const again = await runIn(world(), { source, projection: sums(), store })
    expect(again.seal.manifestHash).toBe(sealed.seal.manifestHash)
    expect(again.run.applied).toBe(0)
  })
})

describe('options', () => {
  test.each<[string, object, string]>([
    ['an unknown option', { untill: 'head' }, 'CONFIG_INVALID'],
    ['a baseline', { baseline: 'snapshot' }, 'OPTION_DEFERRED'],
    ['a shard that is none', { shard: '1/2' }, 'CONFIG_INVALID'],
    ['a shard beyond the last', { shard: { index: 2, of: 2 } }, 'CONFIG_INVALID'],
    ['no source', { source: undefined }, 'CONFIG_INVALID'],
    ['no such switch', { switch: 'never' }, 'CONFIG_INVALID'],
    ['a negative amount', { memoryBytes: -1 }, 'CONFIG_INVALID'],
    ['a code that can not be accepted', { accept: ['LOG_TRUNCATED=p@1'] }, 'USAGE'],
    ['a code that does not exist', { accept: ['LOG_GAPS=p@1'] }, 'USAGE'],
    ['a place that is none', { accept: ['LOG_GAP=p@5..3'] }, 'USAGE'],
    ['a changed shape', { accept: ['PROJECTION_CHANGED=shape'] }, 'USAGE'],
  ])('%s is refused by name', async (_name, over, code) => {
    expect((await failureOf(runIn(world(), { source: log(), projection: sums(), store: memoryStore(), ...over } as any))).code).toBe(code)
  })

  test("following with order 'time' needs to know how long to wait", async () => {
    const timed = sums({ order: 'time' })
    const error = await failureOf(runIn(world(), { source: log(), projection: timed, store: memoryStore(), until: 'follow' }))
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', details: { path: 'time.latenessMs' } })
  })

  test.each<[string, object]>([
    ['no name', { name: '' }], ['version 0', { version: 0 }], ['no collection', { collections: {} }], ['a name of the engine', { collections: { $x: {} } }],
    ['a handler that is none', { on: { Add: 1 } }], ['a typo', { handlers: {} }], ['keys of a type without handler', { keys: { Other: () => [] } }],
    ['a chain with a hole', { upcasters: { Add: { 2: (d: any) => d } } }], ['two collections without keys', { collections: { a: {}, b: {} } }],
  ])('a projection with %s is CONFIG_INVALID', (_name, more) => {
    expect(() => sums(more)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })
})

describe('plan', () => {
  test('says what a run would do, and lists every refusal', async () => {
    const { store, source } = await sealedStore()
    source.append('p', add(10))
    expect(await plan({ source, projection: sums(), store: memoryStore() })).toMatchObject({
      generation: 1, start: 'new', events: 11, refusals: [], partitions: [{ partition: 'p', first: 0, from: 0, upTo: 10 }],
    })
    const changed = await plan({ source, projection: sums({ unknownEvents: 'skip' }), store, until: 'p@2' })
    expect(changed.refusals.map(({ code }) => code)).toEqual(['PROJECTION_CHANGED', 'USAGE'])
  })
})

describe('generations', () => {
  test("with switch 'manual' a sealed generation waits for the hand that switches", async () => {
    const store = memoryStore()
    const sealed = await runIn(world(), { source: log(), projection: sums(), store, switch: 'manual' })
    expect(sealed.live).toBe(false)
    expect((await failureOf(openState(store, { projection: sums() }))).code).toBe('STORE_NOT_FOUND')
    await store.switchTo(1, null)
    const state = await openState(store, { projection: sums() })
    expect(await state.get('sums', 'k0')).toBe(18)
    expect((await failureOf(state.get('nothing', 'k0'))).code).toBe('CONFIG_INVALID')
  })

  test('--restart builds a new one beside the live one, and its seal switches', async () => {
    const { store, source, sealed } = await sealedStore()
    const again = await runIn(world(), { source, projection: sums(), store, restart: true })
    expect(again).toMatchObject({ generation: 2, live: true, root: sealed.root })
    expect((await store.generations()).map(({ live }) => live)).toEqual([false, true])
    expect((await failureOf(store.switchTo(9, 2))).code).toBe('STORE_GENERATION')
  })

  test('a rebuild that comes late does not take live back from a newer generation', async () => {
    const store = memoryStore()
    const source = log()
    const breaking = tampered(log(), (batch) => { if (batch.through > 5) throw new Error('stopped'); return batch })
    await failureOf(runIn(world(), { source: breaking, projection: sums(), store, batch: { events: 3 }, checkpoint: { bytes: 1 } }))
    await runIn(world('sh1:two'), { source, projection: sums({ version: 2 }, 2), store })
    expect(await runIn(world(), { source, projection: sums(), store })).toMatchObject({ generation: 1, live: false })
    expect((await store.generations()).map(({ live, everSealed }) => [live, everSealed])).toEqual([[false, true], [true, true]])
  })

  test('after a switch back, replay goes on with the live one', async () => {
    const { store, source } = await sealedStore()
    await runIn(world(), { source, projection: sums(), store, restart: true })
    await store.switchTo(1, 2)
    source.append('p', add(10))
    expect(await runIn(world(), { source, projection: sums(), store })).toMatchObject({ generation: 1, live: true })
  })
})
