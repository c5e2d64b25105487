import { defineProjection, type Projection } from '../../src/index.js'
import type { MemoryEvent } from '../../adapters/memory/index.js'
import { seeded } from './worlds.js'

/** A projection that reveals order, loss and repetition: a balance, a chain of what came before, deletes. */
export const accounts: Projection = defineProjection({
  name: 'accounts', version: 1,
  collections: { accounts: {}, closed: {} },
  keys: {
    Moved: (event) => [{ collection: 'accounts', key: event.data.account }],
    Closed: (event) => [
      { collection: 'accounts', key: event.data.account },
      { collection: 'closed', key: event.data.account },
    ],
  },
  on: {
    Moved(state, event) {
      const before = state.accounts.get(event.data.account) ?? { balance: 0, moves: 0, chain: 0 }
      state.accounts.put(event.data.account, {
        balance: before.balance + event.data.cents,
        moves: before.moves + 1,
        chain: (before.chain * 31 + event.data.cents + 7) % 1_000_003,
      })
    },
    Closed(state, event) {
      const last = state.accounts.get(event.data.account) ?? null
      state.accounts.delete(event.data.account)
      const times = (state.closed.get(event.data.account)?.times ?? 0) + 1
      state.closed.put(event.data.account, { times, last })
    },
  },
})

/** Events of `partitions` partitions whose keys do not cross; each closes an account now and then. */
export function accountLog(seed: number, partitions: number, events: number): Record<string, MemoryEvent[]> {
  const random = seeded(seed)
  const log: Record<string, MemoryEvent[]> = {}
  for (let p = 0; p < partitions; p++) {
    log[`moves/${p}`] = Array.from({ length: events }, (_, i) => {
      const account = `a${p}-${Math.floor(random() * random() * 60)}`
      return random() < 0.05
        ? { type: 'Closed', key: account, data: { account }, recordedAt: 1_700_000_000_000 + i * 1_000 }
        : { type: 'Moved', key: account, data: { account, cents: Math.floor(random() * 1_000) - 500 }, recordedAt: 1_700_000_000_000 + i * 1_000 }
    })
  }
  return log
}
