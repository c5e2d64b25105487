import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeBatch } from '../adapters/kafka/encode-batch.js'
import { ScriptedCluster } from '../adapters/kafka/scripted-broker.js'
import { project } from '../host/project.js'
import { cli } from './harness.js'

let cluster: ScriptedCluster
beforeEach(async () => {
  cluster = await new ScriptedCluster().listen()
  const records = [0, 1].map((delta) => ({ delta, key: Buffer.from('a'), value: Buffer.from('{"type":"Added","data":{}}') }))
  cluster.log[0] = [{ base: 0, last: 1, bytes: encodeBatch({ base: 0, records }) }]
})
afterEach(() => cluster.close())

test.each([
  ['', 'rehydrate-counts'],
  [", clientId: 'the-service'", 'the-service'],
])('the brokers see the job as their client, unless the configuration names one%s', async (option, clientId) => {
  const folder = project({
    'rehydrate.config.js': `
import { defineConfig, defineReducer } from 'rehydrate'
import { kafka } from 'rehydrate/kafka'
import { sqlite } from 'rehydrate/sqlite'
export default defineConfig({ jobs: { counts: {
  source: kafka({ brokers: ['${cluster.address(0)}'], topics: ['t']${option} }),
  projection: defineReducer({
    name: 'last', version: 1, collection: 'last', history: 'last', on: { Added: (_, event) => ({ at: event.offset }) },
  }),
  store: sqlite({ path: import.meta.dirname + '/state.db' }),
} } })
`,
  })
  const ran = await cli(folder, ['replay', '--json'])
  expect(ran.json()).toMatchObject({ outcome: 'sealed', applied: 2 })
  expect(new Set(cluster.fetches.map((fetch) => fetch.clientId))).toEqual(new Set([clientId]))
})
