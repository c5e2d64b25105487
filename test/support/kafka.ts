import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka, logLevel, Partitioners, type Admin, type Message, type Producer, type ProducerConfig } from 'kafkajs'
import { kafkaJars, whyNoKafka } from '../../src/cli/local-kafka/install.js'
import { endKeep, START_DEADLINE_MS, type Keep } from '../../src/cli/local-kafka/keep.js'
import { killNode, nodeRuns, ownKeep, sharedKeep } from './kafka-keeper.js'

const FIXTURES = join(import.meta.dirname, 'kafka')

/** True where a broker can be had; `own`: one that a test starts. Where not, what is skipped is said loudly; with CI=true it is a failure. */
export function canHaveKafka(suite: string, { own } = { own: false }): boolean {
  const why = process.env['KAFKA_BROKERS'] !== undefined && !own ? null : whyNoKafka()
  if (why === null) return true
  const message = `SKIPPED, because ${why}: ${suite}. Install Java 17 and Maven, or set KAFKA_BROKERS to a broker of yours.`
  if (process.env['CI'] === 'true') throw new Error(message)
  console.error(`\n*** ${message} ***\n`)
  return false
}

/** The broker of this test run: KAFKA_BROKERS, or one that is started by whoever asks first and shared by all test files. */
export async function kafkaBroker(): Promise<TestBroker> {
  const given = process.env['KAFKA_BROKERS']
  if (given !== undefined) return await TestBroker.connect(given.split(','))
  return await TestBroker.connect((await sharedKeep()).brokers)
}

/** A broker of one's own, to be killed. */
export async function ownKafkaBroker(): Promise<TestBroker> {
  const keep = await ownKeep('plain')
  return await TestBroker.connect(keep.brokers, keep)
}

export interface TopicOptions {
  readonly partitions?: number
  readonly config?: Readonly<Record<string, string>>
  /** Default: a name that no other test has. */
  readonly name?: string
  /** The nodes that hold each partition, the one that should lead it first. Default: any one. */
  readonly replicas?: readonly (readonly number[])[]
}

/** A real broker with what tests do to it. Errors of kafkajs come through. */
export class TestBroker {
  readonly brokers: readonly string[]
  readonly admin: Admin
  readonly #kafka: Kafka
  readonly #own: Keep | null
  #isKilled = false
  readonly #id = randomUUID()
  readonly #topics: string[] = []
  readonly #producers = new Map<string, Promise<Producer>>()

  private constructor(brokers: readonly string[], kafka: Kafka, own: Keep | null) {
    this.brokers = brokers
    this.#kafka = kafka
    this.#own = own
    this.admin = kafka.admin()
  }

  /** `own`: it is one's own, and ends with `dispose`. */
  static async connect(brokers: readonly string[], own: Keep | null = null): Promise<TestBroker> {
    const kafka = new Kafka({ brokers: [...brokers], clientId: 'rehydrate-tests', logLevel: logLevel.NOTHING })
    const broker = new TestBroker(brokers, kafka, own)
    await broker.admin.connect()
    for (const end = Date.now() + START_DEADLINE_MS; (await broker.admin.describeCluster()).brokers.length < brokers.length; await sleep(50)) {
      if (Date.now() > end) throw new Error('Not every broker has registered with its controller.')
    }
    return broker
  }

  async makeTopic({ partitions = 1, config = {}, name = `t-${randomUUID()}`, replicas }: TopicOptions = {}): Promise<string> {
    const configEntries = Object.entries(config).map(([entry, value]) => ({ name: entry, value }))
    const placed = replicas === undefined
      ? { numPartitions: partitions, replicationFactor: 1 }
      : { replicaAssignment: replicas.map((nodes, partition) => ({ partition, replicas: [...nodes] })) }
    await this.admin.createTopics({ waitForLeaders: false, topics: [{ topic: name, configEntries, ...placed }] })
    await this.#untilLed(name, replicas?.length ?? partitions)
    this.#topics.push(name)
    return name
  }

  /** Deletes a topic and makes another one of the name. */
  async remakeTopic(name: string, options: TopicOptions = {}): Promise<void> {
    // A client that wrote to a topic asks for it for ever, and fails when it is gone.
    await this.#forget(name)
    await this.admin.deleteTopics({ topics: [name] })
    while ((await this.admin.listTopics()).includes(name)) await sleep(20)
    await this.makeTopic({ ...options, name })
  }

  /** Gives a topic more partitions. */
  async growTopic(name: string, partitions: number): Promise<void> {
    await this.#forget(name)
    await this.admin.createPartitions({ topicPartitions: [{ topic: name, count: partitions }] })
    await this.#untilLed(name, partitions)
  }

