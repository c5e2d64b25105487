import type { Value } from '../value/canonical.js'
import type { Reads } from '../value/reads.js'
import type { Milestones } from './milestones.js'
import type { Offset, Position } from './position.js'
import type { Reading } from './reading.js'

/** One record as the log holds it. */
export interface RecordedEvent {
  readonly partition: string
  readonly offset: Offset
  readonly type: string
  /** 1 where the log says nothing. */
  readonly schemaVersion: number
  readonly key: string | null
  /** What is in an event is for its schema or its handler to say. Plain JSON data; integers beyond 2^53 are bigints. */
  readonly data: any
  /** Paths in `data` (`$.total`, `$.items[2].count`) that hold such a bigint; null: none. */
  readonly bigIntegers: readonly string[] | null
  /** Milliseconds since 1970, UTC; null where the log says nothing. */
  readonly recordedAtMs: number | null
  readonly headers: Readonly<Record<string, string>>
  readonly id: string | null
}

/** Offsets that hold no event for us, by reason. Anything else that is missing is LOG_GAP. */
export interface Holes {
  readonly control: number
  readonly aborted: number
  readonly filtered: number
  readonly compactedOrLost: number
}

/**
 * A run of records of one partition, in offset order. Columnar and lazy: `event(i)` parses, the other accessors need not.
 * It stays valid after the next batch came. Accessors take 0 ≤ i < length.
 */
export interface EventBatch {
  readonly partition: string
  /** Records in this batch; may be 0, when only `through` moved. */
  readonly length: number
  /** The last offset this batch accounts for, inclusive; also covers offsets that hold no event. */
  readonly through: Offset
  readonly holes: Holes
  /** Bytes of log behind this batch. */
  readonly bytes: number
  /** Nothing that can be read followed `through` when this was fetched. Left out: not known. */
  readonly atEnd?: boolean
  /** The holes before record i. Left out: not known; where it matters, records are then asked for one at a time. */
  holesBefore?(i: number): Holes
  offsetAt(i: number): Offset
  typeAt(i: number): string
  keyAt(i: number): string | null
  /** With `reads`, a source may parse only these fields of `data`; one that parses all of it is right too. */
  event(i: number, reads?: Reads): RecordedEvent
  /** The mark after record i. Called for the last record before a checkpoint only, so it may cost something. */
  markAt(i: number): Mark
}

/** What a source keeps of how far it was read: stored in the same commit as the state. */
export interface Mark {
  /** Identity of the partition (e.g. a hash of its first record); part of the manifest. */
  readonly id: string
  /** Chain over everything read up to here, hex; null where the source keeps none, or was not read from the start. */
  readonly input: string | null
  /** The chain as it was at some earlier ends of blocks; left out where they are not known, or there is no chain. */
  readonly earlier?: Milestones
  /** The source's own: hashes of the last records, hints where to seek. Plain data. */
  readonly proof: Value
}

export type DifferenceCode = 'LOG_TRUNCATED' | 'LOG_RECREATED' | 'LOG_REWRITTEN' | 'LOG_DIVERGED' | 'TOMBSTONES_EXPIRED'

/**
 * Is the log that the mark was taken from still the one we see? `code` is one of the exit-7 codes. `mark`: to be kept in the place of
 * the one that was asked about, because asking told something; only its proof may be another.
 */
export type MarkCheck =
  | { readonly is: 'same'; readonly mark?: Mark }
  | { readonly is: 'different'; readonly code: DifferenceCode; readonly why: string }
  | { readonly is: 'unprovable'; readonly why: string; readonly mark?: Mark }

/** Both inclusive. An empty partition has last = first − 1. */
export interface Bounds {
  readonly first: Offset
  readonly last: Offset
  /** Bytes of log between them, as they are stored; left out where the source does not know. */
  readonly bytes?: number
  /**
   * Earlier records of a key may be gone, and go at any time (a compacted topic), so that only at an instant at which a reader stands at
   * the end its state is a function of its position. Null: that can not be told. Left out: no.
   */
  readonly compacted?: boolean | null
  /** Of a compacted partition: so long a delete stays in the log at least, for those who read it. Left out: not known. */
  readonly tombstonesMs?: number
  /** Records after `last` that can not be read yet, because a transaction is open. Left out: none. */
  readonly behindOpenTransaction?: OpenTransaction
}

/** What keeps the end of a partition back. */
export interface OpenTransaction {
  /** The last offset that is written, inclusive. */
  readonly written: Offset
  /** Whose transaction it is; null where the log does not say. */
  readonly producerId: string | null
}

