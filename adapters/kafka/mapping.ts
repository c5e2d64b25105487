import { functionText, type Offset } from '../../src/index.js'

/** A record of a topic, decoded, for a function of the `event` option. */
export interface KafkaRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  readonly timestampMs: number | null
  readonly key: Uint8Array | null
  /** The parsed JSON, or what else the payload says; with `payload: 'raw'` the bytes; of a CloudEvent its data; null for a tombstone. */
  readonly value: unknown
  /** Full name of the value's Avro record or Protobuf message; null where it has none. */
  readonly schema: string | null
  /** The last one of a name counts. What is not UTF-8 comes as base64. */
  readonly headers: Readonly<Record<string, string>>
}

/**
 * Where a part of an event is: in a header, at a path of the value (`meta.kind`), the full name of the value's schema, the name of the
 * topic, or what a pure function says.
 */
export type Selector =
  | { readonly header: string }
  | { readonly field: string }
  | { readonly schema: true }
  | { readonly topic: true }
  | ((record: KafkaRecord) => unknown)

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

/** A selector in words: what a state remembers of it. */
export function selectorText(selector: Selector): string {
  if (typeof selector === 'function') return functionText(selector)
  if ('header' in selector) return `header ${selector.header}`
  if ('field' in selector) return `field ${selector.field}`
  return 'schema' in selector ? 'schema' : 'topic'
}

/** A record as the batch reader gives it: buffers, nothing decoded. */
export interface RawRecord {
  readonly offset: Offset
  readonly timestampMs: number | null
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly { readonly name: string; readonly value: Buffer | null }[]
  /** Where key and value lie in the bytes of their batch, so that no view of them need be made; left out: not known. */
  readonly within?: {
    readonly bytes: Buffer
    /** -1: no key. */
    readonly keyFrom: number
    readonly keyTo: number
    /** -1: no value. */
    readonly valueFrom: number
    readonly valueTo: number
  }
}
