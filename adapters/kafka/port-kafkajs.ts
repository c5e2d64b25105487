import { setMaxListeners } from 'node:events'
import { checkOptions, RehydrateError, type Offset } from '../../src/index.js'
import { brokerError, OFFSET_NOT_AVAILABLE, OFFSET_OUT_OF_RANGE } from './broker-errors.js'
import { Connections, type ConnectionSettings, type KafkaSasl } from './connections.js'
import { Leaders, nameOf, noAnswer, noLeader, type Leader } from './leaders.js'
import {
  EARLIEST, FETCH_API, fetchRecords, LATEST, listOffsets, offsetForLeaderEpoch, type FetchFrom, type LedPartition,
} from './messages.js'
import type { ClusterView, FetchedPartition, FetchLimits, FetchRequest, KafkaPort, PartitionOffsets, TopicPartition } from './port.js'
import { pause, unlessAborted, unreachable, untilDone, worse, type Trouble } from './retry.js'

export interface KafkajsOptions {
  /** `host:port`, one or more, to begin with. */
  readonly brokers: readonly string[]
  /** Default: `rehydrate`. */
  readonly clientId?: string
  /** True: TLS with the authorities of Node; or options of node:tls (`ca`, `cert`, `key`). */
  readonly ssl?: ConnectionSettings['ssl']
  readonly sasl?: KafkaSasl
  /** Default 10 s. */
  readonly connectTimeoutMs?: number
  /** How long an answer may take, before the connection counts as dead. Default 30 s. */
  readonly requestTimeoutMs?: number
  /** How long the same may fail before it is SOURCE_UNREACHABLE. Default 2 min. */
  readonly giveUpAfterMs?: number
}

const OPTIONS = ['brokers', 'clientId', 'ssl', 'sasl', 'connectTimeoutMs', 'requestTimeoutMs', 'giveUpAfterMs']

