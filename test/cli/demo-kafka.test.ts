import Database from 'better-sqlite3'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { findBrokers } from '../../src/cli/demo-broker.js'
import { demoKafka, type DemoKafkaOptions } from '../../src/cli/demo-kafka.js'
import { hashFunction } from '../../src/log/partitioner.js'
import { project } from '../host/project.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../support/kafka.js'
import { cli } from './harness.js'

let cache = ''
beforeAll(() => { cache = mkdtempSync(join(tmpdir(), 'rehydrate-demo-')) })
afterAll(() => rmSync(cache, { recursive: true, force: true }))

async function shown(options: Partial<DemoKafkaOptions>): Promise<{ exitCode: number; text: string }> {
  let text = ''
  const exitCode = await demoKafka({ json: false, small: true, cache, out: (some) => { text += some }, ...options })
  return { exitCode, text }
}

describe.skipIf(!canHaveKafka('the demo through a real broker, and init of its topics'))('the demo through Kafka', () => {
  let broker: TestBroker
  beforeAll(async () => { broker = await kafkaBroker() }, 120_000)
  afterAll(() => broker.dispose())
  const topics = async (): Promise<string[]> => (await broker.admin.listTopics()).filter((name) => name.startsWith('rehydrate-demo-'))

  test('gives the root that the files give, agrees with the plain loop, and leaves no topic', async () => {
    const { exitCode, text } = await shown({ brokers: broker.brokers.join() })
    expect(exitCode).toBe(0)
    expect(text).toMatch(/ {2}topic {4}rehydrate-demo-[0-9a-f]{8}: 10,000 events in 4 partitions/)
    expect(text).toMatch(/root {5}sh1:[0-9a-f]{64}\n {2}seal .*\n {2}files {4}10,000 events in .*: the same root\n/)
    expect(text).toContain('a plain loop over the lines agrees: 204 of 204 airports')
    expect(await topics()).toEqual([])
  }, 60_000)

  test('tells all of it as one document', async () => {
    const { text } = await shown({ json: true, brokersOfEnv: broker.brokers.join(), events: 1_000 })
    const told = JSON.parse(text)
    expect(told).toMatchObject({ events: 1_000, same: true, agrees: true, brokers: broker.brokers, kafka: { applied: 1_000 } })
    expect(told.kafka.root).toBe(told.files.root)
  }, 60_000)

  test('stopped while it writes, it deletes the topic', async () => {
    const stopping = shown({ brokers: broker.brokers.join(), signal: AbortSignal.abort('SIGINT') })
    await expect(stopping).rejects.toMatchObject({ code: 'RUN_STOPPED' })
    expect(await topics()).toEqual([])
  }, 60_000)

  test('init of a compacted topic keeps the last value of each key; of values without a type it says what is in them', async () => {
    const compacted = await broker.makeTopic({ config: { 'cleanup.policy': 'compact' } })
    await broker.produce(compacted, [{ key: 'a', value: '{"n":1}', headers: { type: 'Set' } }, { key: 'a', value: '{"n":2}', headers: { type: 'Set' } }])
    const bare = await broker.makeTopic()
    await broker.produce(bare, [{ key: 'a', value: '{"kind":"Set","n":1}' }])
    const folder = project({})
    const init = (topic: string, where: string) => cli(where, ['init', '--brokers', broker.brokers.join(), '--topics', topic, '--job', 'first'])
    expect((await init(compacted, folder)).stdout).toContain('first.ts: the topic is compacted, so it keeps the last value of each key')
    expect((await cli(folder, ['replay', '--json'])).json()).toMatchObject({ outcome: 'sealed', applied: 2, collections: { rows: { count: 1 } } })
    const other = project({})
    const ran = await init(bare, other)
    expect(ran.stdout).toMatch(/the log was not sampled: The record .*@0 has no type\. Its fields: kind, n\./)
    expect((await cli(other, ['doctor'])).stdout).toContain('EVENT_SHAPE_UNKNOWN')
  }, 60_000)

  test('init declares the partitioner that a sample shows, with which the replay keeps no owners; of few keys it does not', async () => {
    const setOf = (key: string) => ({ key, value: '{"n":1}', headers: { type: 'Set' } })
    const filled = async (keys: number): Promise<string> => {
      const topic = await broker.makeTopic({ partitions: 3 })
      const placed = Array.from({ length: keys }, (_, i) => `order-${i}`)
      for (const partition of [0, 1, 2]) {
        const own = placed.filter((key) => hashFunction('murmur2')(Buffer.from(key)) % 3 === partition)
        await broker.produce(topic, own.map(setOf), { partition })
      }
      const folder = project({})
      await cli(folder, ['init', '--brokers', broker.brokers.join(), '--topics', topic, '--job', 'orders'])
      return folder
    }
    const many = await filled(100)
    expect(readFileSync(join(many, 'orders.ts'), 'utf8')).toContain("  partitioner: { hash: 'murmur2', counts: [3] },")
    expect((await cli(many, ['replay', '--json'])).json()).toMatchObject({ outcome: 'sealed', applied: 100, collections: { orders: { count: 100 } } })
    const database = new Database(join(many, 'state.db'), { readonly: true })
    expect(database.prepare('SELECT name FROM collections').pluck().all()).not.toContain('$owners')
    database.close()
    expect(readFileSync(join(await filled(20), 'orders.ts'), 'utf8')).not.toContain('partitioner')
  }, 60_000)
})

describe('brokers of the demo', () => {
  test('are those of the flag, else of the variable; they are not the demo\'s own', async () => {
    const none = (): void => {}
    expect(await findBrokers('a:1, b:2', 'c:3', none)).toMatchObject({ brokers: ['a:1', 'b:2'], isOwn: false, text: 'a:1, b:2, of --brokers' })
    expect(await findBrokers(undefined, 'c:3', none)).toMatchObject({ brokers: ['c:3'], text: 'c:3, of KAFKA_BROKERS' })
  })

  test('where none can be started, the ways to have one are told', async () => {
    vi.stubEnv('PATH', '/nowhere')
    try {
      await expect(findBrokers(undefined, '', () => {})).rejects.toMatchObject({
        code: 'SOURCE_UNREACHABLE', message: 'No Kafka broker can be started here: there is no java on the PATH.',
        details: { fix: expect.stringMatching(/Java 17 and Maven.*compose\.yaml.*KAFKA_BROKERS/) },
      })
    } finally {
      vi.unstubAllEnvs()
    }
  })

  test('that do not answer are SOURCE_UNREACHABLE soon, and --brokers without --kafka is USAGE', async () => {
    await expect(shown({ brokers: '127.0.0.1:1' })).rejects.toMatchObject({
      code: 'SOURCE_UNREACHABLE', message: expect.stringMatching(/could not be made at 127\.0\.0\.1:1\. .*ECONNREFUSED/),
    })
    expect(await cli(cache, ['demo', '--brokers', 'a:1'])).toMatchObject({ exit: 64, stderr: expect.stringContaining('--brokers goes with --kafka.') })
  }, 30_000)
})
