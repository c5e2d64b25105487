import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { memoryStore } from '../../adapters/memory/store.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { tableCases } from '../../src/conformance/store-tables.js'
import { storeCases } from '../../src/conformance/stores.js'
import type { StoreFactory } from '../../src/conformance/stores.js'
import type { StateStore } from '../../src/index.js'
import { boxed } from './boxed-store.js'
import { faithful, FAULTS } from './faulty-stores.js'

const memoryFactory: StoreFactory = {
  capabilities: [],
  async make() {
    const store = memoryStore()
    return { store, dispose: () => store.close() }
  },
}

const sqliteFactory = (through: (store: StateStore) => StateStore): StoreFactory => ({
  capabilities: ['durable'],
  async make() {
    const directory = await mkdtemp(join(tmpdir(), 'rehydrate-stores-'))
    const path = join(directory, 'state.db')
    const handles = [through(sqlite({ path }))]
    return {
      store: handles[0] as StateStore,
      async reopen() {
        const store = through(sqlite({ path }))
        handles.push(store)
        return store
      },
      async dispose() {
        for (const store of handles) await store.close()
        await rm(directory, { recursive: true, force: true })
      },
    }
  },
})

describe('the memory store keeps the contract', () => {
  for (const { name, run } of storeCases(memoryFactory)) {
    it(`${name}`, async () => expect(await run()).toBeUndefined())
  }
})

describe('the SQLite store keeps the contract', () => {
  for (const { name, run } of storeCases(sqliteFactory((store) => store))) {
    it(`${name}`, async () => expect(await run()).toBeUndefined())
  }
})

describe('the SQLite store keeps the contract with typed tables', () => {
  // Cases about columns have columns of their own.
  const others = storeCases(sqliteFactory(boxed)).filter(({ name }) => !tableCases.some((one) => one.name === name))
  for (const { name, run } of others) {
    it(`${name}`, async () => expect(await run()).toBeUndefined())
  }
})

describe('the kit finds planted faults', () => {
  const run = async (make: () => StateStore): Promise<readonly string[]> => {
    const failed: string[] = []
    const factory: StoreFactory = {
      capabilities: [],
      async make() {
        const store = make()
        return { store, dispose: () => store.close() }
      },
    }
    for (const one of storeCases(factory)) {
      await one.run().catch(() => failed.push(one.name))
    }
    return failed
  }

  it('a store without a fault passes through the same wrapper', async () => {
    expect(await run(faithful)).toEqual([])
  })

  for (const [fault, plant] of Object.entries(FAULTS)) {
    it(`a store with the fault "${fault}" fails`, async () => {
      expect(await run(() => plant(memoryStore()))).not.toEqual([])
    })
  }
})
