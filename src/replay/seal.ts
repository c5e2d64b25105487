import { EntryArena } from '../digest/arena.js'
import { hashEntries, hashKeys } from '../digest/batch.js'
import { TrieBuilder } from '../digest/builder.js'
import type { TrieRoot } from '../digest/pages.js'
import type { EntryKey, PutEntry, StoreSession } from '../store/contract.js'
import type { Value } from '../value/canonical.js'
import type { Clock } from './api.js'
import type { Committer } from './commit.js'
import { DIGEST, MARKS, scanAll, scanPages, SCAN_PAGE } from './state.js'
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
  for (const collection of await session.collections()) {
    if (collection === DIGEST || collection === MARKS) continue
    const builder = new TrieBuilder(collection, (key, page) => pages.push({ collection: DIGEST, key, value: page }))
    const arena = new EntryArena(ARENA_BYTES)
    do {
      for await (const entries of scanPages(session, collection)) {
        arena.add(hashKeys(entries.map(({ key }) => key)), assertIntact(entries))
        await clock.sleep(0)
        if (signal.aborted) return false
      }
      for (const _ of arena.drain(builder)) await flush(PAGES_PER_COMMIT)
    } while (!arena.isComplete)
    roots.set(collection, builder.finish())
    await flush(PAGES_PER_COMMIT)
  }
  await flush(1)
  committer.digestBuilt(roots)
  return true
}

type Plain = { readonly collection: string; readonly key: string; readonly value: Value }

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
