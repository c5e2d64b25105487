import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kafkajsPort } from '../../../adapters/kafka/port-kafkajs.js'
import type { KafkaPort } from '../../../adapters/kafka/port.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../../support/kafka.js'
import { failureOf } from '../../support/worlds.js'

describe.runIf(canHaveKafka('consumer groups'))('a consumer group, seen from outside', { timeout: 60_000 }, () => {
  let broker: TestBroker
  let port: KafkaPort
  beforeAll(async () => {
    broker = await kafkaBroker()
    port = kafkajsPort({ brokers: broker.brokers })
  }, 120_000)
  afterAll(async () => {
    await port.close()
    await broker.dispose()
  })

  const client = () => new Kafka({ brokers: [...broker.brokers], clientId: 'the-service', logLevel: logLevel.NOTHING })

  test('has no position where nothing was ever committed, and stands where it is set to: the next one it reads is the one after', async () => {
    const topic = await broker.makeTopic({ partitions: 3 })
    await broker.produce(topic, ['a', 'b', 'c'].map((value) => ({ value })), { partition: 1 })
    const name = `g-${randomUUID()}`
    const group = port.group(name, [topic])
    expect(await group.describe()).toEqual({ state: 'Dead', members: [], position: new Map() })
    const position = new Map([[`${topic}/0`, -1], [`${topic}/1`, 1]])
    await group.commit(position)
    expect(await group.describe()).toEqual({ state: 'Empty', members: [], position })
    const consumer = client().consumer({ groupId: name })
    const read: string[] = []
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: false })
    await consumer.run({ eachMessage: async ({ message }) => { read.push(`${message.offset}:${message.value}`) } })
    while (read.length === 0) await sleep(20)
    await consumer.disconnect()
    expect(read).toEqual(['2:c'])
  })

  test('that has members is GROUP_ACTIVE, which names them, and nothing is committed', async () => {
    const topic = await broker.makeTopic()
    await broker.produce(topic, [{ value: 'a' }])
    const name = `g-${randomUUID()}`
    const group = port.group(name, [topic])
    const consumer = client().consumer({ groupId: name })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({ autoCommit: false, eachMessage: async () => {} })
    while ((await group.describe()).state !== 'Stable') await sleep(20)
    expect((await group.describe()).members).toEqual([expect.stringMatching(/^the-service at /)])
    const failure = await failureOf(group.commit(new Map([[`${topic}/0`, 0]])))
    expect(failure).toMatchObject({ code: 'GROUP_ACTIVE', exitCode: 5, message: expect.stringContaining('the-service at ') })
    expect((await group.describe()).position).toEqual(new Map())
    await consumer.disconnect()
    await group.commit(new Map([[`${topic}/0`, 0]]))
    expect((await group.describe()).position).toEqual(new Map([[`${topic}/0`, 0]]))
  })

  test('has positions of other topics too, which can not be set', async () => {
    const [ours, other] = [await broker.makeTopic(), await broker.makeTopic()]
    const name = `g-${randomUUID()}`
    await port.group(name, [ours, other]).commit(new Map([[`${ours}/0`, -1], [`${other}/0`, -1]]))
    const group = port.group(name, [ours])
    expect((await group.describe()).position).toEqual(new Map([[`${ours}/0`, -1], [`${other}/0`, -1]]))
    expect(await failureOf(group.commit(new Map([[`${other}/0`, 3]])))).toMatchObject({ code: 'CONFIG_INVALID', details: { partition: `${other}/0` } })
  })
})
