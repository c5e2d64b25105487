import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent, type MemoryLog } from '../../adapters/memory/index.js'
import { defineProjection, defineReducer, openState, type Projection } from '../../src/index.js'
import { explainKey } from '../../src/replay/explain.js'
import { startRun } from '../../src/replay/run.js'
import { failureOf, runIn, worldOf as hostWorldOf } from '../support/worlds.js'

/** What the modules hold is not read anew for each of the many runs. */
const worldOf = (seed: number): ReturnType<typeof hostWorldOf> => hostWorldOf(seed, { codeOf: async () => 'this file' })

/** Counts per word, over all partitions: the order in which they are added does not matter. */
const countsOf = (order: 'any' | 'partition' = 'any'): Projection => defineProjection({
  name: 'counts', version: 1, order, collections: { counts: {} },
  on: { Said: (state: any, event: any) => state.counts.put(event.key, (state.counts.get(event.key) ?? 0) + event.data) },
})

const said = (key: string, data = 1): MemoryEvent => ({ type: 'Said', key, data })
const log = (): MemoryLog => memoryLog({ partitions: { a: [said('x'), said('y', 2), said('x')], b: [said('x', 5), said('z')], c: [said('y')] } })

describe("order 'any'", () => {
  test('lets partitions share keys, which order partition refuses; the seal says so, and no owners are kept', async () => {
    const store = memoryStore()
    const { seal: { manifest } } = await runIn(worldOf(1), { source: log(), projection: countsOf(), store })
    expect([manifest.order, manifest.sealed]).toEqual(['any', true])
    const state = await openState(store, { projection: countsOf() })
    expect((await state.scan('counts', null, 9)).map(({ key, value }) => [key, value])).toEqual([['x', 7], ['y', 3], ['z', 1]])
    expect(await (await store.open({ generation: 1, mode: 'read' })).collections()).not.toContain('$owners')
    const refused = runIn(worldOf(1), { source: log(), projection: countsOf('partition'), store: memoryStore() })
    expect((await failureOf(refused)).code).toBe('KEY_CROSSES_PARTITIONS')
  })

  test('handlers that commute give one root and one manifest, however partitions interleave and whenever runs are cut', async () => {
    const whole = await runIn(worldOf(0), { source: log(), projection: countsOf(), store: memoryStore() })
    const offset = fc.integer({ min: 0, max: 1 })
    await fc.assert(fc.asyncProperty(fc.integer(), fc.integer({ min: 1, max: 3 }), offset, offset, async (seed, events, a, b) => {
      const store = memoryStore()
      const options = { source: log(), projection: countsOf(), store, batch: { events }, checkpoint: { bytes: 1 } }
      await runIn(worldOf(seed), { ...options, until: `a@${a},b@${b}` })
      const sealed = await runIn(worldOf(seed + 1), options)
      expect(sealed.seal.manifest).toEqual({ ...whole.seal.manifest, scrubbedAt: { a, b } })
    }), { numRuns: 30 })
  })

  test('follows a log, also into new partitions', async () => {
    const source = log()
    const store = memoryStore()
    const run = startRun({ source, projection: countsOf(), store, until: 'follow', checkpoint: { seconds: 0.05 } }, worldOf(1))
    for await (const event of run) if (event.kind === 'sealed') break
    source.append('a', said('x', 10))
    source.append('d', said('x', 100))
    const wanted = await openedWhen(store, 117)
    expect(wanted).toBe(117)
    const sealed = await run.seal()
    expect(sealed.seal.manifest.order).toBe('any')
    expect(Object.fromEntries(sealed.position)).toEqual({ a: 3, b: 1, c: 0, d: 0 })
    await run.close()
  })

  test('is a part of what the projection is: a change from or to it is another projection', async () => {
    const store = memoryStore()
    await runIn(worldOf(1), { source: log(), projection: countsOf(), store })
    const error = await failureOf(runIn(worldOf(1), { source: log(), projection: countsOf('partition'), store }))
    expect(error).toMatchObject({ code: 'PROJECTION_CHANGED' })
    expect(error.message).toContain('order')
  })

  test('goes for reducers too, and keys can be explained', async () => {
    const projection = defineReducer<number>({
      name: 'most', version: 1, order: 'any', collection: 'most', on: { Said: (most = 0, event) => Math.max(most, event.data) },
    })
    const store = memoryStore()
    const { position } = await runIn(worldOf(1), { source: log(), projection, store })
    const steps = []
    for await (const step of explainKey({ source: log(), projection, collection: 'most', key: 'x', upTo: position }, worldOf(1))) steps.push(step)
    expect(steps.map(({ partition, offset, value }) => [partition, offset, value])).toEqual([['a', 0, 1], ['a', 2, 1], ['b', 0, 5]])
  })

  test('another word for it is CONFIG_INVALID', () => {
    expect(() => countsOf('whatever' as 'any')).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })
})

/** The count of x, as soon as it is the wanted one, or after ten seconds. */
async function openedWhen(store: ReturnType<typeof memoryStore>, wanted: number): Promise<unknown> {
  let count: unknown
  for (let i = 0; i < 200 && count !== wanted; i++) {
    const state = await openState(store, { projection: countsOf() })
    count = await state.get('counts', 'x')
    await state.close()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return count
}