/**
 * The port over the connections of kafkajs 2.2.4, which is loaded on the first use; every request is our own. What it promises beyond
 * the port:
 * - `fetch` stays with the incarnation of a topic that the last `describe` saw: where the cluster has another one under that name,
 *   LOG_RECREATED. So whoever describes again compares the ids.
 * - An offset that the leader, asked twice, does not have is no error: the answer holds no records, and its `startOffset` and
 *   `highWatermark` (asked of the leader just then) say on which side it fell out. The source names it.
 * - Partitions in trouble (leader moves, broker down) are left out of an answer while others have one, and asked again with doubling
 *   pauses; SOURCE_UNREACHABLE with the last cause after `giveUpAfterMs`. So an answer may hold less than was asked for.
 * - An aborted fetch gives [] at once. Partitions that were served last are asked for last, so that `limits.bytes` starves none.
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

type Led<Item extends TopicPartition = TopicPartition> = Item & Leader

class KafkajsPort implements KafkaPort {
  readonly #connections: Connections
  readonly #leaders: Leaders
  readonly #giveUpAfterMs: number
  readonly #closing = new AbortController()
  readonly #troubles = new Map<string, Trouble>()
  /** When a partition had records last, as a rising number. */
  readonly #served = new Map<string, number>()
  #answers = 0

  constructor(options: KafkajsOptions) {
    this.#giveUpAfterMs = options.giveUpAfterMs ?? 120_000
    this.#connections = new Connections({
      brokers: options.brokers,
      clientId: options.clientId ?? 'rehydrate',
      ssl: options.ssl ?? false,
      sasl: options.sasl ?? null,
      connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
      requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
    })
    this.#leaders = new Leaders(this.#connections)
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
      const led = await this.#led(partition)
      const offset = (await this.#listOffsets([led], timeMs, false)).get(nameOf(partition)) as Offset
      return offset < 0 ? null : offset
    })
  }

  async endOfEpoch(partition: TopicPartition, epoch: number): Promise<{ leaderEpoch: number; endOffset: Offset } | null> {
    return await this.#untilDone(`Asking for an epoch of ${nameOf(partition)}`, async () => {
      const led = await this.#led(partition)
      const [end] = await this.#connections.send(led.nodeId, () => offsetForLeaderEpoch(led, epoch))
      if (end === undefined) throw noAnswer(nameOf(partition))
      if (end.error !== 0) throw brokerError(end.error, nameOf(partition), nameOf(partition))
      return end.endOffset < 0 ? null : { leaderEpoch: end.leaderEpoch, endOffset: end.endOffset }
    })
  }

  async fetch(requests: readonly FetchRequest[], limits: FetchLimits, signal: AbortSignal): Promise<readonly FetchedPartition[]> {
    const signals = [signal, this.#closing.signal]
    const isOver = (): boolean => signals.some(({ aborted }) => aborted)
    const nextMs = (request: FetchRequest): number => this.#troubles.get(nameOf(request))?.nextMs ?? 0
    while (!isOver() && requests.length > 0) {
      const now = Date.now()
      const due = requests.filter((request) => nextMs(request) <= now)
      try {
        const answers = due.length === 0 ? [] : await unlessAborted(this.#fetchDue(due, limits), signals)
        if (answers.length > 0) return answers
        await pause(Math.min(...requests.map(nextMs)), signals)
      } catch (error) {
        if (!isOver()) throw error
      }
    }
    return []
  }

  async close(): Promise<void> {
    this.#closing.abort(new RehydrateError('SOURCE_UNREACHABLE', { message: 'The Kafka source was closed.' }))
    this.#connections.close()
  }

  #untilDone<Result>(what: string, attempt: () => Promise<Result>): Promise<Result> {
    return untilDone(what, this.#giveUpAfterMs, this.#closing.signal, async () => {
      try {
        return await attempt()
      } catch (error) {
        this.#leaders.distrust()
        throw error
      }
    })
  }

  /** All answers there are; partitions without one are noted. */
  async #fetchDue(requests: readonly FetchRequest[], limits: FetchLimits): Promise<FetchedPartition[]> {
    const nodes = await this.#leaders.byNode(requests).catch((error: unknown) => {
      this.#note(requests, error)
      return new Map<number, Led<FetchRequest>[]>()
    })
    const answers = await Promise.all([...nodes].map(async ([nodeId, members]) => {
      try {
        return await this.#fetchFrom(nodeId, members, limits)
      } catch (error) {
        this.#note(members, error)
        return []
      }
    }))
    return answers.flat()
  }

  async #fetchFrom(nodeId: number, members: readonly FetchFrom[], limits: FetchLimits): Promise<FetchedPartition[]> {
    if (nodeId < 0) throw noLeader(members.map(nameOf).join(', '))
    const requests = members.toSorted((a, b) => (this.#served.get(nameOf(a)) ?? 0) - (this.#served.get(nameOf(b)) ?? 0))
    const { error, partitions } = await this.#connections.send(nodeId, (link) => {
      return fetchRecords(requests, limits, link.supports(FETCH_API, 13) ? 13 : 11)
    }, limits.waitMs)
    if (error !== 0) throw brokerError(error, 'a fetch')
    const answered = new Map(partitions.map((partition) => [nameOf(partition), partition]))
    const good: FetchedPartition[] = []
    for (const request of requests) {
      const name = nameOf(request)
      const answer = answered.get(name)
      try {
        if (answer === undefined) throw noAnswer(name)
        if (answer.error !== 0 && answer.error !== OFFSET_OUT_OF_RANGE) throw brokerError(answer.error, name, name)
        good.push(answer.error === 0 ? withoutError(answer) : await this.#outOfRange(request))
        if (answer.records.length > 0) this.#served.set(name, ++this.#answers)
        this.#troubles.delete(name)
      } catch (failure) {
        this.#note([request], failure)
      }
    }
    return good
  }

  /** A broker that no longer leads, or lags, says so too: only the leader's own bounds count. */
  async #outOfRange({ topic, partition, offset }: FetchRequest): Promise<FetchedPartition> {
    this.#leaders.distrust()
    const [bounds] = await this.#offsetsNow([{ topic, partition }]) as [PartitionOffsets]
    const isThere = offset >= bounds.startOffset && offset <= bounds.highWatermark
    if (isThere) throw brokerError(OFFSET_NOT_AVAILABLE, `${topic}/${partition}@${offset}`)
    const { startOffset, highWatermark, lastStableOffset } = bounds
    return { topic, partition, startOffset, highWatermark, lastStableOffset, records: Buffer.alloc(0), aborted: [] }
  }

  /** Throws what will not pass, and SOURCE_UNREACHABLE where it did not pass for too long. */
  #note(requests: readonly TopicPartition[], error: unknown): void {
    if (error instanceof RehydrateError) throw error
    this.#leaders.distrust()
    for (const request of requests) {
      const name = nameOf(request)
      const trouble = worse(this.#troubles.get(name), Date.now())
      this.#troubles.set(name, trouble)
      if (trouble.nextMs - trouble.sinceMs <= this.#giveUpAfterMs) continue
      this.#troubles.delete(name)
      throw unreachable(`Reading ${name}`, trouble.sinceMs, error)
    }
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
    const listed = await this.#connections.send(nodeId, () => listOffsets(members, timeMs, readCommitted))
    for (const { error, ...place } of listed) if (error !== 0) throw brokerError(error, nameOf(place), nameOf(place))
    const offsets = new Map(listed.map((one) => [nameOf(one), one.offset]))
    for (const member of members) if (!offsets.has(nameOf(member))) throw noAnswer(nameOf(member))
    return offsets
  }

  /** Throws Passing where it has no leader at the moment. */
  async #led(partition: TopicPartition): Promise<Led> {
    const [led] = [...(await this.#leaders.byNode([partition])).values()].flat() as [Led]
    if (led.nodeId < 0) throw noLeader(nameOf(partition))
    return led
  }
}

/** Without what the request alone was about. */
function withoutError(answer: FetchedPartition): FetchedPartition {
  const { topic, partition, records, startOffset, highWatermark, lastStableOffset, aborted } = answer
  return { topic, partition, records, startOffset, highWatermark, lastStableOffset, aborted }
}
