import { RehydrateError, isRehydrateError } from '../errors.js'
import { type Value, CanonicalWriter } from '../value/canonical.js'
import { parseJson } from '../value/json.js'
import { EntryArena } from './arena.js'
import { hashKeys, hashRuns } from './batch.js'
import { TrieBuilder } from './builder.js'
import { collectionRoot, stateRoot } from './hash.js'

export interface DumpDigest {
  /** State root, rule 5. */
  readonly root: Uint8Array
  readonly collections: ReadonlyMap<string, { readonly count: number; readonly root: Uint8Array }>
}

/** The collection of lines that name none. */
export const DEFAULT_COLLECTION = 'default'

const MAX_KEY_BYTES = 1024
const BLOCK_LINES = 1024
const BLOCK_BYTES = 1024 * 1024

/**
 * The state hash of NDJSON lines `{collection?, key, value}` in any order; other fields are passed over. Integers are read
 * exactly: digits alone beyond 2^53 are 64-bit integers, as `export` writes them. Text stays text: bytes that were exported as
 * base64 do not hash as bytes. Memory: about 72 bytes per entry.
 *
 * Errors carry the 1-based `line`: VALUE_INVALID for what is not such a line, or for a key that comes twice; KEY_INVALID;
 * NUMBER_INEXACT for integers of more than 64 bits.
 */
export async function digestOfLines(lines: AsyncIterable<string> | Iterable<string>): Promise<DumpDigest> {
  const collections = new Map<string, Collected>()
  let line = 0
  for await (const text of lines) {
    line++
    const { collection, key, value } = readLine(text, line)
    let collected = collections.get(collection)
    if (collected === undefined) collections.set(collection, collected = new Collected(collection))
    collected.add(key, value, line)
  }
  const digests = new Map([...collections].map(([name, collected]) => [name, collected.digest()]))
  return { root: stateRoot(digests), collections: digests }
}

export interface DumpLine {
  /** DEFAULT_COLLECTION where the line names none. */
  readonly collection: string
  readonly key: string
  readonly value: Value
}

/** One line of NDJSON; `line` is its number from 1, for the errors of `digestOfLines`. */
export function readLine(text: string, line: number): DumpLine {
  let parsed: unknown
  try {
    parsed = parseJson(text, { int64: 'wide', where: { line } })
  } catch (error) {
    if (isRehydrateError(error)) throw error
    throw lineInvalid(line, 'is not JSON', error)
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw lineInvalid(line, 'is not an object')
  const { collection = DEFAULT_COLLECTION, key, value } = parsed as Record<string, unknown>
  if (typeof collection !== 'string' || collection === '') throw lineInvalid(line, 'has a collection that is not a name')
  if (typeof key !== 'string') throw lineInvalid(line, 'has no key, or one that is not a string')
  if (value === undefined) throw lineInvalid(line, 'has no value')
  if (key === '' || Buffer.byteLength(key) > MAX_KEY_BYTES || Buffer.from(key).toString() !== key) {
    throw new RehydrateError('KEY_INVALID', { message: `Line ${line} has a key that no state can have.`, line, collection })
  }
  return { collection, key, value: value as Value }
}

/** Entries of one collection: a block that waits to be hashed, and the hashes of all before. */
class Collected {
  readonly #name: string
  readonly #arena = new EntryArena(Infinity)
  readonly #lines: number[] = []
  readonly #writer = new CanonicalWriter()
  #keys: string[] = []
  #ends: number[] = []

  constructor(name: string) {
    this.#name = name
  }

  add(key: string, value: Value, line: number): void {
    try {
      this.#writer.write(value)
    } catch (error) {
      if (!isRehydrateError(error)) throw error
      const message = `Line ${line}: ${error.message}`
      throw new RehydrateError(error.code, { ...error.details, message, line, collection: this.#name, key })
    }
    this.#keys.push(key)
    this.#ends.push(this.#writer.length)
    this.#lines.push(line)
    if (this.#keys.length === BLOCK_LINES || this.#writer.length >= BLOCK_BYTES) this.#hashBlock()
  }

  digest(): { count: number; root: Uint8Array } {
    this.#hashBlock()
    const builder = new TrieBuilder(this.#name, null)
    const steps = this.#arena.drain(builder, (later, earlier) =>
      lineInvalid(this.#lines[later]!, `repeats the key of line ${this.#lines[earlier]!}, in collection ${this.#name}`))
    while (steps.next().done !== true);
    const { count, trieHash } = builder.finish()
    return { count, root: collectionRoot(count, trieHash) }
  }

  #hashBlock(): void {
    this.#arena.add(hashKeys(this.#keys), hashRuns(this.#writer.bytes, this.#ends))
    this.#writer.reset()
    this.#keys = []
    this.#ends = []
  }
}

function lineInvalid(line: number, what: string, cause?: unknown): RehydrateError {
  return new RehydrateError('VALUE_INVALID', {
    message: `Line ${line} ${what}.`,
    line,
    cause,
    fix: 'Each line must be {"collection"?: name, "key": text, "value": any JSON}, each key once per collection.',
  })
}
