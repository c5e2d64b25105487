import { brokerError, OFFSET_NOT_AVAILABLE, OFFSET_OUT_OF_RANGE, Passing } from './broker-errors.js'
import type { Connections } from './connections.js'
import { FetchQueue } from './fetches.js'
import type { Leader, Leaders } from './leaders.js'
import type { FetchedFrom } from './messages.js'
import { nameOf, type FetchedPartition, type FetchLimits, type FetchRequest, type PartitionOffsets, type TopicPartition } from './port.js'

/** For so long a replica is asked that the leader named; then the leader again, which may know a better one. */
const FOLLOW_MS = 300_000
/** For so long the leader is asked without saying where we are, after the replica that it named was of no use. */
const LEADER_ONLY_MS = 60_000

interface Replica {
  /** Null: the leader, which is not to name another one. */
  readonly nodeId: number | null
  readonly untilMs: number
}

const LEADER: Replica = { nodeId: null, untilMs: Infinity }

/**
 * One attempt to fetch a partition: of its leader, or of the replica that the leader named for our rack. Ends and bounds are the leader's
 * always: an answer of a replica counts if it holds records.
 */
export class PartitionFetcher {
  readonly #connections: Connections
  readonly #leaders: Leaders
  readonly #rack: string
  readonly #boundsOf: (partition: TopicPartition) => Promise<PartitionOffsets>
  readonly #queues = new Map<number, FetchQueue>()
  readonly #replicas = new Map<string, Replica>()

  constructor(
    connections: Connections, leaders: Leaders, rack: string, boundsOf: (partition: TopicPartition) => Promise<PartitionOffsets>,
  ) {
    this.#connections = connections
    this.#leaders = leaders
    this.#rack = rack
    this.#boundsOf = boundsOf
  }

  /** Where a partition is asked for now, for messages. */
  async sourceOf(partition: TopicPartition): Promise<string> {
    const nodeId = this.#replicaOf(nameOf(partition))?.nodeId ?? await this.#leaders.of(partition).then((led) => led.nodeId, () => null)
    return nodeId === null ? 'its leader' : this.#connections.nameOf(nodeId)
  }

  /** Errors: Passing; LOG_RECREATED, LOG_CORRUPT, CONFIG_INVALID, SOURCE_UNREACHABLE. */
  async fetch(request: FetchRequest, limits: FetchLimits, isOver: () => boolean): Promise<FetchedPartition> {
    const name = nameOf(request)
    for (;;) {
      const led = await this.#leaders.of(request)
      const replica = limits.ofLeader === true ? LEADER : this.#replicaOf(name)
      const nodeId = replica?.nodeId ?? led.nodeId
      const rack = replica === null ? this.#rack : ''
      const wish = { request: { ...request, ...led }, limits, rack, isOver }
      if (nodeId === led.nodeId) {
        const answer = await this.#queueOf(nodeId).ask(wish)
        if (answer.preferredReplica < 0 || answer.records.length > 0) return await this.#ofLeader(answer, request, led)
        this.#replicas.set(name, { nodeId: answer.preferredReplica, untilMs: Date.now() + FOLLOW_MS })
        continue
      }
      const answer = await this.#queueOf(nodeId).ask(wish).catch((error: unknown) => this.#leave(name, error))
      if (answer !== null && answer.error === 0 && answer.records.length > 0) return this.#named(answer, nodeId)
      this.#leave(name)
    }
  }

  /** From now on the leader, for a while. */
  #leave(name: string, error?: unknown): null {
    this.#replicas.set(name, { nodeId: null, untilMs: Date.now() + LEADER_ONLY_MS })
    if (error !== undefined && !(error instanceof Passing)) throw error
    return null
  }

  async #ofLeader(answer: FetchedFrom, request: FetchRequest, { nodeId }: Leader): Promise<FetchedPartition> {
    const name = nameOf(request)
    if (answer.error === OFFSET_OUT_OF_RANGE) return await this.#outOfRange(request)
    if (answer.error !== 0) throw brokerError(answer.error, name, name)
    return this.#named(answer, nodeId)
  }

  /** A broker that no longer leads, or lags, says so too: only the leader's own bounds count. */
  async #outOfRange({ topic, partition, offset }: FetchRequest): Promise<FetchedPartition> {
    this.#leaders.distrust()
    const { startOffset, highWatermark, lastStableOffset } = await this.#boundsOf({ topic, partition })
    const isThere = offset >= startOffset && offset <= highWatermark
    if (isThere) throw brokerError(OFFSET_NOT_AVAILABLE, `${topic}/${partition}@${offset}`)
    return { topic, partition, startOffset, highWatermark, lastStableOffset, records: Buffer.alloc(0), aborted: [] }
  }

  #named(answer: FetchedFrom, nodeId: number): FetchedPartition {
    const { topic, partition, records, startOffset, highWatermark, lastStableOffset, aborted } = answer
    const broker = this.#connections.nameOf(nodeId)
    return { topic, partition, records, startOffset, highWatermark, lastStableOffset, aborted, broker }
  }

  #queueOf(nodeId: number): FetchQueue {
    const queue = this.#queues.get(nodeId) ?? new FetchQueue(nodeId, this.#connections)
    this.#queues.set(nodeId, queue)
    return queue
  }

  #replicaOf(name: string): Replica | null {
    const replica = this.#replicas.get(name)
    if (replica === undefined) return null
    if (Date.now() < replica.untilMs) return replica
    this.#replicas.delete(name)
    return null
  }
}
