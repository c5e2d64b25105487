import { expect } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent } from '../../adapters/memory/index.js'
import { replay, type EventSource, type SealedRun } from '../../src/index.js'
import { accountLog, accounts } from './accounts.js'
import type { TestBroker, TopicOptions } from './kafka.js'

export const PARTITIONS = 3
const EVENTS = 12_000
const EVENTS_PER_MESSAGE_SET = 250
/** Of the log that lies in memory already when a fault comes, there is only little. */
const PAD = 'x'.repeat(900)

/** Events, and the root that they have. */
export interface KnownLog {
  readonly events: Readonly<Record<string, readonly MemoryEvent[]>>
  readonly total: number
  readonly root: string
}

/** So many events, about 1 kB each. */
export async function knownLog(seed: number, total = EVENTS): Promise<KnownLog> {
  const events = accountLog(seed, PARTITIONS, total / PARTITIONS)
  const { root } = await replay({ source: memoryLog({ partitions: events }), projection: accounts, store: memoryStore(), until: 'head' }).done
  return { events, total, root }
}

/** A new topic that holds it. */
export async function topicOf(broker: TestBroker, { events }: KnownLog, options: TopicOptions = {}): Promise<string> {
  const topic = await broker.makeTopic({ partitions: PARTITIONS, ...options })
  await Promise.all(Object.values(events).map(async (all, partition) => {
    for (let sent = 0; sent < all.length; sent += EVENTS_PER_MESSAGE_SET) {
      await broker.produce(topic, all.slice(sent, sent + EVENTS_PER_MESSAGE_SET).map(({ type, key, data, recordedAt }) => ({
        key: key as string, value: JSON.stringify({ type, data, pad: PAD }), timestamp: String(recordedAt),
      })), { partition })
    }
  }))
  return topic
}

/** Called before each batch is handed on, with the number of records that were handed on before. */
export type Between = (handedOn: number) => Promise<void> | void

/** The source, held to it that each offset of a log without holes comes exactly once and in order, and that batches are small. */
export function strictly(source: EventSource, between: Between = () => {}): EventSource {
  const next = new Map<string, number>()
  let handedOn = 0
  return {
    continuity: source.continuity,
    check: (marks) => source.check(marks),
    bounds: (options) => source.bounds(options),
    close: () => source.close(),
    async *read(partition, range, limits, signal) {
      next.set(partition, range.after + 1)
      const few = { ...limits, events: Math.min(limits.events, 100), inFlightBytes: 1 << 20 }
      for await (const batch of source.read(partition, range, few, signal)) {
        await between(handedOn)
        const from = next.get(partition) as number
        const offsets = Array.from({ length: batch.length }, (_, i) => batch.offsetAt(i))
        expect(offsets).toEqual(offsets.map((_, i) => from + i))
        expect(batch.through).toBe(from + batch.length - 1)
        next.set(partition, batch.through + 1)
        handedOn += batch.length
        yield batch
      }
    },
  }
}

/** What is to happen once so many records were handed on. */
export function once(handedOn: number, act: () => Promise<void> | void): Between {
  let isDone = false
  return async (count) => {
    if (isDone || count < handedOn) return
    isDone = true
    await act()
  }
}

/** A whole replay through `strictly`, into memory: it must end in the root of the events, each applied once. */
export async function expectRoot(log: KnownLog, source: EventSource, between: Between = () => {}): Promise<SealedRun> {
  const sealed = await replay({ source: strictly(source, between), projection: accounts, store: memoryStore(), until: 'head' }).done
  expect([sealed.run.applied, sealed.root]).toEqual([log.total, log.root])
  return sealed
}
