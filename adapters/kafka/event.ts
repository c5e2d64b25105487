import { isUtf8 } from 'node:buffer'
import {
  fieldAt, findBigIntegers, isObject, recordedAtOf, UNREADABLE, type EnvelopeParts, type Reads, type RecordedEvent, type RehydrateError,
} from '../../src/index.js'
import { ENVELOPE_TYPE, headerText, keyText, typeOfEnvelope } from './fields.js'
import type { EventMapping, KafkaRecord, RawRecord, Selector } from './mapping.js'
import { unknownShape, type Place } from './payload/refusals.js'
import { isStructured, ValueReader, type PayloadKind, type ReadValue } from './payload/value.js'
import type { SchemaReader } from './payload/wire-format.js'
import { ValueScans } from './scan.js'

export type { EventMapping, KafkaRecord, RawRecord, Selector } from './mapping.js'

/** A null value without a type of its own. */
const TOMBSTONE = '$tombstone'
type Picked = Partial<Record<keyof EventMapping, unknown>>
const NOTHING_PICKED: Picked = {}
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})

/** How keys and values are written. */
export interface PayloadForm {
  readonly value: PayloadKind
  readonly key: 'utf8' | 'registry'
  /** Of the page that the records are in; null: without a registry. */
  readonly schemas: ReadonlyMap<number, SchemaReader> | null
}

/** Makes events of the records of one partition. Errors: EVENT_SHAPE_UNKNOWN, EVENT_INVALID, NUMBER_INEXACT, LOG_CORRUPT. */
export class EventReader {
  readonly #topic: string
  readonly #partition: number
  readonly #name: string
  readonly #mapping: EventMapping
  readonly #selectors: readonly (readonly [keyof EventMapping, Selector])[]
  readonly #form: PayloadForm
  readonly #values: ValueReader
  /** Null where values are not plain JSON. */
  readonly #scans: ValueScans | null

  constructor(topic: string, partition: number, mapping: EventMapping, form: PayloadForm) {
    this.#topic = topic
    this.#partition = partition
    this.#name = `${topic}/${partition}`
    this.#mapping = mapping
    this.#selectors = (Object.entries(mapping) as [keyof EventMapping, Selector | undefined][])
      .flatMap(([part, selector]) => (selector === undefined ? [] : [[part, selector] as const]))
    this.#form = form
    this.#values = new ValueReader(this.#name, form.value, form.schemas)
    this.#scans = form.value === 'json' && form.schemas === null ? new ValueScans(mapping) : null
  }

