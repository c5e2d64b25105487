import { setMaxListeners } from 'node:events'
import { checkOptions, isRehydrateError, RehydrateError, type ConsumerGroup, type Offset } from '../../src/index.js'
import { DESCRIBE_PRODUCERS_API, describeLogDirs, describeProducers } from './admin-messages.js'
import { brokerError } from './broker-errors.js'
import { Connections, type ConnectionSettings } from './connections.js'
import { PartitionFetcher } from './fetcher.js'
import { KafkaGroup } from './group.js'
import { Leaders, noAnswer, noLeader, type Leader } from './leaders.js'
import { EARLIEST, LATEST, listOffsets, offsetForLeaderEpoch, type LedPartition } from './messages.js'
import {
  nameOf,
  type ClusterView, type FetchedPartition, type FetchLimits, type FetchRequest, type KafkaPort, type OpenProducer, type PartitionOffsets,
  type TopicPartition,
} from './port.js'
import { untilDone } from './retry.js'
import type { KafkaSasl } from './security.js'

export interface KafkajsOptions {
  /** `host:port`, one or more, to begin with. */
  readonly brokers: readonly string[]
  /** Default: `rehydrate`. */
  readonly clientId?: string
  readonly ssl?: ConnectionSettings['ssl']
  readonly sasl?: KafkaSasl
  /** Where we are: a leader may then name a replica nearby, which is asked for records instead. */
  readonly rack?: string
  /** Default 10 s. */
  readonly connectTimeoutMs?: number
  /** How long an answer may take, before the connection counts as dead. Default 30 s. */
  readonly requestTimeoutMs?: number
  /** How long the same may fail before it is SOURCE_UNREACHABLE. Default 2 min. */
  readonly giveUpAfterMs?: number
  /** The same, as long as no broker ever let us in. Default 20 s. */
  readonly firstContactMs?: number
}

const OPTIONS = ['brokers', 'clientId', 'ssl', 'sasl', 'rack', 'connectTimeoutMs', 'requestTimeoutMs', 'giveUpAfterMs', 'firstContactMs']

/**
 * The port over the connections of kafkajs 2.2.4, which is loaded on the first use; every request is our own. What it promises beyond
 * the port:
 * - `fetch` stays with the incarnation of a topic that the last `describe` saw: where the cluster has another one under that name,
 *   LOG_RECREATED. So whoever describes again compares the ids.
 * - An offset that the leader, asked twice, does not have is no error: the answer holds no records, and its `startOffset` and
 *   `highWatermark` (asked of the leader just then) say on which side it fell out. The source names it.
 * - A partition in trouble (leader moves, broker down) is asked for again with doubling pauses, and holds up no other one;
 *   SOURCE_UNREACHABLE with the place and the last cause after `giveUpAfterMs`.
 * - A broker is sent nothing for as long as it throttles; sessions and tokens are renewed before they end, by new connections.
 */
export function kafkajsPort(options: KafkajsOptions): KafkaPort {
  checkOptions('kafka()', options, OPTIONS)
  const { brokers } = options
  if (brokers.length === 0 || brokers.some((broker) => !/^.+:\d+$/.test(broker))) {
    const message = 'kafka(): brokers must be a list of host:port.'
    throw new RehydrateError('CONFIG_INVALID', { message, path: 'brokers', actual: brokers })
  }
  return new KafkajsPort(options)
}

class KafkajsPort implements KafkaPort {
  readonly #connections: Connections
  readonly #leaders: Leaders
  readonly #fetcher: PartitionFetcher
  readonly #brokers: readonly string[]
  readonly #giveUpAfterMs: number
  readonly #firstContactMs: number
  readonly #closing = new AbortController()

