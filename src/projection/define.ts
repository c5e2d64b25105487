import type { StandardSchemaV1 } from '@standard-schema/spec'
import { RehydrateError } from '../errors.js'
import type { RecordedEvent } from '../log/source.js'
import { compileInt64, type Int64Paths, type Value } from '../value/canonical.js'
import { type ColumnDeclarations, type Columns, compileColumns } from '../value/columns.js'
import { checkOptions } from '../value/options.js'
import { invalid, requireFunctions, requireText, requireWhole } from './require.js'

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
/** In which order the events of several partitions apply. */
export type Order = 'partition' | 'time' | 'any'

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
   * 'time': one sequence by (recordedAt, partition, offset), over a fixed range.
   * 'any': keys may be shared between partitions, in no order: you claim that handlers commute (counts, sums of integers, max,
   * sets; not sums of floating-point numbers). `auditRebuild` puts the claim to the test.
   */
  readonly order?: Order
  readonly collections: C
  /** Per event type, the keys its handler may touch. Default: the event's key in the only collection. */
  readonly keys?: { readonly [K in T]?: (event: EventOf<E, K>) => readonly KeyRef[] }
  /** Synchronous, pure folds. */
  readonly on: { readonly [K in T]: (state: StateView<C>, event: EventOf<E, K>) => void }
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
  /** For order 'time': how far a timestamp may lie ahead of records after it. Default one hour. */
  readonly time?: { readonly futureMs: number }
  /** `import.meta.url` of the module that holds the handlers, where it can't be found from the call. */
  readonly module?: string
}

export interface Collection {
  readonly name: string
  /** Place in `Projection.collections`. */
  readonly index: number
  readonly version: number
  readonly schema: Schema | null
  /** The declared paths, and those of the columns of type int64. */
  readonly int64: Int64Paths | null
  readonly columns: Columns | null
}

export interface EventType {
  readonly name: string
  readonly handler: (state: any, event: any) => unknown
  /** Null: the event's key in the only collection. */
  readonly keys: ((event: any) => unknown) | null
  /** upcasters[n − 1] leads from version n to n + 1; the newest version is its length + 1. */
  readonly upcasters: readonly Upcaster[]
  readonly schema: Schema | null
  readonly int64: Int64Paths | null
}

/** A checked definition, as the engine uses it. */
export interface Projection {
  readonly kind: 'projection'
  readonly name: string
  readonly version: number
  readonly order: Order
  readonly collections: readonly Collection[]
  readonly types: ReadonlyMap<string, EventType>
  readonly unknownEvents: 'fail' | 'skip'
  readonly idWindow: number
  readonly futureMs: number
  readonly history: 'all' | 'last'
  /** File or URL of the module that defined it, if known. */
  readonly module: string | null
  /** The plain parts that the fingerprint hashes one by one. */
  readonly shape: Readonly<Record<string, Value>>
}

const PROJECTION_OPTIONS = [
  'name', 'version', 'order', 'collections', 'keys', 'on', 'events', 'upcasters', 'unknownEvents', 'ids', 'time', 'history', 'module',
]
const PROJECTION_DEFERRED = {
  reads: 'Declared reads come with the Kafka adapter.',
  partitioner: "It belongs to order 'copartition'.",
}

/** Defines a projection. Throws CONFIG_INVALID naming the place, OPTION_DEFERRED for what is not built yet. */
export function defineProjection<
  const C extends Record<string, CollectionOptions>,
  const T extends string,
  const E extends Record<string, EventOptions> = {},
>(options: ProjectionOptions<C, E, T>): Projection {
  checkOptions('defineProjection()', options, PROJECTION_OPTIONS, PROJECTION_DEFERRED)
  return compile(options as unknown as LooseOptions, callerOf(defineProjection))
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
  readonly events?: Readonly<Record<string, EventOptions>>
  readonly upcasters?: ProjectionOptions<any, any, any>['upcasters']
  readonly unknownEvents?: 'fail' | 'skip'
  readonly ids?: { readonly window: number }
  readonly time?: { readonly futureMs: number }
  readonly history?: 'all' | 'last'
  readonly module?: string
}