  /** The type, where it can be told without parsing the value; null where it can not. */
  plainType(record: RawRecord): string | null {
    const { type } = this.#mapping
    if (type !== undefined) return typeof type === 'object' && 'topic' in type ? this.#topic : null
    const isCloudEvent = this.#form.value === 'cloudevents'
    const header = headerType(record, isCloudEvent)
    if (header !== null) return header
    if (isTombstone(record)) return isCloudEvent ? null : TOMBSTONE
    if (isCloudEvent) return null
    if (this.#form.schemas !== null) return this.#values.schemaName(record)
    if (this.#form.value !== 'json') return null
    const { within } = record
    if (within !== undefined) return typeOfEnvelope(within.bytes, within.valueFrom, within.valueTo)
    return record.value === null ? null : typeOfEnvelope(record.value, 0, record.value.length)
  }

  /** The key, where it can be told without parsing the value; undefined where it can not. */
  plainKey(record: RawRecord): string | undefined {
    const isPlain = this.#mapping.key === undefined && this.#form.key === 'utf8'
    return isPlain ? this.#recordKey(record) ?? undefined : undefined
  }

  /** With `reads`, only what they say of the data, where the value is JSON and nothing that is mapped takes all of it. */
  event(record: RawRecord, reads?: Reads): RecordedEvent {
    return (this.#scans !== null && this.#selectors.length === 0 ? this.#bareEnvelope(record, this.#scans, reads) : null)
      ?? this.#anyEvent(record, reads)
  }

  /** Most of all records: an envelope in JSON, without headers of its own. Null for any other, and for what is not as it must be. */
  #bareEnvelope(record: RawRecord, scans: ValueScans, reads: Reads | undefined): RecordedEvent | null {
    if (isTombstone(record) || record.headers.length > 0) return null
    const value = reads === undefined ? scans.parse(record) : scans.scan(record, reads)
    if (!isObject(value) || !isEnvelope(value)) return null
    const { type, data, id = null, schemaVersion = 1, recordedAt = null, headers = null, key = null } = value as Partial<EnvelopeParts>
    const isPlain = (id === null || typeof id === 'string') && schemaVersion === 1 && headers === null
    if (!isPlain) return null
    return {
      partition: this.#name,
      offset: record.offset,
      type: type as string,
      schemaVersion: 1,
      key: this.#recordKey(record) ?? this.#optionalText(record, 'key', key),
      data,
      bigIntegers: scans.isWide ? findBigIntegers(data) : null,
      recordedAtMs: this.#time(record, recordedAt),
      headers: NO_HEADERS,
      id,
    }
  }

  #anyEvent(record: RawRecord, reads: Reads | undefined): RecordedEvent {
    const { offset, timestampMs } = record
    const allHeaders = headersOf(record)
    const cloudEvent = this.#form.value === 'cloudevents' ? this.#values.cloudEvent(record, allHeaders) : null
    const scanned = reads === undefined || isTombstone(record) ? null : this.#scan(record, reads)
    const { value, schema, isWide } = cloudEvent ?? scanned ?? this.#values.read(record)
    const headers = cloudEvent?.headers ?? allHeaders
    const picked = this.#selectors.length === 0 ? NOTHING_PICKED
      : this.#pick({ topic: this.#topic, partition: this.#partition, offset, timestampMs, key: record.key, value, schema, headers })
    const ownType = picked.type !== undefined ? this.#type(record, picked.type)
      : cloudEvent !== null ? null : headerType(record, false) ?? schema
    // What is mapped said nothing: it may be an envelope after all, of which other parts count.
    if (ownType === null && scanned !== null && this.#selectors.length > 0) return this.#anyEvent(record, undefined)
    const envelope = cloudEvent?.parts ?? (ownType === null && isObject(value) && isEnvelope(value) ? value : null)
    const type = ownType ?? this.#type(record, envelope?.type ?? (isTombstone(record) ? TOMBSTONE : null))
    if (type === null && scanned !== null) return this.#anyEvent(record, undefined)
    if (type === null) throw this.#unknown(record, 'has no type', value)
    const from = <T>(name: keyof EventMapping & keyof EnvelopeParts, fallback: T): unknown =>
      picked[name] ?? envelope?.[name] ?? fallback
    const data = 'data' in picked ? picked.data ?? null : envelope === null ? value : envelope.data
    return {
      partition: this.#name,
      offset,
      type,
      schemaVersion: this.#version(record, from('schemaVersion', 1)),
      key: this.#key(record, picked.key, envelope),
      data,
      bigIntegers: isWide ? findBigIntegers(data) : null,
      recordedAtMs: this.#time(record, from('recordedAt', null)),
      headers: envelope === null ? headers : this.#headers(record, headers, envelope.headers),
      id: this.#optionalText(record, 'id', from('id', null)),
    }
  }

  #pick(record: KafkaRecord): Picked {
    const picked: Picked = {}
    for (const [name, selector] of this.#selectors) {
      if (typeof selector === 'function') picked[name] = selector(record)
      else if ('header' in selector) picked[name] = record.headers[selector.header]
      else if ('schema' in selector) picked[name] = record.schema ?? undefined
      else if ('topic' in selector) picked[name] = record.topic
      else picked[name] = fieldAt(record.value, selector.field)
    }
    return picked
  }

  #type(record: RawRecord, type: unknown): string | null {
    if (type === null) return null
    if (typeof type === 'string' && type !== '') return type
    throw this.#unknown(record, 'has a type that is not a text', type)
  }

  #key(record: RawRecord, picked: unknown, envelope: EnvelopeParts | null): string | null {
    if (picked !== undefined && picked !== null) return this.#optionalText(record, 'key', picked)
    if (this.#form.key === 'registry' && record.key !== null) return this.#values.registeredKey(record, record.key)
    const own = this.#form.key === 'registry' ? null : this.#recordKey(record)
    return own !== null ? own : this.#optionalText(record, 'key', envelope?.key ?? null)
  }

