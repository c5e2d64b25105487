import { formatShard, type Plan, type PlannedPartition, type Shard } from '../index.js'
import { about, counted, grouped, megabytes } from './format.js'

/** What a plan says to a person. */

/** The partitions of one shard. */
export interface ShardPart {
  readonly shard: Shard
  readonly partitions: number
  readonly offsets: number
}

export interface PlanScreen {
  readonly job: string
  readonly planned: Plan
  /** Every offset between two others holds an event. */
  readonly isDense: boolean
  /** Which one is planned, and what each of them has; null: the whole. */
  readonly split: { readonly planned: Shard; readonly parts: readonly ShardPart[] } | null
}

const STARTS = {
  new: 'a new generation', resume: 'goes on with the generation being built', extend: 'goes on from its seal',
}
/** Of more partitions, only the first are listed. */
const LISTED = 24

export function planScreen({ job, planned, isDense, split }: PlanScreen): string[] {
  const { generation, start, partitions, events, bytes, estimate, placement, refusals } = planned
  const size = bytes === null ? '' : `, ${megabytes(bytes)}`
  return [
    `${job}  generation ${generation}: ${STARTS[start]}`,
    ...partitionRows(partitions),
    row('to read', `${counted(events, 'offset')} in ${counted(partitions.length, 'partition')}${size}`),
    ...(estimate === null ? [] : [row('time', timeText(estimate, bytes))]),
    ...(isDense ? [] : [row('holes', holesText(partitions))]),
    ...(placement === null ? [] : [row('keys', placementText(placement))]),
    ...(split === null ? [] : splitRows(split)),
    ...(refusals.length === 0 ? ['  nothing is refused'] : []),
    ...refusals.flatMap(({ code, message, fix }) => [`  refused ${code}  ${message}`, `    fix: ${fix}`]),
  ]
}

function row(name: string, text: string): string {
  return `  ${name.padEnd(8)}${text}`
}

function partitionRows(partitions: readonly PlannedPartition[]): string[] {
  const cells = partitions.slice(0, LISTED).map(({ partition, from, upTo, bytes }) => [
    partition, upTo < from ? 'nothing to read' : `${grouped(from)} … ${grouped(upTo)}`,
    bytes === null || upTo < from ? '' : megabytes(bytes),
  ] as const)
  const width = (column: 0 | 1 | 2): number => Math.max(0, ...cells.map((cell) => cell[column].length))
  const [names, offsets, sizes] = [width(0), width(1), width(2)]
  const rows = cells.map(([name, text, size]) => `  ${name.padEnd(names)}  ${text.padEnd(offsets)}  ${size.padStart(sizes)}`.trimEnd())
  return partitions.length <= LISTED ? rows : [...rows, `  … and ${grouped(partitions.length - LISTED)} more`]
}

/** With what it asks of whoever serves the log. */
function timeText({ ms, eventsPerSecond }: NonNullable<Plan['estimate']>, bytes: number | null): string {
  const text = `${about(ms)}, at ${grouped(eventsPerSecond)} events/s`
  return bytes === null || ms < 1_000 ? text : `${text}: ${megabytes((bytes * 1_000) / ms)}/s are asked of the log, in all`
}

function holesText(partitions: readonly PlannedPartition[]): string {
  const compacted = partitions.filter((one) => one.compacted === true).map(({ partition }) => partition)
  const unknown = partitions.filter((one) => one.compacted === null).map(({ partition }) => partition)
  if (compacted.length > 0) return `expected, because it is compacted: ${namesOf(compacted)}; there are fewer events than offsets`
  if (unknown.length > 0) {
    return `unknown: whether the topic is compacted may not be read, of ${namesOf(unknown)}; who needs every record halts at the first hole`
  }
  return 'of transactions only (markers, aborted records): nothing is compacted'
}

function namesOf(partitions: readonly string[]): string {
  return partitions.length <= 4 ? partitions.join(', ') : `${partitions.slice(0, 3).join(', ')} and ${grouped(partitions.length - 3)} more`
}

function placementText({ hash, counts, sampled, explained, movedKeys }: NonNullable<Plan['placement']>): string {
  const share = `${grouped(explained)} of ${grouped(sampled)} sampled keys`
  if (hash === null) return `no partitioner explains where they lie (${share}); where they cross partitions, use order 'time'`
  const declared = `partitioner: { hash: '${hash}', counts: [${counts.join(', ')}] }`
  if (counts.length === 1) return `lie where ${hash} puts them with ${counts.join()} partitions (${share}): ${declared}`
  const moved = `${Math.round(100 * movedKeys)} % of them moved`
  return `the topics grew, and ${moved} (${share}): ${declared}`
}

function splitRows({ planned, parts }: NonNullable<PlanScreen['split']>): string[] {
  return parts.map(({ shard, partitions, offsets }) => {
    const own = shard.index === planned.index ? ', which is planned here' : ''
    return row('shard', `${formatShard(shard)}  ${counted(partitions, 'partition')}, ${counted(offsets, 'offset')}${own}`)
  })
}
