import { hashEntries, hashKeys } from '../digest/batch.js'
import type { TrieChange } from '../digest/changes.js'
import { collectionRoot, formatHash, HASH_BYTES } from '../digest/hash.js'
import { updateTrie } from '../digest/trie.js'
import type { CollectionRoot } from '../store/checkpoint.js'
import type { EntryKey, PutEntry, StoreSession } from '../store/contract.js'
import type { Value } from '../value/canonical.js'
import { DIGEST, pagesOf } from './listed.js'
import { ownerKey } from './owners.js'
import { MARKS } from './state.js'

/** Roots of the collections that hold something, `$` ones included, by name. */
export type Roots = Readonly<Record<string, CollectionRoot>>

/** Pages to write and to remove, and the roots with them. */
export interface DigestUpdate {
  readonly roots: Roots
  readonly puts: readonly PutEntry[]
  readonly deletes: readonly EntryKey[]
}

/**
 * Brings the tries of all changed collections up to date. `read`: what the store gave for the keys that were read, by owner key, which
 * must be what the digest lists (STATE_CORRUPT); of others it is not asked.
 */
export async function updateDigest(
  session: StoreSession, before: Roots, changes: { readonly puts: readonly PutEntry[]; readonly deletes: readonly EntryKey[] },
  read: ReadonlyMap<string, string | null> = new Map(),
): Promise<DigestUpdate> {
  const pages: { collection: string; key: string; value: Value }[] = []
  const gone: EntryKey[] = []
  const roots: Record<string, CollectionRoot> = { ...before }
  for (const [collection, changed] of changesByCollection(changes.puts, changes.deletes, read)) {
    const update = await updateTrie(collection, changed, pagesOf(session))
    for (const { key, page } of update.puts) pages.push({ collection: DIGEST, key, value: page })
    for (const key of update.deletes) gone.push({ collection: DIGEST, key })
    roots[collection] = { count: update.count, root: formatHash(collectionRoot(update.count, update.trieHash)) }
  }
  const present = Object.fromEntries(Object.entries(roots).filter(([, { count }]) => count > 0))
  return { roots: present, puts: [...hashEntries(pages)], deletes: gone }
}

/** `$marks` is not part of any root. */
function changesByCollection(
  puts: readonly PutEntry[], deletes: readonly EntryKey[], read: ReadonlyMap<string, string | null>,
): Map<string, TrieChange[]> {
  const collections = new Map<string, { key: string; hash: Uint8Array | null }[]>()
  const add = (collection: string, key: string, hash: Uint8Array | null): void => {
    if (collection === MARKS) return
    const list = collections.get(collection)
    if (list === undefined) collections.set(collection, [{ key, hash }])
    else list.push({ key, hash })
  }
  for (const { collection, key, hash } of puts) add(collection, key, hash)
  for (const { collection, key } of deletes) add(collection, key, null)
  return new Map([...collections].map(([collection, list]) => {
    const keyHashes = hashKeys(list.map(({ key }) => key))
    return [collection, list.map(({ key, hash: valueHash }, i): TrieChange => {
      const keyHash = keyHashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)
      return { key, keyHash, valueHash, was: read.get(ownerKey(collection, key)) }
    })]
  }))
}
