import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hashFunction } from '../../src/log/partitioner.js'
import { project } from '../host/project.js'
import { cli } from './harness.js'
import { lines } from './orders.js'

const read = (folder: string, name: string): string => readFileSync(join(folder, name), 'utf8')

test('init writes a configuration and a projection with which a replay of the log runs', async () => {
  const folder = project({ 'log/0.ndjson': lines(0, 5), 'log/1.ndjson': lines(1, 5) })
  const ran = await cli(folder, ['init', '--path', join(folder, 'log'), '--job', 'orders'])
  expect(ran).toMatchObject({ exit: 0, stderr: '' })
  expect(ran.stdout).toContain('wrote  orders.ts, with a handler for each of 3 types in a sample of 24 events')
  for (const type of ['Placed', 'Paid', 'Cancelled']) expect(read(folder, 'orders.ts')).toContain(`    ${type}: (state, event) =>`)
  const replayed = await cli(folder, ['replay', '--json'])
  expect(replayed.json()).toMatchObject({ outcome: 'sealed', applied: 24, collections: { orders: { count: 10 } } })
})

test('init without a log writes the files all the same, and says why it could not look into it', async () => {
  const folder = project({})
  const ran = await cli(folder, ['init', '--json'])
  expect(ran.exit).toBe(0)
  expect(ran.json()).toEqual({
    job: 'events', files: ['rehydrate.config.ts', 'events.ts'], types: [], sampled: 0,
    problem: 'There is no log file at ./log.', fix: expect.stringContaining('path'),
  })
  expect(read(folder, 'events.ts')).toContain('This one is an example.')
})

test('init writes the brokers and topics that it was told, and every name is a valid one', async () => {
  const folder = project({})
  const ran = await cli(folder, ['init', '--brokers', '127.0.0.1:1', '--topics', "7.class, it's-2"])
  expect(ran.exit).toBe(0)
  expect(read(folder, 'rehydrate.config.ts')).toContain("kafka({ brokers: process.env['KAFKA_BROKERS'] ?? '127.0.0.1:1', topics: ['7.class', 'it\\'s-2'] })")
  expect(read(folder, '_7_class.ts')).toContain('export const _7_class = defineReducer')
  expect(ran.stdout).toContain('the log was not sampled: ')
}, 30_000)

test('init declares the partitioner that a sample shows, and what it writes runs, whatever times records have', async () => {
  const keys = Array.from({ length: 60 }, (_, i) => `order-${i}`)
  const logOf = (more: object): Record<string, string> => Object.fromEntries([0, 1, 2].map((partition) => [
    `log/orders/${partition}.ndjson`,
    keys.filter((key) => hashFunction('murmur2')(Buffer.from(key)) % 3 === partition)
      .map((key) => `${JSON.stringify({ type: 'Set', key, data: { n: 1 }, ...more })}\n`).join(''),
  ]))
  const folder = project(logOf({}))
  await cli(folder, ['init', '--path', join(folder, 'log'), '--job', 'orders'])
  expect(read(folder, 'orders.ts')).toContain("  partitioner: { hash: 'murmur2', counts: [3] },\n")
  expect((await cli(folder, ['replay', '--json'])).json()).toMatchObject({ outcome: 'sealed', applied: 60 })
  const timed = project(logOf({ recordedAt: '2026-01-01T00:00:00Z' }))
  await cli(timed, ['init', '--path', join(timed, 'log'), '--job', 'orders'])
  expect((await cli(timed, ['replay', '--json'])).json()).toMatchObject({ outcome: 'sealed', applied: 60, collections: { orders: { count: 60 } } })
})

test.each(['class', 'await', 'latest', 'fileLog', 'join', 'a-'])('init of a job %s writes what runs, whatever words its types have', async (job) => {
  const types = ["it's \\ \"so\"\r\n", 'default', '0']
  const folder = project({ 'log/0.ndjson': types.map((type) => `${JSON.stringify({ type, key: 'a', data: { n: 1 } })}\n`).join('') })
  await cli(folder, ['init', '--path', join(folder, 'log'), '--job', job])
  expect((await cli(folder, ['replay', '--json'])).json()).toMatchObject({ outcome: 'sealed', applied: 3, skipped: 0 })
})

test.each([
  ['rehydrate.config.ts', ['init']],
  ['orders.ts', ['init', '--job', 'orders']],
])('init touches nothing where %s is there already', async (name, args) => {
  const folder = project({ [name]: 'mine' })
  const ran = await cli(folder, args)
  expect(ran).toMatchObject({ exit: 64, stderr: expect.stringContaining(`${name} is there already.`) })
  expect(read(folder, name)).toBe('mine')
  expect(['rehydrate.config.ts', 'orders.ts', 'events.ts'].filter((file) => existsSync(join(folder, file)))).toEqual([name])
})

test.each([
  [['init', '--brokers', 'a:1'], 'init takes --brokers and --topics, or --path, or neither.'],
  [['init', '--topics', 'orders'], 'init takes --brokers and --topics, or --path, or neither.'],
  [['init', '--brokers', 'a:1', '--topics', 'a', '--path', 'log'], 'init takes --brokers and --topics, or --path, or neither.'],
  [['init', '--job', '2/3'], '--job 2/3 is no name for a job.'],
])('%j is USAGE, and writes nothing', async (args, message) => {
  const folder = project({})
  expect(await cli(folder, args)).toMatchObject({ exit: 64, stderr: expect.stringContaining(message) })
  expect(existsSync(join(folder, 'rehydrate.config.ts'))).toBe(false)
})
