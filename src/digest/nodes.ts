import { RehydrateError, isRehydrateError } from '../errors.js'
import { hashKeys } from './batch.js'
import { type Entries, NO_ENTRIES, keysOfEntries, readEntries, sliceOfEntries } from './entries.js'
import { BUCKET_CAPACITY, EMPTY_TRIE_HASH, HASH_BYTES, TAG, collectionRoot, formatHash, sha256 } from './hash.js'
import { compareHashes } from './order.js'
import {
  ENTRY_BYTES, GROUP_LEVELS, GROUP_WIDTH, NIBBLES, bucketKey, corruptPage, groupKey, nibbleAt, readGroup, readRoot, rootBody,
} from './pages.js'

/** Loads pages of `$digest` by key; those that are not there are left out. */
export type LoadPages = (keys: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>

/**
 * A node of a trie that lies in pages, as one walk sees it. Where its page is not read yet, `count` and `trieHash` are what the node
 * above says.
 */
export interface Node {
  readonly isGroup: boolean
  /** Nibbles to the group on whose page the node is listed. */
  readonly path: string
  /** Levels below that group, 1 to 4; 0: the root. */
  readonly levels: number
  /** The first nibble it covers there, of 16 >> levels. */
  readonly start: number
  readonly count: number
  /** T of rule 3. */
  readonly trieHash: Uint8Array
  /** Of a group whose page was read: the nodes where its four levels end, from left to right. */
  children: readonly Node[] | null
  /** Of a bucket whose page was read. */
  entries: Entries | null
}

/** The nibbles to a node that begins where a group may. */
export function pathOf({ path, levels, start }: Node): string {
  return levels === 0 ? path : path + NIBBLES[start]!
}

/** At most 16 entries that stand on no page of their own, as a node: they lie where `place` does. */
export function nodeOfEntries(place: Node, entries: Entries): Node {
  return { ...place, isGroup: false, count: entries.count, trieHash: bucketHash(entries.hashes), children: null, entries }
}

/** Where the node under these nibbles lies; it holds nothing yet. */
export function placeOf(path: string): Node {
  const levels = path === '' ? 0 : GROUP_LEVELS
  const start = path === '' ? 0 : NIBBLES.indexOf(path[path.length - 1]!)
  const empty = { count: 0, trieHash: EMPTY_TRIE_HASH, children: null, entries: NO_ENTRIES }
  return { isGroup: false, path: path.slice(0, -1), levels, start, ...empty }
}

/** They hold the same: T says so. A count that differs all the same is some page's fault, which shows where both are read. */
export function isSame(a: Node, b: Node): boolean {
  return a.count === b.count && compareHashes(a.trieHash, 0, b.trieHash, 0) === 0
}

/** The first of the entries, from `from` on, that does not lie below the node; those before it do. */
export function endBelow(node: Node, { hashes, count }: Entries, from: number): number {
  let i = from
  while (i < count && isBelow(node, hashes, i * ENTRY_BYTES)) i++
  return i
}

/** Those of the entries that lie below the node. */
export function entriesBelow(node: Node, entries: Entries): Entries {
  let from = 0
  while (from < entries.count && !isBelow(node, entries.hashes, from * ENTRY_BYTES)) from++
  return sliceOfEntries(entries, from, endBelow(node, entries, from))
}

/** T of rule 3 of at most 16 entries. */
export function bucketHash(entries: Uint8Array): Uint8Array {
  const message = new Uint8Array(1 + entries.length)
  message[0] = TAG.BUCKET
  message.set(entries, 1)
  return sha256(message)
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  const message = new Uint8Array(1 + 2 * HASH_BYTES)
  message[0] = TAG.NODE
  message.set(left, 1)
  message.set(right, 1 + HASH_BYTES)
  return sha256(message)
}

/** The error for a page that is missing, or is not what the page above it or its own key says. */
export type Refuse = (pageKey: string, cause?: RehydrateError) => Error

/** STATE_CORRUPT. */
export const refuseOwn: Refuse = (pageKey, cause) => cause ?? corruptPage(pageKey)

/** AGAINST_INVALID. */
export const refuseAgainst: Refuse = (pageKey, cause) => new RehydrateError('AGAINST_INVALID', {
  message: `Page ${pageKey} of the other side's digest is missing, or does not give the hash that lists it.`,
  collection: '$digest', key: pageKey, cause,
})

/**
 * Reads a trie from its pages. Every page is checked: count and T against what lists it, order and beginning of its kh, and that
 * each kh is of the key that stands with it.
 */
export class TrieReader {
  readonly #collection: string
  readonly #load: LoadPages
  readonly #refuse: Refuse

  constructor(collection: string, load: LoadPages, refuse: Refuse) {
    this.#collection = collection
    this.#load = load
    this.#refuse = refuse
  }

  /** The root, read. `expected`: the collection root it must have, `sh1:…`. */
  async root(expected: string | null): Promise<Node> {
    const key = groupKey(this.#collection, '')
    const page = (await this.#load([key])).get(key)
    const { count, trieHash } = page === undefined ? { count: 0, trieHash: EMPTY_TRIE_HASH } : this.#head(page, key)
    if (expected !== null && formatHash(collectionRoot(count, trieHash)) !== expected) throw this.#refuse(key)
    const isGroup = count > BUCKET_CAPACITY
    const root: Node = { isGroup, path: '', levels: 0, start: 0, count, trieHash, children: null, entries: null }
    if (page === undefined) root.entries = NO_ENTRIES
    else this.#readAll([root], new Map([[key, page]]))
    return root
  }

  /** Reads the pages of these nodes, those that are not read yet, in one request. */
  async read(nodes: readonly Node[]): Promise<void> {
    const missing: Node[] = []
    for (const node of nodes) {
      if (node.children !== null || node.entries !== null) continue
      if (node.count > 0) missing.push(node)
      else node.entries = NO_ENTRIES
    }
    if (missing.length > 0) this.#readAll(missing, await this.#load(missing.map((node) => this.#keyOf(node))))
  }

  #head(page: Uint8Array, key: string): { count: number; trieHash: Uint8Array } {
    try {
      const root = readRoot(page)
      if (root.count > 0) return root
    } catch (error) {
      throw this.#refuse(key, isRehydrateError(error) ? error : undefined)
    }
    throw this.#refuse(key)
  }

  #readAll(nodes: readonly Node[], pages: ReadonlyMap<string, Uint8Array>): void {
    const buckets: Node[] = []
    for (const node of nodes) {
      const key = this.#keyOf(node)
      const whole = pages.get(key)
      if (whole === undefined) throw this.#refuse(key)
      const page = node.levels === 0 ? rootBody(whole) : whole
      if (node.isGroup) {
        node.children = this.#readGroup(node, page, key)
      } else {
        node.entries = readEntries(page, node.count)
        if (node.entries === null || !isBucketOf(node, node.entries.hashes)) throw this.#refuse(key)
        buckets.push(node)
      }
    }
    this.#assertKeys(buckets)
  }

  #readGroup(node: Node, page: Uint8Array, key: string): readonly Node[] {
    const path = pathOf(node)
    const children = path.length >= MAX_PATH ? null : readGroup(page, (isGroup, levels, start, count, hashAt): Node => ({
      isGroup, path, levels, start, count, trieHash: page.subarray(hashAt, hashAt + HASH_BYTES), children: null, entries: null,
    }))
    if (children === null || !isGroupOf(node, children)) throw this.#refuse(key)
    return children
  }

  /** Each kh is of the key that stands with it; bytes that are not UTF-8 are not. */
  #assertKeys(buckets: readonly Node[]): void {
    const hashes = hashKeys(buckets.flatMap(({ entries }) => keysOfEntries(entries!)))
    let at = 0
    for (const bucket of buckets) {
      const entries = bucket.entries!
      for (let i = 0; i < entries.count; i++, at += HASH_BYTES) {
        if (compareHashes(hashes, at, entries.hashes, i * ENTRY_BYTES) !== 0) throw this.#refuse(this.#keyOf(bucket))
      }
    }
  }

  #keyOf(node: Node): string {
    return node.isGroup || node.levels === 0
      ? groupKey(this.#collection, pathOf(node))
      : bucketKey(this.#collection, node.path, node.levels, node.start)
  }
}

