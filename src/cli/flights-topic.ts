import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type * as Kafkajs from 'kafkajs'
import type { Admin, ICustomPartitioner, Kafka, Producer } from 'kafkajs'
import { RehydrateError } from '../index.js'
import { stopped, type Live } from './demo-steps.js'
import { count } from './demo-text.js'
import { lineOf, PARTITIONS, type FlightData } from './flights.js'

const FLIGHTS_PER_WRITE = 5_000
/** Who is not there is said soon; who is there may be busy. */
const FIRST_RETRIES = { retries: 3, initialRetryTime: 200 }
const RETRIES = { retries: 8 }
const LED_WITHIN_MS = 60_000

/** A topic with a name that nobody else has, made by us and deleted by us. Errors: SOURCE_UNREACHABLE, ADAPTER_PEER_MISSING. */
export class FlightsTopic {
  readonly name = `rehydrate-demo-${randomBytes(4).toString('hex')}`
  readonly #kafka: Kafka
  readonly #admin: Admin
  /** As the Java client has it: an airport's flights are in one partition. */
  readonly #createPartitioner: ICustomPartitioner
  #isMade = false

  private constructor(kafka: Kafka, createPartitioner: ICustomPartitioner) {
    this.#kafka = kafka
    this.#admin = kafka.admin({ retry: FIRST_RETRIES })
    this.#createPartitioner = createPartitioner
  }

  static async make(brokers: readonly string[]): Promise<FlightsTopic> {
    const { Kafka: Client, logLevel, Partitioners } = await loadKafkajs()
    const kafka = new Client({ brokers: [...brokers], clientId: 'rehydrate-demo', logLevel: logLevel.NOTHING, retry: FIRST_RETRIES })
    const topic = new FlightsTopic(kafka, Partitioners.DefaultPartitioner)
    try {
      await reaching(`the topic ${topic.name} could not be made at ${brokers.join(', ')}`, () => topic.#make())
      return topic
    } catch (error) {
      await topic.delete().catch(() => {})
      throw error
    }
  }

  async #make(): Promise<void> {
    await this.#admin.connect()
    // Whatever the cluster's own is.
    const configEntries = [{ name: 'retention.ms', value: '-1' }]
    const topics = [{ topic: this.name, numPartitions: PARTITIONS, configEntries }]
    this.#isMade = await this.#admin.createTopics({ topics, waitForLeaders: false })
    await this.#untilLed()
  }

  /** A broker knows of a topic some moments later than its controller. */
  async #untilLed(): Promise<void> {
    for (const endMs = Date.now() + LED_WITHIN_MS; ; await sleep(50)) {
      const metadata = await this.#admin.fetchTopicMetadata({ topics: [this.name] }).catch((error: unknown) => error as Error)
      const partitions = metadata instanceof Error ? [] : metadata.topics[0]?.partitions ?? []
      if (partitions.filter(({ leader }) => leader >= 0).length === PARTITIONS) return
      if (Date.now() > endMs) throw metadata instanceof Error ? metadata : new Error('Its partitions have no leaders.')
    }
  }

  /** Writes all flights, each as the line of the log that it would be, under its destination. The result is how many. */
  async write(data: FlightData, live: Live, signal: AbortSignal | undefined): Promise<number> {
    // Idempotent, and one request after the other: in the topic they are in their order, each once.
    const options = { idempotent: true, maxInFlightRequests: 1, retry: RETRIES }
    const producer = this.#kafka.producer({ ...options, createPartitioner: this.#createPartitioner })
    return await reaching(`the flights could not be written to ${this.name}`, async () => {
      await producer.connect()
      try {
        return await this.#writeAll(producer, data, live, signal)
      } finally {
        await producer.disconnect()
      }
    })
  }

  async #writeAll(producer: Producer, data: FlightData, live: Live, signal: AbortSignal | undefined): Promise<number> {
    let written = 0
    for await (const flights of data.flights()) {
      for (let from = 0; from < flights.length; from += FLIGHTS_PER_WRITE) {
        if (signal?.aborted === true) throw stopped()
        const messages = flights.slice(from, from + FLIGHTS_PER_WRITE).map((flight) => ({
          key: flight.destination, value: lineOf(flight).trimEnd(),
        }))
        await producer.send({ topic: this.name, messages })
        written += messages.length
        live(`  topic    ${count(written)} events written`)
      }
    }
    return written
  }

  /** Deletes it, and closes the connections. */
  async delete(): Promise<void> {
    if (this.#isMade) await this.#admin.deleteTopics({ topics: [this.name] })
    await this.#admin.disconnect()
  }
}

async function loadKafkajs(): Promise<typeof Kafkajs> {
  try {
    return await import('kafkajs')
  } catch (cause) {
    throw new RehydrateError('ADAPTER_PEER_MISSING', {
      message: 'The demo writes to Kafka by the package kafkajs, which could not be loaded.', fix: 'npm install kafkajs@2.2.4', cause,
    })
  }
}

async function reaching<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof RehydrateError) throw cause
    const message = `The demo stopped: ${what}. The last answer was: ${(cause as Error).message}`
    throw new RehydrateError('SOURCE_UNREACHABLE', {
      message, cause, safe: 'Only a topic of its own was touched.',
      fix: 'Check the address, and that the broker listens there without TLS and SASL.',
    })
  }
}
