import type { Message } from 'kafkajs'
import { kafka, type KafkaOptions } from '../../../adapters/kafka/index.js'
import type { SourceEntry, SourceHarness, SourceLog, SourceRecord } from '../../../src/conformance/sources.js'
import type { EventBatch, EventSource } from '../../../src/index.js'
import type { TestBroker } from '../../support/kafka.js'

/** A record of the log format of files, as a message. */
export function messageOf({ type, key, data }: SourceRecord): Message {
  return { key, value: JSON.stringify({ type, data }) }
}

/** Options for a source over one topic of a test broker. */
export function optionsFor(broker: TestBroker, topic: string, more: Partial<KafkaOptions> = {}): KafkaOptions {
  return { brokers: broker.brokers, topics: [topic], ...more }
}

/** So many records are sent at a time: a log of several batches, of which no block of the chain knows. */
const RECORDS_PER_BATCH = [1, 7, 64, 300, 2_000]

/** The Kafka source under the conformance kit: each log is one topic, whose partitions have the names that the kit gives them. */
export function topicHarness(broker: () => TestBroker): SourceHarness {
  return {
    capabilities: ['chain', 'append', 'expire', 'recreate', 'compact'],
    async make(partitions): Promise<SourceLog> {
      const names = Object.keys(partitions)
      const topic = await broker().makeTopic({ partitions: names.length })
      const produce = async (name: string, entries: readonly SourceEntry[]): Promise<void> => {
        let sent = 0
        for (let turn = 0; sent < entries.length; turn++) {
          const count = RECORDS_PER_BATCH[Math.min(turn, RECORDS_PER_BATCH.length - 1)] as number
          const some = entries.slice(sent, sent + count) as SourceRecord[]
          await broker().produce(topic, some.map(messageOf), { partition: names.indexOf(name) })
          sent += some.length
        }
      }
      for (const [name, entries] of Object.entries(partitions)) await produce(name, entries)
      return {
        open: () => renamed(kafka(optionsFor(broker(), topic)), topic, names),
        async append(name, records) {
          if (!names.includes(name)) {
            names.push(name)
            await broker().growTopic(topic, names.length)
          }
          await produce(name, records)
        },
        expire: (name, first) => broker().deleteRecords(topic, first, names.indexOf(name)),
        async recreate(name, records) {
          await broker().remakeTopic(topic, { partitions: names.length })
          await produce(name, records)
        },
        async compact() {
          const configEntries = [{ name: 'cleanup.policy', value: 'compact' }]
          await broker().admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: topic, configEntries }] })
          for (const known = kafka(optionsFor(broker(), topic)); ; await new Promise((done) => setTimeout(done, 20))) {
            if ([...(await known.bounds()).values()].every(({ compacted }) => compacted === true)) return await known.close()
          }
        },
        dispose: async () => {},
      }
    },
  }
}

/** Partition i of the topic is called names[i]. */
function renamed(source: EventSource, topic: string, names: readonly string[]): EventSource {
  const inner = (name: string): string => `${topic}/${names.indexOf(name)}`
  const outer = (name: string): string => names[Number(name.slice(name.lastIndexOf('/') + 1))] ?? name
  const named = <T>(map: ReadonlyMap<string, T>, rename: (name: string) => string): Map<string, T> =>
    new Map([...map].map(([name, value]) => [rename(name), value]))
  return {
    continuity: source.continuity,
    bounds: async (options) => named(await source.bounds(options), outer),
    check: async (marks) => named(await source.check(named(marks, inner)), outer),
    async *read(partition, range, limits, signal) {
      for await (const batch of source.read(inner(partition), range, limits, signal)) yield renamedBatch(batch, partition)
    },
    close: () => source.close(),
  }
}

function renamedBatch(batch: EventBatch, partition: string): EventBatch {
  const { length, through, holes, bytes } = batch
  return {
    partition, length, through, holes, bytes, ...(batch.atEnd !== undefined && { atEnd: batch.atEnd }),
    offsetAt: (i) => batch.offsetAt(i), typeAt: (i) => batch.typeAt(i), keyAt: (i) => batch.keyAt(i),
    event: (i) => ({ ...batch.event(i), partition }), markAt: (i) => batch.markAt(i),
  }
}
