import { RehydrateError } from '../errors.js'
import type { RecordedEvent } from '../log/source.js'
import type { ColumnDeclarations } from '../value/columns.js'
import { checkOptions } from '../value/options.js'
import { compile, type Collection, type Projection } from './compile.js'
import { keyOf, ownColumns, readChange, topicOf, type Change, type ChangeForm } from './debezium-change.js'
import { rowOf, textsOf, type Texts } from './debezium-row.js'
import { callerOf } from './define.js'
import type { CollectionView, KeyRef, Order, Schema } from './options.js'
import { invalid } from './require.js'

export interface DebeziumTable {
  /** As the events name it, from its last part on: `customers`, `inventory.customers`. Default: the name of the collection. */
  readonly table?: string
  /**
   * Its topic, from its last part on, where that is not called after the table: by nothing else a tombstone tells whose row is deleted, or
   * a row alone whose it is. Default: as `table`.
   */
  readonly topic?: string
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
  readonly form?: ChangeForm
  /** Changes of tables that are not declared: halt (default), or pass over. */
  readonly otherTables?: 'fail' | 'skip'
  readonly order?: Order
  readonly module?: string
}

const TABLE_OPTIONS = ['table', 'topic', 'columns', 'schema', 'int64']

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
  for (const [name, table] of Object.entries(tables)) checkOptions(`tables.${name}`, table, TABLE_OPTIONS)
  requireDistinct(tables, 'table')
  requireDistinct(tables, 'topic')
  const changes = new Changes(tables, form, otherTables)
  return compile({
    ...rest, history: 'last', on: {},
    collections: Object.fromEntries(Object.entries(tables).map(([name, { table: _table, topic: _topic, int64 = [], ...collection }]) =>
      [name, { ...collection, int64: int64.filter((column) => !Object.hasOwn(collection.columns ?? {}, column)) }])),
    anyType: {
      keys: (event: RecordedEvent) => changes.keys(event),
      handler: (state: Readonly<Record<string, CollectionView>>, event: RecordedEvent) => changes.apply(state, event),
      int64: (collections) => int64Paths(collections, tables),
      shape: {
        kind: 'debezium', form, otherTables,
        tables: Object.entries(tables).map(([name, { table = name, topic }]) => ({ name, table, ...(topic !== undefined && { topic }) })),
      },
    },
  }, callerOf(debezium))
}

/** Each row is of one collection. */
function requireDistinct(tables: DebeziumOptions['tables'], by: 'table' | 'topic'): void {
  const seen = new Map<string, string>()
  for (const [name, given] of Object.entries(tables)) {
    const told = by === 'table' ? given.table ?? name : given.topic ?? given.table ?? name
    const other = seen.get(told)
    if (other !== undefined) invalid('debezium()', `tables.${name}.${by}`, `another than that of ${other}`, told)
    seen.set(told, name)
  }
}

/** Of the connector itself, in its messages: nanoseconds since 1970. */
const METADATA = ['ts_ns', 'source.ts_ns', '__ts_ns', '__source_ts_ns']

/** Wherever a column may stand in a message. */
function int64Paths(collections: readonly Collection[], tables: DebeziumOptions['tables']): string[] {
  const columns = collections.flatMap(({ name, columns: declared }) => [...(declared?.int64 ?? []), ...(tables[name]?.int64 ?? [])])
  const plain = [...METADATA, ...columns.flatMap((column) => [column, `before.${column}`, `after.${column}`])]
  return [...plain, ...plain.map((path) => `payload.${path}`)]
}

interface Table {
  readonly collection: string
  readonly table: string
  readonly topic: string
  readonly columns: ReadonlySet<string>
  /** It takes columns that are not declared. */
  readonly isOpen: boolean
  readonly texts: Texts
}

interface Found {
  readonly change: Change
  readonly table: Table
  readonly key: string
}

class Changes {
  readonly #tables: readonly Table[]
  readonly #form: ChangeForm
  readonly #otherTables: 'fail' | 'skip'
  /** What was found for the keys of events that are to be applied: their JSON is not read again. */
  readonly #found = new WeakMap<RecordedEvent, Found | null>()

  constructor(tables: DebeziumOptions['tables'], form: ChangeForm, otherTables: 'fail' | 'skip') {
    this.#tables = Object.entries(tables).map(([collection, { table = collection, topic = table, columns }]) => ({
      collection, table, topic, isOpen: columns === undefined || Object.hasOwn(columns, '...'),
      columns: new Set(Object.keys(columns ?? {}).map((path) => path.split('.')[0] as string)), texts: textsOf(columns ?? {}),
    }))
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
    const { change: { row, schema, table: name }, table: { collection, table, columns, isOpen, texts }, key } = found
    const view = state[collection] as CollectionView
    if (row === null) return view.delete(key)
    const own = this.#form === 'envelope' ? row : ownColumns(row, columns)
    const unknown = isOpen ? undefined : Object.keys(own).find((column) => !columns.has(column))
    if (unknown !== undefined) throw columnUnknown(name ?? table, unknown, collection)
    view.put(key, rowOf(own, schema, texts))
  }

  /** Null: of no row that is kept. */
  #find(event: RecordedEvent): Found | null {
    const change = readChange(event, this.#form)
    const table = change.op === 'none' ? null : this.#tableOf(change, event)
    return table === null ? null : { change, table, key: keyOf(event) }
  }

  #tableOf({ table }: Change, event: RecordedEvent): Table | null {
    const name = table ?? topicOf(event)
    const found = this.#tables.reduce<Table | null>((best, each) => {
      const [declared, most] = table === null ? [each.topic, best?.topic] : [each.table, best?.table]
      const isIt = name === declared || name.endsWith(`.${declared}`)
      // The longest says the most: `archive.customers` is not just any `customers`.
      return isIt && declared.length > (most?.length ?? -1) ? each : best
    }, null)
    if (found !== null || this.#otherTables === 'skip') return found
    throw new RehydrateError('EVENT_TYPE_UNKNOWN', {
      message: table === null
        ? `${event.partition}@${event.offset} does not say of which table it is, and no table of debezium() has the topic ${name}.`
        : `The change at ${event.partition}@${event.offset} is of the table ${name}, which debezium() does not declare.`,
      expected: this.#tables.map(({ table: own, topic }) => (table === null ? topic : own)).join(', '), actual: name,
      fix: table === null
        ? "Say in tables.NAME.topic whose topic it is, or set otherTables: 'skip' to pass over what is not declared."
        : "Declare it in `tables`, or set otherTables: 'skip' to pass over what is not declared.",
    })
  }
}

function columnUnknown(table: string, column: string, collection: string): RehydrateError {
  return new RehydrateError('COLUMN_UNKNOWN', {
    message: `The table ${table} has a column ${column} that the columns of ${collection} do not declare.`,
    path: `$.${column}`, actual: column,
    fix: `Declare it in tables.${collection}.columns and raise the version, or add '...': 'json' there for all that is not declared.`,
  })
}
