import { isAscii, isUtf8 } from 'node:buffer'
import {
  cloudEventData, cloudEventParts, compositeKey, isObject, isRehydrateError, parseJson, suspectDigits, type EnvelopeParts,
} from '../../../src/index.js'
import type { RawRecord } from '../mapping.js'
import { Cursor } from './cursor.js'
import { readMessagePack } from './msgpack.js'
import { invalidPayload, unknownShape, type Place } from './refusals.js'
import { SchemaUnreadable, Unreadable } from './unreadable.js'
import {
  KEY_SCHEMA_HEADER, PREFIX_BYTES, readRegistered, schemaIdOf, schemaNameOf, VALUE_SCHEMA_HEADER, type SchemaReader,
} from './wire-format.js'

export type PayloadKind = 'json' | 'msgpack' | 'raw' | 'cloudevents'

/** What a record's value says. */
export interface ReadValue {
  /** Plain data. */
  readonly value: unknown
  /** Full name of the Avro record or the Protobuf message. */
  readonly schema: string | null
  /** It holds, or may hold, integers beyond ±(2^53 − 1). */
  readonly isWide: boolean
}

/** A CloudEvent: its data, the parts around it, and the headers that are not its attributes. */
export interface ReadCloudEvent extends ReadValue {
  readonly parts: EnvelopeParts
  readonly headers: Readonly<Record<string, string>>
}

const NOTHING: ReadValue = { value: null, schema: null, isWide: false }
const STRUCTURED = 'application/cloudevents'

/** Is a content type, in any letters, that of a CloudEvent in one piece? */
export function isStructured(contentType: string): boolean {
  return contentType.slice(0, STRUCTURED.length).toLowerCase() === STRUCTURED
}

const ATTRIBUTE = 'ce_'

/** Copies of short values lie side by side in pieces of this size: memory of its own for each would cost three times as much. Measured. */
const PIECE_BYTES = 64 << 10
const LONGEST_SHORT_BYTES = 4 << 10
let piece = new Uint8Array(0)
let used = 0

/**
 * Bytes that are nobody else's: what a handler gets must not reach into the fetch it came with, which is hashed again for marks, and who
 * reads a record a second time must not meet what somebody wrote into it. Each copy has another place, so that a handler that looks at
 * all of `buffer` shows up where it is run twice.
 */
function copyOf(value: Uint8Array): Uint8Array {
  if (value.length > LONGEST_SHORT_BYTES) return new Uint8Array(value)
  if (used + value.length > PIECE_BYTES || piece.length === 0) {
    piece = new Uint8Array(PIECE_BYTES)
    used = 0
  }
  piece.set(value, used)
  return piece.subarray(used, used += value.length)
}

/**
 * Reads the values and keys of one partition's records; `schemas`: those of the page that they are in, null where values carry no schema
 * id. Errors: EVENT_INVALID, EVENT_SHAPE_UNKNOWN for JSON that is none, NUMBER_INEXACT.
 */
export class ValueReader {
  readonly #partition: string
  readonly #kind: PayloadKind
  readonly #schemas: ReadonlyMap<number, SchemaReader> | null

  constructor(partition: string, kind: PayloadKind, schemas: ReadonlyMap<number, SchemaReader> | null) {
    this.#partition = partition
    this.#kind = kind
    this.#schemas = schemas
  }

