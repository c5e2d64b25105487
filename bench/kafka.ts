/** The sections on Kafka: a topic read, and a topic folded into a state, against what people use today. One real broker on this machine. */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import type { ConsumerInput } from './baselines/kafkajs-sqlite.js'
import { dataSet, type DataSet } from './data.js'
import { javaPeers, kafkaBrokers } from './kafka-broker.js'
import type { KafkaResult } from './kafka-trial.js'
import { emptyFolder, interleaved, launch, type Variant } from './launch.js'
import type { Section, Target } from './report.js'
import type { Scale } from './scale.js'
import { median } from './statistics.js'
import type { KafkaReplayInput } from './trials/kafka.js'
import type { LoadInput } from './trials/kafka-load.js'
import type { SourceInput, SourceResult } from './trials/kafka-source.js'

const PARTITIONS = 6
const MEBIBYTE = 1_024 * 1_024

const count = (value: number): string => Math.round(value).toLocaleString('en')
const over = <T>(results: readonly T[], figure: (result: T) => number): number => median(results.map(figure))

interface Timed {
  readonly events: number
  readonly wallMs: number
  readonly cpuMs: number
  readonly firstMs: number
  readonly maxRssBytes: number
}

const speed = ({ events, wallMs }: Timed): number => (events * 1_000) / wallMs
const cpuPerMillion = ({ events, cpuMs }: Timed): number => (cpuMs * 1_000) / events

interface Topic {
  readonly brokers: string
  readonly topic: string
  readonly events: number
  readonly partitions: number
}

/** The data set as a topic, uncompressed. */
function topicOf(wanted: DataSet): Topic {
  const data = dataSet(wanted)
  const brokers = kafkaBrokers()
  const topic = `bench-murmur2-${data.events}-${data.keys}-${PARTITIONS}`
  launch('trials/kafka-load.js', { brokers, topic, partitions: PARTITIONS, file: data.path } satisfies LoadInput)
  return { brokers, topic, events: data.events, partitions: PARTITIONS }
}

const describe = ({ events, keys }: DataSet): string =>
  `${count(events)} records of about 300 bytes, uncompressed, over ${count(keys)} keys in ${PARTITIONS} partitions; one broker (Apache`
  + ' Kafka 3.9.1) on the same machine. The clock runs from the first record to the end; the CPU is that of the reading process alone.'

const HEAD = ['', 'events/s', 'CPU s per million', 'max RSS, MiB', 'to the first event, ms']

function row(name: string, results: readonly Timed[]): string[] {
  return [
    name, count(over(results, speed)), over(results, cpuPerMillion).toFixed(2),
    count(over(results, ({ maxRssBytes }) => maxRssBytes / MEBIBYTE)), count(over(results, ({ firstMs }) => firstMs)),
  ]
}

const READERS = [['rehydrate', 'rehydrate'], ['kafkajs eachBatch', 'eachBatch'], ['kafkajs eachMessage', 'eachMessage']] as const
const IDLE = ', no-op handler'
const SUMMED = ', equal work'

export function kafkaSource(scale: Scale): Section {
  const topic = topicOf(scale.kafka)
  const variants = (work: SourceInput['work'], more: string): Variant<SourceResult>[] => READERS.map(([name, reader]) => (
    { name: name + more, run: () => launch<SourceResult>('trials/kafka-source.js', { ...topic, reader, work }) }
  ))
  const results = interleaved<SourceResult>(scale.rounds, [...variants('none', IDLE), ...variants('sum', SUMMED)])
  const of = (name: string): readonly SourceResult[] => results.get(name) ?? []
  const sums = new Set(READERS.flatMap(([name]) => of(name + SUMMED)).map(({ sum, events }) => `${sum} of ${events}`))
  if (sums.size !== 1) throw new Error(`Not everybody read the same: ${[...sums].join(', ')}`)
  const stray = [...results.values()].flat().find(({ events }) => events !== topic.events)
  if (stray !== undefined) throw new Error(`${stray.events} records were read, and there are ${topic.events}.`)
  const ratioTo = (name: string, more: string): number => over(of(`rehydrate${more}`), speed) / over(of(name + more), speed)
  const shown = (ratio: number): string => `${ratio.toFixed(2)}×`
  const target = (name: string, least: number): Target => ({
    what: `Kafka source alone, no-op handler (not equal work: no message objects), against ${name}`, target: `≥ ${least}×`,
    measured: `${shown(ratioTo(name, IDLE))} (equal work: ${shown(ratioTo(name, SUMMED))})`, isMet: ratioTo(name, IDLE) >= least,
  })
  return {
    title: 'Kafka: a topic read',
    notes: [
      describe(scale.kafka),
      'No-op handler: what each client delivers, and nothing done with it. That is not equal work: kafkajs makes an object of each record,'
      + ' ours makes no message objects, and hands over batches whose records can be read. Equal work: everybody sums a CRC over every key'
      + ' and value, and the sums agree. In both, ours checks the CRC-32C of each batch, its bounds and that no offset is missing, and'
      + ' hashes every record into the input chain; kafkajs checks nothing.',
    ],
    head: HEAD, rows: [...results].map(([name, list]) => row(name, list)),
    targets: [target('kafkajs eachMessage', 10), target('kafkajs eachBatch', 6)],
  }
}

