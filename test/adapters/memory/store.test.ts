import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { memoryStore } from '../../../adapters/memory/store.js'
import { all, commit, put, shown } from '../../../src/conformance/store-scene.js'
import type { OpenWrite, StateStore, StoreSession } from '../../../src/index.js'
import { compareUtf8 } from '../../../src/log/position.js'

const openWriter = (store: StateStore, over: Partial<OpenWrite> = {}): Promise<StoreSession> =>
  store.open({ generation: 1, mode: 'write', incarnation: 'i', owner: 'test', nowMs: 1, takeover: false, ...over })

describe('the memory store', () => {
  it('keeps what was committed when it is closed, so that a restart can be played', async () => {
    const store = memoryStore()
    const last = await commit(await openWriter(store), { puts: [put('orders', 'a', 1)], at: 7 })
    await store.close()
    const again = await openWriter(store)
    expect(again.checkpoint).toEqual(last)
    expect(again.writer?.epoch).toBe(2)
    expect(shown(await all(again, 'orders'))).toEqual(shown([put('orders', 'a', 1)]))
  })

  it('is not durable and says so', () => {
    expect(memoryStore().capabilities.durable).toBe(false)
  })

  it('shares nothing with another one', async () => {
    await openWriter(memoryStore())
    expect(await memoryStore().generations()).toEqual([])
  })

  it('is a sorted map, and each reader sees the map as it was when it came', async () => {
    const key = fc.string({ unit: 'binary', minLength: 1, maxLength: 3 })
    const change = fc.record({ puts: fc.array(fc.tuple(key, fc.integer())), deletes: fc.array(key) })
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 8 }), async (changes) => {
        const store = memoryStore()
        const session = await openWriter(store)
        const model = new Map<string, number>()
        const readers: { reader: StoreSession; expected: readonly string[] }[] = []
        for (const { puts, deletes } of changes) {
          const fresh = new Map(puts)
          const gone = deletes.filter((name) => !fresh.has(name))
          await commit(session, {
            puts: Array.from(fresh, ([name, value]) => put('orders', name, value)),
            deletes: gone.map((name) => ({ collection: 'orders', key: name })),
          })
          for (const name of gone) model.delete(name)
          for (const [name, value] of fresh) model.set(name, value)
          const sorted = [...model].sort(([a], [b]) => compareUtf8(a, b))
          const expected = shown(sorted.map(([name, value]) => put('orders', name, value)))
          readers.push({ reader: await store.open({ generation: 1, mode: 'read' }), expected })
        }
        for (const { reader, expected } of readers) expect(shown(await all(reader, 'orders', 3))).toEqual(expected)
      }),
      { numRuns: 200 },
    )
  })
})
