import { RehydrateError } from '../../src/index.js'
import { describeConfigs } from './admin-messages.js'
import { brokerError, Passing, UNKNOWN_TOPIC } from './broker-errors.js'
import type { Connections } from './connections.js'
import { metadata, type Metadata } from './messages.js'
import { nameOf, type ClusterView, type TopicPartition, type TopicView } from './port.js'
import { pause } from './retry.js'

const LEADER_NOT_AVAILABLE = 5
/** Between two questions for the leaders: a cluster in trouble is not asked by every partition that is in trouble. */
const REFRESH_PAUSE_MS = 100
const CONFIGS = [
  'cleanup.policy', 'delete.retention.ms', 'min.compaction.lag.ms', 'retention.ms', 'retention.bytes', 'message.timestamp.type',
]

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
  #askedMs = 0
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
    const configs = names.length === 0 ? [] : await this.#connections.sendAny(describeConfigs(names, CONFIGS))
    const valuesOf = new Map(configs.map(({ error, topic, values }) => [topic, error === 0 ? values : new Map<string, null>()]))
    for (const topic of topics) this.#topicIds.delete(topic)
    for (const { name, topicId } of existing) this.#topicIds.set(name, topicId)
    this.#learn(answer)
    const views = existing.map(({ name, topicId, partitions }): [string, TopicView] => {
      const numbers = partitions.map(({ partition, leaderEpoch }) => ({ partition, leaderEpoch }))
      return [name, { topicId, partitions: numbers, ...configOf(valuesOf.get(name) ?? new Map()) }]
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

  /** The leader of one partition. Throws Passing where it has none at the moment. */
  async of<Item extends TopicPartition>(partition: Item): Promise<Item & Leader> {
    const [led] = [...(await this.byNode([partition])).values()].flat() as [Item & Leader]
    if (led.nodeId < 0) throw noLeader(nameOf(partition))
    return led
  }

  /** Once for all who need it. */
  #refresh(): Promise<void> {
    this.#refreshing ??= this.#ask().finally(() => { this.#refreshing = null })
    return this.#refreshing
  }

  async #ask(): Promise<void> {
    await pause(this.#askedMs + REFRESH_PAUSE_MS, [])
    this.#askedMs = Date.now()
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

export function noLeader(name: string): Error { return brokerError(LEADER_NOT_AVAILABLE, name) }

export function noAnswer(name: string): Passing { return new Passing(`The broker says nothing of ${name}.`) }

function configOf(values: ReadonlyMap<string, string | null>): Omit<TopicView, 'topicId' | 'partitions'> {
  const policy = values.get('cleanup.policy')?.split(',').map((word) => word.trim()) ?? null
  const numberOf = (name: string): number | null => {
    const text = values.get(name) ?? null
    return text === null ? null : Number(text)
  }
  // −1 says: no bound. Where nothing is deleted, there is none either.
  const boundOf = (name: string): number | null => policy?.includes('delete') === false || numberOf(name) === -1 ? Infinity : numberOf(name)
  const stamps = values.get('message.timestamp.type') ?? null
  return {
    compacted: policy?.includes('compact') ?? null,
    deleteRetentionMs: numberOf('delete.retention.ms'),
    minCompactionLagMs: numberOf('min.compaction.lag.ms'),
    retentionMs: boundOf('retention.ms'),
    retentionBytes: boundOf('retention.bytes'),
    timestampType: stamps === null ? null : stamps === 'LogAppendTime' ? 'append' : 'create',
  }
}

function recreated(topic: string, expected: string | undefined, actual: string): RehydrateError {
  return new RehydrateError('LOG_RECREATED', {
    message: `The topic ${topic} was deleted and made again while it was read: its id is another one.`, expected, actual,
  })
}
