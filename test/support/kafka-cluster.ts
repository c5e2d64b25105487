import { setTimeout as sleep } from 'node:timers/promises'
import type { Keep } from '../../src/cli/local-kafka/keep.js'
import { killNode, nodeRuns, ownKeep, releaseNode } from './kafka-keeper.js'
import { TestBroker } from './kafka.js'

const DEADLINE_MS = 90_000
/** Their numbers. */
export const NODES = [1, 2, 3] as const
const SIGHTS = 4

/** One partition as the cluster says it is. */
export interface PartitionState {
  /** −1: none. */
  readonly leader: number
  readonly replicas: readonly number[]
  /** Those of the replicas that have what the leader has. */
  readonly inSync: readonly number[]
}

/** Three nodes, 1 to 3, each broker and controller, in rack-1 to rack-3. One's own, until `dispose`. */
export class TestCluster {
  readonly broker: TestBroker
  readonly #keep: Keep

  private constructor(broker: TestBroker, keep: Keep) {
    this.broker = broker
    this.#keep = keep
  }

  static async start(): Promise<TestCluster> {
    const keep = await ownKeep('cluster')
    return new TestCluster(await TestBroker.connect(keep.brokers, keep), keep)
  }

  get brokers(): readonly string[] { return this.#keep.brokers }

  async state(topic: string, partition = 0): Promise<PartitionState> {
    const { topics } = await this.broker.admin.fetchTopicMetadata({ topics: [topic] })
    const found = topics[0]?.partitions.find((each) => each.partitionId === partition)
    if (found === undefined) throw new Error(`There is no ${topic}/${partition}.`)
    return { leader: found.leader, replicas: found.replicas, inSync: found.isr }
  }

  /** Waits until a partition is so. Nodes learn of it one after the other, so it has to be seen some times in a row. */
  async until(topic: string, partition: number, holds: (state: PartitionState) => boolean): Promise<void> {
    let state: PartitionState | null = null
    let seen = 0
    for (const end = Date.now() + DEADLINE_MS; Date.now() < end; await sleep(50)) {
      state = await this.state(topic, partition).catch(() => null)
      seen = state !== null && holds(state) ? seen + 1 : 0
      if (seen === SIGHTS) return
    }
    throw new Error(`${topic}/${partition} is ${JSON.stringify(state)} still.`)
  }

  /** Places a partition on other nodes, and waits until it is there, led by one of them. */
  async move(topic: string, partition: number, replicas: readonly number[]): Promise<void> {
    await this.broker.admin.alterPartitionReassignments({
      topics: [{ topic, partitionAssignment: [{ partition, replicas: [...replicas] }] }],
    })
    await this.until(topic, partition, (state) =>
      state.replicas.length === replicas.length && replicas.includes(state.leader) && replicas.every((node) => state.inSync.includes(node)))
  }

  /** SIGKILL. The node is started again, with `hold` not before `release`. */
  kill(node: number, options: { readonly hold?: boolean } = {}): Promise<void> { return killNode(this.#keep, node, options) }

  release(node: number): Promise<void> { return releaseNode(this.#keep, node) }

  /** Releases all nodes, and waits until they are back. */
  async whole(): Promise<void> {
    for (const node of NODES) await this.release(node)
    await Promise.all(NODES.map((node) => nodeRuns(this.#keep, node)))
    for (const end = Date.now() + DEADLINE_MS; Date.now() < end; await sleep(50)) {
      const cluster = await this.broker.admin.describeCluster().catch(() => null)
      if (cluster?.brokers.length === NODES.length) return
    }
    throw new Error('The cluster is not whole again.')
  }

  dispose(): Promise<void> { return this.broker.dispose() }
}