  /** A broker knows of a topic some moments later than its controller, and has its logs some moments later than that. */
  async #untilLed(name: string, partitions: number): Promise<void> {
    for (const end = Date.now() + START_DEADLINE_MS; Date.now() < end; await sleep(20)) {
      const metadata = await this.admin.fetchTopicMetadata({ topics: [name] }).catch(() => null)
      const led = metadata?.topics[0]?.partitions.filter(({ leader }) => leader >= 0) ?? []
      if (led.length < partitions) continue
      const ends = await this.admin.fetchTopicOffsets(name).catch(() => [])
      if (ends.length === partitions) return
    }
    throw new Error(`${name} has no leaders.`)
  }

  async produce(topic: string, messages: readonly Message[], { partition = 0, compression = 0 } = {}): Promise<void> {
    // A client gives up sooner than a busy machine starts a broker again.
    if (this.#isKilled && this.#own !== null) await nodeRuns(this.#own, 1)
    const producer = await this.#connected(topic, {})
    const written = await producer.send({ topic, compression, messages: messages.map((message) => ({ partition, ...message })) })
    // A client that does not know a partition yet drops what it is to write there, without a word.
    if (messages.length > 0 && written.length === 0) throw new Error(`Nothing was written to ${topic}/${partition}.`)
  }

  /** One for each transactional id, which is ours alone: another test's producer of the same one would be fenced. */
  producer(config: ProducerConfig & { readonly transactionalId: string }): Promise<Producer> {
    return this.#connected(`transactional ${config.transactionalId}`, { ...config, transactionalId: `${this.#id}-${config.transactionalId}` })
  }

  #connected(name: string, config: ProducerConfig): Promise<Producer> {
    const known = this.#producers.get(name)
    if (known !== undefined) return known
    const made = this.#kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...config })
    const connected = made.connect().then(() => made)
    this.#producers.set(name, connected)
    return connected
  }

  async #forget(name: string): Promise<void> {
    const known = this.#producers.get(name)
    this.#producers.delete(name)
    await (await known)?.disconnect()
  }

  /** One transaction with messages to partition 0. */
  async transact(transactionalId: string, topic: string, messages: readonly Message[], end: 'commit' | 'abort'): Promise<void> {
    const transaction = await (await this.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 })).transaction()
    const [sent] = await transaction.send({ topic, messages: messages.map((message) => ({ partition: 0, ...message })) })
    await transaction[end]()
    await this.#untilReadable(topic, Number(sent?.baseOffset) + messages.length)
  }

  /** A broker writes the marker some moments after it said that a transaction is over: others may write before it. */
  async #untilReadable(topic: string, marker: number): Promise<void> {
    for (const end = Date.now() + START_DEADLINE_MS; Date.now() < end; await sleep(5)) {
      const [first] = await this.admin.fetchTopicOffsets(topic)
      if (Number(first?.offset) > marker) return
    }
    throw new Error(`${topic}@${marker} is no marker.`)
  }

  /** What was before `offset` is gone. */
  async deleteRecords(topic: string, offset: number, partition = 0): Promise<void> {
    const admin = this.#kafka.admin()
    await admin.connect()
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(offset) }] })
    await admin.disconnect()
  }

  /** Written by the Java client: `count` records of each codec, in this order. */
  async produceWithJava(topic: string, count: number, codecs: readonly string[]): Promise<void> {
    const args = ['-Xmx128m', '-cp', join(await kafkaJars(), '*'), join(FIXTURES, 'Produce.java')]
    const java = spawn('java', [...args, this.brokers.join(), topic, String(count), ...codecs], { stdio: ['ignore', 'ignore', 'inherit'] })
    const code = await new Promise((done) => java.once('exit', done))
    if (code !== 0) throw new Error(`The Java producer ended with ${code}.`)
  }

  /** SIGKILL. Its keeper starts it again. */
  async kill(): Promise<void> {
    if (this.#own === null) throw new Error('Only a broker of your own is yours to kill.')
    this.#isKilled = true
    await killNode(this.#own, 1)
  }

  /** Deletes what was made and closes the connections; ends a broker of one's own. */
  async dispose(): Promise<void> {
    for (const producer of this.#producers.values()) await (await producer).disconnect()
    if (this.#topics.length > 0) await this.admin.deleteTopics({ topics: [...new Set(this.#topics)] })
    await this.admin.disconnect()
    if (this.#own !== null) endKeep(this.#own)
  }
}
