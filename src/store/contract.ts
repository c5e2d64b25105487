import type { RehydrateError } from '../errors.js'
import type { Value } from '../value/canonical.js'
import type { Columns } from '../value/columns.js'
import type { Checkpoint, Shard, Writer } from './checkpoint.js'

/**
 * A store is an ordered map (collection, key) → entry with one atomic compare-and-set commit. All that the engine remembers is
 * entries in that map, plus one checkpoint per generation. Collections whose name starts with `$` are the engine's; a store
 * treats them like any other. Keys are ordered by their UTF-8 bytes.
 */
export interface StateStore {
  readonly capabilities: {
    /** What was committed is still there after the process ended. */
    readonly durable: boolean
  }
  /** Every generation, ascending. Empty for a store that does not exist yet; never creates one. */
  generations(): Promise<readonly GenerationRow[]>
  /**
   * Makes a generation the live one, atomically. `expected` is the live one the caller saw (null: none).
   * FENCED where another is live by now; STORE_GENERATION where it does not exist or was never sealed.
   */
  switchTo(generation: number, expected: number | null): Promise<void>
  /** Removes a generation and all its entries. STORE_GENERATION where it is live, does not exist or has a living writer. */
  drop(generation: number): Promise<void>
  /**
   * 'read': one pinned, consistent view until close; STORE_NOT_FOUND where there is no such generation.
   * 'write': creates the generation where it is new, and takes the next epoch. ALREADY_RUNNING while another writer lives,
   * unless `takeover`. A writer killed a moment ago must not count as living for longer than a few seconds.
   * STORE_FORMAT_NEWER where the store's formatVersion is beyond FORMAT_VERSION.
   */
  open(options: OpenRead | OpenWrite): Promise<StoreSession>
  /**
   * The store of one shard of what this one would hold: another store, the same one whenever it is asked for the same shard. Nothing
   * is opened. Left out: this store can not be divided.
   */
  shard?(shard: Shard): StateStore
  /** Idempotent; ends every session. */
  close(): Promise<void>
}

export interface OpenRead {
  readonly generation: number
  readonly mode: 'read'
}

export interface OpenWrite {
  readonly generation: number
  readonly mode: 'write'
  /** Random text, new for every open: two processes never share it. */
  readonly incarnation: string
  /** Who writes, for people: "host pid". */
  readonly owner: string
  readonly nowMs: number
  readonly takeover: boolean
  /**
   * Collections that the projection keeps as tables with columns. A store that can, keeps them so; one that can't keeps bytes: the
   * root is the same. STORE_GENERATION where the generation was begun with other columns.
   */
  readonly tables?: ReadonlyMap<string, Columns>
}

/** The version of what stores keep: 2 since there are typed tables and keys on pages. A store that says a higher one is refused. */
export const FORMAT_VERSION = 2

export interface GenerationRow {
  readonly generation: number
  /** At most one is. */
  readonly live: boolean
  /** A checkpoint of it was sealed once; only then may it become live. */
  readonly everSealed: boolean
  readonly checkpoint: Checkpoint | null
  /** Why the stored checkpoint can not be trusted (STATE_CORRUPT; `checkpoint` is null then): one bad row hides no other. */
  readonly corrupt: RehydrateError | null
  readonly writer: WriterRow | null
}

/** Who wrote last. `beatMs` and `sinceMs` are milliseconds since 1970 by the writer's clock. */
export interface WriterRow extends Writer {
  readonly owner: string
  readonly sinceMs: number
  readonly beatMs: number
  /** True while that writer holds the store. */
  readonly alive: boolean
}

export interface StoreSession {
  /** The newest checkpoint of this generation when it was opened; null for a new one. */
  readonly checkpoint: Checkpoint | null
  /** The epoch this session took; null for 'read'. */
  readonly writer: Writer | null
  /** Those of the keys that are there, in any order. */
  load(collection: string, keys: readonly string[]): Promise<readonly Entry[]>
  /** Up to `limit` entries with key > after (null: from the first), ascending by the key's UTF-8 bytes. Fewer than `limit`: the end. */
  scan(collection: string, after: string | null, limit: number): Promise<readonly Entry[]>
  /**
   * The same entries as `scan` gives, one behind the other: for those who read a whole collection, where making an object of each is most
   * of the work. Null: not these; `scan` them. Left out: a store that has no faster way.
   */
  scanBlock?(collection: string, after: string | null, limit: number): Promise<EntryBlock | null>
  /** Names of collections that hold at least one entry, `$` ones included. */
  collections(): Promise<readonly string[]>
  /**
   * All or nothing: entries, checkpoint, and the switch where `goLive`. Conditional on `expected` being the generation's newest
   * writer, else FENCED. `durable`: return only after a full sync to disk. What it read is gone from `changes` afterwards:
   * iterables are walked once. An entry of `puts` replaces the one of the same (collection, key).
   */
  commit(
    changes: Changes, next: Checkpoint, expected: Writer, options: { readonly durable: boolean; readonly goLive?: boolean },
  ): Promise<void>
  /** Says that this writer lives. FENCED where it was taken over. */
  beat(nowMs: number): Promise<void>
  /** Idempotent. Gives up being the living writer; the epoch stays taken. */
  close(): Promise<void>
}

/** `bytes` = canonical(value) and `hash` = vh = H(00 ‖ bytes), both of src/value and src/digest. Stores keep both as given. */
export interface Entry {
  readonly collection: string
  readonly key: string
  readonly bytes: Uint8Array
  readonly hash: Uint8Array
}

/** Entries one behind the other, ascending by key. */
export interface EntryBlock {
  readonly count: number
  /** The keys, in UTF-8. */
  readonly keys: Uint8Array
  /** Where in `keys` each key ends. */
  readonly keyEnds: ArrayLike<number>
  /** The values' `bytes`. */
  readonly bytes: Uint8Array
  /** Where in `bytes` each value ends. */
  readonly ends: ArrayLike<number>
  /** The values' `hash`, 32 bytes each. */
  readonly hashes: Uint8Array
}

/** `value` is what `bytes` decode to, for stores that keep columns instead of bytes. Null for the engine's own collections. */
export interface PutEntry extends Entry {
  readonly value: Value
}

export interface EntryKey {
  readonly collection: string
  readonly key: string
}

export interface Changes {
  readonly puts: Iterable<PutEntry>
  readonly deletes: Iterable<EntryKey>
}
