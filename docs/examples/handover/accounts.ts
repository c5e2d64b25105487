import { defineProjection } from 'rehydrate'
import { moved, type Account } from './rule.ts'

export const accounts = defineProjection({
  name: 'accounts',
  version: 1,
  // Columns make a view `accounts` in state.db, which the service reads with plain SQL.
  collections: { accounts: { columns: { cents: 'int', moves: 'int', chain: 'int' } } },
  on: {
    Moved(state, event) {
      const before: Account | undefined = state.accounts.get(event.key!)
      state.accounts.put(event.key!, moved(before, event.data.cents))
    },
    Closed(state, event) {
      state.accounts.delete(event.key!)
    },
  },
})
