import { isAscii, isUtf8 } from 'node:buffer'
import {
  findBigIntegers, isRehydrateError, parseJson, RehydrateError, suspectDigits, type Offset, type RecordedEvent,
} from '../../src/index.js'
import { ENVELOPE_TYPE, fieldAt, headerText, isObject, timeOf, typeOfEnvelope } from './fields.js'

/** A record of a topic, decoded, for a function of the `event` option. */
export interface KafkaRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  readonly timestampMs: number | null
  readonly key: Uint8Array | null
  /** The parsed JSON; with `payload: 'raw'` the bytes; null for a tombstone. */
  readonly value: unknown
  /** The last one of a name counts. What is not UTF-8 comes as base64. */
  readonly headers: Readonly<Record<string, string>>
}

/** Where a part of an event is: in a header, at a path of the JSON value (`meta.kind`), or what a pure function says. */
export type Selector = { readonly header: string } | { readonly field: string } | ((record: KafkaRecord) => unknown)

export interface EventMapping {
  readonly type?: Selector
  readonly key?: Selector
  readonly data?: Selector
  readonly id?: Selector
  /** Integer ms since 1970, or ISO 8601 with Z or an offset. */
  readonly recordedAt?: Selector
  /** An integer from 1, or its text. */
  readonly schemaVersion?: Selector
}

/** A record as the batch reader gives it: buffers, nothing decoded. */
export interface RawRecord {
  readonly offset: Offset
  readonly timestampMs: number | null
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly { readonly name: string; readonly value: Buffer | null }[]
}

/** A null value without a type of its own. */
const TOMBSTONE = '$tombstone'
type Picked = Partial<Record<keyof EventMapping, unknown>>
const NOTHING_PICKED: Picked = {}
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})

/** Makes events of the records of one partition. Errors: EVENT_SHAPE_UNKNOWN, NUMBER_INEXACT, LOG_CORRUPT. */
export class EventReader {
  readonly #topic: string
  readonly #partition: number
  readonly #name: string
  readonly #mapping: EventMapping
  readonly #selectors: readonly (readonly [keyof EventMapping, Selector])[]
  readonly #isRaw: boolean

  constructor(topic: string, partition: number, mapping: EventMapping, payload: 'json' | 'raw') {
    this.#topic = topic
    this.#partition = partition
    this.#name = `${topic}/${partition}`
    this.#mapping = mapping
    this.#selectors = (Object.entries(mapping) as [keyof EventMapping, Selector | undefined][])
      .flatMap(([part, selector]) => (selector === undefined ? [] : [[part, selector] as const]))
    this.#isRaw = payload === 'raw'
  }

  /** The type, where it can be told without parsing the value; null where it can not. */
  plainType(record: RawRecord): string | null {
    if (this.#mapping.type !== undefined) return null
    const header = record.headers.length === 0 ? null : headerType(record)
    if (header !== null) return header
    if (record.value === null) return TOMBSTONE
    return this.#isRaw ? null : typeOfEnvelope(record.value)
  }

  /** The key, where it can be told without parsing the value; undefined where it can not. */
  plainKey(record: RawRecord): string | undefined {
    return this.#mapping.key === undefined && record.key !== null ? this.#text(record, record.key) : undefined
  }

  event(record: RawRecord): RecordedEvent {
    const { offset, timestampMs, key } = record
    const isSuspect = !this.#isRaw && record.value !== null && suspectDigits(record.value, 0, record.value.length)
    const value = this.#value(record, isSuspect)
    const headers = record.headers.length === 0 ? NO_HEADERS : headersOf(record)
    const picked = this.#selectors.length === 0 ? NOTHING_PICKED
      : this.#pick({ topic: this.#topic, partition: this.#partition, offset, timestampMs, key, value, headers })
    const ownType = picked.type === undefined ? headerType(record) : this.#type(record, picked.type)
    const envelope = ownType === null && isObject(value) && isEnvelope(value) ? value : null
    const type = ownType ?? envelope?.type ?? (record.value === null ? TOMBSTONE : null)
    if (type === null) throw this.#unknown(record, 'has no type', value)
    const from = <T>(name: keyof EventMapping & keyof Envelope, fallback: T): unknown =>
      picked[name] ?? envelope?.[name] ?? fallback
    const data = 'data' in picked ? picked.data ?? null : envelope === null ? value : envelope.data
    return {
      partition: this.#name,
      offset,
      type,
      schemaVersion: this.#version(record, from('schemaVersion', 1)),
      key: this.#key(record, picked.key, envelope),
      data,
      bigIntegers: isSuspect ? findBigIntegers(data) : null,
      recordedAtMs: this.#time(record, from('recordedAt', null)),
      headers: envelope === null ? headers : this.#headers(record, headers, envelope.headers),
      id: this.#optionalText(record, 'id', from('id', null)),
    }
  }

  #value(record: RawRecord, isSuspect: boolean): unknown {
    const { value } = record
    // A copy: what a handler gets must not reach into the fetch it came with.
    if (value === null || this.#isRaw) return value === null ? null : new Uint8Array(value)
    const isPlain = isAscii(value)
    if (!isPlain && !isUtf8(value)) throw this.#unknown(record, 'is not UTF-8')
    const json = isPlain ? value.toString('latin1') : value.toString()
    try {
      return isSuspect ? parseJson(json, { int64: 'wide', where: this.#place(record) }) : JSON.parse(json)
    } catch (cause) {
      if (isRehydrateError(cause)) throw cause
      throw this.#unknown(record, 'is not JSON', undefined, cause)
    }
  }

  #pick(record: KafkaRecord): Picked {
    const picked: Picked = {}
    for (const [name, selector] of this.#selectors) {
      if (typeof selector === 'function') picked[name] = selector(record)
      else if ('header' in selector) picked[name] = record.headers[selector.header]
      else picked[name] = fieldAt(record.value, selector.field)
    }
    return picked
  }

  #type(record: RawRecord, type: unknown): string | null {
    if (type === null) return null
    if (typeof type === 'string' && type !== '') return type
    throw this.#unknown(record, 'has a type that is not a text', type)
  }

  #key(record: RawRecord, picked: unknown, envelope: Envelope | null): string | null {
    if (picked !== undefined && picked !== null) return this.#optionalText(record, 'key', picked)
    if (record.key !== null) return this.#text(record, record.key)
    return this.#optionalText(record, 'key', envelope?.key ?? null)
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
    const atMs = timeOf(given)
    if (atMs !== null) return atMs
    throw this.#unknown(record, 'has a recordedAt that is neither integer milliseconds nor ISO 8601 with Z or an offset', given)
  }

