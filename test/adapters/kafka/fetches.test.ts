import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { kafkajsPort, type KafkajsOptions } from '../../../adapters/kafka/port-kafkajs.js'
import type { FetchedPartition, FetchLimits, KafkaPort } from '../../../adapters/kafka/port.js'
import { encodeBatch } from './encode-batch.js'
import { ScriptedCluster } from './scripted-broker.js'

const LIMITS: FetchLimits = { bytesPerPartition: 1 << 20, bytes: 8 << 20, waitMs: 50, readCommitted: false }
const never = new AbortController().signal
setMaxListeners(0, never)

describe('fetches of many partitions', () => {
  let cluster: ScriptedCluster
  let port: KafkaPort

  beforeEach(async () => {
    cluster = await new ScriptedCluster().listen()
    cluster.leaders = [0, 0, 0, 0, 0, 0]
    for (const partition of cluster.leaders.keys()) {
      cluster.log[partition] = [0, 10, 20].map((base) => {
        const records = Array.from({ length: 10 }, (_, delta) => ({ delta, key: null, value: Buffer.from(`v${partition}`) }))
        return { base, last: base + 9, bytes: encodeBatch({ base, records }) }
      })
    }
    port = open()
    await port.describe(['t'])
  })
  afterEach(async () => {
    await port.close()
    cluster.close()
  })

  function open(options: Partial<KafkajsOptions> = {}): KafkaPort {
    return kafkajsPort({ brokers: [cluster.address(0), cluster.address(1)], requestTimeoutMs: 2_000, giveUpAfterMs: 4_000, ...options })
  }

  function fetch(partition: number, { offset = 0, signal = never, ...limits }: Partial<FetchLimits> & { offset?: number; signal?: AbortSignal } = {}) {
    return port.fetch({ topic: 't', partition, offset }, { ...LIMITS, ...limits }, signal)
  }

  const partitionsOf = () => cluster.fetches.map(({ partitions }) => partitions.toSorted((a, b) => a - b))
  const has = (answer: FetchedPartition | null): boolean => (answer?.records.length ?? 0) > 0

  test('those that are asked for at once go to their leader in one request', async () => {
    cluster.leaders = [0, 0, 0, 1, 1, 1]
    await port.describe(['t'])
    const answers = await Promise.all(cluster.leaders.map((_, partition) => fetch(partition, { offset: partition })))
    expect(answers.map((answer) => answer?.partition)).toEqual([0, 1, 2, 3, 4, 5])
    for (const answer of answers) expect(answer?.records).toEqual(Buffer.concat(cluster.log[answer!.partition]!.map(({ bytes }) => bytes)))
    expect(partitionsOf().toSorted()).toEqual([[0, 1, 2], [3, 4, 5]])
  })

  test('what came stays as it was, however many answers come after it; and kafkajs joins none of them with nothing, which copies it', async () => {
    for (const partition of cluster.log.keys()) {
      cluster.log[partition] = Array.from({ length: 6 }, (_, base) => {
        const bytes = encodeBatch({ base, records: [{ delta: 0, key: null, value: Buffer.alloc(60_000, partition + 1) }] })
        return { base, last: base, bytes }
      })
    }
    const joined = vi.spyOn(Buffer, 'concat')
    const came: (FetchedPartition | null)[] = []
    for (let offset = 0; offset < 6; offset++) {
      came.push(...await Promise.all([0, 1, 2].map((partition) => fetch(partition, { offset, bytesPerPartition: 70_000 }))))
    }
    const ofNothing = joined.mock.calls.filter(([[first, second]]) => first?.length === 0 && (second?.length ?? 0) > 60_000).length
    joined.mockRestore()
    expect(ofNothing).toBe(0)
    for (const [i, answer] of came.entries()) {
      const { bytes } = cluster.log[i % 3]![Math.floor(i / 3)]!
      expect(answer?.records.subarray(0, bytes.length).equals(bytes)).toBe(true)
    }
  })

  test('those that come while one is under way wait for it, and go together', async () => {
    cluster.fetchAfterMs = [200, 0]
    const first = fetch(0)
    while (cluster.fetches.length === 0) await sleep(5)
    await Promise.all([first, ...[1, 2, 3].map((partition) => fetch(partition))])
    expect(partitionsOf()).toEqual([[0], [1, 2, 3]])
  })

  test('a slow leader does not hold up another one', async () => {
    cluster.leaders = [0, 1, 0, 1, 0, 1]
    cluster.fetchAfterMs = [1_000, 0]
    await port.describe(['t'])
    let isSlow = true
    const slow = fetch(0).then((answer) => { isSlow = false; return answer })
    for (let turn = 0; turn < 5; turn++) expect(has(await fetch(1))).toBe(true)
    expect(isSlow).toBe(true)
    expect(has(await slow)).toBe(true)
  })

  test('a broker that serves one partition per fetch serves all, each in its turn', async () => {
    cluster.servedPerFetch = 1
    const served: number[] = []
    await Promise.all([0, 1, 2, 3].map(async (partition) => {
      for (let turn = 0; turn < 3; turn++) {
        expect(has(await fetch(partition))).toBe(true)
        served.push(partition)
      }
    }))
    expect(cluster.fetches).toHaveLength(12)
    for (let from = 0; from < 12; from += 4) expect(served.slice(from, from + 4).toSorted()).toEqual([0, 1, 2, 3])
  })

  test('an empty answer behind one that was served is none; one before all others is', async () => {
    cluster.log[2] = []
    expect((await Promise.all([fetch(2), fetch(0)])).map(has)).toEqual([false, true])
    expect(partitionsOf()).toEqual([[0, 2]])
    // Partition 1 was never answered, 0 long ago: it is asked for last, and has to ask again.
    expect((await Promise.all([fetch(1), fetch(2)])).map(has)).toEqual([true, false])
    expect(partitionsOf().slice(1)).toEqual([[1, 2], [2]])
  })

  test('read_committed and read_uncommitted never share a request', async () => {
    await Promise.all([fetch(0), fetch(1, { readCommitted: true }), fetch(2)])
    expect(partitionsOf()).toEqual([[0, 2], [1]])
  })

  test('who stops waiting is not asked for any more', async () => {
    cluster.fetchAfterMs = [200, 0]
    const stop = new AbortController()
    const first = fetch(0)
    while (cluster.fetches.length === 0) await sleep(5)
    const [second, third] = [fetch(1, { signal: stop.signal }), fetch(2)]
    stop.abort()
    expect(await second).toBe(null)
    await Promise.all([first, third])
    expect(partitionsOf()).toEqual([[0], [2]])
  })

  test('answers with records of several partitions do not hold each other in memory', async () => {
    const [a, b] = await Promise.all([fetch(0), fetch(1)])
    expect(a?.records.buffer).not.toBe(b?.records.buffer)
    expect(a?.records.buffer.byteLength).toBe(a?.records.length)
  })

  test('a broker whose quota is used up is not asked before its time, by no request, and is no trouble', async () => {
    port = open({ giveUpAfterMs: 100 })
    await port.describe(['t'])
    cluster.throttledFetches = 3
    cluster.throttleMs = 150
    const fetched = fetch(0)
    while (cluster.fetches.length === 0) await sleep(1)
    await sleep(20)
    const listed = port.offsets([{ topic: 't', partition: 0 }])
    expect(has(await fetched)).toBe(true)
    await listed
    const at = cluster.fetches.map(({ atMs }) => atMs)
    for (const [index, time] of at.slice(1).entries()) expect(time - (at[index] as number)).toBeGreaterThanOrEqual(145)
    expect(cluster.requests.find(({ api }) => api === 2)!.atMs - (at[0] as number)).toBeGreaterThanOrEqual(145)
  })

  test('our name is the one that was given', async () => {
    port = open({ clientId: 'rehydrate-orders' })
    await fetch(0)
    expect(cluster.fetches[0]?.clientId).toBe('rehydrate-orders')
  })

  test('many partitions in trouble ask for their leaders together, and ever more seldom', async () => {
    for (const partition of [0, 1, 2, 3, 4, 5]) cluster.partitionErrors.set(partition, 6)
    cluster.requests.length = 0
    const waiting = [0, 1, 2, 3, 4, 5].map((partition) => fetch(partition))
    await sleep(700)
    // At 0, 50, 150, 350 … ms, once for all: four or five of each. One by one they would be 24, without pauses hundreds.
    expect(cluster.requests.filter(({ api }) => api === 3).length).toBeLessThanOrEqual(10)
    expect(cluster.fetches.length).toBeLessThanOrEqual(10)
    cluster.partitionErrors.clear()
    expect((await Promise.all(waiting)).map(has)).toEqual([true, true, true, true, true, true])
  })

  describe('with a rack', () => {
    beforeEach(async () => {
      cluster.preferred.set(0, 1)
      port = open({ rack: 'eu-1a' })
      await port.describe(['t'])
    })
    const nodes = () => cluster.fetches.map(({ node, rack }) => `${node}${rack}`)

    test('the leader is told, and the replica that it names is read from, from then on', async () => {
      for (let turn = 0; turn < 3; turn++) expect(has(await fetch(0))).toBe(true)
      expect(nodes()).toEqual(['0eu-1a', '1', '1', '1'])
    })

    test.each([['lags, and does not have the offset', 1], ['is none any more', 6], ['is not in sync', 78]])(
      'where that one %s, the leader is asked, for a while', async (_, code) => {
        cluster.replicaError = code
        for (let turn = 0; turn < 2; turn++) expect(has(await fetch(0))).toBe(true)
        expect(nodes()).toEqual(['0eu-1a', '1', '0', '0'])
      })

    test('where that one is gone, too', async () => {
      cluster.stop(1)
      cluster.cut()
      expect(has(await fetch(0))).toBe(true)
      expect(nodes().at(-1)).toBe('0')
    })

    test('what that one says of ends is not believed: without records the leader is asked, and so it is for ends', async () => {
      cluster.log[0] = []
      expect(await fetch(0)).toMatchObject({ broker: expect.stringContaining('broker 0') })
      expect(nodes()).toEqual(['0eu-1a', '1', '0'])
      await fetch(1)
      cluster.requests.length = 0
      await port.offsets([{ topic: 't', partition: 0 }])
      expect(cluster.requests.map(({ api, node }) => `${api}@${node}`)).toEqual(['2@0', '2@0', '2@0'])
    })

    test('who needs the end is answered by the leader', async () => {
      expect(has(await fetch(0, { ofLeader: true }))).toBe(true)
      expect(nodes()).toEqual(['0'])
    })
  })
})
