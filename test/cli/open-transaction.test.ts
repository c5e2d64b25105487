import { expect, test } from 'vitest'
import { project } from '../host/project.js'
import { cli } from './harness.js'

const CONFIG = `
import { defineConfig, defineReducer } from 'rehydrate'
import { memoryLog, memoryStore } from 'rehydrate/memory'

const inner = memoryLog({ partitions: { p: [{ type: 'Add', key: 'a' }, { type: 'Add', key: 'b' }] } })
const source = {
  continuity: 'dense', check: (marks) => inner.check(marks), close: () => inner.close(),
  read: (...range) => inner.read(...range),
  async bounds() {
    const bounds = await inner.bounds()
    return new Map([...bounds].map(([name, each]) => [name, { ...each, behindOpenTransaction: { written: 41_234, producerId: '77' } }]))
  },
}
const projection = defineReducer({ name: 'counts', version: 1, collection: 'counts', on: { Add: (n) => (n ?? 0) + 1 } })
export default defineConfig({ jobs: { counts: { source, projection, store: memoryStore() } } })
`

test('a seal behind an open transaction says so, on the screen and in its document', async () => {
  const folder = project({ 'rehydrate.config.mjs': CONFIG })
  const { exit, stdout, stderr } = await cli(folder, ['replay'])
  expect([exit, stderr]).toEqual([0, expect.any(String)])
  expect(stdout).toMatch(/behind an open transaction +p: readable up to 1, written up to 41,234, of producer 77\n/)
  const document = (await cli(folder, ['replay', '--json'])).json()
  expect(document.behindOpenTransaction).toEqual([{ partition: 'p', last: 1, written: 41_234, producerId: '77' }])
  expect(document.seal).not.toHaveProperty('behindOpenTransaction')
})
