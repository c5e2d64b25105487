import { isMerged, type Order } from '../log/domains.js'
import { Placement, type PartitionerOptions } from '../log/partitioner.js'
import { compileInt64, type Int64Paths, type Value } from '../value/canonical.js'
import { type Columns, compileColumns } from '../value/columns.js'
import { checkOptions } from '../value/options.js'
import { compileReads, type Reads } from '../value/reads.js'
import type { CollectionOptions, EventOptions, KeyRef, Schema, TimeOptions, Upcaster } from './options.js'
import { invalid, requireFunctions, requireText, requireWhole } from './require.js'
import { readsOfSchema } from './schema-reads.js'

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
  /** Null: all of the data. */
  readonly reads: Reads | null
}

/** For ready-made projections: what they do with events of every type. */
export interface AnyType {
  readonly handler: EventType['handler']
  readonly keys: EventType['keys']
  readonly int64: (collections: readonly Collection[]) => readonly string[]
  /** What the fingerprint knows of it. */
  readonly shape: Value
}

/** A checked definition, as the engine uses it. */
export interface Projection {
  readonly kind: 'projection'
  readonly name: string
  readonly version: number
  readonly order: Order
  readonly collections: readonly Collection[]
  readonly types: ReadonlyMap<string, EventType>
  /** Takes events of the types that `types` does not have; null: they are unknown. */
  readonly anyType: EventType | null
  readonly unknownEvents: 'fail' | 'skip'
  readonly idWindow: number
  readonly futureMs: number
  /** Null: not declared, so that it can't be followed by time. */
  readonly latenessMs: number | null
  /** Null: not declared. */
  readonly placement: Placement | null
  readonly history: 'all' | 'last'
  /** File or URL of the module that defined it, if known. */
  readonly module: string | null
  /** The plain parts that the fingerprint hashes one by one. */
  readonly shape: Readonly<Record<string, Value>>
}

/** Options as they come, with the types of the caller forgotten. */
export interface LooseOptions {
  name: string
  version: number
  order?: string
  collections: Record<string, CollectionOptions>
  keys?: Record<string, (event: any) => readonly KeyRef[]>
  on: Record<string, (state: any, event: any) => unknown>
  reads?: readonly string[] | 'schema'
  events?: Record<string, EventOptions>
  upcasters?: Record<string, Record<number, Upcaster>>
  unknownEvents?: 'fail' | 'skip'
  ids?: { window: number }
  time?: TimeOptions
  partitioner?: PartitionerOptions
  history?: 'all' | 'last'
  module?: string
  anyType?: AnyType
}

/** A checked definition. CONFIG_INVALID names the place. `caller`: the module it was called from, if known. */
export function compile(options: LooseOptions, caller: string | null): Projection {
  const where = 'defineProjection()'
  requireText(where, 'name', options.name)
  requireWhole(where, 'version', options.version, 1)
  const order = checkOrder(options.order)
  const unknownEvents = options.unknownEvents ?? 'fail'
  if (unknownEvents !== 'fail' && unknownEvents !== 'skip') invalid(where, 'unknownEvents', "'fail' or 'skip'", unknownEvents)
  if (options.ids !== undefined) checkOptions('ids', options.ids, ['window'])
  const idWindow = options.ids?.window ?? 0
  requireWhole(where, 'ids.window', idWindow, 0)
  if (options.time !== undefined) checkOptions('time', options.time, ['futureMs', 'latenessMs'])
  const futureMs = options.time?.futureMs ?? FUTURE_MS
  requireWhole(where, 'time.futureMs', futureMs, 0)
  const latenessMs = options.time?.latenessMs ?? null
  if (latenessMs !== null) requireWhole(where, 'time.latenessMs', latenessMs, 0)
  const placement = compilePlacement(options.partitioner, order, idWindow)
  const history = options.history ?? 'all'
  if (history !== 'all' && history !== 'last') invalid(where, 'history', "'all' or 'last'", history)
  const collections = compileCollections(options.collections)
  const types = compileTypes(options, collections)
  const anyType = options.anyType === undefined ? null : compileAnyType(options.anyType, collections)
  return Object.freeze({
    kind: 'projection' as const,
    name: options.name, version: options.version, order, collections, types, anyType, unknownEvents, idWindow, futureMs, latenessMs,
    placement, history,
    module: options.module ?? caller,
    shape: shapeOf(options, order, collections, types),
  })
}

const FUTURE_MS = 3_600_000

function checkOrder(order: string = 'partition'): Order {
  if (order === 'partition' || order === 'copartition' || order === 'time' || order === 'any') return order
  return invalid('defineProjection()', 'order', "'partition', 'copartition', 'time' or 'any'", order)
}

