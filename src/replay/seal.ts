import { EntryArena } from '../digest/arena.js'
import { hashEntries } from '../digest/batch.js'
import { TrieBuilder } from '../digest/builder.js'
import { KeySet, type KeySum } from '../digest/key-set.js'
import type { TrieRoot } from '../digest/pages.js'
import { RehydrateError } from '../errors.js'
import type { EntryKey, PutEntry, StoreSession } from '../store/contract.js'
import type { Value } from '../value/canonical.js'
import type { Clock } from './api.js'
import type { Committer } from './commit.js'
import { scanIntact } from './intact.js'
import { DIGEST } from './listed.js'
import { MARKS, scanAll, SCAN_PAGE } from './state.js'
import { assertIntact } from './working-set.js'

/** Memory for sorting key hashes; a larger state is scanned in several passes. */
const ARENA_BYTES = 256 * 1024 * 1024
/** Pages held before they are written. */
const PAGES_PER_COMMIT = 50_000
const SAMPLE_ENTRIES = 1_000

export interface SealPorts {
  readonly session: StoreSession
  readonly committer: Committer
  readonly clock: Clock
  readonly signal: AbortSignal
}

/**
 * Builds the digest from the stored bytes, each of which is re-read and checked against its hash: a cached hash proves what was
 * meant to be written, not what is there. Pages go into the store as they are made; the checkpoint stays pending until the seal.
 * False where the signal came first. STATE_CORRUPT names the entry that is not what was written.
 */
export async function buildDigest({ session, committer, clock, signal }: SealPorts): Promise<boolean> {
  await clearPages(session, committer)
  const roots = new Map<string, TrieRoot>()
  let pages: Plain[] = []
  const flush = async (least: number): Promise<void> => {
    if (pages.length < least) return
    const ready = pages
    pages = []
    await committer.commitPages(hashEntries(ready), [])
  }
  const collections = (await session.collections()).filter((name) => name !== DIGEST && name !== MARKS)
  for (const collection of new Set([...collections, ...committer.counted])) {
    const builder = new TrieBuilder(collection, (key, page) => pages.push({ collection: DIGEST, key, value: page }))
    const arena = new EntryArena(ARENA_BYTES, true)
    const stored = new KeySet(undefined)
    for (let pass = 0; !arena.isComplete; pass++) {
      for await (const { keyHashes, valueHashes, keys } of scanIntact(session, collection)) {
        arena.add(keyHashes, valueHashes, keys)
        if (pass === 0) stored.addHashes(keyHashes)
        await clock.sleep(0)
        if (signal.aborted) return false
      }
      if (pass === 0) assertKeys(committer, collection, stored.value)
      for (const _ of arena.drain(builder)) await flush(PAGES_PER_COMMIT)
    }
    const root = builder.finish()
    if (root.count > 0) roots.set(collection, root)
    await flush(PAGES_PER_COMMIT)
  }
  await flush(1)
  committer.digestBuilt(roots)
  return true
}

type Plain = { readonly collection: string; readonly key: string; readonly value: Value }

/** vh covers a row's value, not its key, and a row that is gone has none: the count of keys finds both. */
function assertKeys(committer: Committer, collection: string, stored: KeySum): void {
  const written = committer.keysOf(collection)
  if (!committer.counted.includes(collection) || (stored.count === written.count && stored.sum === written.sum)) return
  throw new RehydrateError('STATE_CORRUPT', {
    message: stored.count === written.count
      ? `The stored keys of ${collection} are not the ones that were written.`
      : `${collection} holds ${stored.count} keys, and ${written.count} were written.`,
    collection, expected: written.count, actual: stored.count,
  })
}

/** What a build that did not finish has left. */
async function clearPages(session: StoreSession, committer: Committer): Promise<void> {
  const keys: EntryKey[] = []
  for await (const { key } of scanAll(session, DIGEST)) keys.push({ collection: DIGEST, key })
  if (keys.length > 0) await committer.commitPages([] as PutEntry[], keys)
}

/** Re-reads some entries from a random place of each collection: a cheap look for rot. STATE_CORRUPT. */
export async function sampleStore(session: StoreSession, token: () => string): Promise<void> {
  for (const collection of await session.collections()) {
    const [first] = await session.scan(collection, null, 1)
    if (first === undefined) continue
    let entries = await session.scan(collection, randomPlace(first.key, token()), SAMPLE_ENTRIES)
    if (entries.length < SAMPLE_ENTRIES) entries = await session.scan(collection, null, SCAN_PAGE)
    assertIntact(entries)
  }
}

/** A key somewhere among the others: it shares a random part of the first one's beginning, as keys of a kind do, and then differs. */
function randomPlace(first: string, token: string): string {
  const number = Number.parseInt(token.replace(/[^0-9a-f]/g, '').slice(0, 10), 16)
  const shared = number % (first.length + 1)
  return `${first.slice(0, shared)}${String.fromCharCode(0x21 + (Math.floor(number / 2 ** 16) % 94))}`
}
