import { setMaxListeners } from 'node:events'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { kafkajsPort, type KafkajsOptions } from '../../../adapters/kafka/port-kafkajs.js'
import type { FetchedPartition, FetchLimits, KafkaPort } from '../../../adapters/kafka/port.js'
import { failureOf } from '../../support/worlds.js'
import { encodeBatch } from './encode-batch.js'
import { ScriptedCluster, type Fault } from './scripted-broker.js'

const LIMITS: FetchLimits = { bytesPerPartition: 1 << 20, bytes: 8 << 20, waitMs: 50, readCommitted: false }
const never = new AbortController().signal
setMaxListeners(0, never)

describe('the port over kafkajs, against a cluster that misbehaves', () => {
  let cluster: ScriptedCluster
  let port: KafkaPort

  beforeEach(async () => {
    cluster = await new ScriptedCluster().listen()
    for (let base = 0; base < 30; base += 10) add(0, base)
    port = open()
  })
  afterEach(async () => {
    await port.close()
    cluster.close()
  })

  function add(partition: number, base: number): void {
    const records = Array.from({ length: 10 }, (_, delta) => ({ delta, key: null, value: Buffer.from('v') }))
    cluster.log[partition] ??= []
    cluster.log[partition].push({ base, last: base + 9, bytes: encodeBatch({ base, records }) })
  }

  function open(options: Partial<KafkajsOptions> = {}): KafkaPort {
    return kafkajsPort({ brokers: [cluster.address(0), cluster.address(1)], requestTimeoutMs: 300, giveUpAfterMs: 1_500, ...options })
  }

  async function fetch(offset = 0, partition = 0, limits: Partial<FetchLimits> = {}): Promise<FetchedPartition> {
    return await port.fetch({ topic: 't', partition, offset }, { ...LIMITS, ...limits }, never) as FetchedPartition
  }

  test.each<[string, Fault[]]>([
    ['NOT_LEADER five times', [6, 6, 6, 6, 6]],
    ['a fenced epoch, an unknown one, and an unknown topic', [74, 75, 3]],
    ['a cut connection', ['drop']],
    ['a fetch that is never answered, as on a half-open connection', ['hang']],
    ['an answer that is no message', ['garbage']],
    ['one OFFSET_OUT_OF_RANGE for an offset that the leader has', [1]],
  ])('%s: the same offset is asked for again, and comes', async (_, faults) => {
    port = open({ requestTimeoutMs: 1_000, giveUpAfterMs: 8_000 })
    cluster.faults.push(...faults)
    const answer = await fetch(10)
    expect(answer).toMatchObject({ startOffset: 0, highWatermark: 30 })
    const batches = cluster.log[0] as { bytes: Buffer }[]
    expect(answer.records).toEqual(Buffer.concat(batches.slice(1).map(({ bytes }) => bytes)))
    expect(cluster.fetches.map(({ offsets }) => offsets)).toEqual(Array.from({ length: faults.length + 1 }, () => [10]))
  })

  test('pauses double: five refusals take at least 50 + 100 + 200 + 400 + 800 ms', async () => {
    port = open({ giveUpAfterMs: 10_000 })
    cluster.faults.push(6, 6, 6, 6, 6)
    await fetch()
    const at = cluster.fetches.map(({ atMs }) => atMs)
    const pauses = at.slice(1).map((time, index) => time - (at[index] as number))
    for (const [index, pause] of pauses.entries()) expect(pause).toBeGreaterThanOrEqual(50 * 2 ** index - 5)
  })

  test('a leader that moved is found, also where the old broker is gone', async () => {
    await fetch()
    cluster.leaders = [1]
    cluster.epoch = 1
    cluster.stop(0)
    cluster.cut()
    expect((await fetch(10)).records).not.toHaveLength(0)
    expect(cluster.fetches.at(-1)?.node).toBe(1)
    expect(await port.offsets([{ topic: 't', partition: 0 }])).toMatchObject([{ leaderEpoch: 1, highWatermark: 30 }])
  })

  test('a partition in trouble does not hold up the others, and comes when it can', async () => {
    cluster.leaders = [0, 0]
    for (let base = 0; base < 30; base += 10) add(1, base)
    cluster.partitionErrors.set(1, 6)
    const waiting = fetch(0, 1)
    for (let turn = 0; turn < 3; turn++) expect((await fetch(0, 0)).records).not.toHaveLength(0)
    cluster.partitionErrors.clear()
    expect((await waiting).records).not.toHaveLength(0)
  })

  test('what does not pass is SOURCE_UNREACHABLE in the end, with the last cause', async () => {
    cluster.partitionErrors.set(0, 6)
    const failure = await failureOf(fetch())
    expect(failure).toMatchObject({ code: 'SOURCE_UNREACHABLE' })
    expect(failure.message).toMatch(/Reading t\/0 from 0 on, of broker 0 \(127\.0\.0\.1:\d+\), .* for \d+ ms\. .*NOT_LEADER_OR_FOLLOWER/)
    cluster.close()
    port = open()
    expect((await failureOf(port.describe(['t']))).message).toMatch(/ECONNREFUSED/)
    expect((await failureOf(fetch())).code).toBe('SOURCE_UNREACHABLE')
  })

  test('a partition without a leader is SOURCE_UNREACHABLE too, for every request', async () => {
    cluster.leaders = [-1]
    const place = { topic: 't', partition: 0 }
    const answers = [fetch(), port.offsets([place]), port.offsetAt(place, 0), port.endOfEpoch(place, 0)]
    for (const failure of await Promise.all(answers.map(failureOf))) {
      expect([failure.code, failure.message]).toEqual(['SOURCE_UNREACHABLE', expect.stringMatching(/LEADER_NOT_AVAILABLE/)])
    }
  })

  test('brokers that never let us in are given up sooner, with what may be wrong; an outage after that is waited out', async () => {
    port = open({ firstContactMs: 150, giveUpAfterMs: 20_000 })
    await fetch()
    cluster.partitionErrors.set(0, 6)
    const waiting = fetch()
    await new Promise((done) => { setTimeout(done, 600) })
    cluster.partitionErrors.clear()
    expect((await waiting).records).not.toHaveLength(0)
    cluster.close()
    port = open({ firstContactMs: 150, giveUpAfterMs: 3_600_000 })
    expect(await failureOf(port.describe(['t']))).toMatchObject({
      code: 'SOURCE_UNREACHABLE', message: expect.stringMatching(/^No broker has let us in yet \(127.*\)\. Asking for the topics t .*ECONNREFUSED/),
      details: { fix: expect.stringContaining('`ssl` and `sasl`') },
    })
  })

  test('what a broker says of damage and of permissions ends it at once, by name', async () => {
    cluster.partitionErrors.set(0, 2)
    expect(await failureOf(fetch())).toMatchObject({ code: 'LOG_CORRUPT', details: { partition: 't/0' } })
    cluster.partitionErrors.set(0, 29)
    expect(await failureOf(fetch())).toMatchObject({ code: 'CONFIG_INVALID', details: { actual: 'TOPIC_AUTHORIZATION_FAILED' } })
    expect(cluster.fetches).toHaveLength(2)
  })

  test('an offset that the leader does not have is answered by its bounds', async () => {
    cluster.start = 20
    cluster.faults.push(1)
    expect(await fetch(10)).toMatchObject({ startOffset: 20, highWatermark: 30, records: Buffer.alloc(0) })
  })

  test('another incarnation of the topic is LOG_RECREATED, also where a broker answers by name', async () => {
    await port.describe(['t'])
    cluster.topicId = 'AAAAAAAAAAAAAAAAAAAAAg'
    cluster.faults.push(100)
    expect(await failureOf(fetch())).toMatchObject({ code: 'LOG_RECREATED' })
  })

  test('a broker that does not know topic ids is asked by name', async () => {
    cluster.fetchVersion = 11
    expect((await fetch()).records).not.toHaveLength(0)
    expect(cluster.fetches[0]?.version).toBe(11)
  })

  test('a policy that may not be read is null', async () => {
    expect((await port.describe(['t'])).topics.get('t')).toMatchObject({ compacted: true, topicId: cluster.topicId })
    cluster.configError = 29
    expect((await port.describe(['t'])).topics.get('t')).toMatchObject({ compacted: null })
  })

  test('a throttle time is honoured', async () => {
    cluster.throttleMs = 400
    await fetch(0)
    await fetch(10)
    const [first, second] = cluster.fetches.map(({ atMs }) => atMs) as [number, number]
    expect(second - first).toBeGreaterThanOrEqual(390)
  })

  test('right credentials are let in, on each connection; wrong ones are CONFIG_INVALID at once', async () => {
    cluster.sasl = { username: 'alice', password: 'secret' }
    port = open({ sasl: { mechanism: 'plain', username: 'alice', password: 'secret' } })
    expect((await fetch()).records).not.toHaveLength(0)
    const other = open({ sasl: { mechanism: 'plain', username: 'alice', password: 'wrong' } })
    const started = Date.now()
    expect(await failureOf(other.describe(['t']))).toMatchObject({ code: 'CONFIG_INVALID', details: { fix: expect.stringMatching(/sasl/) } })
    expect(Date.now() - started).toBeLessThan(1_000)
    await other.close()
  })

  test('trouble that has passed is forgotten: the next one has all the time again', async () => {
    port = open({ giveUpAfterMs: 250 })
    for (let round = 0; round < 3; round++) {
      cluster.faults.push(6)
      expect((await fetch()).records).not.toHaveLength(0)
      await new Promise((done) => { setTimeout(done, 200) })
    }
  })

  test('many requests at once open two connections to a broker, no more', async () => {
    await port.describe(['t'])
    await Promise.all(Array.from({ length: 20 }, (_, index) => index % 2 === 0 ? fetch(10) : port.offsets([{ topic: 't', partition: 0 }])))
    expect(cluster.connections).toBe(2)
  })

  test('requests that wait for others on the connection do not time out', async () => {
    // One behind the other they take longer than a request may; each by itself is far from that, also on a busy machine.
    port = open({ requestTimeoutMs: 2_000, giveUpAfterMs: 10_000 })
    await port.describe(['t'])
    cluster.answerAfterMs = 150
    const answers = await Promise.all(Array.from({ length: 16 }, () => fetch(10)))
    expect(answers.every(({ records }) => records.length !== 0)).toBe(true)
    expect(cluster.fetches).toHaveLength(16)
  })

  test('nothing runs while nothing is asked, and a closed port holds no process', async () => {
    await fetch()
    const before = process.cpuUsage()
    await new Promise((done) => { setTimeout(done, 500) })
    const { user, system } = process.cpuUsage(before)
    expect((user + system) / 1_000).toBeLessThan(100)
    await port.close()
    expect(await fetch()).toBe(null)
    expect((await failureOf(port.describe(['t']))).message).toMatch(/was closed/)
  })
})

describe('options of the port', () => {
  test('that are wrong are CONFIG_INVALID at once', () => {
    for (const brokers of [[], ['localhost'], ['']]) expect(() => kafkajsPort({ brokers })).toThrow(/host:port/)
    expect(() => kafkajsPort({ brokers: ['a:1'], broker: 1 } as never)).toThrow(/broker/)
  })
})
