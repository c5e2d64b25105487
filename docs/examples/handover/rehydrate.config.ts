import { join } from 'node:path'
import { defineConfig, env } from 'rehydrate'
import { kafka } from 'rehydrate/kafka'
import { sqlite } from 'rehydrate/sqlite'
import { accounts } from './accounts.ts'

const source = kafka({ brokers: env('KAFKA_BROKERS'), topics: [process.env['TOPIC'] ?? 'accounts'] })

/** What the service made of the state since: its own tables, written by its own code. */
const service = sqlite({
  path: join(import.meta.dirname, 'service.db'),
  position: { query: 'SELECT partition, last_offset FROM progress' }, // written in the transaction of its rows
  tables: { accounts: { table: 'account', key: 'id', columns: { cents: 'cents', moves: 'moves', chain: 'chain' } } },
})

export default defineConfig({
  jobs: {
    accounts: {
      source, projection: accounts, store: sqlite({ path: join(import.meta.dirname, 'state.db') }), verify: { against: { service } },
    },
    /** Built from nothing, to prove the service by. */
    proof: {
      source, projection: accounts, store: sqlite({ path: join(import.meta.dirname, 'proof.db') }), verify: { against: { service } },
    },
  },
})
