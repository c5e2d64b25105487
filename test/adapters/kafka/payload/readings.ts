import { EventReader, type EventMapping, type RawRecord } from '../../../../adapters/kafka/event.js'
import { Schemas } from '../../../../adapters/kafka/payload/schemas.js'
import type { RegisteredSchema, SchemaStore } from '../../../../adapters/kafka/payload/registry.js'
import type { PayloadKind } from '../../../../adapters/kafka/payload/value.js'
import type { RecordedEvent } from '../../../../src/index.js'

export interface Given {
  readonly key?: Buffer | string | null
  readonly value: Buffer | null
  readonly headers?: Readonly<Record<string, string>>
}

export function recordOf({ key = 'k', value, headers = {} }: Given): RawRecord {
  const list = Object.entries(headers).map(([name, text]) => ({ name, value: Buffer.from(text) }))
  return { offset: 41, timestampMs: 1_700_000_000_000, key: key === null ? null : Buffer.from(key), value, headers: list }
}

export function readerOf(value: PayloadKind, mapping: EventMapping = {}): EventReader {
  return new EventReader('orders', 3, mapping, { value, key: 'utf8', schemas: null })
}

/** Schemas of a paper registry: what is read from bytes does not depend on where a schema came from. */
export class PaperRegistry implements SchemaStore {
  readonly schemas = new Map<number, RegisteredSchema>()
  asked = 0

  add(id: number, schemaType: RegisteredSchema['schemaType'], schema: string, references: RegisteredSchema['references'] = []): this {
    this.schemas.set(id, { schemaType, schema, references })
    return this
  }

  async schema(id: number): Promise<RegisteredSchema | null> {
    this.asked++
    return this.schemas.get(id) ?? null
  }

  async schemasOf(): Promise<readonly RegisteredSchema[]> {
    return [...this.schemas.values()]
  }

  close(): void {}

  async reader(ids: readonly number[], mapping: EventMapping = {}, key: 'utf8' | 'registry' = 'utf8', value: PayloadKind = 'json'): Promise<EventReader> {
    const schemas = await new Schemas(this).readersOf(new Set(ids), new AbortController().signal)
    return new EventReader('orders', 3, mapping, { value, key, schemas })
  }
}

/** In the wire format of Confluent. */
export function wired(id: number, ...parts: readonly Uint8Array[]): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeInt32BE(id, 1)
  return Buffer.concat([prefix, ...parts])
}

export function eventWith(reader: EventReader, given: Given): RecordedEvent {
  const record = recordOf(given)
  const event = reader.event(record)
  // What is told without parsing is what parsing gives.
  const [type, key] = [reader.plainType(record), reader.plainKey(record)]
  if (type !== null && type !== event.type) throw new Error(`The plain type is ${type}, the parsed one ${event.type}.`)
  if (key !== undefined && key !== event.key) throw new Error(`The plain key is ${key}, the parsed one ${event.key}.`)
  return event
}
