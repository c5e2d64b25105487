import { isRehydrateError, span, type Finding } from '../../src/index.js'
import { nameOf, type FetchedPartition, type KafkaPort, type TopicPartition, type TopicView } from './port.js'
import type { PartitionView } from './prove.js'
import { readBatches, type RecordBatch } from './record-batch.js'

export interface Diagnosis {
  readonly topics: readonly string[]
  readonly views: ReadonlyMap<string, PartitionView>
  /** By which the brokers know us; null: they know everybody. */
  readonly user: string | null
  /** How long a replay may take; null: not known. */
  readonly replayMs: number | null
  readonly nowMs: number
}

/** So many partitions are looked into; the first batch of each. */
const SAMPLED_PARTITIONS = 64
const SAMPLE_LIMITS = { bytesPerPartition: 1 << 18, bytes: 1 << 22, waitMs: 100, readCommitted: false }
/** Of what must not run out before the replay is done, this share is left for surprises. */
const MARGIN = 0.8

/** What there is to say of topics before they are read. */
export async function diagnose(port: KafkaPort, about: Diagnosis): Promise<Finding[]> {
  const { clusterId, topics } = await port.describe(about.topics)
  const first = await firstBatches(port, [...about.views.values()])
  return [
    findSize(clusterId, about.views, await port.logBytes([...about.views.values()])),
    ...[...topics].flatMap(([topic, view]) => [
      ...findUnreadable(topic, view),
      ...findRetention(topic, view, first.filter((one) => one.topic === topic), about),
      ...findCompaction(topic, view, about),
    ]),
    ...findCodecs(first),
    ...findOpenTransactions(about.views),
    ...accessOf(about),
  ]
}

/** The first batch of a partition, or why it can not be read. */
interface FirstBatch extends TopicPartition {
  readonly batch: RecordBatch | null
  readonly failure: { readonly text: string; readonly fix: string } | null
}

async function firstBatches(port: KafkaPort, views: readonly PartitionView[]): Promise<FirstBatch[]> {
  const sampled = views.filter(({ first, last }) => last >= first).slice(0, SAMPLED_PARTITIONS)
  return await Promise.all(sampled.map(async ({ topic, partition, first }): Promise<FirstBatch> => {
    try {
      const answer = await port.fetch({ topic, partition, offset: first }, SAMPLE_LIMITS, new AbortController().signal)
      return { topic, partition, batch: batchOf(answer, nameOf({ topic, partition })), failure: null }
    } catch (error) {
      if (!isRehydrateError(error)) throw error
      return { topic, partition, batch: null, failure: { text: `${error.code}: ${error.message}`, fix: error.fix } }
    }
  }))
}

/** With its records read once, so that a codec that is not there is found. */
function batchOf(answer: FetchedPartition | null, partition: string): RecordBatch | null {
  const [batch = null] = answer === null ? [] : readBatches(answer.records, { partition }).batches
  batch?.records()
  return batch
}

function findSize(cluster: string, views: Diagnosis['views'], bytes: ReadonlyMap<string, number>): Finding {
  let offsets = 0
  for (const { first, last } of views.values()) offsets += last - first + 1
  const size = bytes.size < views.size ? 'their size is not told' : gigabytes([...bytes.values()].reduce((sum, one) => sum + one, 0))
  const partitions = `${views.size} ${views.size === 1 ? 'partition' : 'partitions'}`
  const text = `Cluster ${cluster} answers: ${partitions}, ${offsets.toLocaleString('en-US')} offsets, ${size}.`
  return { is: 'good', what: 'brokers', text }
}

function findUnreadable(topic: string, { compacted }: TopicView): Finding[] {
  if (compacted !== null) return []
  return [{
    is: 'doubtful', what: `configuration of ${topic}`,
    text: 'It may not be read: whether the topic is compacted, and when records and deletes expire, is not known. A replay that needs every'
      + ' record halts at the first that is missing.',
    fix: `Allow this user DescribeConfigs on the topic ${topic}.`,
  }]
}

