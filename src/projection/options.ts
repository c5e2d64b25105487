import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Order } from '../log/domains.js'
import type { PartitionerOptions } from '../log/partitioner.js'
import type { RecordedEvent } from '../log/source.js'
import type { ColumnDeclarations } from '../value/columns.js'

/** Any library that speaks Standard Schema (zod, valibot, arktype …). Only synchronous ones: async is refused at plan time. */
export type Schema<T = any> = StandardSchemaV1<any, T>

export interface CollectionOptions<V = any> {
  /** Each value put is validated, and its output kept. */
  readonly schema?: Schema<V>
  /** Raise it when the meaning of the values changes; part of the fingerprint. Default 1. */
  readonly version?: number
  /** Field paths whose integers are bigints in handlers, always: `total`, `items[].count`. */
  readonly int64?: readonly string[]
  /** The fields as columns of a table, where the store can keep one: lossless, and a value that does not fit is refused by `put`. */
  readonly columns?: ColumnDeclarations
}

export interface EventOptions<D = any> {
  /** Validates `data` of the newest version (after upcasting); its output is what handlers see. */
  readonly schema?: Schema<D>
  /** Field paths in `data` that may hold integers beyond 2^53; handlers see them as bigints, always. */
  readonly int64?: readonly string[]
  /** As the projection's `reads`, for this type, in their place. */
  readonly reads?: readonly string[] | 'schema'
}

/** data of version n → data of version n + 1. Synchronous and pure. */
export type Upcaster = (data: any, event: RecordedEvent) => any

/** What a handler sees of one collection. Values are frozen; only the keys that keys(event) named can be touched. */
export interface CollectionView<V = any> {
  /** The value under the key, with the writes this event has made so far; undefined where there is none. */
  get(key: string): V | undefined
  put(key: string, value: V): void
  delete(key: string): void
}

export type StateView<C> = { readonly [N in keyof C]: CollectionView<C[N] extends { schema: Schema<infer V> } ? V : any> }
export type EventOf<E, T extends string> = Omit<RecordedEvent, 'data'> & {
  readonly data: T extends keyof E ? (E[T] extends { schema: Schema<infer D> } ? D : any) : any
}
export type { Order }

/** For orders that merge partitions by recordedAt. */
export interface TimeOptions {
  /** How far a timestamp may lie ahead of records after it. Default one hour. */
  readonly futureMs?: number
  /**
   * Needed to follow: an event waits until the log's own time is more than this beyond its recordedAt, so that no partition is likely to
   * bring an earlier one. What comes later still is LATE_EVENT.
   */
  readonly latenessMs?: number
}

export interface KeyRef {
  readonly collection: string
  readonly key: string
}

export interface ProjectionOptions<C extends Record<string, CollectionOptions>, E extends Record<string, EventOptions>, T extends string> {
  readonly name: string
  /** A whole number from 1. Raise it whenever handlers change: another version is another generation. */
  readonly version: number
  /**
   * 'partition' (default): each partition is a sequence of its own; no key is shared between two of them.
   * 'copartition': the partitions with one number, of all topics, are one sequence, as by 'time': orders/3 with payments/3. The topics
   * have equally many partitions and one `partitioner`.
   * 'time': one sequence by (recordedAt, partition, offset).
   * 'any': keys may be shared between partitions, in no order: you claim that handlers commute (counts, sums of integers, max,
   * sets; not sums of floating-point numbers). `auditRebuild` puts the claim to the test.
   */
  readonly order?: Order
  /**
   * How the log's keys are placed: proved record by record, PARTITIONER_UNPROVED otherwise. Needed for order 'copartition', and for
   * 'partition' where a topic has grown, so that the events of a key come in their order, the old partition first. Where state keys are the
   * keys of the events, of one topic that has not grown, the store then keeps nothing of who owns a key: it is half as large.
   */
  readonly partitioner?: PartitionerOptions
  readonly collections: C
  /** Per event type, the keys its handler may touch. Default: the event's key in the only collection. */
  readonly keys?: { readonly [K in T]?: (event: EventOf<E, K>) => readonly KeyRef[] }
  /** Synchronous, pure folds. */
  readonly on: { readonly [K in T]: (state: StateView<C>, event: EventOf<E, K>) => void }
  /**
   * The fields of `data` that upcasters, schemas, keys and handlers read, of all types: `amount`, `customer.id`, `items[].sku`. A log of
   * JSON is then scanned for these only, several times as fast. To touch another field is FIELD_NOT_DECLARED.
   * 'schema': those that the schema of each type names, where its library tells them (Standard JSON Schema: zod 4.2, arktype 2.1.28) and
   * the type has no upcasters. Default: all.
   */
  readonly reads?: readonly string[] | 'schema'
  readonly events?: E
  /** Per event type, from which version to the next: `{ OrderPlaced: { 1: (data) => … } }` leads to version 2. */
  readonly upcasters?: Readonly<Record<string, Readonly<Record<number, Upcaster>>>>
  /** What to do with a type nobody handles, or a version newer than any upcaster leads to: halt (default), or count and pass over. */
  readonly unknownEvents?: 'fail' | 'skip'
  /** Compare event ids over the last `window` offsets of a partition. Default 0: not compared. */
  readonly ids?: { readonly window: number }
  /**
   * 'last': the state of a key depends on its last record only, so that a compacted log is enough. You claim that; `latest()` and
   * `debezium()` keep it. Default 'all': every record counts, and a compacted log is COMPACTED_HISTORY.
   */
  readonly history?: 'all' | 'last'
  readonly time?: TimeOptions
  /** `import.meta.url` of the module that holds the handlers, where it can't be found from the call. */
  readonly module?: string
}

export interface ReducerOptions<S, T extends string> {
  readonly name: string
  readonly version: number
  readonly collection: string
  readonly schema?: Schema<S>
  readonly columns?: ColumnDeclarations
  /** The next state of the one entity an event belongs to (under the event's key); null deletes it. */
  readonly on: { readonly [K in T]: (state: S | undefined, event: RecordedEvent) => S | null }
  readonly order?: Order
  readonly reads?: readonly string[] | 'schema'
  readonly events?: Readonly<Record<string, EventOptions>>
  readonly upcasters?: ProjectionOptions<any, any, any>['upcasters']
  readonly unknownEvents?: 'fail' | 'skip'
  readonly ids?: { readonly window: number }
  readonly time?: TimeOptions
  readonly partitioner?: PartitionerOptions
  readonly history?: 'all' | 'last'
  readonly module?: string
}