/** One entity per event key: sugar over get, put and delete. A reducer that returns undefined is HANDLER_RETURNED_NOTHING. */
export function defineReducer<S = any, const T extends string = string>(options: ReducerOptions<S, T>): Projection {
  const known = ['collection', 'schema', 'columns', ...PROJECTION_OPTIONS.filter((name) => name !== 'keys' && name !== 'collections')]
  checkOptions('defineReducer()', options, known, PROJECTION_DEFERRED)
  requireText('defineReducer()', 'collection', options.collection)
  requireFunctions('on', options.on)
  const { collection, schema, columns, on, ...rest } = options
  const handlers: Record<string, (state: any, event: RecordedEvent) => unknown> = Object.create(null)
  for (const [type, reduce] of Object.entries<(state: any, event: RecordedEvent) => unknown>(on)) {
    const handler = (state: any, event: RecordedEvent): unknown => {
      const view = state[collection] as CollectionView
      const key = event.key as string
      const next = reduce(view.get(key), event)
      if (next === undefined) {
        throw new RehydrateError('HANDLER_RETURNED_NOTHING', { message: `The reducer of ${type} returned undefined.` })
      }
      if (isPromise(next)) return next
      if (next === null) view.delete(key)
      else view.put(key, next)
      return undefined
    }
    // The fingerprint of a projection without a module is taken from the text of its handlers.
    handlers[type] = Object.assign(handler, { toString: () => reduce.toString() })
  }
  const collections = { [collection]: { schema, columns } }
  return compile({ ...rest, collections, on: handlers } as LooseOptions, callerOf(defineReducer))
}

/** What returned it is refused, and its rejection with it: nobody else must hear of that. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  if (value instanceof Promise) value.catch(() => {})
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** Key of several parts: the JSON text of the array, without spaces. */
export function compositeKey(...parts: readonly (string | number | boolean | null)[]): string {
  return JSON.stringify(parts)
}

interface LooseOptions {
  name: string
  version: number
  order?: string
  collections: Record<string, CollectionOptions>
  keys?: Record<string, (event: any) => readonly KeyRef[]>
  on: Record<string, (state: any, event: any) => unknown>
  events?: Record<string, EventOptions>
  upcasters?: Record<string, Record<number, Upcaster>>
  unknownEvents?: 'fail' | 'skip'
  ids?: { window: number }
  time?: { futureMs: number }
  history?: 'all' | 'last'
  module?: string
}

function compile(options: LooseOptions, caller: string | null): Projection {
  const where = 'defineProjection()'
  requireText(where, 'name', options.name)
  requireWhole(where, 'version', options.version, 1)
  const order = checkOrder(options.order)
  const unknownEvents = options.unknownEvents ?? 'fail'
  if (unknownEvents !== 'fail' && unknownEvents !== 'skip') invalid(where, 'unknownEvents', "'fail' or 'skip'", unknownEvents)
  if (options.ids !== undefined) checkOptions('ids', options.ids, ['window'])
  const idWindow = options.ids?.window ?? 0
  requireWhole(where, 'ids.window', idWindow, 0)
  if (options.time !== undefined) checkOptions('time', options.time, ['futureMs'])
  const futureMs = options.time?.futureMs ?? 3_600_000
  requireWhole(where, 'time.futureMs', futureMs, 0)
  const history = options.history ?? 'all'
  if (history !== 'all' && history !== 'last') invalid(where, 'history', "'all' or 'last'", history)
  const collections = compileCollections(options.collections)
  const types = compileTypes(options, collections)
  return Object.freeze({
    kind: 'projection' as const,
    name: options.name, version: options.version, order, collections, types, unknownEvents, idWindow, futureMs, history,
    module: options.module ?? caller,
    shape: shapeOf(options, order, collections, types),
  })
}

function checkOrder(order: string | undefined): Order {
  if (order === undefined || order === 'partition' || order === 'time' || order === 'any') return order ?? 'partition'
  if (order === 'copartition') {
    const why = 'It comes with the Kafka adapter.'
    throw new RehydrateError('OPTION_DEFERRED', { message: "order: 'copartition' is not built yet.", path: 'order', why })
  }
  return invalid('defineProjection()', 'order', "'partition', 'time' or 'any'", order)
}

/** Names are kept to what reads well in a path, a table name and a shell, and is safe as the name of a property. */
const COLLECTION_NAME = /^(?!__proto__$)[A-Za-z_][A-Za-z0-9_-]{0,63}$/

