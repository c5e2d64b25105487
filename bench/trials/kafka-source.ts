/**
 * A topic read to its end, nothing kept. Each client hands over what it hands over: kafkajs an object for each record, ours batches whose
 * records can be read. Then nothing more is done, or, with equal work, a CRC over each key and value is summed.
 */
import { crc32 } from 'node:zlib'
import { Kafka, logLevel, type KafkaMessage } from 'kafkajs'
import { kafka } from '../../adapters/kafka/index.js'
import type { KafkaInput } from '../kafka-trial.js'
import { Stretch, tellResult, trialInput } from '../trial.js'

export interface SourceInput extends KafkaInput {
  readonly reader: 'eachMessage' | 'eachBatch' | 'rehydrate'
  readonly work: 'none' | 'sum'
}

export interface SourceResult {
  readonly events: number
  readonly wallMs: number
  readonly cpuMs: number
  readonly firstMs: number
  readonly maxRssBytes: number
  /** Of the CRCs of all keys and values; 0 without that work. */
  readonly sum: number
}

const LIMITS = { events: 2_000, bytes: 1 << 20 }

const { brokers, topic, events, reader, work } = trialInput<SourceInput>()
const stretch = new Stretch()
let read = 0
let sum = 0

function add(key: Buffer | string, value: Uint8Array): void {
  sum = (sum + crc32(value, crc32(key))) % Number.MAX_SAFE_INTEGER
}

async function readOurs(): Promise<void> {
  const source = kafka({ brokers, topics: [topic], payload: 'raw', event: { type: { topic: true } } })
  await Promise.all([...await source.bounds()].map(async ([partition, { first, last }]) => {
    for await (const batch of source.read(partition, { after: first - 1, upTo: last, mark: null }, LIMITS, new AbortController().signal)) {
      stretch.first()
      read += batch.length
      if (work === 'none') continue
      for (let i = 0; i < batch.length; i++) add(batch.keyAt(i) as string, batch.event(i).data as Uint8Array)
    }
  }))
  await source.close()
}

async function readWithKafkajs(): Promise<void> {
  const client = new Kafka({ clientId: 'bench', brokers: brokers.split(','), logLevel: logLevel.ERROR })
  const consumer = client.consumer({ groupId: `bench-${process.pid}-${Date.now()}` })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  let finish = (): void => {}
  const finished = new Promise<void>((resolve) => { finish = resolve })
  const take = (messages: readonly KafkaMessage[]): void => {
    stretch.first()
    read += messages.length
    if (work === 'sum') for (const { key, value } of messages) add(key as Buffer, value as Buffer)
    if (read === events) finish()
  }
  await consumer.run(reader === 'eachMessage'
    ? { autoCommit: false, eachMessage: async ({ message }) => take([message]) }
    : { autoCommit: false, eachBatch: async ({ batch }) => take(batch.messages) })
  await finished
  await consumer.disconnect()
}

if (reader === 'rehydrate') await readOurs()
else await readWithKafkajs()
const result: SourceResult = { ...stretch.end(), events: read, sum }
tellResult(result)
