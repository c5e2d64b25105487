import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { fileLog } from '../../adapters/file/index.js'
import { memoryLog, memoryStore, type MemoryEntry } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { defineProjection, explain, type EventSource, type ReplayOptions, type SealedRun, type StateStore } from '../../src/index.js'
import { startRun } from '../../src/replay/run.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

const folder = mkdtempSync(join(tmpdir(), 'cuts-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const sums = defineProjection({
  name: 'sums', version: 1, collections: { sums: {} },
  on: { Added(state, event) { state.sums.put(event.key as string, ((state.sums.get(event.key as string) as number) ?? 0) + event.data.n) } },
})
const byTime = defineProjection({
  name: 'trails', version: 1, order: 'time', collections: { trails: {} },
  on: { Added(state, event) { state.trails.put(event.key as string, [...(state.trails.get(event.key as string) ?? []), `${event.partition}@${event.offset}`]) } },
})
const added = (key: string, n = 1, recordedAt = 0): MemoryEntry => ({ type: 'Added', key, data: { n }, recordedAt })

/** The first partition to its end, then the next, as in the real world. */
const first = worldOf(1, { pick: () => 0 })
const rebuild = (options: Partial<ReplayOptions> & Pick<ReplayOptions, 'source'>): Promise<SealedRun> =>
  runIn(first, { projection: sums, store: memoryStore(), ...options })

/** A source that breaks off after some deliveries. */
function breaking(inner: EventSource, deliveries: number): EventSource {
  let left = deliveries
  return {
    continuity: inner.continuity, check: (marks) => inner.check(marks), bounds: (options) => inner.bounds(options), close: () => inner.close(),
    async *read(partition, range, limits, signal) {
      for await (const batch of inner.read(partition, range, limits, signal)) {
        if (left-- === 0) throw new Error('the network went away')
        yield batch
      }
    },
  }
}

/** Restarts after every `deliveries` until `restarts` are used up, a checkpoint after each turn. */
async function restarted(options: ReplayOptions, deliveries: number, restarts = 40): Promise<SealedRun> {
  for (let i = 0; i < restarts; i++) {
    const run = startRun({ ...options, source: breaking(options.source, deliveries), checkpoint: { bytes: 1 } }, first)
    const error = await run.done.then(() => null, (failed: Error) => failed)
    if (error === null) return await run.done
    expect(error.message).toContain('the network went away')
  }
  return await runIn(first, options)
}

describe('owners', () => {
  const log = { a: Array.from({ length: 50 }, (_, i) => added(`k${i}`)), b: [added('k30', 100)] }

  test.each<[string, () => StateStore]>([
    ['memory', memoryStore], ['sqlite', () => sqlite({ path: join(folder, 'owners.db') })],
  ])('a run that ends inside the partition that an earlier one broke off in leaves no half of the owners behind (%s)', async (_, newStore) => {
    const store = newStore()
    const options = { projection: sums, store, batch: { events: 10 }, checkpoint: { bytes: 1 } }
    await failureOf(runIn(first, { ...options, source: breaking(memoryLog({ partitions: log }), 2) }))
    const source = memoryLog({ partitions: log })
    const cut = await runIn(first, { ...options, source, until: 'a@40' })
    expect(cut.seal.manifestHash).toBe((await rebuild({ source, until: 'a@40' })).seal.manifestHash)
    expect(await failureOf(runIn(first, { ...options, source }))).toMatchObject({ code: 'KEY_CROSSES_PARTITIONS', details: { key: 'k30' } })
  })

  test('a second partition after the beginning of the first expired is refused: its owners can not be told', async () => {
    const source = memoryLog({ partitions: { a: log.a } })
    const store = memoryStore()
    await rebuild({ source, store })
    source.expire('a', 40)
    source.append('b', added('k30'))
    expect(await failureOf(rebuild({ source, store }))).toMatchObject({ code: 'LOG_TRUNCATED', details: { partition: 'a', offset: 40 } })
  })
})

