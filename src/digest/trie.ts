import { RehydrateError } from '../errors.js'
import { compareHashes, prefixAt } from './arena.js'
import { TrieBuilder } from './builder.js'
import { BUCKET_CAPACITY, HASH_BYTES } from './hash.js'
import {
  type Item, type TrieRoot, ENTRY_BYTES, bitAt, bucketKey, corruptPage, groupKey, readGroup, readRoot, rootBody, rootKey,
} from './pages.js'

/** One key that was written (`valueHash` = vh) or deleted (null) since the trie stood as it is stored. */
export interface TrieChange {
  readonly keyHash: Uint8Array
  readonly valueHash: Uint8Array | null
}

/** Loads pages of `$digest` by key; those that are not there are left out. */
export type LoadPages = (keys: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>

export interface TrieUpdate extends TrieRoot {
  /** Pages that are new or other than before. */
  readonly puts: readonly { readonly key: string; readonly page: Uint8Array }[]
  /** Keys of pages that are no more. */
  readonly deletes: readonly string[]
}

/**
 * Brings the trie of a collection up to date: loads, computes and writes the pages on the paths of the changed keys only, with
 * one batched load per four levels of the trie. Deleting an absent key and writing an equal value change nothing.
 * The pages are the ones TrieBuilder makes of the same entries. UNEXPECTED for a key hash that comes twice.
 */
export async function updateTrie(
  collection: string, changes: readonly TrieChange[], load: LoadPages,
): Promise<TrieUpdate> {
  const update = new Update(collection, sortChanges(changes), load)
  return update.run()
}

/** A node of the stored trie as this update sees it. `changes` [from, to) are those below it. */
interface Touched {
  readonly item: Item
  readonly from: number
  readonly to: number
  /** Of a group, once loaded. */
  children: readonly Touched[] | null
  /** Of a bucket, once loaded and brought up to date: kh ‖ vh each. */
  entries: Uint8Array | null
  /** After the changes. */
  count: number
}

class Update {
  readonly #collection: string
  readonly #changes: readonly TrieChange[]
  readonly #load: LoadPages
  /** Every page that was loaded; what is not emitted again is deleted. */
  readonly #loaded = new Map<string, Uint8Array>()

  constructor(collection: string, changes: readonly TrieChange[], load: LoadPages) {
    this.#collection = collection
    this.#changes = changes
    this.#load = load
  }

  async run(): Promise<TrieUpdate> {
    const root = await this.#loadRoot()
    await this.#loadTouched([root])
    const missing = new Set<Touched>()
    this.#recount(root, missing)
    await this.#loadBuckets([...missing])
    return this.#rebuild(root)
  }

  async #loadRoot(): Promise<Touched> {
    const key = rootKey(this.#collection)
    const page = (await this.#load([key])).get(key)
    if (page !== undefined) this.#loaded.set(key, page)
    const count = page === undefined ? 0 : readRoot(page).count
    const prefix = new Uint8Array(HASH_BYTES)
    const isGroup = count > BUCKET_CAPACITY
    return touched({ isGroup, depth: 0, prefix, count, hash: prefix }, 0, this.#changes.length)
  }

  /** Level by level: the groups and buckets that have changes below them. */
  async #loadTouched(level: readonly Touched[]): Promise<void> {
    for (let groups = level; groups.length > 0;) {
      await this.#loadPages(groups)
      groups = groups.flatMap((node) => this.#open(node)).filter((child) => child.from < child.to)
    }
  }

  /** Reads a loaded page. Returns the children of a group. */
  #open(node: Touched): readonly Touched[] {
    const page = this.#pageOf(node)
    if (!node.item.isGroup) {
      node.entries = this.#merge(page, node)
      node.count = node.entries.length / ENTRY_BYTES
      return []
    }
    let from = node.from
    node.children = readGroup(page, node.item.prefix, node.item.depth).map((item) => {
      let to = from
      while (to < node.to && sharesBits(this.#changes[to]!.keyHash, item.prefix, item.depth)) to++
      const child = touched(item, from, to)
      from = to
      return child
    })
    return node.children
  }

  #pageOf(node: Touched): Uint8Array {
    if (node.item.count === 0) return EMPTY
    const key = this.#keyOf(node.item)
    const page = this.#loaded.get(key)
    if (page === undefined) throw corruptPage(key)
    const body = node.item.depth === 0 ? rootBody(page) : page
    if (!node.item.isGroup && body.length !== node.item.count * ENTRY_BYTES) throw corruptPage(key)
    return body
  }

  /** The entries of a bucket with its changes applied, in order. */
  #merge(page: Uint8Array, node: Touched): Uint8Array {
    const merged = new Uint8Array(page.length + (node.to - node.from) * ENTRY_BYTES)
    let at = 0
    let old = 0
    for (let i = node.from; i < node.to; i++) {
      const { keyHash, valueHash } = this.#changes[i]!
      while (old < page.length && compareHashes(page, old, keyHash, 0) < 0) {
        merged.set(page.subarray(old, old + ENTRY_BYTES), at)
        old += ENTRY_BYTES
        at += ENTRY_BYTES
      }
      if (old < page.length && compareHashes(page, old, keyHash, 0) === 0) old += ENTRY_BYTES
      if (valueHash === null) continue
      merged.set(keyHash, at)
      merged.set(valueHash, at + HASH_BYTES)
      at += ENTRY_BYTES
    }
    merged.set(page.subarray(old), at)
    return merged.subarray(0, at + page.length - old)
  }

  /** Counts after the changes; `missing` gets the unchanged buckets that must merge with a neighbour that shrank. */
  #recount(node: Touched, missing: Set<Touched>): number {
    if (node.children !== null) {
      for (const child of node.children) this.#recount(child, missing)
      node.count = this.#findMerges(node.children, node.item.depth, missing)
    }
    return node.count
  }

  /** The count below a node at `depth` that holds these children; 16 or fewer of them become one bucket. */
  #findMerges(children: readonly Touched[], depth: number, missing: Set<Touched>): number {
    const [first] = children
    if (first === undefined || (children.length === 1 && first.item.depth === depth)) return first?.count ?? 0
    const middle = children.findIndex((child) => bitAt(child.item.prefix, depth) === 1)
    const count = this.#findMerges(children.slice(0, middle), depth + 1, missing)
      + this.#findMerges(children.slice(middle), depth + 1, missing)
    if (count <= BUCKET_CAPACITY) {
      for (const child of children) if (isUnloaded(child)) missing.add(child)
    }
    return count
  }

  async #loadBuckets(buckets: readonly Touched[]): Promise<void> {
    await this.#loadPages(buckets)
    for (const bucket of buckets) bucket.entries = this.#pageOf(bucket)
  }

  async #loadPages(nodes: readonly Touched[]): Promise<void> {
    const keys = nodes.filter((node) => node.item.count > 0 && node.item.depth > 0).map((node) => this.#keyOf(node.item))
    if (keys.length === 0) return
    for (const [key, page] of await this.#load(keys)) this.#loaded.set(key, page)
  }

  #rebuild(root: Touched): TrieUpdate {
    const puts: { key: string; page: Uint8Array }[] = []
    const gone = new Set(this.#loaded.keys())
    const builder = new TrieBuilder(this.#collection, (key, page) => {
      gone.delete(key)
      const before = this.#loaded.get(key)
      if (before === undefined || Buffer.compare(before, page) !== 0) puts.push({ key, page })
    })
    feed(builder, root)
    const { count, trieHash } = builder.finish()
    return { count, trieHash, puts, deletes: [...gone] }
  }

  #keyOf(item: Item): string {
    return item.isGroup
      ? groupKey(this.#collection, item.prefix, item.depth)
      : bucketKey(this.#collection, item.prefix, item.depth)
  }
}

