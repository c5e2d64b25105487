import { RehydrateError } from '../errors.js'
import type { RecordedEvent } from '../log/source.js'
import type { ColumnDeclarations } from '../value/columns.js'
import { parseJson } from '../value/json.js'
import { checkOptions } from '../value/options.js'
import { compile, type Collection, type Projection } from './compile.js'
import { rowOf, type ConnectField } from './debezium-row.js'
import { callerOf, compositeKey } from './define.js'
import type { CollectionView, KeyRef, Order, Schema } from './options.js'
import { invalid } from './require.js'

export interface DebeziumTable {
  /** As the events name it, from its last part on: `customers`, `inventory.customers`. Default: the name of the collection. */
  readonly table?: string
  readonly columns?: ColumnDeclarations
  readonly schema?: Schema
  /**
   * Columns with integers beyond 2^53 in the events, besides the int64 ones of `columns`: bigints, unless `columns` says what they become
   * (nanoseconds a timestamp).
   */
  readonly int64?: readonly string[]
}

export interface DebeziumOptions {
  readonly name: string
  readonly version: number
  /** By the name of the collection that keeps it. */
  readonly tables: Readonly<Record<string, DebeziumTable>>
  /** 'envelope' (default): `{ op, before, after, source }`. 'unwrapped': rows alone, as ExtractNewRecordState writes them. */
  readonly form?: 'envelope' | 'unwrapped'
  /** Changes of tables that are not declared: halt (default), or pass over. */
  readonly otherTables?: 'fail' | 'skip'
  readonly order?: Order
  readonly module?: string
}

/**
 * The tables of a database, from the change events of Debezium: JSON with or without `{ schema, payload }`. The key is that of the record:
 * one column as text, several as compositeKey in their order there. c, r and u put the row after the change, d and tombstones delete, m is
 * passed over, t is EVENT_INVALID: no event can delete every key. Throws CONFIG_INVALID naming the place.
 */
export function debezium(options: DebeziumOptions): Projection {
  checkOptions('debezium()', options, ['name', 'version', 'tables', 'form', 'otherTables', 'order', 'module'])
  const { tables, form = 'envelope', otherTables = 'fail', ...rest } = options
  if (form !== 'envelope' && form !== 'unwrapped') invalid('debezium()', 'form', "'envelope' or 'unwrapped'", form)
  if (otherTables !== 'fail' && otherTables !== 'skip') invalid('debezium()', 'otherTables', "'fail' or 'skip'", otherTables)
  if (typeof tables !== 'object' || tables === null || Array.isArray(tables)) {
    invalid('debezium()', 'tables', 'an object of tables, by collection', tables)
  }
  for (const [name, table] of Object.entries(tables)) checkOptions(`tables.${name}`, table, ['table', 'columns', 'schema', 'int64'])
  const changes = new Changes(tables, form, otherTables)
  return compile({
    ...rest, history: 'last', on: {},
    collections: Object.fromEntries(Object.entries(tables).map(([name, { table: _table, int64 = [], ...collection }]) =>
      [name, { ...collection, int64: int64.filter((column) => !Object.hasOwn(collection.columns ?? {}, column)) }])),
    anyType: {
      keys: (event: RecordedEvent) => changes.keys(event),
      handler: (state: Readonly<Record<string, CollectionView>>, event: RecordedEvent) => changes.apply(state, event),
      int64: (collections) => int64Paths(collections, tables),
      shape: { kind: 'debezium', form, otherTables, tables: Object.entries(tables).map(([name, { table = name }]) => ({ name, table })) },
    },
  }, callerOf(debezium))
}

/** Of the connector itself, in its messages: nanoseconds since 1970. */
const METADATA = ['ts_ns', 'source.ts_ns', '__ts_ns', '__source_ts_ns']

/** Wherever a column may stand in a message. */
function int64Paths(collections: readonly Collection[], tables: DebeziumOptions['tables']): string[] {
  const columns = collections.flatMap(({ name, columns: declared }) => [...(declared?.int64 ?? []), ...(tables[name]?.int64 ?? [])])
  const plain = [...METADATA, ...columns.flatMap((column) => [column, `before.${column}`, `after.${column}`])]
  return [...plain, ...plain.map((path) => `payload.${path}`)]
}

type Row = Readonly<Record<string, unknown>>