describe("order 'time'", () => {
  const lines = Array.from({ length: 9 }, (_, i) => JSON.stringify({ ...added('k', 1, 1_000 + i), id: `i${i}` }))
  writeFileSync(join(folder, 'a.ndjson'), `${lines.join('\n')}\n`)

  test.each([0, 3])('a handler that changes the data it is given gets each event fresh (id window %i)', async (window) => {
    const projection = defineProjection({
      name: 'sums', version: 1, order: 'time', collections: { sums: {} }, ids: { window },
      on: { Added(state, event) { event.data.n += 1; state.sums.put('k', ((state.sums.get('k') as number) ?? 0) + event.data.n) } },
    })
    const options = { projection, source: fileLog({ path: join(folder, 'a.ndjson') }), batch: { events: 1 } }
    const whole = await runIn(first, { ...options, store: memoryStore() })
    const parts = await restarted({ ...options, store: memoryStore() }, 2)
    expect(parts.root).toBe(whole.root)
  })

  test('holes are counted once, wherever a run broke off', async () => {
    const entries = (paceMs: number): MemoryEntry[] => Array.from({ length: 30 }, (_, i) =>
      i % 4 === 3 ? { hole: i % 8 === 3 ? 'control' : 'aborted' } : added('k', 1, 1_000 + i * paceMs))
    const options = {
      projection: byTime, source: memoryLog({ partitions: { a: entries(2), b: entries(5) }, continuity: 'sparse' }), batch: { events: 7 },
    }
    const whole = await runIn(first, { ...options, store: memoryStore() })
    expect(whole.seal.manifest.holes).toMatchObject({ control: 8, aborted: 6 })
    const parts = await restarted({ ...options, store: memoryStore() }, 4)
    expect(parts.seal.manifestHash).toBe(whole.seal.manifestHash)
  })

  test('--until POSITION goes past an accepted gap', async () => {
    const gapped = join(folder, 'gapped')
    writeFileSync(`${gapped}.000001.ndjson`, '{"type":"Added","key":"k","data":{"n":1},"recordedAt":1}\n')
    writeFileSync(`${gapped}.000002.ndjson`, [4, 5].map((offset) => `${JSON.stringify({ ...added('k', 1, offset), offset })}\n`).join(''))
    const source = fileLog({ path: `${gapped}.00000?.ndjson` })
    const options = { source, projection: byTime, accept: ['LOG_GAP=gapped@1..3'] }
    const sealed = await rebuild({ ...options, until: 'gapped@4' })
    expect(sealed.accepted).toEqual([{ code: 'LOG_GAP', partition: 'gapped', from: 1, to: 3 }])
    expect(Object.fromEntries((await rebuild({ ...options, until: new Date(3) })).position)).toEqual({ gapped: 0 })
    expect(await failureOf(rebuild({ ...options, projection: sums, until: 'gapped@2' }))).toMatchObject({
      code: 'LOG_GAP', fix: expect.stringContaining('--until gapped@0'),
    })
  })
})