const PLAIN = 'rehydrate → SQLite, sealed'
const WITH_READS = 'rehydrate with declared reads → SQLite, sealed'
const UNPLACED = 'rehydrate with declared reads, without a partitioner → SQLite, sealed'
const BATCHES = 'kafkajs eachBatch → SQLite, a transaction each'
const MESSAGES = 'kafkajs eachMessage → SQLite, autocommit'
const ROCKS = 'Java consumer → RocksDB'
const AT_LEAST_ONCE = 'Kafka Streams, at_least_once'
const EXACTLY_ONCE = 'Kafka Streams, exactly_once_v2'
const RESTORE = 'Kafka Streams, restore of exactly_once_v2 from its changelog'

export function kafkaFold(scale: Scale): Section {
  const topic = topicOf(scale.kafka)
  const replay = (name: string, declared: Pick<KafkaReplayInput, 'reads' | 'partitioner'>): Variant<KafkaResult> =>
    ({ name, run: () => launch<KafkaResult>('trials/kafka.js', { ...topic, ...declared } satisfies Omit<KafkaReplayInput, 'folder'>) })
  const consumer = (name: string, run: ConsumerInput['run']): Variant<KafkaResult> =>
    ({ name, run: () => launch<KafkaResult>('baselines/kafkajs-sqlite.js', { ...topic, run }) })
  const classPath = javaPeers()
  const java = classPath === null ? [] : javaVariants(classPath, topic)
  const results = interleaved<KafkaResult>(scale.rounds, [
    replay(PLAIN, { reads: false, partitioner: true }), replay(WITH_READS, { reads: true, partitioner: true }),
    replay(UNPLACED, { reads: true, partitioner: false }),
    consumer(BATCHES, 'eachBatch'), consumer(MESSAGES, 'eachMessage'), ...java,
  ])
  assertAlike(topic, results)
  const of = (name: string): readonly KafkaResult[] => results.get(name) ?? []
  const target = (ours: string, other: string, least: number): Target[] => {
    if (of(other).length === 0) return []
    const ratio = over(of(ours), speed) / over(of(other), speed)
    const measured = `${ratio.toFixed(2)}×`
    return [{ what: `${ours}, against ${other}`, target: `≥ ${least}×`, measured, isMet: ratio >= least }]
  }
  const cpuShare = over(of(WITH_READS), cpuPerMillion) / over(of(EXACTLY_ONCE), cpuPerMillion)
  return {
    title: 'Kafka → a state',
    notes: [
      describe(scale.kafka),
      'Everybody folds every record and ends in the same state: keys and sums agree, and where it is JavaScript the state hash too. Ours '
      + 'checks every batch, keeps the input chain, hashes every value, re-reads every stored byte and seals; the consumers none of that. '
      + `Java and Kafka Streams ${classPath === null ? 'are not installed here.' : 'use Jackson and RocksDB, one thread.'}`
      + ' Ours declares the partitioner, as `rehydrate init` does: each record proves that its key belongs to its partition. Without it the'
      + ' partition of each key is kept as well.'
      + ' The restore reads the changelog that the run before it left: it is no rebuild from the topic.',
    ],
    head: HEAD, rows: [...results].map(([name, list]) => row(name, list)),
    targets: [
      ...target(PLAIN, BATCHES, 2.5), ...target(WITH_READS, BATCHES, 4.5), ...target(WITH_READS, EXACTLY_ONCE, 4),
      ...target(WITH_READS, ROCKS, 2),
      ...(Number.isNaN(cpuShare) ? [] : [{
        what: 'CPU per event, with declared reads / Kafka Streams, exactly_once_v2', target: '≤ 0.25', measured: cpuShare.toFixed(2),
        isMet: cpuShare <= 0.25,
      }]),
    ],
  }
}

function javaVariants(classPath: string, { brokers, topic, events }: Topic): Variant<KafkaResult>[] {
  const run = (main: string, folder: string, ...more: string[]): KafkaResult => {
    const args = ['-Xmx1g', '-cp', classPath, main, brokers, topic, String(events), folder, ...more]
    return JSON.parse(execFileSync('java', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })) as KafkaResult
  }
  const inFolder = (work: (folder: string) => KafkaResult): KafkaResult => {
    const folder = emptyFolder('java-')
    try {
      return work(folder)
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
  const streams = (application: string, guarantee: string, ...more: string[]): KafkaResult =>
    inFolder((folder) => run('StreamsPeer', folder, application, guarantee, ...more))
  const fresh = (guarantee: string): string => `bench-${guarantee.replaceAll('_', '-')}-${Date.now()}`
  let last = ''
  return [
    { name: ROCKS, run: () => inFolder((folder) => run('RocksConsumer', folder)) },
    { name: AT_LEAST_ONCE, run: () => streams(fresh('at_least_once'), 'at_least_once') },
    { name: EXACTLY_ONCE, run: () => streams((last = fresh('exactly_once_v2')), 'exactly_once_v2') },
    { name: RESTORE, run: () => streams(last, 'exactly_once_v2', 'restore') },
  ]
}

/** All of them hold every event in one and the same state. Throws otherwise: nothing is to be compared then. */
function assertAlike({ events }: Topic, results: ReadonlyMap<string, readonly KafkaResult[]>): void {
  const all = [...results].flatMap(([name, list]) => list.map((result) => ({ name, ...result })))
  const [first] = all
  const roots = new Set(all.flatMap(({ check }) => check.root ?? []))
  for (const { name, check } of all) {
    const isAlike = check.changes === events && check.keys === first?.check.keys && check.totalCents === first.check.totalCents
    if (!isAlike || roots.size !== 1) throw new Error(`${name} ends in another state: ${JSON.stringify({ check, expected: first?.check })}`)
  }
}
