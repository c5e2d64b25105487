import { describe, expect, test } from 'vitest'
import { memoryLog } from '../../adapters/memory/index.js'
import { tinyStore } from '../../docs/examples/tiny-store/tiny-store.js'
import { storeCases } from '../../src/conformance/stores.js'
import { defineReducer, openState, replay } from '../../src/index.js'

describe('the store of docs/writing-an-adapter.md', () => {
  const factory = {
    capabilities: [],
    async make() {
      const store = tinyStore()
      return { store, dispose: () => store.close() }
    },
  }
  for (const { name, run } of storeCases(factory)) test(name, run)

  test('carries a replay to its seal, and a second one from there', async () => {
    const counts = defineReducer<{ n: number }>({
      name: 'counts', version: 1, collection: 'counts', on: { Added: (count) => ({ n: (count?.n ?? 0) + 1 }) },
    })
    const source = memoryLog({ partitions: { p: [{ type: 'Added', key: 'a' }, { type: 'Added', key: 'b' }] } })
    const store = tinyStore()
    expect((await replay({ source, projection: counts, store }).done).live).toBe(true)
    source.append('p', { type: 'Added', key: 'a' })
    const sealed = await replay({ source, projection: counts, store }).done
    expect(sealed.run.applied).toBe(1)
    const state = await openState(store, { projection: counts })
    expect(await state.get('counts', 'a')).toEqual({ n: 2 })
    await state.close()
  })
})
