import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { kafka, type KafkaOptions } from '../../../adapters/kafka/index.js'
import { kafkajsPort } from '../../../adapters/kafka/port-kafkajs.js'
import { memoryStore } from '../../../adapters/memory/index.js'
import { replay, type EventSource } from '../../../src/index.js'
import { accounts } from '../../support/accounts.js'
import { NODES, TestCluster } from '../../support/kafka-cluster.js'
import { expectRoot, knownLog, once, PARTITIONS, topicOf, type KnownLog } from '../../support/kafka-replays.js'
import { canHaveKafka } from '../../support/kafka.js'
import { failureOf } from '../../support/worlds.js'

describe.skipIf(!canHaveKafka('the Kafka source on a cluster', { own: true }))('the Kafka source, on a cluster of three', { timeout: 240_000 }, () => {
  let cluster: TestCluster
  let log: KnownLog
  beforeAll(async () => {
    cluster = await TestCluster.start()
    log = await knownLog(11)
  }, 180_000)
  afterEach(() => cluster.whole(), 120_000)
  afterAll(() => cluster?.dispose())

  const source = (topic: string, more: Partial<KafkaOptions> = {}): EventSource => kafka({ brokers: cluster.brokers, topics: [topic], ...more })

  test('records that an unclean election lost after they were applied: LOG_TRUNCATED, and when the log has grown again LOG_REWRITTEN or LOG_DIVERGED', async () => {
    // The topic of transactions needs all three nodes to be made.
    await cluster.broker.transact('after', await cluster.broker.makeTopic({ replicas: [[3, 1, 2]] }), moves(1), 'commit')
    const config = { 'unclean.leader.election.enable': 'true', 'min.insync.replicas': '1' }
    const topics = await Promise.all([1, 2].map(() => cluster.broker.makeTopic({ replicas: [[1, 2]], config })))
    const [first, second] = topics as [string, string]
    const runs = new Map(topics.map((topic) => [topic, { source: source(topic), projection: accounts, store: memoryStore(), until: 'head' as const }]))
    const resumed = (topic: string) => failureOf(replay(runs.get(topic)!).done)
    for (const topic of topics) await cluster.until(topic, 0, ({ leader, inSync }) => leader === 1 && inSync.length === 2)
    for (const topic of topics) await cluster.broker.produce(topic, moves(10))
    // What comes now node 2 never gets; and then it has to lead.
    await cluster.kill(2, { hold: true })
    for (const topic of topics) await cluster.until(topic, 0, ({ inSync }) => inSync.join() === '1')
    for (const topic of topics) await cluster.broker.produce(topic, moves(10))
    for (const topic of topics) expect((await replay(runs.get(topic)!).done).position.get(`${topic}/0`)).toBe(19)
    await cluster.kill(1, { hold: true })
    await cluster.release(2)
    for (const topic of topics) await cluster.until(topic, 0, ({ leader }) => leader === 2)

    for (const topic of topics) expect(await resumed(topic)).toMatchObject({ code: 'LOG_TRUNCATED', exitCode: 7, details: { partition: `${topic}/0` } })
    // Another record at 19; and none, but a marker: then the epochs of the leaders tell.
    await cluster.broker.produce(first, moves(15, 100))
    await cluster.broker.transact('after', second, moves(9, 100), 'commit')
    expect(await resumed(first)).toMatchObject({ code: 'LOG_REWRITTEN', exitCode: 7, details: { partition: `${first}/0`, offset: 19 } })
    expect(await resumed(second)).toMatchObject({ code: 'LOG_DIVERGED', exitCode: 7, details: { partition: `${second}/0`, offset: 19 } })
  })

  test('leaders that move to other nodes in the middle of a replay cost and repeat nothing', async () => {
    const topic = await topicOf(cluster.broker, log, { replicas: [[1, 2], [2, 3], [3, 1]] })
    const before = await cluster.state(topic, 0)
    await expectRoot(log, source(topic), once(500, async () => {
      await Promise.all([[2, 3], [3, 1], [1, 2]].map((nodes, partition) => cluster.move(topic, partition, nodes)))
    }))
    expect(before.leader).toBe(1)
    expect((await cluster.state(topic, 0)).leader).not.toBe(1)
  })

  test('who says his rack is served by the replica there, and by the leader when that one is gone', async () => {
    const topic = await topicOf(cluster.broker, log, { replicas: [[1, 3], [1, 3], [1, 3]] })
    for (let partition = 0; partition < PARTITIONS; partition++) await cluster.until(topic, partition, ({ inSync }) => inSync.length === 2)
    const port = kafkajsPort({ brokers: cluster.brokers, rack: 'rack-3' })
    await port.describe([topic])
    const limits = { bytesPerPartition: 1 << 20, bytes: 1 << 20, waitMs: 100, readCommitted: true }
    const answer = await port.fetch({ topic, partition: 0, offset: 0 }, limits, new AbortController().signal)
    expect([answer?.broker, answer?.records.length]).toEqual([expect.stringContaining(cluster.brokers[2] as string), expect.any(Number)])
    expect(answer?.records.length).toBeGreaterThan(0)
    await port.close()
    await expectRoot(log, source(topic, { rack: 'rack-3' }), once(500, () => cluster.kill(3)))
  })

  test('leaders that are killed, all three nodes one after the other in one replay, cost and repeat nothing', async () => {
    const topic = await topicOf(cluster.broker, log, { replicas: [[1, 2, 3], [2, 3, 1], [3, 1, 2]] })
    const restarted: number[] = []
    const restartAll = async (): Promise<void> => {
      for (const node of NODES) {
        await cluster.kill(node)
        for (let partition = 0; partition < PARTITIONS; partition++) await cluster.until(topic, partition, ({ leader }) => leader > 0 && leader !== node)
        await cluster.whole()
        for (let partition = 0; partition < PARTITIONS; partition++) await cluster.until(topic, partition, ({ inSync }) => inSync.length === 3)
        restarted.push(node)
      }
    }
    let restarts: Promise<void> | null = null
    await expectRoot(log, source(topic), async (handedOn) => {
      restarts ??= restartAll()
      // It reads on while nodes go and come, and has some left when the last one is back.
      await (handedOn < log.total * 0.8 ? Promise.race([restarts, sleep(100)]) : restarts)
    })
    expect(restarted).toEqual(NODES)
  })
})

function moves(count: number, from = 0): { key: string; value: string }[] {
  return Array.from({ length: count }, (_, n) => ({ key: 'a', value: JSON.stringify({ type: 'Moved', data: { account: 'a', cents: from + n } }) }))
}
