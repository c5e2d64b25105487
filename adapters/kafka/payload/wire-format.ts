import { readAvro, type AvroType } from './avro.js'
import type { Cursor } from './cursor.js'
import { readProtobuf } from './protobuf.js'
import type { ProtoFile } from './protobuf-schema.js'
import { Unreadable } from './unreadable.js'

/** Magic byte and schema id. */
export const PREFIX_BYTES = 5
const MAX_INDEXES = 64

/** Where newer serializers of Confluent may put the GUID of the schema; then none is before the bytes. */
export const VALUE_SCHEMA_HEADER = '__value_schema_id'
export const KEY_SCHEMA_HEADER = '__key_schema_id'

/** The schema id in front of a value in the wire format of Confluent; null where there is none. */
export function schemaIdOf(bytes: Buffer, from = 0): number | null {
  return bytes.length >= from + PREFIX_BYTES && bytes[from] === 0 ? bytes.readInt32BE(from + 1) : null
}

/** How values of one schema of the registry are read. */
export type SchemaReader = { readonly id: number; readonly hash: string } & (
  | { readonly kind: 'avro'; readonly type: AvroType; readonly name: string | null }
  | { readonly kind: 'protobuf' } & ProtoFile
  | { readonly kind: 'json' }
  /** Why not, a predicate: "is not in the registry". */
  | { readonly kind: 'unreadable'; readonly why: string })

/** The full name of the record or the message behind the prefix; null where the schema gives none. Throws Unreadable. */
export function schemaNameOf(schema: SchemaReader, cursor: Cursor): string | null {
  switch (schema.kind) {
    case 'avro': return schema.name
    case 'protobuf': return schema.messageAt(indexesOf(cursor)).name
    default: return null
  }
}

/** What is behind the prefix, of Avro and Protobuf. Throws Unreadable, SchemaUnreadable. */
export function readRegistered(
  schema: SchemaReader & { kind: 'avro' | 'protobuf' }, cursor: Cursor,
): { value: unknown; name: string | null } {
  if (schema.kind === 'avro') return { value: readAvro(schema.type, cursor), name: schema.name }
  const message = schema.messageAt(indexesOf(cursor))
  return { value: readProtobuf(message, cursor), name: message.name }
}

/** The way to a message in its .proto file: a count and as many indexes; a lone 0 stands for the first message. */
function indexesOf(cursor: Cursor): readonly number[] {
  const count = cursor.count()
  if (count === 0) return [0]
  if (count > MAX_INDEXES) throw new Unreadable(`has a message ${count} levels inside of others`)
  return Array.from({ length: count }, () => cursor.count())
}
