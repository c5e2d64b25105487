import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kafka } from '../../../adapters/kafka/index.js'
import type { Finding } from '../../../src/index.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../../support/kafka.js'
import { PaperCluster } from './paper-cluster.js'

const HOUR_MS = 3_600_000

describe.skipIf(!canHaveKafka('what doctor finds of a real broker'))('what doctor finds of a real broker', () => {
  let broker: TestBroker
  beforeAll(async () => { broker = await kafkaBroker() }, 120_000)
  afterAll(() => broker.dispose())

  async function found(topic: string, replayMs: number | null = 60_000, isolation: 'read_committed' | 'read_uncommitted' = 'read_committed'): Promise<Finding[]> {
    const source = kafka({ brokers: broker.brokers, topics: [topic], isolation })
    try {
      return [...await source.diagnose?.({ replayMs }) ?? []]
    } finally {
      await source.close()
    }
  }
  const of = (findings: readonly Finding[], what: string): Finding | undefined => findings.find((finding) => finding.what.startsWith(what))

  test('a topic without bounds is good, and the least that it takes to read it is told as a command', async () => {
    const topic = await broker.makeTopic({ partitions: 2, config: { 'retention.ms': '-1' } })
    await broker.produce(topic, [{ value: '{}' }, { value: '{}' }], { compression: 1 })
    const findings = await found(topic)
    expect(new Set(findings.map(({ is }) => is))).toEqual(new Set(['good']))
    expect(of(findings, 'brokers')?.text).toMatch(/^Cluster \S+ answers: 2 partitions, 2 offsets, 0\.\d kB\.$/)
    expect(of(findings, 'retention')?.text).toBe('Records do not expire by age.')
    expect(of(findings, 'codecs')?.text).toBe('The first batches are compressed by gzip; they can be read.')
    expect(of(findings, 'access, granted by')?.text).toContain(`--operation Read --operation DescribeConfigs --topic ${topic}`)
  })

  test('records that expire before a replay is done are bad, with both times; those that do not are good', async () => {
    const topic = await broker.makeTopic({ config: { 'retention.ms': String(2 * HOUR_MS), 'file.delete.delay.ms': '600000' } })
    await broker.produce(topic, [{ value: '{}', timestamp: String(Date.now() - HOUR_MS) }])
    expect(of(await found(topic, 6 * 60_000), 'retention')).toMatchObject({
      is: 'good', text: expect.stringMatching(/^The oldest record expires in (60|59) min at the earliest; the replay needs about 6 min\.$|^The oldest record expires in 1 h /),
    })
    expect(of(await found(topic, 2 * HOUR_MS), 'retention')).toMatchObject({ is: 'bad', fix: expect.stringContaining('retention.ms') })
    expect(of(await found(topic, null), 'retention')?.is).toBe('doubtful')
  })

  test('a bound by size is doubtful; a compacted topic is bad where the replay takes longer than deletes are kept', async () => {
    const sized = await broker.makeTopic({ config: { 'retention.bytes': '50000000' } })
    expect((await found(sized)).find(({ is }) => is === 'doubtful')?.text).toContain('larger than 50.0 MB loses its oldest records')
    const compacted = await broker.makeTopic({ config: { 'cleanup.policy': 'compact', 'delete.retention.ms': String(HOUR_MS) } })
    expect(of(await found(compacted, 60_000), 'compaction')).toMatchObject({ is: 'good', text: expect.stringContaining('deletes are kept for 1 h') })
    expect(of(await found(compacted, HOUR_MS), 'compaction')).toMatchObject({ is: 'bad', fix: expect.stringContaining('delete.retention.ms') })
  })

  test('an open transaction is told with the offsets that it holds back, where it does', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, [{ value: '{}' }])
    const producer = await broker.producer({ transactionalId: 'doctor', idempotent: true, maxInFlightRequests: 1 })
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ partition: 0, value: '{}' }] })
    expect(of(await found(topic), `${topic}/0`)).toMatchObject({
      is: 'doubtful', text: `A transaction is open: ${topic}/0 can be read up to 0, and is written up to 1.`,
    })
    expect(of(await found(topic, null, 'read_uncommitted'), `${topic}/0`)).toBeUndefined()
    await transaction.abort()
  })

  test('a topic that is not there is said at once', async () => {
    await expect(found('no-such-topic')).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('no-such-topic') })
  })
})

test('doctor does not say that nothing expires where the oldest record can not be read', async () => {
  const cluster = new PaperCluster()
  cluster.retentionMs = HOUR_MS
  const retention = async (): Promise<Finding | undefined> => {
    return (await cluster.source().diagnose({ replayMs: 1 })).find(({ what }) => what === 'retention of t')
  }
  expect(await retention()).toMatchObject({ is: 'good', text: 'There is no record that could expire.' })
  cluster.put([0, 1])
  expect(await retention()).toMatchObject({ is: 'bad', text: expect.stringContaining('deleted at any moment') })
  const { bytes } = cluster.batches[0]!
  bytes[bytes.length - 1]! ^= 1
  expect(await retention()).toMatchObject({ is: 'doubtful', text: expect.stringContaining('not known') })
})