function compilePlacement(given: PartitionerOptions | undefined, order: Order, idWindow: number): Placement | null {
  const where = 'defineProjection()'
  if (given === undefined) {
    if (order !== 'copartition') return null
    return invalid(where, 'partitioner', "{ hash, counts } for order 'copartition'; see what `rehydrate plan` finds", given)
  }
  checkOptions('partitioner', given, ['hash', 'counts'])
  if (order === 'time' || order === 'any') invalid(where, 'partitioner', `left out: order '${order}' does not need one`, given)
  const { hash, counts } = given
  if (hash !== 'murmur2' && hash !== 'crc32' && typeof hash !== 'function') {
    invalid(where, 'partitioner.hash', "'murmur2', 'crc32' or a function", hash)
  }
  const isRising = Array.isArray(counts) && counts.length > 0
    && counts.every((count, i) => Number.isSafeInteger(count) && count > (i === 0 ? 0 : (counts[i - 1] as number)))
  if (!isRising) invalid(where, 'partitioner.counts', 'whole numbers from 1, ascending, such as [4, 6]', counts)
  if (counts.length > 1 && idWindow > 0) invalid(where, 'ids.window', '0 where keys move between partitions', idWindow)
  return new Placement({ hash, counts: [...counts] }, order)
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
  if (names.length === 0 && options.anyType === undefined) invalid('defineProjection()', 'on', 'at least one handler', options.on)
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
    checkOptions(`events.${name}`, event, ['schema', 'int64', 'reads'])
    const type: EventType = {
      name, keys,
      handler: options.on[name] as EventType['handler'],
      upcasters: upcasterChain(name, options.upcasters?.[name]),
      schema: event.schema ?? null,
      int64: int64Of(event.int64),
      reads: readsOf(name, event.reads ?? options.reads, event.schema ?? null, options.upcasters?.[name] !== undefined),
    }
    return [name, type]
  }))
}

/** Stands in messages for a type of no name: "The handler of any type threw". */
export const ANY_TYPE = 'any type'

function compileAnyType({ handler, keys, int64 }: AnyType, collections: readonly Collection[]): EventType {
  return { name: ANY_TYPE, handler, keys, upcasters: [], schema: null, int64: int64Of(int64(collections)), reads: null }
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

function readsOf(type: string, given: EventOptions['reads'], schema: Schema | null, isUpcast: boolean): Reads | null {
  if (given === undefined) return null
  if (given === 'schema' && isUpcast) {
    const expected = 'a list of paths, because its schema sees only what upcasters make of the data'
    invalid('defineProjection()', `reads of ${type}`, expected, given)
  }
  const paths = given === 'schema' ? readsOfSchema(type, schema) : given
  if (!Array.isArray(paths)) invalid('defineProjection()', 'reads', "a list of paths, or 'schema'", paths)
  return compileReads(paths, type)
}

function int64Of(paths: readonly string[] | undefined): Int64Paths | null {
  return paths === undefined || paths.length === 0 ? null : compileInt64(paths)
}

function shapeOf(
  options: LooseOptions, order: Order, compiled: readonly Collection[], types: ReadonlyMap<string, EventType>,
): Record<string, Value> {
  const collections = compiled.map(({ name, version, schema, columns }): Value => ({
    name, version, int64: [...(options.collections[name]?.int64 ?? [])], schema: schema?.['~standard'].vendor ?? null,
    ...(columns === null ? {} : { columns: columns.shape }),
  }))
  const events = [...types.values()].map((type) => ({
    name: type.name, versions: type.upcasters.length + 1, schema: type.schema?.['~standard'].vendor ?? null,
    int64: [...(options.events?.[type.name]?.int64 ?? [])], keys: type.keys !== null,
    // Left out where nothing is declared, so that fingerprints of before stay.
    ...(type.reads === null ? {} : { reads: [...type.reads.paths] }),
  }))
  events.sort((a, b) => (a.name < b.name ? -1 : 1))
  return {
    name: options.name,
    version: options.version,
    order,
    collections,
    events,
    ...(options.anyType === undefined ? {} : { anyType: options.anyType.shape }),
    policies: {
      unknownEvents: options.unknownEvents ?? 'fail',
      idWindow: options.ids?.window ?? 0,
      futureMs: isMerged(order) ? (options.time?.futureMs ?? FUTURE_MS) : null,
      // Left out for 'all', so that fingerprints of before stay.
      ...(options.history === 'last' ? { history: 'last' } : {}),
      ...(options.partitioner === undefined ? {} : { partitioner: partitionerShape(options.partitioner) }),
    },
  }
}

/** A hash of one's own is told apart by its text. */
function partitionerShape({ hash, counts }: PartitionerOptions): Value {
  return { hash: typeof hash === 'string' ? hash : String(hash), counts: [...counts] }
}