export interface ReadLimits {
  /** A batch holds at most this many records. */
  readonly events: number
  /** … and about this many bytes of log, but at least one record. */
  readonly bytes: number
  /** Bytes of log that may be fetched and not handed out yet, over all partitions; looked at before each fetch. Default: the source's. */
  readonly inFlightBytes?: number
}

/** The records with after < offset ≤ upTo. `mark` is the one taken at `after`; null from the start, or where no chain is wanted. */
export interface ReadRange {
  readonly after: Offset
  readonly upTo: Offset
  readonly mark: Mark | null
  /**
   * Of a partition whose bounds say that it is compacted, or may be: go on beyond upTo, until a batch says `atEnd`. That one may hold
   * nothing, not even a hole: then its `through` is where the one before it, or `after`, stood.
   */
  readonly toEnd?: boolean
}

export interface BoundsOptions {
  readonly following?: boolean
  readonly known?: ReadonlySet<string>
}

/**
 * A log. What a factory returns is inert: it opens on the first call, so that a worker can make its own.
 *
 * - `dense`: every offset between first and last holds a record; a missing one is LOG_GAP.
 * - `sparse`: offsets may be missing; `through` proves progress, `holes` says why.
 *
 * Errors: SOURCE_UNREACHABLE after the source's own back-off, LOG_* (exit 7) for a log that can not be trusted.
 */
export interface EventSource {
  readonly continuity: 'dense' | 'sparse'
  /**
   * Kept with the state, which does not go on under another one (PROJECTION_CHANGED). Known before the log is opened, and always the same.
   * Left out: records become events in the source's own way.
   */
  readonly reading?: Reading
  /** Called before the first event of a run and before a seal, with the mark and offset at which each partition stands. */
  check(marks: ReadonlyMap<string, { readonly mark: Mark; readonly at: Offset }>): Promise<ReadonlyMap<string, MarkCheck>>
  /**
   * Every partition there is. An incomplete last record is LOG_TORN_TAIL, or "not yet" (left out) where `following`.
   * `known`: partitions that were read before. Where one of them is gone it is left out, for the reader to name; and where a source
   * may begin later than its log does, that does not move the beginning of these.
   */
  bounds(options?: BoundsOptions): Promise<ReadonlyMap<string, Bounds>>
  /**
   * One partition, in offset order. Ends after the batch whose `through` reaches upTo; a batch never goes beyond upTo, but for `toEnd`.
   * upTo lies within the bounds given last. Aborting the signal ends the iteration without an error.
   */
  read(partition: string, range: ReadRange, limits: ReadLimits, signal: AbortSignal): AsyncIterable<EventBatch>
  /**
   * The first offset whose recordedAt is at or after a time, from an index of the log; null: there is none. It may be one that holds no
   * event. Left out, and undefined, where no index says it exactly: then it is searched by reading.
   */
  offsetAt?(partition: string, timeMs: number): Promise<Offset | null | undefined>
  /** The same log, asked for under this name: what its servers see, for quotas and logs. Left out: they see none. */
  named?(client: string): EventSource
  /** A consumer group of the log, by which other readers keep their positions. Left out: the log has none. */
  group?(name: string): ConsumerGroup
  /**
   * Those of some fields of the data, as paths such as `items[].sku`, that no schema has of which events of a type can be; none where the
   * log knows no such schema. Left out: the log has no schemas.
   */
  lacking?(type: string, paths: readonly string[]): Promise<readonly string[]>
  /**
   * What `doctor` finds of the log and the way to it; what it finds is never thrown. `replayMs`: how long a replay may take; null: not
   * known.
   */
  diagnose?(about: { readonly replayMs: number | null }): Promise<readonly Finding[]>
  /** Idempotent. */
  close(): Promise<void>
}

export interface ConsumerGroup {
  /** `position`: the last offset of each partition that the group has read, inclusive; partitions without a commit are left out. */
  describe(): Promise<{ readonly state: string; readonly members: readonly string[]; readonly position: Position }>
  /** The group goes on after this position. GROUP_ACTIVE while it has members. */
  commit(position: Position): Promise<void>
}

/** One thing that was looked at. */
export interface Finding {
  readonly is: 'good' | 'doubtful' | 'bad'
  /** What was looked at, in a word or two: `brokers`, `retention of orders`. */
  readonly what: string
  /** What was found, in a sentence. */
  readonly text: string
  /** What to do about it; left out where all is well. */
  readonly fix?: string
}