describe('ends', () => {
  const source = memoryLog({ partitions: { a: [added('x'), added('x')], b: Array.from({ length: 9 }, () => added('y')) } })
  source.expire('b', 5)
  const accept = ['HISTORY_INCOMPLETE=b@5']

  test('an end before the beginning of a partition is USAGE, and no stop', async () => {
    expect(await failureOf(rebuild({ source, accept, until: 'a@1,b@3' }))).toMatchObject({ code: 'USAGE', details: { partition: 'b', offset: 3 } })
  })

  test('−1 in a position says the same as no entry; what is no offset is USAGE', async () => {
    const named = await rebuild({ source, accept, until: new Map([['a', 1], ['b', -1]]) })
    expect(named.seal.manifestHash).toBe((await rebuild({ source, accept, until: 'a@1' })).seal.manifestHash)
    expect(await failureOf(rebuild({ source, accept, until: new Map([['a', 0.5]]) }))).toMatchObject({ code: 'USAGE' })
  })

  test('a day that its month does not have is no time', async () => {
    expect(await failureOf(rebuild({ source, accept, until: '2026-02-30' }))).toMatchObject({ code: 'USAGE' })
  })

  test('explain at a place that the log does not have is USAGE: nothing was lost', async () => {
    for (const upTo of [new Map([['zz', 1]]), new Map([['a', 7]])]) {
      const steps = explain({ source, projection: sums, collection: 'sums', key: 'x', upTo })[Symbol.asyncIterator]()
      expect(await failureOf(Promise.resolve(steps.next()))).toMatchObject({ code: 'USAGE' })
    }
  })

  test('seal() of a run that does not follow is answered by its seal, before the end and after it', async () => {
    const run = startRun({ source, accept, projection: sums, store: memoryStore() }, first)
    const asked = run.seal()
    expect(await asked).toBe(await run.done)
    expect(await run.seal()).toBe(await run.done)
  })
})

test('names that every object has are names of collections like others; __proto__ is none', async () => {
  const define = (name: string) => defineProjection({ name: 'p', version: 1, collections: { a: {}, [name]: {} }, keys: { Added: () => [] }, on: { Added() {} } })
  const sealed = await rebuild({ source: memoryLog({ partitions: { a: [added('x')] } }), projection: define('constructor') })
  expect(sealed.collections['constructor']).toEqual(sealed.collections['a'])
  expect(() => define('__proto__')).toThrow('collections.__proto__')
})

test('keys, schemas and upcasters that return a rejected promise are HANDLER_ASYNC, and nothing else hears of it', async () => {
  const source = memoryLog({ partitions: { a: [added('x')] } })
  const rejected = (): any => Promise.reject(new Error('late'))
  const schema = { '~standard': { version: 1 as const, vendor: 'test', validate: (data: unknown) => (data === undefined ? { value: data } : rejected()) } }
  const base = { name: 'sums', version: 1, collections: { sums: {} }, on: { Added() {} } }
  for (const part of [{ keys: { Added: rejected } }, { upcasters: { Added: { 1: rejected } } }, { events: { Added: { schema } } }]) {
    expect(await failureOf(rebuild({ source, projection: defineProjection({ ...base, ...part }) }))).toMatchObject({
      code: 'HANDLER_ASYNC', details: { partition: 'a', offset: 0 },
    })
  }
})

describe('following', () => {
  test.each([[[], 'HISTORY_INCOMPLETE'], [['HISTORY_INCOMPLETE=b@2'], null]])(
    'a partition that appears without its beginning is judged as at a start (accepted: %j)', async (accept, code) => {
      const source = memoryLog({ partitions: { a: [added('x')] } })
      const run = startRun({ source, accept, projection: sums, store: memoryStore(), until: 'follow' }, first)
      for await (const event of run) if (event.kind === 'sealed') break
      for (let i = 0; i < 3; i++) source.append('b', added('y'))
      source.expire('b', 2)
      const read = (async () => {
        for (;;) {
          const sealed = await run.seal()
          if (sealed.position.has('b')) return sealed
        }
      })()
      if (code !== null) return expect(await failureOf(read)).toMatchObject({ code, details: { partition: 'b', offset: 2 } })
      expect((await read).seal.manifest.accepted).toEqual([{ code: 'HISTORY_INCOMPLETE', partition: 'b', to: 1 }])
      await run.close()
    })

  test('a log that became shorter is LOG_TRUNCATED, not waited for', async () => {
    const source = memoryLog({ partitions: { a: [added('x'), added('x')] } })
    const run = startRun({ source, projection: sums, store: memoryStore(), until: 'follow' }, first)
    for await (const event of run) if (event.kind === 'sealed') break
    source.replace('a', [added('x')])
    expect(await failureOf(run.done)).toMatchObject({ code: 'LOG_TRUNCATED', details: { partition: 'a' } })
  })
})