  #recordKey(record: RawRecord): string | null {
    const { within } = record
    const plain = within === undefined || within.keyFrom < 0 ? null : keyText(within.bytes, within.keyFrom, within.keyTo)
    if (plain !== null) return plain
    const { key } = record
    return key === null ? null : this.#text(record, key)
  }

  #scan(record: RawRecord, reads: Reads): ReadValue | null {
    if (this.#scans === null) return null
    const isTyped = this.#mapping.type !== undefined || headerType(record, false) !== null
    const value = this.#scans.scan(record, reads, isTyped)
    return value === UNREADABLE ? null : { value, schema: null, isWide: this.#scans.isWide }
  }

  /** Two keys must never become one, as they would if what is not UTF-8 were replaced. */
  #text(record: RawRecord, key: Buffer): string {
    if (isUtf8(key)) return key.toString()
    throw this.#unknown(record, 'has a key that is not UTF-8; map it with event: { key }')
  }

  #optionalText(record: RawRecord, name: string, text: unknown): string | null {
    if (text === null || typeof text === 'string') return text
    throw this.#unknown(record, `has a ${name} that is not a text`, text)
  }

  #version(record: RawRecord, given: unknown): number {
    const version = typeof given === 'string' && /^[1-9]\d{0,8}$/.test(given) ? Number(given) : given
    if (typeof version === 'number' && Number.isSafeInteger(version) && version >= 1) return version
    throw this.#unknown(record, 'has a schemaVersion that is not an integer from 1', given)
  }

  #time(record: RawRecord, given: unknown): number | null {
    if (given === null) return record.timestampMs
    const atMs = recordedAtOf(given)
    if (!Number.isNaN(atMs)) return atMs
    throw this.#unknown(record, 'has a recordedAt that is neither integer milliseconds nor ISO 8601 with Z or an offset', given)
  }

  #headers(record: RawRecord, own: Readonly<Record<string, string>>, more: unknown): Readonly<Record<string, string>> {
    if (more === undefined || more === null) return own
    const isTexts = isObject(more) && Object.values(more).every((value) => typeof value === 'string')
    if (isTexts) return { ...own, ...more as Record<string, string> }
    throw this.#unknown(record, 'has headers in its envelope that are not texts', more)
  }

  #place({ offset }: RawRecord): Place {
    return { partition: this.#name, offset }
  }

  /** Two names for one part: what was told without parsing is not what parsing gives. */
  ambiguous(record: RawRecord): RehydrateError {
    return this.#unknown(record, 'names its type twice')
  }

  #unknown(record: RawRecord, what: string, actual?: unknown, cause?: unknown): RehydrateError {
    return unknownShape(this.#place(record), what, actual, cause)
  }
}

function isTombstone(record: RawRecord): boolean {
  return record.within === undefined ? record.value === null : record.within.valueFrom < 0
}

/** Both must be there: a value that merely has a field `type` would lose all its others. */
function isEnvelope(value: Readonly<Record<string, unknown>>): boolean {
  return typeof value[ENVELOPE_TYPE] === 'string' && value[ENVELOPE_TYPE] !== '' && Object.hasOwn(value, 'data')
}

/** Of a CloudEvent only `ce_type` is one, and where it is structured none is. */
function headerType(record: RawRecord, isCloudEvent: boolean): string | null {
  const { headers } = record
  if (headers.length === 0) return null
  let type = ''
  let cloudEventsType = ''
  for (const { name, value } of headers) {
    if (name === 'type' && !isCloudEvent) type = headerText(value)
    if (name === 'ce_type') cloudEventsType = headerText(value)
    if (isCloudEvent && name === 'content-type' && isStructured(headerText(value))) return null
  }
  return type || cloudEventsType || null
}

function headersOf(record: RawRecord): Readonly<Record<string, string>> {
  const { headers } = record
  // Not assigned one by one: a header may be called __proto__.
  return headers.length === 0 ? NO_HEADERS : Object.fromEntries(headers.map(({ name, value }) => [name, headerText(value)]))
}
