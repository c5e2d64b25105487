import type { Offset, Position } from '../log/position.js'
import type { EventSource, OpenTransaction } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { Accepted, CollectionRoot, Manifest, Shard } from '../store/checkpoint.js'
import type { StateStore } from '../store/contract.js'

export interface ReplayOptions {
  readonly source: EventSource
  readonly projection: Projection
  readonly store: StateStore
  /**
   * 'head' (default): the end of the log when the run starts · 'follow': go on as it grows · a POSITION
   * (`orders/0@41`, inclusive) · a time (ISO 8601, or a Date): up to before the first record at or after it.
   */
  readonly until?: 'head' | 'follow' | Position | Date | (string & {})
  /** Start a new generation instead of going on with the one being built. */
  readonly restart?: boolean
  /** Fence off a living writer. */
  readonly takeover?: boolean
  /** `CODE=WHERE` texts: what a person waives. */
  readonly accept?: readonly string[]
  /** 'auto' (default): the first seal of a generation makes it the live one. */
  readonly switch?: 'auto' | 'manual'
  /** A checkpoint is due after about this many bytes of changed state, or this many seconds. Defaults 256 MiB, 30 s. */
  readonly checkpoint?: { readonly bytes?: number; readonly seconds?: number }
  /** About how much memory the working set may take, in bytes; beyond it, keys not used lately are re-read. Default 512 MiB. */
  readonly memoryBytes?: number
  /** Limits of one batch. Defaults 2,000 events, 1 MiB. */
  readonly batch?: { readonly events?: number; readonly bytes?: number }
  /** Only this one of so many equal parts, in a store of its own (`store.shard()`). See docs/shards.md. */
  readonly shard?: Shard
  /** How much of the log may be asked of whoever serves it; `run.limit()` changes it. */
  readonly limits?: Limits
  /** Aborting it stops the run after a clean checkpoint; `signal.reason` may be 'SIGTERM' or 'SIGINT'. */
  readonly signal?: AbortSignal
}

/** What is left out is not limited. */
export interface Limits {
  /** Bytes of log per second, over all shards of the job: each takes an equal part. */
  readonly bytesPerSecond?: number
  /** Bytes of log that may be fetched ahead of what is applied, per process. Default: the source's. */
  readonly inFlightBytes?: number
}

export type Phase = 'planning' | 'replaying' | 'following' | 'draining' | 'sealing' | 'sealed' | 'stopped' | 'failed'

/** Remaining time, as a range from the spread of recent rates. */
export interface Eta { readonly lowMs: number; readonly midMs: number; readonly highMs: number }

export interface Progress {
  readonly kind: 'progress'
  readonly position: Position
  readonly end: Position
  /** Offsets of the whole range, and those done (in this run and before it). */
  readonly total: number
  readonly done: number
  /** Events applied by this run. */
  readonly applied: number
  readonly eventsPerSecond: number
  /** Offsets to go. */
  readonly lag: number
  /** Null: too early to say. 'never': the log grows faster than it is read. */
  readonly eta: Eta | 'never' | null
}

export type RunEvent =
  | { readonly kind: 'phase'; readonly phase: Phase; readonly generation: number | null }
  | Progress
  /** Nothing moved for `forMs`; `waitingFor` says on what. */
  | { readonly kind: 'stall'; readonly waitingFor: string; readonly forMs: number }
  | { readonly kind: 'caughtUp'; readonly position: Position }
  | { readonly kind: 'checkpoint'; readonly position: Position; readonly keys: number; readonly pauseMs: number }
  | { readonly kind: 'sealed'; readonly sealed: SealedRun }

/** A sealed checkpoint, and what this run did. Nothing of `run` enters the manifest. */
export interface SealedRun {
  readonly generation: number
  readonly live: boolean
  readonly seal: { readonly manifest: Manifest; readonly manifestHash: string }
  /** State root, `sh1:<hex>`. */
  readonly root: string
  readonly position: Position
  readonly collections: Readonly<Record<string, CollectionRoot>>
  readonly grade: Grade
  /** False where events were left out by `accept`. */
  readonly complete: boolean
  readonly accepted: readonly Accepted[]
  /** Event ids were compared over so many offsets; 0: not checked. */
  readonly idWindow: number
  /** Partitions whose end was held back at `last` by an open transaction: records up to `written` could not be read yet. */
  readonly behindOpenTransaction: readonly HeldBack[]
  readonly run: RunTotals
}