/** Nibbles of a kh. */
const MAX_PATH = (HASH_BYTES * 8) / GROUP_LEVELS

/** They give the node's T, ascend strictly, and lie below the node. */
function isBucketOf(node: Node, hashes: Uint8Array): boolean {
  for (let at = 0; at < hashes.length; at += ENTRY_BYTES) {
    if (!isBelow(node, hashes, at) || (at > 0 && compareHashes(hashes, at - ENTRY_BYTES, hashes, at) >= 0)) return false
  }
  return compareHashes(bucketHash(hashes), 0, node.trieHash, 0) === 0
}

/** The kh at this place begins like the node. */
export function isBelow({ path, levels, start }: Node, hashes: Uint8Array, at: number): boolean {
  for (let i = 0; i < path.length; i++) if (NIBBLES[nibbleAt(hashes, at, i)] !== path[i]) return false
  return levels === 0 || (nibbleAt(hashes, at, path.length) ^ start) < GROUP_WIDTH >>> levels
}

function isGroupOf(node: Node, children: readonly Node[]): boolean {
  let next = 0
  /** Count and T of the node so many levels below; null where it ought to be a bucket. */
  const fold = (levels: number): { count: number; trieHash: Uint8Array } | null => {
    const child = children[next]
    if (child === undefined || child.levels < levels) return null
    if (child.levels === levels) {
      next++
      return child
    }
    const left = fold(levels + 1)
    const right = fold(levels + 1)
    if (left === null || right === null || left.count + right.count <= BUCKET_CAPACITY) return null
    return { count: left.count + right.count, trieHash: nodeHash(left.trieHash, right.trieHash) }
  }
  const folded = fold(0)
  if (folded === null || folded.count !== node.count || compareHashes(folded.trieHash, 0, node.trieHash, 0) !== 0) return false
  return children.every(({ count, trieHash }) => count > 0 || compareHashes(trieHash, 0, EMPTY_TRIE_HASH, 0) === 0)
}
