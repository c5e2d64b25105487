import { expectSame, type ConformanceCase } from './kit.js'
import { blockCases } from './store-blocks.js'
import { commitCases } from './store-commits.js'
import { entryCases } from './store-entries.js'
import { generationCases } from './store-generations.js'
import { StoreScene } from './store-scene.js'
import type { CaseBody, StoreFactory } from './store-scene.js'
import { tableCases } from './store-tables.js'

export type { StoreCapability, StoreFactory, StoreUnderTest } from './store-scene.js'

/**
 * The contract of a store, a case per sentence, for any test runner:
 *
 *     for (const { name, run } of storeCases(factory)) it(name, run)
 *
 * Cases whose needs the factory does not name are left out; that it names what the store has is a case too. What only a
 * killed process or a full disk shows is beyond this kit: test it with the real thing, as test/adapters/sqlite does.
 */
export function storeCases(factory: StoreFactory): readonly ConformanceCase[] {
  return [honestFactory(factory), ...entryCases, ...blockCases, ...commitCases, ...generationCases, ...tableCases]
    .filter(({ needs = [] }) => needs.every((need) => factory.capabilities.includes(need)))
    .map((body) => storeCase(factory, body))
}

function honestFactory({ capabilities }: StoreFactory): CaseBody {
  return {
    name: 'the store has the capabilities that the factory names, and no other',
    async body({ store }) {
      expectSame('durable', store.capabilities.durable, capabilities.includes('durable'))
    },
  }
}

function storeCase(factory: StoreFactory, { name, needs = [], body }: CaseBody): ConformanceCase {
  return {
    name,
    needs,
    async run() {
      const under = await factory.make()
      try {
        await body(new StoreScene(under))
      } finally {
        await under.dispose()
      }
    },
  }
}
