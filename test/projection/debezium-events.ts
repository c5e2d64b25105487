import type { MemoryEvent } from '../../adapters/memory/index.js'
import type { Value } from '../../src/index.js'

/** Messages as the documentation of Debezium prints them, for the table customers of its example database. */

const KEY_SCHEMA = {
  type: 'struct', optional: false, name: 'mysql-server-1.inventory.customers.Key',
  fields: [{ field: 'id', type: 'int32', optional: false }],
}

const ROW_FIELDS = [
  { type: 'int32', optional: false, field: 'id' },
  { type: 'string', optional: false, field: 'first_name' },
  { type: 'string', optional: false, field: 'last_name' },
  { type: 'string', optional: false, field: 'email' },
]

export const rowSchema = (field: 'before' | 'after', fields: readonly Value[] = ROW_FIELDS): Value =>
  ({ type: 'struct', fields, optional: true, name: 'mysql-server-1.inventory.customers.Value', field })

export const envelopeSchema = (fields: readonly Value[] = ROW_FIELDS): Value => ({
  type: 'struct', optional: false, name: 'mysql-server-1.inventory.customers.Envelope',
  fields: [
    rowSchema('before', fields), rowSchema('after', fields),
    { type: 'struct', fields: [{ type: 'string', optional: false, field: 'version' }], name: 'io.debezium.connector.mysql.Source', field: 'source' },
    { type: 'string', optional: false, field: 'op' }, { type: 'int64', optional: true, field: 'ts_ms' }, { type: 'int64', optional: true, field: 'ts_ns' },
  ],
})

/** Of Debezium 3: nanoseconds lie beyond 2^53. */
export const source = (more: Readonly<Record<string, Value>> = {}): Value => ({
  version: '3.0.8.Final', connector: 'mysql', name: 'mysql-server-1', ts_ms: 1_465_581_902_461, ts_us: 1_465_581_902_461_000,
  ts_ns: 1_465_581_902_461_000_000n, snapshot: 'false', db: 'inventory', table: 'customers', server_id: 223_344, gtid: null,
  file: 'mysql-bin.000003', pos: 484, row: 0, thread: 7, query: null, ...more,
})

export const anne = { id: 1004, first_name: 'Anne', last_name: 'Kretchmar', email: 'annek@noanswer.org' }
export const anneMarie = { ...anne, first_name: 'Anne Marie' }

/** With schemas.enable (`schema`), or without. */
export function change(
  op: string, before: Value, after: Value, { wrapped = true, fields, from = source(), key = { id: 1004 } }:
  { wrapped?: boolean; fields?: readonly Value[]; from?: Value; key?: Value } = {},
): MemoryEvent {
  const payload = { before, after, source: from, op, ts_ms: 1_465_581_029_523, ts_us: 1_465_581_029_523_758, ts_ns: 1_465_581_029_523_758_914n }
  return {
    type: 'mysql-server-1.inventory.customers',
    key: JSON.stringify(wrapped ? { schema: KEY_SCHEMA, payload: key } : key),
    data: wrapped ? { schema: envelopeSchema(fields), payload } : payload,
  }
}

export const tombstone = (key: Value = { id: 1004 }, wrapped = true): MemoryEvent =>
  ({ type: '$tombstone', key: JSON.stringify(wrapped ? { schema: KEY_SCHEMA, payload: key } : key), data: null })
