import type { Mark, Reading } from '../../../src/index.js'
import { EventReader, type EventMapping } from '../event.js'
import { selectorText, type Selector } from '../mapping.js'
import type { RecordPage } from '../page.js'
import { hashesOf, idsIn, PageSchemas, type SchemaHashes } from './pins.js'
import type { SchemaStore } from './registry.js'
import { Schemas } from './schemas.js'
import type { PayloadKind } from './value.js'

export interface PayloadSettings {
  readonly event: EventMapping
  readonly payload: PayloadKind
  /** Default: utf8. */
  readonly key?: 'utf8' | 'registry'
  /** Default: none; values are what `payload` says. */
  readonly registry?: SchemaStore | null
}

/** What a page's records are read with. */
export interface PageReader {
  readonly reader: EventReader
  /** Null without a registry. */
  readonly schemas: PageSchemas | null
}

/** What a state remembers of them: all that is not as it is without options. */
export function readingOf({ event, payload, key = 'utf8', registry = null }: PayloadSettings): Reading {
  const mapped = Object.entries(event) as [string, Selector | undefined][]
  return {
    ...(payload !== 'json' && { payload }), ...(registry !== null && { registry: 'given' }), ...(key !== 'utf8' && { key }),
    ...Object.fromEntries(mapped.flatMap(([part, selector]) =>
      (selector === undefined ? [] : [[`event.${part}`, selectorText(selector)]]))),
  }
}

/** Makes readers of events. */
export class EventReaders {
  readonly #settings: PayloadSettings
  readonly #schemas: Schemas | null

  constructor(settings: PayloadSettings) {
    const { registry = null } = settings
    this.#settings = settings
    this.#schemas = registry === null ? null : new Schemas(registry)
  }

  /** Those of one partition, from a mark on. */
  of(topic: string, partition: number, mark: Mark | null): PageReaders {
    return new PageReaders(topic, partition, this.#settings, this.#schemas, hashesOf(mark))
  }

  /** Those of some fields that no schema of the type has, in the subjects of Confluent's three strategies: by topic, by record, by both. */
  async lacking(topics: readonly string[], type: string, paths: readonly string[]): Promise<readonly string[]> {
    const { event, payload } = this.#settings
    // A CloudEvent in one piece is of no schema.
    if (this.#schemas === null || event.data !== undefined || payload === 'cloudevents') return []
    const subjects = topics.map((topic) => [`${topic}-value`, type, `${topic}-${type}`])
    return await this.#schemas.lacking(type, paths, subjects, new AbortController().signal)
  }

  close(): void { this.#settings.registry?.close() }
}

/** One reader for each page, in order: decoding does not wait, so that all schemas of a page must be there before it is read. */
export class PageReaders {
  readonly #topic: string
  readonly #partition: number
  readonly #settings: PayloadSettings
  readonly #schemas: Schemas | null
  #met: SchemaHashes
  #plain: PageReader | null = null

  constructor(topic: string, partition: number, settings: PayloadSettings, schemas: Schemas | null, met: SchemaHashes) {
    this.#topic = topic
    this.#partition = partition
    this.#settings = settings
    this.#schemas = schemas
    this.#met = met
  }

  /** Null where the signal ended it. Errors: SOURCE_UNREACHABLE, CONFIG_INVALID, ADAPTER_PEER_MISSING, SCHEMA_INCOMPATIBLE. */
  async readerOf(page: RecordPage, signal: AbortSignal): Promise<PageReader | null> {
    if (this.#schemas === null) return (this.#plain ??= { reader: this.#reader(null), schemas: null })
    const withKeys = this.#settings.key === 'registry'
    const ids = idsIn(page, page.count, withKeys)
    const readers = await this.#schemas.readersOf(ids, signal).catch((error: unknown) => {
      if (signal.aborted) return null
      throw error
    })
    if (readers === null) return null
    const schemas = new PageSchemas(`${this.#topic}/${this.#partition}`, page, readers, this.#met, withKeys)
    this.#met = schemas.hashesAt(page.count - 1)
    return { reader: this.#reader(schemas), schemas }
  }

  #reader(schemas: PageSchemas | null): EventReader {
    const { event, payload, key = 'utf8' } = this.#settings
    return new EventReader(this.#topic, this.#partition, event, { value: payload, key, schemas: schemas?.readers ?? null })
  }
}