  constructor(options: KafkajsOptions) {
    this.#brokers = options.brokers
    this.#giveUpAfterMs = options.giveUpAfterMs ?? 120_000
    // Somebody waits for it: a wrong address is more likely than brokers that are about to come.
    this.#firstContactMs = Math.min(options.firstContactMs ?? 20_000, this.#giveUpAfterMs)
    this.#connections = new Connections({
      brokers: options.brokers,
      clientId: options.clientId ?? 'rehydrate',
      ssl: options.ssl ?? false,
      sasl: options.sasl ?? null,
      connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
      requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
    })
    this.#leaders = new Leaders(this.#connections)
    this.#fetcher = new PartitionFetcher(this.#connections, this.#leaders, options.rack ?? '', async (partition) => {
      const [bounds] = await this.#offsetsNow([partition]) as [PartitionOffsets]
      return bounds
    })
    // One for each request under way.
    setMaxListeners(0, this.#closing.signal)
  }

  async describe(topics: readonly string[]): Promise<ClusterView> {
    return await this.#untilDone(`Asking for the topics ${topics.join(', ')}`, () => this.#leaders.describe(topics))
  }

  async offsets(partitions: readonly TopicPartition[]): Promise<readonly PartitionOffsets[]> {
    return await this.#untilDone('Asking for the ends of the partitions', () => this.#offsetsNow(partitions))
  }

  async offsetAt(partition: TopicPartition, timeMs: number): Promise<Offset | null> {
    return await this.#untilDone(`Asking for an offset of ${nameOf(partition)} by time`, async () => {
      const led = await this.#leaders.of(partition)
      const offset = (await this.#listOffsets([led], timeMs, false)).get(nameOf(partition)) as Offset
      return offset < 0 ? null : offset
    })
  }

  async endOfEpoch(partition: TopicPartition, epoch: number): Promise<{ leaderEpoch: number; endOffset: Offset } | null> {
    return await this.#untilDone(`Asking for an epoch of ${nameOf(partition)}`, async () => {
      const led = await this.#leaders.of(partition)
      const [end] = await this.#connections.send(led.nodeId, () => offsetForLeaderEpoch(led, epoch)) ?? []
      if (end === undefined) throw noAnswer(nameOf(partition))
      if (end.error !== 0) throw brokerError(end.error, nameOf(partition), nameOf(partition))
      return end.endOffset < 0 ? null : { leaderEpoch: end.leaderEpoch, endOffset: end.endOffset }
    })
  }

  async openTransaction(partition: TopicPartition): Promise<OpenProducer | null> {
    return await this.#untilDone(`Asking for the producers of ${nameOf(partition)}`, async () => {
      const led = await this.#leaders.of(partition)
      const answer = await this.#connections.send(led.nodeId, (link) => {
        return link.supports(DESCRIBE_PRODUCERS_API, 0) ? describeProducers(partition) : null
      })
      const [producers] = answer ?? []
      if (producers === undefined) return null
      if (producers.error !== 0) throw brokerError(producers.error, nameOf(partition), nameOf(partition))
      return producers.open.toSorted((a, b) => a.firstOffset - b.firstOffset)[0] ?? null
    })
  }

  async logBytes(partitions: readonly TopicPartition[]): Promise<ReadonlyMap<string, number>> {
    return await this.#untilDone('Asking for the sizes of the partitions', async () => {
      const sizes = new Map<string, number>()
      for (const [nodeId, members] of await this.#leaders.byNode(partitions)) {
        if (nodeId < 0) continue
        for (const replica of await this.#connections.send(nodeId, () => describeLogDirs(members)) ?? []) {
          sizes.set(nameOf(replica), (sizes.get(nameOf(replica)) ?? 0) + replica.bytes)
        }
      }
      return sizes
    })
  }

  group(name: string, topics: readonly string[]): ConsumerGroup {
    return new KafkaGroup(this.#connections, name, topics, (what, attempt) => this.#untilDone(what, attempt))
  }

  async fetch(request: FetchRequest, limits: FetchLimits, signal: AbortSignal): Promise<FetchedPartition | null> {
    const isOver = (): boolean => signal.aborted || this.#closing.signal.aborted
    const what = async (): Promise<string> => {
      return `Reading ${nameOf(request)} from ${request.offset} on, of ${await this.#fetcher.sourceOf(request)},`
    }
    try {
      return await this.#untilDone(what, () => this.#fetcher.fetch(request, limits, isOver), [signal])
    } catch (error) {
      if (isOver()) return null
      throw error
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new RehydrateError('SOURCE_UNREACHABLE', { message: 'The Kafka source was closed.' }))
    this.#connections.close()
  }

  async #untilDone<Result>(
    what: string | (() => Promise<string>), attempt: () => Promise<Result>, signals: readonly AbortSignal[] = [],
  ): Promise<Result> {
    const giveUpAfterMs = (): number => this.#connections.hasMet ? this.#giveUpAfterMs : this.#firstContactMs
    try {
      return await untilDone(what, giveUpAfterMs, [...signals, this.#closing.signal], async () => {
        try {
          return await attempt()
        } catch (error) {
          this.#leaders.distrust()
          throw error
        }
      })
    } catch (error) {
      const isOver = this.#closing.signal.aborted || signals.some(({ aborted }) => aborted)
      throw isOver || this.#connections.hasMet || !isRehydrateError(error) ? error : this.#neverMet(error)
    }
  }

  /** What is wrong is more likely with us than with the brokers. */
  #neverMet(error: RehydrateError): RehydrateError {
    if (error.code !== 'SOURCE_UNREACHABLE') return error
    return new RehydrateError(error.code, {
      ...error.details, message: `No broker has let us in yet (${this.#brokers.join(', ')}). ${error.message}`,
      fix: 'Check the address; where the cluster wants TLS or credentials, give `ssl` and `sasl`.',
    })
  }

  async #offsetsNow(partitions: readonly TopicPartition[]): Promise<PartitionOffsets[]> {
    const nodes = await this.#leaders.byNode(partitions)
    const answers = await Promise.all([...nodes.values()].map(async (members) => {
      // In this order, so that each is at most the next one.
      const [starts, stable, ends] = await Promise.all([
        this.#listOffsets(members, EARLIEST, false), this.#listOffsets(members, LATEST, true), this.#listOffsets(members, LATEST, false),
      ])
      return members.map(({ topic, partition, leaderEpoch }): PartitionOffsets => {
        const [startOffset, lastStableOffset, highWatermark] = [starts, stable, ends].map((offsets) => {
          return offsets.get(`${topic}/${partition}`) as Offset
        }) as [Offset, Offset, Offset]
        return { topic, partition, leaderEpoch, startOffset, lastStableOffset, highWatermark }
      })
    }))
    const found = new Map(answers.flat().map((offsets) => [nameOf(offsets), offsets]))
    return partitions.map((partition) => found.get(nameOf(partition)) as PartitionOffsets)
  }

  /** Of partitions with one leader; by their names, and all of them. */
  async #listOffsets(members: readonly (LedPartition & Leader)[], timeMs: number, readCommitted: boolean): Promise<Map<string, Offset>> {
    const { nodeId } = members[0] as Leader
    if (nodeId < 0) throw noLeader(members.map(nameOf).join(', '))
    const listed = await this.#connections.send(nodeId, () => listOffsets(members, timeMs, readCommitted)) ?? []
    for (const { error, ...place } of listed) if (error !== 0) throw brokerError(error, nameOf(place), nameOf(place))
    const offsets = new Map(listed.map((one) => [nameOf(one), one.offset]))
    for (const member of members) if (!offsets.has(nameOf(member))) throw noAnswer(nameOf(member))
    return offsets
  }
}
