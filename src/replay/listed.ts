import { hashKeys } from '../digest/batch.js'
import { latin1 } from '../digest/changes.js'
import { HASH_BYTES } from '../digest/hash.js'
import { updateTrie, type LoadPages } from '../digest/trie.js'
import type { StoreSession } from '../store/contract.js'
import { binaryOf } from '../value/canonical.js'
import { assertIntact } from './working-set.js'

/** Pages of the hash tries. */
export const DIGEST = '$digest'

/** Pages of the digest as a store keeps them; STATE_CORRUPT for one that is not what was written. */
export function pagesOf(session: StoreSession): LoadPages {
  return async (keys) => {
    const entries = await session.load(DIGEST, keys)
    assertIntact(entries)
    return new Map(entries.map((entry) => [entry.key, binaryOf(entry.bytes)]))
  }
}

/** Reads these keys and compares them with what the digest lists. STATE_CORRUPT for a row that is lost, new, replaced or damaged. */
export async function assertListed(session: StoreSession, collection: string, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return
  const entries = await session.load(collection, keys)
  assertIntact(entries)
  const found = new Map(entries.map(({ key, hash }) => [key, hash]))
  const keyHashes = hashKeys(keys)
  const changes = keys.map((key, i) => {
    const hash = found.get(key) ?? null
    const keyHash = keyHashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)
    // A change to what is there already changes nothing; but it must be what is listed.
    return { key, keyHash, valueHash: hash, was: hash === null ? null : latin1(hash) }
  })
  await updateTrie(collection, changes, pagesOf(session))
}