  #headers(record: RawRecord, own: Readonly<Record<string, string>>, more: unknown): Readonly<Record<string, string>> {
    if (more === undefined || more === null) return own
    const isTexts = isObject(more) && Object.values(more).every((value) => typeof value === 'string')
    if (isTexts) return { ...own, ...more as Record<string, string> }
    throw this.#unknown(record, 'has headers in its envelope that are not texts', more)
  }

  #place({ offset }: RawRecord): { partition: string; offset: Offset } {
    return { partition: this.#name, offset }
  }

  /** Two names for one part: what was told without parsing is not what parsing gives. */
  ambiguous(record: RawRecord): RehydrateError {
    return this.#unknown(record, 'names its type twice')
  }

  #unknown(record: RawRecord, what: string, actual?: unknown, cause?: unknown): RehydrateError {
    const fields = isObject(actual) ? ` Its fields: ${Object.keys(actual).slice(0, 20).join(', ')}.` : ''
    return new RehydrateError('EVENT_SHAPE_UNKNOWN', {
      message: `The record ${this.#name}@${record.offset} ${what}.${fields}`,
      ...this.#place(record),
      ...(!isObject(actual) && actual !== undefined && { actual }),
      why: 'An event is a record with a header `type` or `ce_type`, or one whose JSON value has `type` and `data`.',
      fix: "Say where the parts are: event: { type: { header: '…' } | { field: '…' } | (record) => …, key, data, id, recordedAt }.",
      cause,
    })
  }
}

/** The object of the log format of files. */
interface Envelope {
  readonly type: string
  readonly data: unknown
  readonly key?: unknown
  readonly id?: unknown
  readonly recordedAt?: unknown
  readonly schemaVersion?: unknown
  readonly headers?: unknown
}

/** Both must be there: a value that merely has a field `type` would lose all its others. */
function isEnvelope(value: Readonly<Record<string, unknown>>): value is Readonly<Record<string, unknown>> & Envelope {
  return typeof value[ENVELOPE_TYPE] === 'string' && value[ENVELOPE_TYPE] !== '' && Object.hasOwn(value, 'data')
}

function headerType(record: RawRecord): string | null {
  let type = ''
  let cloudEventsType = ''
  for (const { name, value } of record.headers) {
    if (name === 'type') type = headerText(value)
    if (name === 'ce_type') cloudEventsType = headerText(value)
  }
  return type || cloudEventsType || null
}

function headersOf(record: RawRecord): Readonly<Record<string, string>> {
  // Not assigned one by one: a header may be called __proto__.
  return Object.fromEntries(record.headers.map(({ name, value }) => [name, headerText(value)]))
}