  read(record: RawRecord): ReadValue {
    const { value } = record
    if (value === null) return NOTHING
    if (this.#schemas !== null) return this.#registered(record, value)
    switch (this.#kind) {
      case 'raw': return { value: copyOf(value), schema: null, isWide: false }
      case 'msgpack': return this.#refusing(record, () => {
        const cursor = new Cursor(value)
        return { value: readMessagePack(cursor), schema: null, isWide: cursor.isWide }
      })
      default: return this.#json(record, value)
    }
  }

  /** The name of the schema, without reading the value; null where it has none. */
  schemaName(record: RawRecord): string | null {
    const { value } = record
    if (value === null || this.#schemas === null) return null
    return this.#refusing(record, () => schemaNameOf(this.#schemaOf(record, value, VALUE_SCHEMA_HEADER), new Cursor(value, PREFIX_BYTES)))
  }

  /** The text of a key in the wire format: what it is, of a record with one field that field, of one with several their composite key. */
  registeredKey(record: RawRecord, key: Buffer): string | null {
    const { value } = this.#registered(record, key, KEY_SCHEMA_HEADER)
    const fields = isObject(value) ? Object.values(value) : [value]
    const parts = fields.map((part) => typeof part === 'bigint' ? part.toString() : part)
    const stray = parts.find((part) => typeof part === 'object' && part !== null)
    if (stray !== undefined) throw invalidPayload(this.#place(record), 'has a key with parts inside of parts; map it with event: { key }')
    if (parts.length !== 1) return compositeKey(...parts as (string | number | boolean | null)[])
    return parts[0] === null ? null : String(parts[0])
  }

  /** Null for a tombstone. */
  cloudEvent(record: RawRecord, headers: Readonly<Record<string, string>>): ReadCloudEvent | null {
    const refuse = (what: string, actual?: unknown): Error => invalidPayload(this.#place(record), what, actual)
    const contentType = headers['content-type'] ?? null
    const isWhole = contentType !== null && isStructured(contentType)
    const isBinary = Object.hasOwn(headers, `${ATTRIBUTE}specversion`) && !isWhole
    if (!isBinary) {
      if (record.value === null) return null
      const format = isWhole ? contentType.slice(STRUCTURED.length) : '+json'
      if (!/^\+json\s*(;|$)/i.test(format)) throw refuse(`is a CloudEvent of a form that is not read: ${contentType}`)
      const read = this.#json(record, record.value)
      if (!isObject(read.value)) throw refuse('is no CloudEvent: its value is not an object')
      const value = cloudEventData(read.value, refuse)
      return { ...read, value, parts: cloudEventParts(read.value, value, refuse), headers }
    }
    const attributes: [string, string][] = []
    const rest: [string, string][] = []
    for (const [name, text] of Object.entries(headers)) {
      if (name.startsWith(ATTRIBUTE)) attributes.push([name.slice(ATTRIBUTE.length), text])
      else rest.push([name, text])
    }
    const read = this.#cloudData(record, contentType)
    return { ...read, parts: cloudEventParts(Object.fromEntries(attributes), read.value, refuse), headers: Object.fromEntries(rest) }
  }

  #cloudData(record: RawRecord, contentType: string | null): ReadValue {
    const { value } = record
    if (value === null) return NOTHING
    if (this.#schemas !== null) return this.#registered(record, value)
    const mediaType = contentType?.split(';')[0]?.trim().toLowerCase() ?? 'application/json'
    if (/[/+]json$/.test(mediaType)) return this.#json(record, value)
    if (mediaType.startsWith('text/')) return { value: this.#text(record, value), schema: null, isWide: false }
    return { value: copyOf(value), schema: null, isWide: false }
  }

  #registered(record: RawRecord, bytes: Buffer, header = VALUE_SCHEMA_HEADER): ReadValue {
    return this.#refusing(record, () => {
      const schema = this.#schemaOf(record, bytes, header)
      if (schema.kind === 'json') return this.#json(record, bytes.subarray(PREFIX_BYTES))
      const cursor = new Cursor(bytes, PREFIX_BYTES)
      const { value, name } = readRegistered(schema, cursor)
      return { value, schema: name, isWide: cursor.isWide }
    })
  }

  #schemaOf({ headers }: RawRecord, bytes: Buffer, header: string): Exclude<SchemaReader, { kind: 'unreadable' }> {
    // What looks like an id before the bytes may then be their beginning.
    if (headers.some(({ name }) => name === header)) {
      throw new Unreadable(`names its schema in the header ${header}, which is not read: write the id before the bytes`)
    }
    const id = schemaIdOf(bytes)
    if (id === null) {
      const first = bytes.length < PREFIX_BYTES ? `it has ${bytes.length} bytes` : `its first byte is ${bytes[0] as number}, not 0`
      throw new Unreadable(`is not in the wire format of a schema registry: ${first}`)
    }
    const schema = this.#schemas?.get(id)
    if (schema === undefined) throw new Unreadable(`is of schema ${id}, which was not looked up`)
    if (schema.kind === 'unreadable') throw new Unreadable(`is of schema ${id}, which ${schema.why}`)
    return schema
  }

  #json(record: RawRecord, bytes: Buffer): ReadValue {
    const isSuspect = suspectDigits(bytes, 0, bytes.length)
    const json = this.#text(record, bytes)
    try {
      const value: unknown = isSuspect ? parseJson(json, { int64: 'wide', where: this.#place(record) }) : JSON.parse(json)
      return { value, schema: null, isWide: isSuspect }
    } catch (cause) {
      if (isRehydrateError(cause)) throw cause
      throw unknownShape(this.#place(record), 'is not JSON', undefined, cause)
    }
  }

  #text(record: RawRecord, bytes: Buffer): string {
    const isPlain = isAscii(bytes)
    if (!isPlain && !isUtf8(bytes)) throw unknownShape(this.#place(record), 'is not UTF-8')
    return isPlain ? bytes.toString('latin1') : bytes.toString()
  }

  #refusing<Result>(record: RawRecord, read: () => Result): Result {
    try {
      return read()
    } catch (cause) {
      if (cause instanceof Unreadable) throw invalidPayload(this.#place(record), cause.message)
      if (cause instanceof SchemaUnreadable) throw invalidPayload(this.#place(record), `is of a schema that ${cause.message}`)
      throw cause
    }
  }

  #place({ offset }: RawRecord): Place {
    return { partition: this.#partition, offset }
  }
}
