import { expect, test } from 'vitest'
import { project } from '../host/project.js'
import { cli } from './harness.js'

const CONFIG = `
import { defineConfig, defineReducer } from 'rehydrate'
import { memoryLog, memoryStore } from 'rehydrate/memory'

const keys = Array.from({ length: 120 }, (_, i) => 'key-' + i)
const crc = (text) => {
  let value = ~0
  for (const byte of Buffer.from(text)) {
    value ^= byte
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  }
  return ~value >>> 0
}
const logOf = (...placings) => {
  const partitions = { 'orders/0': [], 'orders/1': [], 'orders/2': [] }
  for (const place of placings) for (const [i, key] of keys.entries()) partitions['orders/' + place(key, i)].push({ type: 'Add', key })
  return memoryLog({ partitions })
}
const projection = defineReducer({ name: 'counts', version: 1, collection: 'counts', on: { Add: (n) => (n ?? 0) + 1 } })
const jobOf = (source) => ({ source, projection, store: memoryStore() })
export default defineConfig({ jobs: {
  fixed: jobOf(logOf((key) => crc(key) % 3)),
  grown: jobOf(logOf((key) => crc(key) % 2, (key) => crc(key) % 3)),
  other: jobOf(logOf((_, i) => i % 3)),
} })
`

test('plan says which partitioner explains where keys lie, which declaration that asks for, or that none does', async () => {
  const folder = project({ 'rehydrate.config.mjs': CONFIG })
  const keysOf = async (job: string): Promise<string | undefined> =>
    (await cli(folder, ['plan', job])).stdout.split('\n').find((line) => /^ *keys /.test(line))
  expect(await keysOf('fixed')).toMatch(/lie where crc32 puts them with 3 partitions \(120 of 120 sampled keys\): partitioner: \{ hash: 'crc32', counts: \[3\] \}$/)
  expect(await keysOf('grown')).toMatch(/the topics grew, and \d\d % of them moved \(240 of 240 sampled keys\): partitioner: \{ hash: 'crc32', counts: \[2, 3\] \}$/)
  expect(await keysOf('other')).toMatch(/no partitioner explains where they lie \(\d+ of 120 sampled keys\); where they cross partitions, use order 'time'$/)
})
