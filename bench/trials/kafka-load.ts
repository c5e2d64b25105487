/** Writes a data set to a topic, each record where the Java client would put it (murmur2). Does nothing where the topic is there. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { Kafka, logLevel, Partitioners, type Message } from 'kafkajs'
import { tellResult, trialInput } from '../trial.js'

export interface LoadInput {
  readonly brokers: string
  readonly topic: string
  readonly partitions: number
  /** NDJSON. */
  readonly file: string
}

const RECORDS_PER_SEND = 6_000

const { brokers, topic, partitions, file } = trialInput<LoadInput>()
const kafka = new Kafka({ clientId: 'bench', brokers: brokers.split(','), logLevel: logLevel.ERROR })
const admin = kafka.admin()
await admin.connect()
const isThere = (await admin.listTopics()).includes(topic)
let records = 0
if (!isThere) {
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor: 1 }] })
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  let messages: Message[] = []
  const send = async (): Promise<void> => {
    await producer.send({ topic, messages })
    records += messages.length
    messages = []
  }
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    messages.push({ key: (JSON.parse(line) as { key: string }).key, value: line })
    if (messages.length === RECORDS_PER_SEND) await send()
  }
  if (messages.length > 0) await send()
  await producer.disconnect()
}
await admin.disconnect()
tellResult({ records })
