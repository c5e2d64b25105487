import type { Bounds, EventBatch, EventSource, Holes, Mark, ReadLimits, RecordedEvent } from '../log/source.js'
import type { Offset } from '../log/position.js'
import type { Value } from '../value/canonical.js'
import { expectSame, expectTrue } from './kit.js'

/** A record as the kit asks for it; the log may add what it needs. */
export interface SourceRecord {
  readonly type: string
  readonly key: string | null
  readonly data: Value
}

/** An offset without an event, for sources with the capability `holes`. */
export interface SourceHole {
  readonly hole: keyof Holes
}

export type SourceEntry = SourceRecord | SourceHole

/**
 * What the log can be made to do. `chain`: marks carry an input chain with its milestones. The others are the methods of SourceLog
 * of that name, and `holes`.
 */
export type SourceCapability = 'chain' | 'holes' | 'append' | 'truncate' | 'expire' | 'rewrite' | 'recreate' | 'tear' | 'compact'

/** One log, made for one case. */
export interface SourceLog {
  /** A new, unopened source over this log; the kit closes it. */
  open(): EventSource
  /** Adds records at the end. */
  append?(partition: string, records: readonly SourceRecord[]): Promise<void>
  /** Takes all records after `last` away. */
  truncate?(partition: string, last: Offset): Promise<void>
  /** Takes all records before `first` away; the others keep their offsets. */
  expire?(partition: string, first: Offset): Promise<void>
  /** Gives one offset another content. */
  rewrite?(partition: string, offset: Offset, record: SourceRecord): Promise<void>
  /** Puts another log in the place of a partition. */
  recreate?(partition: string, records: readonly SourceRecord[]): Promise<void>
  /** Leaves a part of a record after the last one, as an interrupted writer does. */
  tear?(partition: string): Promise<void>
  /** Lets the partition be compacted from now on; every record so far has a key of its own. */
  compact?(partition: string): Promise<void>
  dispose(): Promise<void>
}

export interface SourceHarness {
  readonly capabilities: readonly SourceCapability[]
  /** A log in which entry i of a partition has offset i; a partition may be empty. */
  make(partitions: Readonly<Record<string, readonly SourceEntry[]>>): Promise<SourceLog>
}

/** Runs a law over a fresh log and one source of it, and puts both away. */
export async function withLog(
  harness: SourceHarness,
  partitions: Readonly<Record<string, readonly SourceEntry[]>>,
  law: (log: SourceLog, source: EventSource) => Promise<void>,
): Promise<void> {
  const log = await harness.make(partitions)
  const source = log.open()
  try {
    await law(log, source)
  } finally {
    await source.close()
    await log.dispose()
  }
}

/** Records that differ from each other, with what is often got wrong: other scripts, escapes, null keys, nested data. */
export function makeRecords(count: number, seed = 'r'): SourceRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    type: i % 5 === 4 ? 'Größe "x"\n' : `Type${i % 3}`,
    key: i % 7 === 6 ? null : `${seed}-${i % 11}${i % 13 === 12 ? '-ключ-🔑' : ''}`,
    data: { n: i, text: `${seed} ${i} \\ "quoted" \u2028 ${'x'.repeat(i % 50)}`, list: [i, { deep: [null, true, i / 4] }] },
  }))
}

export interface Reading {
  readonly events: RecordedEvent[]
  /** The mark after each batch that held a record. */
  readonly marks: Mark[]
  readonly batches: EventBatch[]
}

export const WIDE: ReadLimits = { events: 1_000, bytes: 1 << 20 }

export interface ReadOptions {
  readonly after?: Offset
  readonly upTo?: Offset
  readonly mark?: Mark | null
  readonly limits?: ReadLimits
}

/** Reads a range (default: all) and refuses batches that break the shape of a batch. */
export async function readAll(source: EventSource, partition: string, options: ReadOptions = {}): Promise<Reading> {
  const bounds = await boundsOf(source, partition)
  const { after = bounds.first - 1, upTo = bounds.last, mark = null, limits = WIDE } = options
  const reading: Reading = { events: [], marks: [], batches: [] }
  let through = after
  for await (const batch of source.read(partition, { after, upTo, mark }, limits, new AbortController().signal)) {
    expectShape(batch, partition, { after: through, upTo }, limits)
    if (source.continuity === 'dense') {
      expectSame(`offsets covered by a dense batch after ${through}`, batch.length, batch.through - through)
    }
    through = batch.through
    for (let i = 0; i < batch.length; i++) reading.events.push(batch.event(i))
    if (batch.length > 0) reading.marks.push(batch.markAt(batch.length - 1))
    reading.batches.push(batch)
  }
  expectSame('where the last batch reaches to', through, Math.max(after, upTo))
  return reading
}

function expectShape(batch: EventBatch, partition: string, range: { after: Offset; upTo: Offset }, limits: ReadLimits): void {
  expectSame('partition of a batch', batch.partition, partition)
  expectTrue(`at most ${limits.events} records in a batch (${batch.length})`, batch.length <= limits.events)
  expectTrue(`through ${batch.through} lies in (${range.after}, ${range.upTo}]`, batch.through > range.after && batch.through <= range.upTo)
  let before = range.after
  for (let i = 0; i < batch.length; i++) {
    const event = batch.event(i)
    expectTrue(`offset ${event.offset} lies in (${before}, ${batch.through}]`, event.offset > before && event.offset <= batch.through)
    expectSame(
      `columns and event at ${event.offset}`,
      [batch.offsetAt(i), batch.typeAt(i), batch.keyAt(i)],
      [event.offset, event.type, event.key],
    )
    before = event.offset
  }
}

export async function boundsOf(source: EventSource, partition: string): Promise<Bounds> {
  const bounds = (await source.bounds()).get(partition)
  if (bounds === undefined) throw new Error(`Expected bounds of partition ${partition}`)
  return bounds
}

/** What a record must come back as. */
export function plain({ type, key, data }: SourceRecord | RecordedEvent): SourceRecord {
  return { type, key, data: data as Value }
}

/** First and last of every partition, without what a source may say besides. */
export async function endsOf(
  source: EventSource, options?: { readonly following?: boolean },
): Promise<Map<string, { first: number; last: number }>> {
  return new Map([...(await source.bounds(options))].map(([partition, { first, last }]) => [partition, { first, last }]))
}
