import { RehydrateError, type Mark } from '../../../src/index.js'
import type { RecordPage } from '../page.js'
import { schemaIdOf, type SchemaReader } from './wire-format.js'

/** Schemas by id, with the SHA-256 of each: what a mark keeps of those that were met up to it. */
export type SchemaHashes = ReadonlyMap<number, string>

/** The highest ids are kept: a registry counts up. So what is kept depends on what was read, and not on how. */
const MAX_KEPT = 256

export function hashesOf(mark: Mark | null): SchemaHashes {
  const kept = (mark?.proof as { readonly schemas?: Readonly<Record<string, unknown>> } | null)?.schemas ?? {}
  return new Map(Object.entries(kept).flatMap(([id, hash]) => (typeof hash === 'string' ? [[Number(id), hash] as const] : [])))
}

/** The schemas that a page's records are of, after those that were met before it. */
export class PageSchemas {
  readonly readers: ReadonlyMap<number, SchemaReader>
  readonly #page: RecordPage
  readonly #before: SchemaHashes
  readonly #withKeys: boolean

  /** SCHEMA_INCOMPATIBLE where a schema is not what it was when its id was met before. */
  constructor(
    partition: string, page: RecordPage, readers: ReadonlyMap<number, SchemaReader>, before: SchemaHashes, withKeys: boolean,
  ) {
    this.readers = readers
    this.#page = page
    this.#before = before
    this.#withKeys = withKeys
    for (const { id, hash } of readers.values()) {
      const known = before.get(id)
      if (known !== undefined && hash !== '' && known !== hash) throw changed(partition, id, known, hash)
    }
  }

  /** With those of the records up to `index`, inclusive. */
  hashesAt(index: number): SchemaHashes {
    const hashes = new Map(this.#before)
    for (const id of idsIn(this.#page, index + 1, this.#withKeys)) {
      const hash = this.readers.get(id)?.hash ?? ''
      if (hash !== '') hashes.set(id, hash)
    }
    return new Map([...hashes].sort(([a], [b]) => a - b).slice(-MAX_KEPT))
  }
}

/** Schema ids in the values, and the keys, of the first `count` records of a page. */
export function idsIn(page: RecordPage, count: number, withKeys: boolean): ReadonlySet<number> {
  const ids = new Set<number>()
  const take = (bytes: Buffer | null): void => {
    const id = bytes === null ? null : schemaIdOf(bytes)
    if (id !== null) ids.add(id)
  }
  for (let i = 0; i < count; i++) {
    take(page.valueAt(i))
    if (withKeys) take(page.keyAt(i))
  }
  return ids
}

function changed(partition: string, id: number, expected: string, actual: string): RehydrateError {
  return new RehydrateError('SCHEMA_INCOMPATIBLE', {
    message: `Schema ${id} of ${partition} is not the one that earlier records were read with:`
      + ` its SHA-256 is ${actual}, and was ${expected}.`,
    partition, expected, actual, path: `schemas/ids/${id}`,
    why: 'What a registry calls by an id must never change; this registry, or this bundle, is another one.',
    fix: 'Point registry at the one that this state was built with, or rebuild with `rehydrate replay --restart`.',
  })
}
