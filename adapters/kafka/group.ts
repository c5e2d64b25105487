import { isRehydrateError, RehydrateError, type ConsumerGroup, type Offset, type Position } from '../../src/index.js'
import { brokerError, Passing } from './broker-errors.js'
import type { Connections } from './connections.js'
import {
  commitOffsets, DESCRIBE_CONSUMER_GROUP_API, describeConsumerGroup, describeGroup, fetchCommitted, findCoordinator, type GroupView,
} from './group-messages.js'
import type { Exchange } from './messages.js'
import { nameOf } from './port.js'

const UNKNOWN_MEMBER_ID = 25
const ILLEGAL_GENERATION = 22
const REBALANCE_IN_PROGRESS = 27
/** What a broker answers who is no member of a group that has some. */
const HAS_MEMBERS: ReadonlySet<number> = new Set([UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS])
/** Beside each offset, for those who look at the group. */
const METADATA = 'rehydrate'

/** Tries until it succeeds, or may not pass. */
export type Persist = <Result>(what: string, attempt: () => Promise<Result>) => Promise<Result>

/**
 * A consumer group, seen from outside: nothing here joins it. The broker itself refuses commits while it has members, so that no check of
 * ours can come too early.
 */
export class KafkaGroup implements ConsumerGroup {
  readonly #connections: Connections
  readonly #name: string
  readonly #topics: readonly string[]
  readonly #persist: Persist

  constructor(connections: Connections, name: string, topics: readonly string[], persist: Persist) {
    this.#connections = connections
    this.#name = name
    this.#topics = topics
    this.#persist = persist
  }

  async describe(): Promise<{ readonly state: string; readonly members: readonly string[]; readonly position: Position }> {
    return await this.#persist(`Asking for the group ${this.#name}`, async () => {
      const nodeId = await this.#coordinator()
      const { state, members } = await this.#view(nodeId)
      return { state, members, position: await this.#position(nodeId) }
    })
  }

  /**
   * Errors: GROUP_ACTIVE; CONFIG_INVALID where this user may not commit, or a partition is not of these topics; SOURCE_UNREACHABLE where
   * the group, read again, stands elsewhere.
   */
  async commit(position: Position): Promise<void> {
    const offsets = [...position].map(([name, offset]) => ({ ...this.#partitionOf(name), offset: offset + 1 }))
    if (offsets.length === 0) return
    await this.#persist(`Committing to the group ${this.#name}`, async () => {
      const nodeId = await this.#coordinator()
      for (const { error, ...place } of await this.#send(nodeId, commitOffsets(this.#name, offsets, METADATA))) {
        if (HAS_MEMBERS.has(error)) throw await this.#active(nodeId)
        if (error !== 0) throw brokerError(error, `the group ${this.#name} at ${nameOf(place)}`)
      }
      const now = await this.#position(nodeId)
      const other = [...position].find(([name, offset]) => now.get(name) !== offset)
      if (other !== undefined) throw this.#elsewhere(other[0], other[1], now.get(other[0]))
    })
  }

  async #coordinator(): Promise<number> {
    const { error, ...broker } = await this.#connections.sendAny(findCoordinator(this.#name))
    if (error !== 0) throw brokerError(error, `the coordinator of the group ${this.#name}`)
    this.#connections.meet(broker)
    return broker.nodeId
  }

  async #view(nodeId: number): Promise<GroupView> {
    const view = await this.#send(nodeId, describeGroup(this.#name))
    if (view.error !== 0) throw brokerError(view.error, `the group ${this.#name}`)
    if (view.state !== 'Dead') return view
    // To this request a group of the newer kind looks as one that does not exist.
    const newer = await this.#connections.send(nodeId, (link) => {
      return link.supports(DESCRIBE_CONSUMER_GROUP_API, 0) ? describeConsumerGroup(this.#name) : null
    })
    return newer === null || newer.error !== 0 ? view : newer
  }

  async #position(nodeId: number): Promise<Map<string, Offset>> {
    const { error, partitions } = await this.#send(nodeId, fetchCommitted(this.#name))
    if (error !== 0) throw brokerError(error, `the offsets of the group ${this.#name}`)
    // Of other topics that the group reads too, what can not be seen is not ours to ask for.
    const committed = partitions.filter(({ topic, offset, error: code }) => offset >= 0 && (code === 0 || this.#topics.includes(topic)))
    for (const { error: code, ...place } of committed) {
      if (code !== 0) throw brokerError(code, `the offset of the group ${this.#name}`, nameOf(place))
    }
    return new Map(committed.map((partition) => [nameOf(partition), partition.offset - 1]))
  }

  async #send<Answer>(nodeId: number, exchange: Exchange<Answer>): Promise<Answer> {
    return await this.#connections.send(nodeId, () => exchange) as Answer
  }

  async #active(nodeId: number): Promise<RehydrateError> {
    const { members } = await this.#view(nodeId).catch((error: unknown) => {
      if (isRehydrateError(error) || !(error instanceof Passing)) throw error
      return { members: [] }
    })
    const named = members.length === 0 ? '' : `: ${members.join(', ')}`
    return new RehydrateError('GROUP_ACTIVE', {
      message: `The group ${this.#name} has members${named}. Nothing was committed.`, actual: members,
    })
  }

  #elsewhere(partition: string, expected: Offset, actual: Offset | undefined): RehydrateError {
    return new RehydrateError('GROUP_ACTIVE', {
      message: `The group ${this.#name} was set to ${expected} in ${partition}, and stands at ${actual ?? 'nothing'}: `
        + 'somebody else commits to it.',
      partition, expected, actual,
    })
  }

  #partitionOf(name: string): { topic: string; partition: number } {
    const [, topic, partition] = /^(.+)\/(\d+)$/.exec(name) ?? []
    if (topic !== undefined && this.#topics.includes(topic)) return { topic, partition: Number(partition) }
    throw new RehydrateError('CONFIG_INVALID', {
      message: `${name} is no partition of the topics ${this.#topics.join(', ')}.`, partition: name, path: 'topics',
    })
  }
}
