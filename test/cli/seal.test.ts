import { expect, test } from 'vitest'
import { cli } from './harness.js'
import { write } from '../host/project.js'
import { lines, ordersProject } from './orders.js'

const sharded = async (folder: string, of: number): Promise<void> => {
  for (let index = 0; index < of; index++) expect((await cli(folder, ['replay', '--shard', `${index}/${of}`])).exit).toBe(0)
}

test('the seals of shards join to the document of one run; each shard says where it stands', async () => {
  const folder = ordersProject()
  await sharded(folder, 2)
  const single = (await cli(folder, ['replay', '--json'])).json()
  const joined = (await cli(folder, ['seal', 'orders', '--join', '2', '--json'])).json()
  for (const field of ['job', 'root', 'manifest', 'seal', 'position', 'collections', 'grade', 'sinceScrub', 'holes', 'complete', 'accepted']) {
    expect(joined[field], field).toEqual(single[field])
  }
  expect(joined.shards).toEqual([
    { shard: '0/2', generation: 1, position: { 0: 6 }, root: expect.stringMatching(/^sh1:/), manifest: expect.stringMatching(/^sh1:/) },
    { shard: '1/2', generation: 1, position: { 1: 6 }, root: expect.stringMatching(/^sh1:/), manifest: expect.stringMatching(/^sh1:/) },
  ])
  const { stdout } = await cli(folder, ['seal', '--join', '2'])
  expect(stdout).toContain('orders  2 shards joined at 0@6,1@6')
  expect(stdout).toContain(`manifest  ${single.manifest}`)
  expect((await cli(folder, ['seal', '--join', '2', '--generation', '1', '--json'])).json().manifest).toBe(single.manifest)
})

test('what is of one shard is read with --shard', async () => {
  const folder = ordersProject()
  await sharded(folder, 2)
  expect((await cli(folder, ['status', '--shard', '1/2', '--json'])).json()).toMatchObject({ phase: 'sealed', position: { 1: 6 }, lag: 0 })
  expect((await cli(folder, ['inspect', 'order-1-1', '--shard', '1/2', '--json'])).json()).toMatchObject({ value: { total: 1, paid: true } })
  expect((await cli(folder, ['export', '--shard', '0/2'])).stdout.match(/order-0-/g)).toHaveLength(2)
  expect((await cli(folder, ['generation', 'list', '--shard', '0/2', '--json'])).json().generations).toMatchObject([{ generation: 1, live: true }])
  expect((await cli(folder, ['plan', '--shard', '0/3', '--json'])).json().partitions).toMatchObject([{ partition: '0' }])
})

test.each([
  [['seal'], 64, 'USAGE', 'seal takes --join N'],
  [['seal', '--join', '0'], 64, 'USAGE', '--join takes 1 or more'],
  [['seal', '--join', '2'], 2, 'SHARDS_APART', 'Shard 0/2 is not sealed'],
  [['replay', '--shard', '2/2'], 64, 'USAGE', 'There is no shard 2/2: they are counted from 0.'],
  [['replay', '--shard', '1'], 64, 'USAGE', '--shard 1 is not a shard.'],
  [['plan', '--shard', '0/0'], 64, 'USAGE', 'There is no shard 0/0'],
  [['replay', '--workers', 'many'], 64, 'USAGE', '--workers takes a whole number'],
  [['replay', '--workers', '2', '--shard', '0/2'], 64, 'USAGE', '--workers runs every shard'],
  [['replay', '--workers', '2'], 64, 'USAGE', '--workers needs a command line that can be started once more'],
] as const)('%j is refused', async (args, exit, code, message) => {
  const ran = await cli(ordersProject(), [...args, '--json'])
  expect([ran.exit, ran.json().error.code]).toEqual([exit, code])
  expect(ran.json().error.message).toContain(message)
})

test('a log that was exchanged between the runs of two shards does not join', async () => {
  const folder = ordersProject()
  expect((await cli(folder, ['replay', '--shard', '0/2'])).exit).toBe(0)
  write(folder, { 'log/0.ndjson': lines(2, 3) })
  expect((await cli(folder, ['replay', '--shard', '1/2'])).exit).toBe(0)
  const ran = await cli(folder, ['seal', '--join', '2', '--json'])
  expect(ran).toMatchObject({ exit: 7 })
  expect(ran.json().error).toMatchObject({ code: 'LOG_RECREATED', partition: '0' })
})
