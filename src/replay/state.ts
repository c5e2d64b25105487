import { EntryArena } from '../digest/arena.js'
import { hashKeys } from '../digest/batch.js'
import { TrieBuilder } from '../digest/builder.js'
import { collectionRoot, formatHash } from '../digest/hash.js'
import { KeySet, type KeySum } from '../digest/key-set.js'
import { RehydrateError } from '../errors.js'
import { positionFromJson, type Position } from '../log/position.js'
import type { Mark } from '../log/source.js'
import type { Collection, Projection } from '../projection/define.js'
import type { Checkpoint } from '../store/checkpoint.js'
import type { Entry, StateStore, StoreSession } from '../store/contract.js'
import type { Value } from '../value/canonical.js'
import { assertListed } from './listed.js'
import { assertIntact, checkedValue, decodedValue } from './working-set.js'

/** Marks of the source: partition → Mark. */
export const MARKS = '$marks'
/** Where the merge of order 'time' stands: partition → MergePoint. */
export const MERGE = '$merge'

/** How many entries one scan asks for. */
export const SCAN_PAGE = 1_000

/** A sealed or growing state, read at one pinned checkpoint. */
export interface State {
  readonly generation: number
  readonly checkpoint: Checkpoint
  readonly position: Position
  /** State root, `sh1:<hex>`; null while the digest is pending. */
  readonly root: string | null
  /** What the source was asked to remember at `position`: whether it is still the same log. */
  readonly marks: ReadonlyMap<string, Mark>
  /** Undefined where there is none. STATE_CORRUPT where the stored bytes do not fit their hash. */
  get(collection: string, key: string): Promise<Value | undefined>
  /** Up to `limit` entries with key > after (null: from the first), ascending by UTF-8 bytes. */
  scan(collection: string, after: string | null, limit: number): Promise<readonly { readonly key: string; readonly value: Value }[]>
  /** Idempotent. */
  close(): Promise<void>
}

/**
 * Opens a state for reading: the live generation, or the one named. STORE_NOT_FOUND where nothing is live,
 * STORE_GENERATION where the named one has no checkpoint. CONFIG_INVALID for a collection the projection does not have.
 */
export async function openState(
  store: StateStore, options: { readonly projection: Projection; readonly generation?: number },
): Promise<State> {
  const generation = options.generation ?? (await liveGeneration(store))
  const session = await store.open({ generation, mode: 'read' })
  const { checkpoint } = session
  if (checkpoint === null) {
    await session.close()
    throw new RehydrateError('STORE_GENERATION', { message: `Generation ${generation} has no checkpoint yet.` })
  }
  const marks = await readEngineCollection<Mark>(session, MARKS, checkpoint).catch(async (error: unknown) => {
    await session.close()
    throw error
  })
  const collectionOf = (name: string): Collection => {
    const found = options.projection.collections.find((collection) => collection.name === name)
    if (found !== undefined) return found
    const names = options.projection.collections.map((collection) => collection.name).join(', ')
    throw new RehydrateError('CONFIG_INVALID', { message: `There is no collection ${name}.`, collection: name, expected: names })
  }
  const valueOf = (entry: Entry): { key: string; value: Value } =>
    ({ key: entry.key, value: checkedValue(entry, collectionOf(entry.collection)) })
  return {
    generation, checkpoint, marks,
    position: positionFromJson(checkpoint.manifest.position),
    root: checkpoint.manifest.root,
    async get(collection, key) {
      const [entry] = await session.load(collectionOf(collection).name, [key])
      if (entry !== undefined) return valueOf(entry).value
      // Where the digest is kept, it knows whether the key is really absent.
      if (checkpoint.collections !== null) await assertListed(session, collection, [key])
      return undefined
    },
    async scan(collection, after, limit) {
      return (await session.scan(collectionOf(collection).name, after, limit)).map(valueOf)
    },
    close: () => session.close(),
  }
}

/** The live generation. STORE_NOT_FOUND where there is none, STATE_CORRUPT where a row and its checkpoint do not say the same. */
export async function liveGeneration(store: StateStore): Promise<number> {
  const rows = await store.generations()
  const unmarked = rows.find(({ checkpoint, everSealed }) => checkpoint?.manifest.sealed === true && !everSealed)
  if (unmarked !== undefined) {
    throw new RehydrateError('STATE_CORRUPT', {
      message: `Generation ${unmarked.generation} stands at a seal, and its row says that it was never sealed.`,
    })
  }
  const live = rows.find((row) => row.live)
  if (live !== undefined) return live.generation
  throw new RehydrateError('STORE_NOT_FOUND', {
    message: rows.length === 0 ? 'The store holds nothing yet.' : 'No generation of the store is live: none was sealed yet.',
    fix: rows.length === 0 ? '`rehydrate replay` fills it.' : 'Let the replay finish, or name one with --generation N.',
  })
}

/**
 * A whole collection of the engine, decoded. For the small ones only. STATE_CORRUPT where its rows are not the ones `checkpoint`
 * lists or has counted: a lost row would change how the next event applies.
 */
export async function readEngineCollection<T>(
  session: StoreSession, collection: string, checkpoint: Checkpoint | null,
): Promise<Map<string, T>> {
  const entries: Entry[] = []
  for await (const entry of scanAll(session, collection)) entries.push(entry)
  const keyHashes = hashKeys(entries.map(({ key }) => key))
  const arena = new EntryArena(Infinity)
  arena.add(keyHashes, assertIntact(entries))
  const found = new Map(entries.map((entry) => [entry.key, decodedValue(entry, null) as T]))
  if (checkpoint === null || collection === MARKS) return found
  const isListed = checkpoint.collections === null
    ? hasKeys(checkpoint.keys?.[collection], keyHashes)
    : (checkpoint.collections[collection]?.root ?? null) === (entries.length === 0 ? null : rootOf(collection, arena))
  if (isListed) return found
  throw new RehydrateError('STATE_CORRUPT', {
    message: `The stored entries of ${collection} are not the ones the checkpoint lists.`, collection,
  })
}

/** Undefined: they were not counted. */
function hasKeys(counted: KeySum | undefined, keyHashes: Uint8Array): boolean {
  const stored = new KeySet(undefined)
  stored.addHashes(keyHashes)
  return counted === undefined || (stored.value.count === counted.count && stored.value.sum === counted.sum)
}

/** Collection root of all the entries that were gathered, `sh1:<hex>`. */
export function rootOf(collection: string, entries: EntryArena): string {
  const builder = new TrieBuilder(collection, null)
  for (const _ of entries.drain(builder));
  const { count, trieHash } = builder.finish()
  return formatHash(collectionRoot(count, trieHash))
}

/** Every entry of a collection, page by page. */
export async function* scanAll(session: StoreSession, collection: string): AsyncGenerator<Entry> {
  for await (const page of scanPages(session, collection)) yield* page
}

export async function* scanPages(session: StoreSession, collection: string): AsyncGenerator<readonly Entry[]> {
  let after: string | null = null
  for (;;) {
    const page: readonly Entry[] = await session.scan(collection, after, SCAN_PAGE)
    if (page.length > 0) yield page
    if (page.length < SCAN_PAGE) return
    after = (page[page.length - 1] as Entry).key
  }
}
