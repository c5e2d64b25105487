import { afterAll, beforeAll, describe, test } from 'vitest'
import { kafkajsPort } from '../../../adapters/kafka/port-kafkajs.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../../support/kafka.js'
import { BASE_TIMESTAMP, encodeBatch, encodeMarker } from './encode-batch.js'
import { portCases, type PortWorld } from './port-cases.js'
import { ScriptedCluster } from './scripted-broker.js'

const PRODUCER = 7

describe('the scripted cluster keeps what a real one keeps', () => {
  for (const { law, run } of portCases) {
    test(law, async () => {
      const cluster = await new ScriptedCluster().listen()
      const port = kafkajsPort({ brokers: [cluster.address(0)], giveUpAfterMs: 5_000 })
      try {
        await run(scripted(cluster, port))
      } finally {
        await port.close()
        cluster.close()
      }
    })
  }
})

describe.skipIf(!canHaveKafka('the port cases'))('a real broker keeps it', () => {
  let broker: TestBroker
  beforeAll(async () => { broker = await kafkaBroker() }, 180_000)
  afterAll(() => broker?.dispose())

  for (const { law, run } of portCases) {
    test(law, async () => {
      const port = kafkajsPort({ brokers: broker.brokers, giveUpAfterMs: 5_000 })
      try {
        await run(await real(broker, port))
      } finally {
        await port.close()
      }
    })
  }

})

async function real(broker: TestBroker, port: PortWorld['port']): Promise<PortWorld> {
  const topic = await broker.makeTopic()
  return {
    port, topic,
    write: (values, timestamps) => broker.produce(topic, values.map((value, i) => {
      const timestamp = timestamps?.[i]
      return { value, ...(timestamp !== undefined && { timestamp: String(timestamp) }) }
    })),
    transact: (values, end) => broker.transact('case', topic, values.map((value) => ({ value })), end),
    trim: (offset) => broker.deleteRecords(topic, offset),
    remake: () => broker.remakeTopic(topic),
  }
}

function scripted(cluster: ScriptedCluster, port: PortWorld['port']): PortWorld {
  const log = cluster.log[0] as (typeof cluster.log)[number]
  const put = (values: readonly string[], timestamps?: readonly number[], transaction = {}): void => {
    const base = (log.at(-1)?.last ?? -1) + 1
    const records = values.map((value, delta) => {
      const timestampDelta = timestamps === undefined ? delta : (timestamps[delta] as number) - BASE_TIMESTAMP
      return { delta, key: null, value: Buffer.from(value), timestampDelta }
    })
    const entry = { base, last: base + values.length - 1, bytes: encodeBatch({ base, records, ...transaction }) }
    log.push({ ...entry, ...(timestamps !== undefined && { timestamps }) })
  }
  return {
    port, topic: 't',
    async write(values, timestamps) { put(values, timestamps) },
    async transact(values, end) {
      put(values, undefined, { producerId: PRODUCER, transactional: true })
      const { base, last } = log.at(-1) as { base: number; last: number }
      log.push({ base: last + 1, last: last + 1, bytes: encodeMarker(last + 1, PRODUCER, end) })
      if (end === 'abort') cluster.aborted.push({ producerId: PRODUCER, firstOffset: base, lastOffset: last + 1 })
    },
    async trim(offset) { cluster.start = offset },
    async remake() {
      cluster.topicId = 'AAAAAAAAAAAAAAAAAAAAAg'
      log.length = 0
      // A broker answers so to an id that it does not know any more.
      cluster.faults.push(100)
    },
  }
}