function compileCollections(given: Record<string, CollectionOptions>): Collection[] {
  const names = typeof given === 'object' && given !== null ? Object.keys(given) : []
  if (names.length === 0) invalid('defineProjection()', 'collections', 'at least one collection', given)
  return names.map((name, index) => {
    if (!COLLECTION_NAME.test(name)) {
      invalid('defineProjection()', `collections.${name}`, 'a letter or _, then up to 63 letters, digits, _ or -', name)
    }
    const options = given[name] as CollectionOptions
    checkOptions(`collections.${name}`, options, ['schema', 'version', 'int64', 'columns'])
    const version = options.version ?? 1
    requireWhole(`collections.${name}`, 'version', version, 1)
    const columns = options.columns === undefined ? null : compileColumns(`collections.${name}.columns`, options.columns)
    const int64 = int64Of([...(options.int64 ?? []), ...(columns?.int64 ?? [])])
    return { name, index, version, schema: options.schema ?? null, int64, columns }
  })
}

function compileTypes(options: LooseOptions, collections: readonly Collection[]): Map<string, EventType> {
  requireFunctions('on', options.on)
  const names = Object.keys(options.on)
  if (names.length === 0) invalid('defineProjection()', 'on', 'at least one handler', options.on)
  for (const part of ['keys', 'events', 'upcasters'] as const) {
    for (const name of Object.keys(options[part] ?? {})) {
      if (!names.includes(name)) invalid('defineProjection()', `${part}.${name}`, 'a type that `on` handles', name)
    }
  }
  if (options.keys !== undefined) requireFunctions('keys', options.keys)
  return new Map(names.map((name) => {
    const keys = options.keys?.[name] ?? null
    if (keys === null && collections.length > 1) {
      invalid('defineProjection()', `keys.${name}`, 'a function: with several collections the keys must be named', undefined)
    }
    const event = options.events?.[name] ?? {}
    checkOptions(`events.${name}`, event, ['schema', 'int64'], { reads: 'Declared reads come with the Kafka adapter.' })
    const type: EventType = {
      name, keys,
      handler: options.on[name] as EventType['handler'],
      upcasters: upcasterChain(name, options.upcasters?.[name]),
      schema: event.schema ?? null,
      int64: int64Of(event.int64),
    }
    return [name, type]
  }))
}

function upcasterChain(type: string, given: Record<number, Upcaster> | undefined): Upcaster[] {
  if (given === undefined) return []
  requireFunctions(`upcasters.${type}`, given)
  const count = Object.keys(given).length
  return Array.from({ length: count }, (_, i) => {
    const upcaster = given[i + 1]
    if (upcaster === undefined) {
      invalid('defineProjection()', `upcasters.${type}`, `one for each version from 1 to ${count}`, Object.keys(given).join(', '))
    }
    return upcaster as Upcaster
  })
}

function int64Of(paths: readonly string[] | undefined): Int64Paths | null {
  return paths === undefined || paths.length === 0 ? null : compileInt64(paths)
}

function shapeOf(
  options: LooseOptions, order: string, compiled: readonly Collection[], types: ReadonlyMap<string, EventType>,
): Record<string, Value> {
  const collections = compiled.map(({ name, version, schema, columns }): Value => ({
    name, version, int64: [...(options.collections[name]?.int64 ?? [])], schema: schema?.['~standard'].vendor ?? null,
    ...(columns === null ? {} : { columns: columns.shape }),
  }))
  const events = [...types.values()].map((type) => ({
    name: type.name, versions: type.upcasters.length + 1, schema: type.schema?.['~standard'].vendor ?? null,
    int64: [...(options.events?.[type.name]?.int64 ?? [])], keys: type.keys !== null,
  }))
  events.sort((a, b) => (a.name < b.name ? -1 : 1))
  return {
    name: options.name,
    version: options.version,
    order,
    collections,
    events,
    policies: {
      unknownEvents: options.unknownEvents ?? 'fail',
      idWindow: options.ids?.window ?? 0,
      futureMs: order === 'time' ? (options.time?.futureMs ?? 3_600_000) : null,
      // Left out for 'all', so that fingerprints of before stay.
      ...(options.history === 'last' ? { history: 'last' } : {}),
    },
  }
}

/** File of the code that called `callee`, from the stack; null where the engine shows none. */
function callerOf(callee: Function): string | null {
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, callee)
  const line = holder.stack?.split('\n')[1] ?? ''
  const match = /(?:\(|at )((?:file:\/\/|\/|[A-Za-z]:\\)[^()]*?):\d+:\d+\)?$/.exec(line)
  return match?.[1] ?? null
}
