import { RehydrateError } from '../../src/index.js'
import { brokerError, Passing, UNKNOWN_TOPIC } from './broker-errors.js'
import type { Connections } from './connections.js'
import { describeCleanup, metadata, type Metadata } from './messages.js'
import type { ClusterView, TopicPartition, TopicView } from './port.js'

const LEADER_NOT_AVAILABLE = 5

export interface Leader {
  /** −1: none at the moment. */
  readonly nodeId: number
  readonly leaderEpoch: number
  readonly topicId: string
}

/** Who leads which partition, and which incarnation of a topic is meant. */
export class Leaders {
  readonly #connections: Connections
  /** As the last `describe` saw them. */
  readonly #topicIds = new Map<string, string>()
  readonly #leaders = new Map<string, Leader>()
  #stale = false
  #refreshing: Promise<void> | null = null

  constructor(connections: Connections) {
    this.#connections = connections
  }

  /** From now on these incarnations are meant. Throws Passing, or a RehydrateError. */
  async describe(topics: readonly string[]): Promise<ClusterView> {
    const answer = await this.#connections.sendAny(metadata(topics))
    const existing = answer.topics.filter(({ error }) => error !== UNKNOWN_TOPIC)
    for (const { error, name } of existing) if (error !== 0) throw brokerError(error, `topic ${name}`)
    const names = existing.map(({ name }) => name)
    const policies = names.length === 0 ? [] : await this.#connections.sendAny(describeCleanup(names))
    const cleanup = new Map(policies.map(({ error, topic, cleanup: policy }) => [topic, error === 0 ? policy : null]))
    for (const topic of topics) this.#topicIds.delete(topic)
    for (const { name, topicId } of existing) this.#topicIds.set(name, topicId)
    this.#learn(answer)
    const views = existing.map(({ name, topicId, partitions }): [string, TopicView] => {
      const compacted = isCompacted(cleanup.get(name) ?? null)
      return [name, { topicId, compacted, partitions: partitions.map(({ partition, leaderEpoch }) => ({ partition, leaderEpoch })) }]
    })
    return { clusterId: answer.clusterId, topics: new Map(views) }
  }

  /** What is known is asked again before it is used the next time. */
  distrust(): void { this.#stale = true }

  /** The partitions with their leaders, by node; −1: those that have none. Throws Passing, or a RehydrateError. */
  async byNode<Item extends TopicPartition>(items: readonly Item[]): Promise<Map<number, (Item & Leader)[]>> {
    const unknown = new Set(items.map(({ topic }) => topic).filter((topic) => !this.#topicIds.has(topic)))
    if (unknown.size > 0) await this.describe([...unknown])
    if (this.#stale || items.some((item) => !this.#leaders.has(nameOf(item)))) await this.#refresh()
    const nodes = new Map<number, (Item & Leader)[]>()
    for (const item of items) {
      const leader = this.#leaders.get(nameOf(item)) ?? { nodeId: -1, leaderEpoch: -1, topicId: '' }
      const members = nodes.get(leader.nodeId)
      if (members === undefined) nodes.set(leader.nodeId, [{ ...item, ...leader }])
      else members.push({ ...item, ...leader })
    }
    if (nodes.has(-1)) this.distrust()
    return nodes
  }

  /** Once for all who need it. */
  #refresh(): Promise<void> {
    this.#refreshing ??= this.#ask().finally(() => { this.#refreshing = null })
    return this.#refreshing
  }

  async #ask(): Promise<void> {
    const answer = await this.#connections.sendAny(metadata([...this.#topicIds.keys()]))
    for (const { error, name, topicId } of answer.topics) {
      if (error !== 0) throw brokerError(error, `topic ${name}`)
      const expected = this.#topicIds.get(name)
      if (topicId !== expected) throw recreated(name, expected, topicId)
    }
    this.#learn(answer)
    this.#stale = false
  }

  #learn({ brokers, topics }: Metadata): void {
    this.#connections.learn(brokers)
    for (const { name: topic, topicId, partitions } of topics) {
      for (const { partition, leader: nodeId, leaderEpoch } of partitions) {
        this.#leaders.set(nameOf({ topic, partition }), { nodeId, leaderEpoch, topicId })
      }
    }
  }
}

export function nameOf({ topic, partition }: TopicPartition): string { return `${topic}/${partition}` }

export function noLeader(name: string): Error { return brokerError(LEADER_NOT_AVAILABLE, name) }

export function noAnswer(name: string): Passing { return new Passing(`The broker says nothing of ${name}.`) }

function isCompacted(policy: string | null): boolean | null {
  return policy === null ? null : policy.split(',').some((word) => word.trim() === 'compact')
}

function recreated(topic: string, expected: string | undefined, actual: string): RehydrateError {
  return new RehydrateError('LOG_RECREATED', {
    message: `The topic ${topic} was deleted and made again while it was read: its id is another one.`, expected, actual,
  })
}
