/**
 * A topic read to its end, nothing kept: of each record a CRC over key and value is summed. kafkajs makes
 * an object of each record; ours does not.
 */
import { crc32 } from 'node:zlib'
import { Kafka, logLevel } from 'kafkajs'
import { kafka } from '../../adapters/kafka/index.js'
import type { KafkaInput } from '../kafka-trial.js'
import { Stretch, tellResult, trialInput } from '../trial.js'

export interface SourceInput extends KafkaInput {
  readonly reader: 'eachMessage' | 'eachBatch' | 'rehydrate'
}

export interface SourceResult {
  readonly events: number
  readonly wallMs: number
  readonly cpuMs: number
  readonly firstMs: number
  readonly maxRssBytes: number
  /** Of the CRCs of all keys and values. */
  readonly sum: number
}

const { brokers, topic, events, reader } = trialInput<SourceInput>()
const stretch = new Stretch()
let read = 0
let sum = 0

function take(key: Buffer | string, value: Uint8Array): void {
  sum = (sum + crc32(value, crc32(key))) % Number.MAX_SAFE_INTEGER
  read++
}

async function readOurs(): Promise<void> {
  const source = kafka({ brokers, topics: [topic], payload: 'raw', event: { type: { topic: true } } })
  for (const [partition, { first, last }] of await source.bounds()) {
    const limits = { events: 2_000, bytes: 1 << 20 }
    for await (const batch of source.read(partition, { after: first - 1, upTo: last, mark: null }, limits, new AbortController().signal)) {
      stretch.first()
      for (let i = 0; i < batch.length; i++) take(batch.keyAt(i) as string, batch.event(i).data as Uint8Array)
    }
  }
  await source.close()
}

async function readWithKafkajs(): Promise<void> {
  const client = new Kafka({ clientId: 'bench', brokers: brokers.split(','), logLevel: logLevel.ERROR })
  const consumer = client.consumer({ groupId: `bench-${process.pid}-${Date.now()}` })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  let finish = (): void => {}
  const finished = new Promise<void>((resolve) => { finish = resolve })
  const message = (key: Buffer | null, value: Buffer | null): void => {
    stretch.first()
    take(key as Buffer, value as Buffer)
    if (read === events) finish()
  }
  await consumer.run(reader === 'eachMessage'
    ? { autoCommit: false, eachMessage: async ({ message: { key, value } }) => message(key, value) }
    : { autoCommit: false, eachBatch: async ({ batch }) => { for (const { key, value } of batch.messages) message(key, value) } })
  await finished
  await consumer.disconnect()
}

if (reader === 'rehydrate') await readOurs()
else await readWithKafkajs()
const result: SourceResult = { ...stretch.end(), events: read, sum }
tellResult(result)
