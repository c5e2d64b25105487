import { RehydrateError } from '../errors.js'
import type { RecordedEvent } from '../log/source.js'
import { parseJson } from '../value/json.js'
import { isObject } from '../value/value.js'
import type { ConnectField } from './debezium-row.js'
import { compositeKey } from './define.js'

export type ChangeForm = 'envelope' | 'unwrapped'

type Row = Readonly<Record<string, unknown>>

/** A change of one row, or of none. */
export interface Change {
  readonly op: 'put' | 'delete' | 'none'
  /** As far as the change tells it: `inventory.customers`. Null: it does not, as a tombstone. */
  readonly table: string | null
  readonly row: Row | null
  /** Of the row; null: none came with it. */
  readonly schema: ConnectField | null
}

/** What the JSON converter wraps around a message, with schemas.enable. */
function unpacked(data: unknown): { readonly payload: unknown; readonly schema: ConnectField | null } {
  const isWrapped = isObject(data) && Object.hasOwn(data, 'payload') && Object.hasOwn(data, 'schema') && Object.keys(data).length === 2
    && (data['schema'] === null || isObject(data['schema']))
  return isWrapped ? { payload: data['payload'], schema: data['schema'] as ConnectField | null } : { payload: data, schema: null }
}

/** EVENT_INVALID for what has not that form. */
export function readChange(event: RecordedEvent, form: ChangeForm): Change {
  const { payload, schema } = unpacked(event.data)
  // A tombstone stands behind each delete, for compaction: it may be all that is left of it.
  if (payload === null) return { op: 'delete', table: null, row: null, schema: null }
  if (!isObject(payload)) throw notAChange(event, payload)
  return form === 'envelope' ? readEnvelope(event, payload, schema) : readRow(event, payload, schema)
}

const PUTS: ReadonlySet<unknown> = new Set(['c', 'r', 'u'])

function readEnvelope(event: RecordedEvent, envelope: Row, schema: ConnectField | null): Change {
  const { op, after, source } = envelope
  const table = isObject(source) ? named(source, '') : null
  if (op === 'm') return { op: 'none', table, row: null, schema: null }
  if (op === 'd') return { op: 'delete', table, row: null, schema: null }
  if (op === 't') throw truncated(event, table ?? topicOf(event))
  // MongoDB's is a document in a text.
  const row = typeof after === 'string' ? parseJson(after, { where: { path: '$.after' } }) : after
  if (!PUTS.has(op) || !isObject(row)) throw notAChange(event, envelope)
  return { op: 'put', table, row, schema: schema?.fields?.find(({ field }) => field === 'after') ?? null }
}

/** What ExtractNewRecordState adds: `__deleted`, `__op`, `__table`, `__source_ts_ms` … */
const ADDED = /^__/

function readRow(event: RecordedEvent, row: Row, schema: ConnectField | null): Change {
  const { __op: op, __deleted: deleted } = row
  if (isObject(row['source']) && Object.hasOwn(row, 'op') && Object.hasOwn(row, 'after')) throw notUnwrapped(event)
  const table = named(row, '__') ?? named(row, '__source_')
  if (op === 't') throw truncated(event, table ?? topicOf(event))
  if (op === 'd' || deleted === true || deleted === 'true') return { op: 'delete', table, row: null, schema: null }
  return { op: 'put', table, row, schema }
}

/** Without what was added to it. A column that is declared is one, whatever its name. */
export function ownColumns(row: Row, declared: ReadonlySet<string>): Row {
  return Object.fromEntries(Object.entries(row).filter(([column]) => !ADDED.test(column) || declared.has(column)))
}

/** `database.schema.table`, of those that are told. */
function named(from: Row, prefix: string): string | null {
  // MongoDB has collections.
  const table = typeof from[`${prefix}table`] === 'string' ? 'table' : 'collection'
  if (typeof from[`${prefix}${table}`] !== 'string') return null
  const parts = ['db', 'schema', table].map((part) => from[`${prefix}${part}`])
  return parts.filter((part) => typeof part === 'string' && part !== '').join('.')
}

/** The partition is called TOPIC/N. */
export function topicOf({ partition }: RecordedEvent): string {
  return partition.replace(/\/\d+$/, '')
}

/** The key of the row. EVENT_KEY_MISSING where the record has none. */
export function keyOf(event: RecordedEvent): string {
  if (event.key === null) throw keyMissing(event, 'has no key: its table has no primary key')
  const columns = keyColumns(event.key)
  if (columns === null) return event.key
  if (columns.length === 1 && columns[0] === null) throw keyMissing(event, 'has a key of one column, and that is null: it names no row')
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

function keyMissing({ partition, offset }: RecordedEvent, what: string): RehydrateError {
  return new RehydrateError('EVENT_KEY_MISSING', {
    message: `The change at ${partition}@${offset} ${what}.`,
    fix: 'Give the table a primary key, or name the columns of one to the connector: message.key.columns.',
  })
}

function notAChange({ partition, offset }: RecordedEvent, actual: unknown): RehydrateError {
  const fields = isObject(actual) ? ` Its fields: ${Object.keys(actual).slice(0, 20).join(', ')}.` : ''
  return new RehydrateError('EVENT_INVALID', {
    message: `${partition}@${offset} is no change event with op and after.${fields}`,
    fix: "Rows alone, as ExtractNewRecordState writes them, are read with form: 'unwrapped'. Topics of transactions, heartbeats and schema "
      + 'changes hold no rows: leave them out of the topics. MongoDB writes whole documents with capture.mode change_streams_update_full.',
  })
}

function notUnwrapped({ partition, offset }: RecordedEvent): RehydrateError {
  return new RehydrateError('EVENT_INVALID', {
    message: `${partition}@${offset} is a change event with op and after, and form: 'unwrapped' reads rows alone.`,
    fix: "Leave `form` out, or let the connector unwrap its events: ExtractNewRecordState.",
  })
}

function truncated({ partition, offset }: RecordedEvent, table: string): RehydrateError {
  return new RehydrateError('EVENT_INVALID', {
    message: `${table} was truncated at ${partition}@${offset}. A fold touches the keys that its event names, and this one names none.`,
    fix: 'Write a new topic from a snapshot after it. If the table was empty, or its rows come again, pass this event over: '
      + `--accept EVENT_INVALID=${partition}@${offset}.`,
  })
}