function findRetention(
  topic: string, { retentionMs, retentionBytes }: TopicView, first: readonly FirstBatch[], { replayMs, nowMs }: Diagnosis,
): Finding[] {
  const what = `retention of ${topic}`
  const findings: Finding[] = []
  if (retentionMs === Infinity) findings.push({ is: 'good', what, text: 'Records do not expire by age.' })
  else if (retentionMs !== null) {
    const timesMs = first.flatMap(({ batch }) => timeOf(batch))
    findings.push(first.length > 0 && timesMs.length === 0
      ? { is: 'doubtful', what, text: 'The time of the oldest record is not known, nor is when it expires.' }
      : expiry(what, Math.min(...timesMs) + retentionMs - nowMs, replayMs))
  }
  if (retentionBytes !== null && retentionBytes !== Infinity) {
    findings.push({
      is: 'doubtful', what, text: `A partition larger than ${gigabytes(retentionBytes)} loses its oldest records, however fast it is read.`,
      fix: `Set retention.bytes of ${topic} to -1 until the replay is done.`,
    })
  }
  return findings
}

/** Of its first record; none where it has no records, or those have no timestamps. */
function timeOf(batch: RecordBatch | null): number[] {
  const timeMs = batch === null || batch.count === 0 ? -1 : batch.records().timestampAt(0)
  return timeMs < 0 ? [] : [timeMs]
}

/** Kafka deletes whole segments, by the youngest record of each: what is told is the earliest that may happen. */
function expiry(what: string, leftMs: number, replayMs: number | null): Finding {
  const fix = 'Raise retention.ms of the topic until the replay is done.'
  if (leftMs === Infinity) return { is: 'good', what, text: 'There is no record that could expire.' }
  if (leftMs <= 0) return { is: 'bad', what, text: 'The oldest records are past it: they may be deleted at any moment.', fix }
  const text = `The oldest record expires in ${span(leftMs)} at the earliest`
  if (replayMs === null) return { is: 'doubtful', what, text: `${text}; how long a replay takes is not known.`, fix }
  const full = `${text}; the replay needs about ${span(replayMs)}.`
  return replayMs <= leftMs * MARGIN ? { is: 'good', what, text: full } : { is: 'bad', what, text: full, fix }
}

function findCompaction(topic: string, { compacted, deleteRetentionMs }: TopicView, { replayMs }: Diagnosis): Finding[] {
  if (compacted !== true || deleteRetentionMs === null) return []
  const what = `compaction of ${topic}`
  const text = `The topic is compacted: deletes are kept for ${span(deleteRetentionMs)}`
  if (replayMs === null) return [{ is: 'good', what, text: `${text}; within that time a replay must reach the end.` }]
  const full = `${text}; a replay must reach the end within that time, and needs about ${span(replayMs)}.`
  if (replayMs <= deleteRetentionMs * MARGIN) return [{ is: 'good', what, text: full }]
  return [{ is: 'bad', what, text: full, fix: `Raise delete.retention.ms of ${topic} until the replay is done.` }]
}

function findCodecs(first: readonly FirstBatch[]): Finding[] {
  const failed = first.flatMap((one) => (one.failure === null ? [] : [{ is: 'bad' as const, what: nameOf(one), ...one.failure }]))
  const codecs = [...new Set(first.flatMap(({ batch }) => batch?.compression ?? []))].sort()
  if (codecs.length === 0) return failed
  const used = codecs.filter((codec) => codec !== 'none')
  const text = used.length === 0 ? 'The first batches are not compressed.'
    : `The first batches are compressed by ${used.join(', ')}; they can be read.`
  return [...failed, { is: 'good', what: 'codecs', text }]
}

function findOpenTransactions(views: Diagnosis['views']): Finding[] {
  return [...views.values()].filter(({ isolation, last, written }) => isolation === 'read_committed' && last < written)
    .map(({ name, last, written }) => ({
      is: 'doubtful', what: name, text: `A transaction is open: ${name} can be read up to ${last}, and is written up to ${written}.`,
      fix: 'It ends by itself, at the latest by transaction.timeout.ms of its producer; if not, see kafka-transactions.sh find-hanging.',
    }))
}

/** The exact minimum, in words and as a command. */
function accessOf({ topics, user }: Diagnosis): Finding[] {
  const names = topics.map((topic) => `--topic ${topic}`).join(' ')
  return [
    {
      is: 'good', what: 'access',
      text: `Where there are ACLs, ${user ?? 'a user'} needs Read on the topics; DescribeConfigs on them, to know of compaction`
        + ' and retention; Describe on the cluster, to know sizes; Read on the group, to hand over.',
    },
    {
      is: 'good', what: 'access, granted by',
      text: `kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:${user ?? 'NAME'}`
        + ` --operation Read --operation DescribeConfigs ${names}`,
    },
  ]
}

function gigabytes(bytes: number): string {
  if (bytes < 1e5) return `${(bytes / 1e3).toFixed(1)} kB`
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`
}