/** A change of one row, or of none. */
interface Change {
  readonly op: 'put' | 'delete' | 'none'
  /** As far as it is told: `inventory.customers`, `server.inventory.customers`. */
  readonly table: string
  readonly row: Row | null
  /** Of the row; null: none came with it. */
  readonly schema: ConnectField | null
}

interface Table {
  readonly collection: string
  readonly table: string
  /** Those that are declared; null: any. */
  readonly columns: ReadonlySet<string> | null
}

interface Found {
  readonly change: Change
  readonly table: Table
  readonly key: string
}

class Changes {
  readonly #tables: readonly Table[]
  readonly #form: 'envelope' | 'unwrapped'
  readonly #otherTables: 'fail' | 'skip'
  /** What was found for the keys of events that are to be applied: their JSON is not read again. */
  readonly #found = new WeakMap<RecordedEvent, Found | null>()

  constructor(tables: DebeziumOptions['tables'], form: 'envelope' | 'unwrapped', otherTables: 'fail' | 'skip') {
    this.#tables = Object.entries(tables).map(([collection, { table = collection, columns }]) => {
      const isOpen = columns === undefined || Object.hasOwn(columns, '...')
      return { collection, table, columns: isOpen ? null : new Set(Object.keys(columns).map((path) => path.split('.')[0] as string)) }
    })
    this.#form = form
    this.#otherTables = otherTables
  }

  keys(event: RecordedEvent): readonly KeyRef[] {
    const found = this.#find(event)
    this.#found.set(event, found)
    return found === null ? [] : [{ collection: found.table.collection, key: found.key }]
  }

  apply(state: Readonly<Record<string, CollectionView>>, event: RecordedEvent): void {
    const known = this.#found.get(event)
    const found = known === undefined ? this.#find(event) : known
    if (found === null) return
    const { change: { row, schema, table: name }, table: { collection, columns }, key } = found
    const view = state[collection] as CollectionView
    if (row === null) return view.delete(key)
    const unknown = columns === null ? undefined : Object.keys(row).find((column) => !columns.has(column))
    if (unknown !== undefined) throw columnUnknown(name, unknown, collection)
    view.put(key, rowOf(row, schema))
  }

  /** Null: of no row that is kept. */
  #find(event: RecordedEvent): Found | null {
    const change = this.#read(event)
    const table = change.op === 'none' ? null : this.#tableOf(change, event)
    return table === null ? null : { change, table, key: keyOf(event) }
  }

  #read(event: RecordedEvent): Change {
    const { payload, schema } = unpacked(event.data)
    // A tombstone stands behind each delete, for compaction: it may be all that is left of it.
    if (payload === null) return { op: 'delete', table: topicOf(event), row: null, schema: null }
    if (!isObject(payload)) throw notAChange(event, payload)
    return this.#form === 'envelope' ? readEnvelope(event, payload, schema) : readRow(event, payload, schema)
  }

  #tableOf({ table }: Change, event: RecordedEvent): Table | null {
    const found = this.#tables.find(({ table: name }) => table === name || table.endsWith(`.${name}`))
    if (found !== undefined) return found
    // The name of the topic may be any; what can be meant is one only.
    const [only, another] = this.#tables
    if (only !== undefined && another === undefined && table === topicOf(event)) return only
    if (this.#otherTables === 'skip') return null
    throw new RehydrateError('EVENT_TYPE_UNKNOWN', {
      message: `The change at ${event.partition}@${event.offset} is of the table ${table}, which debezium() does not declare.`,
      expected: this.#tables.map(({ table: name }) => name).join(', '), actual: table,
      fix: "Declare it in `tables`, or set otherTables: 'skip' to pass over what is not declared.",
    })
  }
}

/** What the JSON converter wraps around a message, with schemas.enable. */
function unpacked(data: unknown): { readonly payload: unknown; readonly schema: ConnectField | null } {
  const isWrapped = isObject(data) && Object.hasOwn(data, 'payload') && Object.hasOwn(data, 'schema') && Object.keys(data).length === 2
    && (data['schema'] === null || isObject(data['schema']))
  return isWrapped ? { payload: data['payload'], schema: data['schema'] as ConnectField | null } : { payload: data, schema: null }
}

const PUTS: ReadonlySet<unknown> = new Set(['c', 'r', 'u'])

