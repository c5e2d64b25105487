import { expect, test } from 'vitest'
import { planScreen, type PlanScreen } from '../../src/cli/plan-text.js'
import type { Plan, PlannedPartition } from '../../src/index.js'
import { cli } from './harness.js'
import { ordersProject } from './orders.js'

const partition = (name: string, more: Partial<PlannedPartition> = {}): PlannedPartition =>
  ({ partition: name, first: 0, from: 0, upTo: 999_999, bytes: 120e6, compacted: false, ...more })

const PLAN: Plan = {
  generation: 1, start: 'new', partitions: [partition('orders/0'), partition('orders/1')], events: 2_000_000, bytes: 240e6,
  estimate: { eventsPerSecond: 250, ms: 8_000_000 }, placement: null, refusals: [],
}

const shown = (plan: Partial<Plan>, more: Partial<PlanScreen> = {}): string =>
  planScreen({ job: 'orders', planned: { ...PLAN, ...plan }, isDense: false, split: null, ...more }).join('\n')

test('a plan says partitions with their bytes, time in words, the load that it means, and which holes to expect', () => {
  expect(shown({})).toBe([
    'orders  generation 1: a new generation',
    '  orders/0  0 … 999,999  120.0 MB',
    '  orders/1  0 … 999,999  120.0 MB',
    '  to read 2,000,000 offsets in 2 partitions, 240.0 MB',
    '  time    about 2 h 13 min, at 250 events/s: 30.0 kB/s are asked of the log, in all',
    '  holes   of transactions only (markers, aborted records): nothing is compacted',
    '  nothing is refused',
  ].join('\n'))
})

test('what is not known is left out, or said to be unknown', () => {
  const text = shown({ bytes: null, estimate: null, partitions: [partition('orders/0', { bytes: null, compacted: null })] })
  expect(text).toContain('  orders/0  0 … 999,999\n')
  expect(text).toContain('holes   unknown: whether the topic is compacted may not be read, of orders/0')
  expect(text).not.toContain('time')
  expect(shown({}, { isDense: true })).not.toContain('holes')
})

test('compacted partitions are named, the first of many', () => {
  const partitions = Array.from({ length: 30 }, (_, i) => partition(`prices/${i}`, { compacted: true }))
  const text = shown({ partitions })
  expect(text).toContain('expected, because it is compacted: prices/0, prices/1, prices/2 and 27 more;')
  expect(text).toContain('  … and 6 more\n')
})

test('with --shard a plan shows the split of the log, and which part of it is planned', async () => {
  const folder = ordersProject()
  const ran = await cli(folder, ['plan', '--shard', '1/2'])
  expect(ran.stdout).toContain('  shard   0/2  1 partition, 7 offsets\n  shard   1/2  1 partition, 7 offsets, which is planned here\n')
  expect(ran.stdout).toContain('  to read 7 offsets in 1 partition')
  expect((await cli(folder, ['plan', '--shard', '1/2', '--json'])).json()).toMatchObject({
    shards: [{ shard: { index: 0, of: 2 }, partitions: 1, offsets: 7 }, { shard: { index: 1, of: 2 }, partitions: 1, offsets: 7 }],
  })
  expect((await cli(folder, ['plan', '--json'])).json()).not.toHaveProperty('shards')
})
