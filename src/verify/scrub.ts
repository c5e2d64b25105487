import { EntryArena } from '../digest/arena.js'
import { hashValues } from '../digest/batch.js'
import { TrieBuilder } from '../digest/builder.js'
import { collectionRoot, formatHash, HASH_BYTES } from '../digest/hash.js'
import { diffRows } from '../digest/rows.js'
import { isRehydrateError, RehydrateError } from '../errors.js'
import { compareUtf8, formatPosition, positionFromJson } from '../log/position.js'
import type { Mark } from '../log/source.js'
import type { Clock } from '../replay/api.js'
import { CONTROL } from '../replay/commit.js'
import { type IntactPage, scanIntact } from '../replay/intact.js'
import { DIGEST, pagesOf } from '../replay/listed.js'
import { MARKS, readEngineCollection, SCAN_PAGE } from '../replay/state.js'
import { assertIntact, stateCorrupt } from '../replay/working-set.js'
import { rootOfCollections } from '../store/checkpoint-codec.js'
import type { CollectionRoot, Manifest } from '../store/checkpoint.js'
import type { Entry, StoreSession } from '../store/contract.js'
import { binaryOf } from '../value/canonical.js'
import type { RowBlock } from './side.js'

export interface Scrubbed {
  /** Entries read, those of the engine included. */
  readonly entries: number
  /** Bytes of their values. */
  readonly bytes: number
}

/** Memory for sorting hashes; a larger collection is read in several passes. */
const ARENA_BYTES = 256 * 1024 * 1024

/**
 * Re-reads every stored byte of a state with a digest, recomputes all hashes from them, and compares: each entry with its hash, each page
 * of the digest with what the entries give, each root with the checkpoint's. STATE_CORRUPT names the entry that is not what was written.
 */
export async function scrubState(session: StoreSession, signal: AbortSignal, clock: Clock): Promise<Scrubbed> {
  const { checkpoint } = session
  if (checkpoint === null || checkpoint.collections === null) {
    throw new RehydrateError('STORE_GENERATION', { message: 'The generation was never sealed: there is no digest to scrub it by yet.' })
  }
  const roots = checkpoint.collections
  const scrub = new Scrub(session, signal, clock)
  const names = new Set([...await session.collections(), ...Object.keys(roots)])
  for (const name of [...names].sort(compareUtf8)) {
    if (name !== DIGEST && name !== MARKS) await scrub.collection(name, roots[name] ?? null)
  }
  await scrub.pages()
  await scrub.marks(checkpoint.manifest)
  assertRoots(checkpoint.manifest, roots)
  return { entries: scrub.entries, bytes: scrub.bytes }
}

class Scrub {
  entries = 0
  bytes = 0
  readonly #session: StoreSession
  readonly #signal: AbortSignal
  readonly #clock: Clock
  /** Pages of the digest that the entries call for. */
  #pages = 0

  constructor(session: StoreSession, signal: AbortSignal, clock: Clock) {
    this.#session = session
    this.#signal = signal
    this.#clock = clock
  }