function readEnvelope(event: RecordedEvent, envelope: Row, schema: ConnectField | null): Change {
  const { op, after, source } = envelope
  const table = isObject(source) ? named(source, '') ?? topicOf(event) : topicOf(event)
  if (op === 'm') return { op: 'none', table, row: null, schema: null }
  if (op === 'd') return { op: 'delete', table, row: null, schema: null }
  if (op === 't') throw truncated(event, table)
  if (!PUTS.has(op) || !isObject(after)) throw notAChange(event, envelope)
  return { op: 'put', table, row: after, schema: schema?.fields?.find(({ field }) => field === 'after') ?? null }
}

/** What ExtractNewRecordState adds: `__deleted`, `__op`, `__table`, `__source_ts_ms` … */
const ADDED = /^__/

function readRow(event: RecordedEvent, row: Row, schema: ConnectField | null): Change {
  const { __op: op, __deleted: deleted } = row
  const table = named(row, '__') ?? named(row, '__source_') ?? topicOf(event)
  if (op === 't') throw truncated(event, table)
  if (op === 'd' || deleted === true || deleted === 'true') return { op: 'delete', table, row: null, schema: null }
  const own = Object.fromEntries(Object.entries(row).filter(([column]) => !ADDED.test(column)))
  return { op: 'put', table, row: own, schema }
}

/** `database.schema.table`, of those that are told. */
function named(from: Row, prefix: string): string | null {
  if (typeof from[`${prefix}table`] !== 'string') return null
  const parts = ['db', 'schema', 'table'].map((part) => from[`${prefix}${part}`])
  return parts.filter((part) => typeof part === 'string' && part !== '').join('.')
}

/** The partition is called TOPIC/N. */
function topicOf({ partition }: RecordedEvent): string {
  return partition.replace(/\/\d+$/, '')
}

function keyOf(event: RecordedEvent): string {
  if (event.key === null) {
    throw new RehydrateError('EVENT_KEY_MISSING', {
      message: `The change at ${event.partition}@${event.offset} has no key: its table has no primary key.`,
      fix: 'Give the table a primary key, or name the columns of one to the connector: message.key.columns.',
    })
  }
  const columns = keyColumns(event.key)
  if (columns === null) return event.key
  const texts = columns.map((value) => (typeof value === 'object' && value !== null ? JSON.stringify(value) : value as string))
  return texts.length === 1 ? String(texts[0]) : compositeKey(...texts.map((value) => (typeof value === 'bigint' ? String(value) : value)))
}

/** Null where the key is no JSON object: then it is its own text. */
function keyColumns(key: string): readonly unknown[] | null {
  if (!key.startsWith('{')) return null
  let parsed: unknown
  try {
    parsed = unpacked(parseJson(key, { int64: 'wide' })).payload
  } catch {
    return null
  }
  if (!isObject(parsed)) return [parsed]
  const columns = Object.values(parsed)
  return columns.length === 0 ? null : columns
}

function isObject(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

function notAChange({ partition, offset }: RecordedEvent, actual: unknown): RehydrateError {
  const fields = isObject(actual) ? ` Its fields: ${Object.keys(actual).slice(0, 20).join(', ')}.` : ''
  return new RehydrateError('EVENT_INVALID', {
    message: `${partition}@${offset} is no change event with op and after.${fields}`,
    fix: "Rows alone, as ExtractNewRecordState writes them, are read with form: 'unwrapped'.",
  })
}

function truncated({ partition, offset }: RecordedEvent, table: string): RehydrateError {
  return new RehydrateError('EVENT_INVALID', {
    message: `${table} was truncated at ${partition}@${offset}. A fold touches the keys that its event names, and this one names none.`,
    fix: 'Write a new topic from a snapshot after it. If the table was empty, or its rows come again, pass this event over: '
      + `--accept EVENT_INVALID=${partition}@${offset}.`,
  })
}

function columnUnknown(table: string, column: string, collection: string): RehydrateError {
  return new RehydrateError('COLUMN_UNKNOWN', {
    message: `The table ${table} has a column ${column} that the columns of ${collection} do not declare.`,
    path: `$.${column}`, actual: column,
    fix: `Declare it in tables.${collection}.columns and raise the version, or add '...': 'json' there for all that is not declared.`,
  })
}
