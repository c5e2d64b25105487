import { NO_ENTRIES } from './entries.js'
import { BUCKET_CAPACITY, EMPTY_TRIE_HASH, HASH_BYTES, collectionRoot, hashKey } from './hash.js'
import { type LoadPages, type Node, TrieReader, bucketHash, isBelow, nodeHash, refuseOwn } from './nodes.js'
import { compareHashes } from './order.js'
import { ENTRY_BYTES, GROUP_WIDTH } from './pages.js'

/** What shows that a key is in a collection with a root, or is not in it: where it is or would be, and what lies beside the way. */
export interface KeyPath {
  /** Live keys of the collection. */
  readonly count: number
  /** Of the key's bucket: kh ‖ vh, 64 bytes each, ascending. Hashes only: the neighbours' keys are nobody's business. */
  readonly entries: Uint8Array
  /** T of the node beside each one on the way, 32 bytes, from the bucket up: as many as the bucket is deep. */
  readonly siblings: readonly Uint8Array[]
}

const MAX_DEPTH = HASH_BYTES * 8

/** The way to a key, there or not, with one load of a page per four levels. STATE_CORRUPT. */
export async function provePath(collection: string, key: string, load: LoadPages): Promise<KeyPath> {
  const reader = new TrieReader(collection, load, refuseOwn)
  const root = await reader.root(null)
  const keyHash = hashKey(key)
  const siblings: Uint8Array[] = []
  let node = root
  while (node.isGroup) {
    await reader.read([node])
    const next = node.children!.find((child) => isBelow(child, keyHash, 0))!
    siblings.unshift(...siblingsOf(next, node.children!))
    node = next
  }
  await reader.read([node])
  return { count: root.count, entries: (node.entries ?? NO_ENTRIES).hashes.slice(), siblings }
}

/** Beside the way from a group down to one of its children, the lowest first. */
function siblingsOf(child: Node, children: readonly Node[]): Uint8Array[] {
  return Array.from({ length: child.levels }, (_, i) => {
    const levels = child.levels - i
    const width = GROUP_WIDTH >>> levels
    const start = (child.start & ~(width - 1)) ^ width
    return foldedHash(children, levels, start).slice()
  })
}

/** T of the node so many levels below a group that begins at nibble `start`, over the group's children. */
function foldedHash(children: readonly Node[], levels: number, start: number): Uint8Array {
  const child = children.find((candidate) => candidate.start === start && candidate.levels === levels)
  if (child !== undefined) return child.trieHash
  return nodeHash(foldedHash(children, levels + 1, start), foldedHash(children, levels + 1, start + (GROUP_WIDTH >>> (levels + 1))))
}

/**
 * The collection root (rule 4) of every collection in which the key with this kh has this vh, or is absent (null), and lies where the
 * path says. Null where the path shows no such thing, or is none: who made it may be anybody.
 */
export function rootOfPath({ count, entries, siblings }: KeyPath, keyHash: Uint8Array, valueHash: Uint8Array | null): Uint8Array | null {
  const depth = siblings.length
  const held = entries.length / ENTRY_BYTES
  if (keyHash.length !== HASH_BYTES || depth > MAX_DEPTH || siblings.some((hash) => hash.length !== HASH_BYTES)) return null
  if (!Number.isInteger(held) || held > BUCKET_CAPACITY || !Number.isSafeInteger(count)) return null
  // A bucket at the root is all there is; one below it is part of more than fits a bucket, and so is the node above it.
  if (depth === 0 ? count !== held : count <= BUCKET_CAPACITY) return null
  if (depth > 0 && compareHashes(siblings[0]!, 0, EMPTY_TRIE_HASH, 0) === 0) return null
  if (!isBucketAt(keyHash, depth, entries) || !holds(entries, keyHash, valueHash)) return null
  let hash = bucketHash(entries)
  siblings.forEach((sibling, i) => {
    hash = bitAt(keyHash, 0, depth - 1 - i) === 1 ? nodeHash(sibling, hash) : nodeHash(hash, sibling)
  })
  return collectionRoot(count, hash)
}

/** The entries ascend strictly, and begin with the same bits as the kh. */
function isBucketAt(keyHash: Uint8Array, depth: number, entries: Uint8Array): boolean {
  for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
    if (at > 0 && compareHashes(entries, at - ENTRY_BYTES, entries, at) >= 0) return false
    for (let bit = 0; bit < depth; bit++) if (bitAt(entries, at, bit) !== bitAt(keyHash, 0, bit)) return false
  }
  return true
}

/** Among the entries the kh has this vh; null: is not there. */
function holds(entries: Uint8Array, keyHash: Uint8Array, valueHash: Uint8Array | null): boolean {
  for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
    if (compareHashes(entries, at, keyHash, 0) !== 0) continue
    return valueHash?.length === HASH_BYTES && compareHashes(entries, at + HASH_BYTES, valueHash, 0) === 0
  }
  return valueHash === null
}

function bitAt(hashes: Uint8Array, at: number, bit: number): number {
  return (hashes[at + (bit >>> 3)]! >>> (7 - (bit & 7))) & 1
}