  async collection(name: string, listed: CollectionRoot | null): Promise<void> {
    let made: { key: string; page: Uint8Array }[] = []
    const builder = new TrieBuilder(name, (key, page) => made.push({ key, page }))
    const arena = new EntryArena(ARENA_BYTES, true)
    for (let pass = 0; !arena.isComplete; pass++) {
      for await (const page of scanIntact(this.#session, name)) {
        arena.add(page.keyHashes, page.valueHashes, page.keys)
        if (pass === 0) this.#count(page)
        await this.#breathe()
      }
      for (const _ of arena.drain(builder)) {
        await this.#assertPages(name, made)
        made = []
      }
    }
    const { count, trieHash } = builder.finish()
    await this.#assertPages(name, made)
    const actual = count === 0 ? null : formatHash(collectionRoot(count, trieHash))
    if (actual !== (listed?.root ?? null)) throw await this.#named(name, 'Its root is not the one in the checkpoint.')
  }

  /** Every page there is must be intact, and be one of those that were compared. */
  async pages(): Promise<void> {
    let found = 0
    for await (const page of scanIntact(this.#session, DIGEST)) {
      this.#count(page)
      found += page.count
      await this.#breathe()
    }
    if (found === this.#pages) return
    throw new RehydrateError('STATE_CORRUPT', {
      message: `${DIGEST} holds ${found} pages, and the entries call for ${this.#pages}.`, collection: DIGEST,
      expected: this.#pages, actual: found,
    })
  }

  async marks({ identity, position }: Manifest): Promise<void> {
    const marks = await readEngineCollection<Mark>(this.#session, MARKS, this.#session.checkpoint)
    this.entries += marks.size
    const wrong = Object.entries(identity).find(([partition, { id }]) => marks.get(partition)?.id !== id)
    if (wrong !== undefined) throw stateCorrupt({ collection: MARKS, key: wrong[0] }, 'The manifest names another log.')
    const extra = [...marks.keys()].find((partition) => !Object.hasOwn(identity, partition))
    if (extra !== undefined) {
      throw stateCorrupt({ collection: MARKS, key: extra }, `The state stands at ${formatPosition(positionFromJson(position))}.`)
    }
  }

  #count({ count, bytes }: IntactPage): void {
    this.entries += count
    this.bytes += bytes
  }

  async #assertPages(name: string, made: readonly { key: string; page: Uint8Array }[]): Promise<void> {
    this.#pages += made.length
    const stored = await this.#session.load(DIGEST, made.map(({ key }) => key))
    assertIntact(stored)
    const pages = new Map(stored.map(({ key, bytes }) => [key, binaryOf(bytes)]))
    for (const { key, page } of made) {
      const found = pages.get(key)
      if (found !== undefined && Buffer.compare(found, page) === 0) continue
      throw await this.#named(name, `Page ${key} of the digest is not what the entries give.`)
    }
  }

  /** The error for a collection that is not what its digest says: with the first key, where the digest can tell. */
  async #named(collection: string, why: string): Promise<RehydrateError> {
    for await (const { key, listed } of damagedKeys(this.#session, collection)) {
      const what = listed ? 'It is lost, or not the one the digest lists.' : 'There is a row that the digest does not list.'
      return stateCorrupt({ collection, key }, what)
    }
    return new RehydrateError('STATE_CORRUPT', { message: `The digest of ${collection} is not what its entries give.`, collection, why })
  }

  async #breathe(): Promise<void> {
    await this.#clock.sleep(0)
    if (this.#signal.aborted) {
      throw new RehydrateError('RUN_STOPPED', { message: 'Stopped while the state was read.', safe: 'Nothing was changed.' })
    }
  }
}

/**
 * Keys whose rows are not the ones that the digest lists, or do not fit the hash that is stored with them. `listed`: the digest has the
 * key. The pages of the digest must be sound.
 */
export async function* damagedKeys(
  session: StoreSession, collection: string,
): AsyncGenerator<{ readonly key: string; readonly listed: boolean }, void> {
  const unfit = new Set<string>()
  const scan = (): AsyncIterable<RowBlock> => rowsOf(session, collection, unfit)
  for await (const keys of diffRows(collection, pagesOf(session), scan, { memoryBytes: ARENA_BYTES })) {
    for (const { key, rebuilt } of keys) {
      unfit.delete(key)
      yield { key, listed: rebuilt !== null }
    }
  }
  for (const key of unfit) yield { key, listed: true }
}

/** Rows are hashed as they are; those whose stored hash is another, and those that can not be read, go into `unfit`. */
async function* rowsOf(session: StoreSession, collection: string, unfit: Set<string>): AsyncGenerator<RowBlock> {
  for await (const entries of readablePages(session, collection, unfit)) {
    const ends: number[] = []
    let end = 0
    for (const { bytes } of entries) ends.push(end += bytes.length)
    const hashes = hashValues(entries.map(({ bytes }) => bytes))
    entries.forEach(({ key, hash }, i) => {
      if (Buffer.compare(hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES), hash) !== 0) unfit.add(key)
    })
    yield { keys: entries.map(({ key }) => key), bytes: Buffer.concat(entries.map(({ bytes }) => bytes)), ends }
  }
}

/** A store that keeps columns can not read what was never written to them: such a row is passed over, where its key can be told. */
async function* readablePages(session: StoreSession, collection: string, unfit: Set<string>): AsyncGenerator<readonly Entry[]> {
  let after: string | null = null
  for (let limit = SCAN_PAGE; ;) {
    let page: readonly Entry[]
    try {
      page = await session.scan(collection, after, limit)
    } catch (error) {
      const key = isRehydrateError(error) && error.code === 'STATE_CORRUPT' ? error.details.key : undefined
      // A key that is not where the order has it would be met for ever.
      if (key === undefined || (after !== null && compareUtf8(key, after) <= 0)) throw error
      if (limit === 1) {
        after = key
        unfit.add(key)
      }
      // One by one from here on, so that all others are read.
      limit = 1
      continue
    }
    if (page.length > 0) yield page
    if (page.length < limit) return
    after = (page[page.length - 1] as Entry).key
  }
}

function assertRoots({ root, control }: Manifest, roots: Readonly<Record<string, CollectionRoot>>): void {
  const over = (belongs: (name: string) => boolean): string => rootOfCollections(Object.entries(roots).filter(([name]) => belongs(name)))
  const actual = { root: over((name) => !name.startsWith('$')), control: over((name) => CONTROL.has(name)) }
  if (actual.root === root && actual.control === control) return
  throw new RehydrateError('STATE_CORRUPT', {
    message: 'The roots of the manifest are not those of the collections.', expected: { root, control }, actual,
  })
}
