import { DEFAULT_COLLECTION, readLine, type DumpLine } from '../digest/dump.js'
import { isRehydrateError, RehydrateError } from '../errors.js'
import { parsePosition } from '../log/position.js'
import type { Collection, Projection } from '../projection/define.js'
import { CanonicalWriter, decode, encode, type Value } from '../value/canonical.js'
import { stringifyJson } from '../value/json.js'
import { checkOptions, nearest } from '../value/options.js'
import { valueInvalid } from '../value/value.js'
import type { Against, Mend, RowBlock, RowSide, Standing } from './side.js'

export interface DumpOptions {
  /** What people call it: a path. */
  readonly name: string
  /** The lines from the first to the last, without their ends; the same ones at every call. */
  readonly lines: () => AsyncIterable<string>
  /** Where it stands, as a person says: `orders/0@41,orders/1@17`. Default: not known. */
  readonly position?: { readonly at: string }
}

const BLOCK_LINES = 1_024
const BLOCK_BYTES = 1 << 20

/**
 * NDJSON lines `{collection?, key, value}` in any order, as `rehydrate export` writes them and `rehydrate digest` takes them, as the other
 * side of a comparison. Lines that name no collection belong to the projection's only one. Nothing is kept in memory: the lines are
 * read once per collection, and once per call of `values`.
 *
 * Errors of the factory: CONFIG_INVALID, USAGE for a position that is none. When read, with the 1-based `line`: those of
 * `digestOfLines`; CONFIG_INVALID for a collection that the projection does not have.
 */
export function ndjsonDump(options: DumpOptions): Against {
  checkOptions('ndjsonDump()', options, ['name', 'lines', 'position'])
  const { name, lines, position } = options
  const standing: Standing | null = position === undefined ? null : { position: parsePosition(position.at), known: 'asserted' }
  return {
    kind: 'against',
    name,
    open: async ({ projection, signal }) => dumpSide(name, new DumpReader(name, lines, projection, signal), projection, standing),
  }
}

function dumpSide(name: string, reader: DumpReader, projection: Projection, standing: Standing | null): RowSide {
  return {
    kind: 'rows',
    name,
    standing,
    collections: new Map(projection.collections.map((collection) => [collection.name, { omitted: [] }])),
    leftOut: [],
    scan: (collection) => reader.blocks(collection),
    values: (collection, keys) => reader.values(collection, new Set(keys)),
    mend: (changes) => changes.map(mendLine),
    close: async () => {},
  }
}

class DumpReader {
  readonly #name: string
  readonly #lines: () => AsyncIterable<string>
  readonly #collections: readonly string[]
  /** Per collection the fields that the projection declares to be bytes, as steps. */
  readonly #bytes: ReadonlyMap<string, readonly (readonly string[])[]>
  readonly #signal: AbortSignal

  constructor(name: string, lines: () => AsyncIterable<string>, projection: Projection, signal: AbortSignal) {
    this.#name = name
    this.#lines = lines
    this.#collections = projection.collections.map((collection) => collection.name)
    this.#bytes = new Map(projection.collections.map((collection) => [collection.name, bytesFieldsOf(collection)]))
    this.#signal = signal
  }

  async *blocks(collection: string): AsyncGenerator<RowBlock, void, void> {
    const writer = new CanonicalWriter()
    let keys: string[] = []
    let ends: number[] = []
    for await (const { line, entry } of this.#entries(collection)) {
      this.#within(entry, line, () => writer.write(entry.value))
      keys.push(entry.key)
      ends.push(writer.length)
      if (keys.length < BLOCK_LINES && writer.length < BLOCK_BYTES) continue
      this.#signal.throwIfAborted()
      yield { keys, bytes: writer.bytes, ends }
      writer.reset()
      keys = []
      ends = []
    }
    if (keys.length > 0) yield { keys, bytes: writer.bytes, ends }
  }

  async values(collection: string, wanted: ReadonlySet<string>): Promise<ReadonlyMap<string, Uint8Array>> {
    const found = new Map<string, Uint8Array>()
    if (wanted.size === 0) return found
    for await (const { line, entry } of this.#entries(collection)) {
      if (!wanted.has(entry.key)) continue
      found.set(entry.key, this.#within(entry, line, () => encode(entry.value)))
      if (found.size === wanted.size) break
    }
    return found
  }

  async *#entries(collection: string): AsyncGenerator<{ line: number; entry: DumpLine }, void, void> {
    let line = 0
    for await (const text of this.#lines()) {
      line++
      const entry = this.#located(line, {}, () => readLine(text, line))
      if (this.#collectionOf(entry, line) !== collection) continue
      for (const steps of this.#bytes.get(collection) ?? []) this.#within(entry, line, () => toBytes(entry.value, steps))
      yield { line, entry }
    }
  }

  #collectionOf({ collection, key }: DumpLine, line: number): string {
    if (this.#collections.includes(collection)) return collection
    const [only] = this.#collections
    if (collection === DEFAULT_COLLECTION && only !== undefined && this.#collections.length === 1) return only
    const near = nearest(collection, this.#collections)
    throw new RehydrateError('CONFIG_INVALID', {
      message: collection === DEFAULT_COLLECTION
        ? `${this.#name}, line ${line} names no collection, and the projection has several.`
        : `${this.#name}, line ${line} names the collection ${collection}, which the projection does not have.`
          + (near === null ? '' : ` Did you mean ${near}?`),
      file: this.#name, line, collection, key,
      expected: this.#collections.join(', '), actual: collection,
      fix: 'Each line must name a collection of the projection; compare with a projection that has it, or leave the line out.',
    })
  }

  #within<T>({ collection, key }: DumpLine, line: number, work: () => T): T {
    return this.#located(line, { collection, key }, work)
  }

  /** Errors name the file and the line. */
  #located<T>(line: number, place: { readonly collection?: string; readonly key?: string }, work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (!isRehydrateError(error)) throw error
      const message = error.message.startsWith('Line ') ? error.message : `Line ${line}: ${error.message}`
      throw new RehydrateError(error.code, { ...error.details, ...place, message: `${this.#name}: ${message}`, file: this.#name, line })
    }
  }
}

function bytesFieldsOf({ columns }: Collection): string[][] {
  const shape = (columns?.shape ?? []) as readonly { readonly path: string; readonly type: string }[]
  return shape.filter(({ type }) => type === 'bytes').map(({ path }) => path.split('.'))
}

/** JSON has no bytes: `export` writes them as base64. The value was just parsed, and is no one else's. */
function toBytes(value: Value, steps: readonly string[]): void {
  let at: unknown = value
  for (const step of steps.slice(0, -1)) at = ownField(at, step)
  const name = steps.at(-1)!
  const text = ownField(at, name)
  if (typeof text !== 'string') return
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw valueInvalid(`$.${steps.join('.')}`, 'is declared bytes, and is no base64 text')
  ;(at as Record<string, unknown>)[name] = new Uint8Array(bytes)
}

function ownField(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) return undefined
  return (value as Record<string, unknown>)[name]
}

/** The line that the dump should have; one with `absent` where it should have none. */
function mendLine({ collection, key, should }: Mend): string {
  const head = `{"collection":${JSON.stringify(collection)},"key":${JSON.stringify(key)}`
  return should === null ? `${head},"absent":true}` : `${head},"value":${stringifyJson(decode(should))}}`
}
