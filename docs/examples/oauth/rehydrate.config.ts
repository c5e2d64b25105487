import { join } from 'node:path'
import { defineConfig, env, latest } from 'rehydrate'
import { kafka } from 'rehydrate/kafka'
import { sqlite } from 'rehydrate/sqlite'
import { clientCredentials } from './token.ts'

const token = clientCredentials({
  url: process.env['OAUTH_TOKEN_URL'] ?? 'https://identity.example.com/oauth2/token',
  clientId: process.env['OAUTH_CLIENT_ID'] ?? 'rehydrate',
  clientSecret: () => env('OAUTH_CLIENT_SECRET').reveal(), // looked up when it is needed: `plan` of another job does not want it
})

export default defineConfig({
  jobs: {
    accounts: {
      source: kafka({ brokers: env('KAFKA_BROKERS'), topics: ['accounts'], ssl: true, sasl: { mechanism: 'oauthbearer', token } }),
      projection: latest({ name: 'accounts', version: 1 }),
      store: sqlite({ path: join(import.meta.dirname, 'state.db') }),
    },
  },
})