export interface HeldBack extends OpenTransaction {
  readonly partition: string
  /** The last offset that could be read, inclusive. */
  readonly last: Offset
}

export interface Grade {
  readonly grade: 'scrubbed' | 'maintained'
  /** Offsets applied since every stored byte was last re-read; null: it never was. */
  readonly sinceScrub: number | null
}

export interface RunTotals {
  readonly applied: number
  /** Records with an offset already applied, and events with an id seen in the window: dropped. */
  readonly duplicates: number
  /** Events passed over by `unknownEvents: 'skip'`. */
  readonly skipped: number
  readonly checkpoints: number
  readonly durationMs: number
  readonly eventsPerSecond: number
}

/** A running replay. Iterate it for its events; await `done` for its end. */
export interface Run extends AsyncIterable<RunEvent> {
  /** Resolves when sealed ('follow': at the stop, with its last seal, or rejects with RUN_STOPPED). Rejects with a RehydrateError. */
  readonly done: Promise<SealedRun>
  /** Asks for a seal of what is applied, while following; of any other run it is the one at its end. */
  seal(): Promise<SealedRun>
  /** Puts these limits in the place of those it runs under, while it goes on. CONFIG_INVALID changes nothing. */
  limit(limits: Limits): void
  /** Stops after a clean checkpoint; `done` rejects with RUN_STOPPED. Resolves when everything is closed. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** What a replay would do; every refusal comes before the first event. */
export interface Plan {
  readonly generation: number
  /** 'new': a fresh one · 'resume': goes on · 'extend': goes on from a seal. */
  readonly start: 'new' | 'resume' | 'extend'
  readonly partitions: readonly PlannedPartition[]
  /** Offsets to read. */
  readonly events: number
  /** About how many bytes of log that is, as they are stored; null where the source does not know. */
  readonly bytes: number | null
  /** How long it may take, judged by reading a piece of the log; null where there is nothing to read. */
  readonly estimate: { readonly eventsPerSecond: number; readonly ms: number } | null
  /** What explains where the log's keys lie, where the projection has several partitions and says nothing of it; null: it need not. */
  readonly placement: PlannedPlacement | null
  /** Codes and texts of what would be refused; empty: the replay can start. */
  readonly refusals: readonly { readonly code: string; readonly message: string; readonly fix: string }[]
}

export interface PlannedPartition {
  readonly partition: string
  /** Where it begins; the offsets to read are from … upTo, both inclusive: none where upTo < from. */
  readonly first: number
  readonly from: number
  readonly upTo: number
  /** About how many bytes of log these are, as they are stored; null where the source does not know. */
  readonly bytes: number | null
  /** Offsets between them may hold nothing, because earlier records of a key are dropped; null: that can not be told. */
  readonly compacted: boolean | null
}

/** A partitioner that fits a sample of the log. */
export interface PlannedPlacement {
  /** Null: none of them explains the whole sample; then order 'time' is the answer where keys cross partitions. */
  readonly hash: 'murmur2' | 'crc32' | null
  /** For `partitioner.counts`: more than one where topics have grown. */
  readonly counts: readonly number[]
  /** Records with a key that were looked at, and those that it (or else the best one) explains. */
  readonly sampled: number
  readonly explained: number
  /** The share of the sampled keys that have moved with the growth, from 0 to 1. */
  readonly movedKeys: number
}

/** The world as the engine may see it. */
export interface World {
  readonly clock: Clock
  /** Fresh random text for an incarnation. */
  token(): string
  /** Which of n ≥ 1 partitions is read next, from 0. Any answer must give the same state. */
  pick(n: number): number
  /** Who writes, for people: "host pid". */
  readonly owner: string
  readonly purity: Purity
  /** Hash over the source of the module that defines a projection; null where it can't be found. */
  codeOf(projection: Projection): Promise<string | null>
}

export interface Clock {
  /** Milliseconds since 1970. */
  nowMs(): number
  /** Milliseconds that never go back. */
  monotonicMs(): number
  /** Resolves after `ms`, or at once when the signal aborts. 0 lets timers, signals and I/O have their turn. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** While `guard` runs, clocks, random numbers, timers and the network throw IMPURE_HANDLER. */
export interface Purity {
  /** Installs the guard for a run; the result takes it away. */
  install(): () => void
  enter(): void
  leave(): void
}
