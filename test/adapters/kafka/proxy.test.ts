import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, test } from 'vitest'
import { kafkajsPort } from '../../../adapters/kafka/port-kafkajs.js'
import { KafkaSource } from '../../../adapters/kafka/source.js'
import { memoryStore } from '../../../adapters/memory/index.js'
import { hostWorld } from '../../../src/host/world.js'
import { startRun } from '../../../src/replay/run.js'
import { accounts } from '../../support/accounts.js'
import { kafkaListeners, type KafkaListeners } from '../../support/kafka-listeners.js'
import { expectRoot, knownLog, once, strictly, topicOf, type KnownLog } from '../../support/kafka-replays.js'
import { canHaveKafka } from '../../support/kafka.js'
import { Proxy } from '../../support/proxy.js'

const TIMEOUT_MS = 1_500

describe.skipIf(!canHaveKafka('the Kafka source over a bad line', { own: true }))('over a bad line', { timeout: 30_000 }, () => {
  let listeners: KafkaListeners
  let log: KnownLog
  let topic: string
  let proxy: Proxy
  beforeAll(async () => {
    listeners = await kafkaListeners()
    log = await knownLog(5, 6_000)
    topic = await topicOf(listeners.broker, log)
  }, 180_000)
  afterAll(() => listeners?.broker.dispose())
  beforeEach(async () => { proxy = await new Proxy(listeners.ports.PROXIED, listeners.ports.PROXY).listen() })
  afterEach(() => proxy.refuse())

  function source(): KafkaSource {
    const openPort = () => kafkajsPort({ brokers: [proxy.address], connectTimeoutMs: TIMEOUT_MS, requestTimeoutMs: TIMEOUT_MS, giveUpAfterMs: 20_000 })
    return new KafkaSource(openPort, { topics: [topic], isolation: 'read_committed', partitions: null, event: {}, payload: 'json', stallMs: 20_000 })
  }

  test('that is slow to answer, and then narrow', async () => {
    proxy.turn({ latencyMs: 40 })
    await expectRoot(log, source(), once(2_000, () => proxy.turn({ bytesPerSecond: 4 << 20 })))
  })

  test.each(['end', 'reset'] as const)('that is cut in the middle of an answer, three times (%s)', async (cutBy) => {
    // Each time, the last bytes before the cut are those of a record batch.
    const cut = () => proxy.turn({ cutAfterBytes: 100_000, cutBy })
    const faults = [500, 2_000, 3_500].map((handedOn) => once(handedOn, cut))
    await expectRoot(log, source(), async (handedOn) => { for (const fault of faults) await fault(handedOn) })
    expect(proxy.cuts).toBe(3)
  })

  test('that loses bytes and keeps its connections: what is not answered in time is asked for again on another one', async () => {
    let before = Number.POSITIVE_INFINITY
    let healing: Promise<void> | null = null
    const heal = async (): Promise<void> => {
      // Who opens another one has given the first one up.
      while (proxy.connections === before) await sleep(20)
      proxy.turn({})
    }
    await expectRoot(log, source(), once(500, () => {
      before = proxy.connections
      proxy.turn({ swallows: true })
      healing = heal()
    }))
    await healing
    expect(proxy.connections).toBeGreaterThan(before)
  })

  test('that refuses connections for a while', async () => {
    let back: Promise<unknown> | null = null
    await expectRoot(log, source(), once(500, async () => {
      await proxy.refuse()
      back = sleep(700).then(() => proxy.listen())
    }))
    await back
    expect(back).not.toBeNull()
  })

  test('that says nothing: the run tells of the stall, and what it waits for', async () => {
    const world = hostWorld()
    // Five seconds pass in a quarter of one.
    const clock = { ...world.clock, monotonicMs: () => performance.now() * 20 }
    const lossy = strictly(source(), once(500, () => proxy.turn({ swallows: true })))
    const run = startRun({ source: lossy, projection: accounts, store: memoryStore(), until: 'head' }, { ...world, clock })
    const stalls: string[] = []
    for await (const event of run) {
      if (event.kind !== 'stall') continue
      stalls.push(event.waitingFor)
      proxy.turn({})
    }
    expect((await run.done).root).toBe(log.root)
    expect(stalls[0]).toMatch(new RegExp(`^${topic}/\\d to deliver what follows \\d+$`))
  })
})