const EMPTY = new Uint8Array(0)

function touched(item: Item, from: number, to: number): Touched {
  return { item, from, to, children: null, entries: null, count: item.count }
}

function isUnloaded(node: Touched): boolean {
  return node.children === null && node.entries === null && node.item.count > 0
}

function feed(builder: TrieBuilder, node: Touched): void {
  if (node.children !== null) for (const child of node.children) feed(builder, child)
  else if (node.entries === null) builder.addUnchanged(node.item)
  else for (let at = 0; at < node.entries.length; at += ENTRY_BYTES) builder.add(node.entries, at)
}

function sharesBits(hash: Uint8Array, prefix: Uint8Array, depth: number): boolean {
  const whole = depth >>> 3
  for (let i = 0; i < whole; i++) if (hash[i] !== prefix[i]) return false
  const rest = depth & 7
  return rest === 0 || ((hash[whole]! ^ prefix[whole]!) >>> (8 - rest)) === 0
}

/** Ascending by kh: by the first 32 bits as numbers, which settles nearly all, then in full. */
function sortChanges(changes: readonly TrieChange[]): readonly TrieChange[] {
  const ranks = new Float64Array(changes.length)
  const scale = 2 ** Math.ceil(Math.log2(changes.length + 1))
  const prefixes = Math.min(1, 2 ** 21 / scale) // rank and index share the 53 bits of a number
  for (let i = 0; i < changes.length; i++) ranks[i] = Math.floor(prefixAt(changes[i]!.keyHash, 0) * prefixes) * scale + i
  ranks.sort()
  const sorted = Array.from(ranks, (rank) => changes[rank % scale]!)
  for (let i = 1; i < sorted.length; i++) {
    const change = sorted[i]!
    let place = i
    for (; place > 0; place--) {
      const order = compareHashes(sorted[place - 1]!.keyHash, 0, change.keyHash, 0)
      if (order === 0) throw new RehydrateError('UNEXPECTED', { message: 'One key is changed twice in an update of the digest.' })
      if (order < 0) break
      sorted[place] = sorted[place - 1]!
    }
    sorted[place] = change
  }
  return sorted
}
