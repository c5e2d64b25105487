import { RehydrateError } from '../errors.js'
import { BUCKET_CAPACITY, HASH_BYTES } from './hash.js'
import { compareHashes, sortedOrder } from './order.js'
import { type Part, PageWriter, firstFrom, isSmall, isWhole } from './page-writer.js'
import {
  type TrieRoot, ENTRY_BYTES, GROUP_WIDTH, NIBBLES,
  bucketKey, corruptPage, groupKey, nibbleAt, pageMemory, readGroup, readRoot, rootBody,
} from './pages.js'

/** One key that was written (`valueHash` = vh) or deleted (null) since the trie stood as it is stored. */
export interface TrieChange {
  readonly keyHash: Uint8Array
  readonly valueHash: Uint8Array | null
  /**
   * What the store gave for this key when it was read: its vh as latin1 text, or null where it was absent. The trie must list
   * the same, else a row was lost or replaced: STATE_CORRUPT. Left out: it was not read.
   */
  readonly was?: { readonly key: string; readonly hash: string | null } | undefined
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
 * The pages are the ones TrieBuilder makes of the same entries. UNEXPECTED for a key hash that comes twice, STATE_CORRUPT naming
 * the key where the trie lists another value than the store gave.
 */
export async function updateTrie(
  collection: string, changes: readonly TrieChange[], load: LoadPages,
): Promise<TrieUpdate> {
  return await new Update(collection, new SortedChanges(collection, changes), load).run()
}

/** A node of the stored trie as this update sees it. */
interface StoredNode extends Part {
  /** The changes [from, to) are below it. */
  readonly from: number
  readonly to: number
  /** Of a group with changes: its own; of a bucket: of the group on whose page it is listed. */
  readonly path: string
  /** Of a group, once loaded. */
  children: readonly StoredNode[] | null
  /** Of a bucket, once loaded and brought up to date. */
  entries: Uint8Array | null
  /** After the changes. */
  count: number
}

class Update {
  readonly #collection: string
  readonly #changes: SortedChanges
  readonly #load: LoadPages
  /** Pages that were loaded and have not been written again; what is left in the end is deleted. */
  readonly #loaded = new Map<string, Uint8Array>()

  constructor(collection: string, changes: SortedChanges, load: LoadPages) {
    this.#collection = collection
    this.#changes = changes
    this.#load = load
  }

  async run(): Promise<TrieUpdate> {
    const root = await this.#loadRoot()
    for (let level = this.#open(root); level.length > 0;) {
      await this.#loadPages(level)
      level = level.flatMap((node) => this.#open(node))
    }
    if (this.#changes.hasDeletes) {
      const missing: StoredNode[] = []
      this.#recount(root, missing)
      await this.#loadPages(missing)
      for (const bucket of missing) bucket.entries = this.#pageOf(bucket)
    }
    return this.#rebuild(root)
  }

  async #loadRoot(): Promise<StoredNode> {
    const key = groupKey(this.#collection, '')
    const page = (await this.#load([key])).get(key)
    if (page !== undefined) this.#loaded.set(key, page)
    const count = page === undefined ? 0 : readRoot(page).count
    return {
      isGroup: count > BUCKET_CAPACITY, levels: 0, start: 0, count, hashes: NO_ENTRIES, hashAt: 0,
      path: '', from: 0, to: this.#changes.count, children: null, entries: null,
    }
  }

  /** Reads a loaded page. Returns those children of a group that have changes below them. */
  #open(node: StoredNode): readonly StoredNode[] {
    const page = this.#pageOf(node)
    if (!node.isGroup) {
      node.entries = this.#changes.merge(page, node.from, node.to)
      node.count = node.entries.length / ENTRY_BYTES
      return []
    }
    let from = node.from
    node.children = readGroup(page, (isGroup, levels, start, count, hashAt) => {
      const to = this.#changes.firstFrom(from, node.to, node.path.length, start + (GROUP_WIDTH >>> levels))
      const path = isGroup && from < to ? node.path + NIBBLES[start]! : node.path
      const child = { isGroup, levels, start, count, hashes: page, hashAt, path, from, to, children: null, entries: null }
      from = to
      return child
    })
    return node.children.filter((child) => child.from < child.to)
  }

  #pageOf(node: StoredNode): Uint8Array {
    if (node.count === 0) return NO_ENTRIES
    const key = this.#keyOf(node)
    const page = this.#loaded.get(key)
    if (page === undefined) throw corruptPage(key)
    const body = node.levels === 0 ? rootBody(page) : page
    if (!node.isGroup && body.length !== node.count * ENTRY_BYTES) throw corruptPage(key)
    return body
  }

  #keyOf({ isGroup, path, levels, start }: StoredNode): string {
    return isGroup || levels === 0 ? groupKey(this.#collection, path) : bucketKey(this.#collection, path, levels, start)
  }

  /** Counts after the changes; `missing` gets the unchanged buckets that must merge with a neighbour that shrank. */
  #recount(node: StoredNode, missing: StoredNode[]): void {
    const { children } = node
    if (children === null) return
    node.count = 0
    for (const child of children) {
      this.#recount(child, missing)
      node.count += child.count
    }
    findMerges(children, 0, children.length, 0, 0, missing)
  }

  async #loadPages(nodes: readonly StoredNode[]): Promise<void> {
    const keys = nodes.filter((node) => node.count > 0).map((node) => this.#keyOf(node))
    if (keys.length === 0) return
    for (const [key, page] of await this.#load(keys)) this.#loaded.set(key, page)
  }

  #rebuild(root: StoredNode): TrieUpdate {
    const puts: { key: string; page: Uint8Array }[] = []
    const writer = new PageWriter(this.#collection, (key, page) => {
      const before = this.#loaded.get(key)
      if (before !== undefined) this.#loaded.delete(key)
      if (before === undefined || Buffer.compare(before, page) !== 0) puts.push({ key, page })
    })
    const rebuilt = (node: StoredNode): Part => (node.children === null ? node : writer.join(node.path, node.children.map(rebuilt)))
    const part = root.entries === null ? rebuilt(root) : writer.build('', root.entries)
    const { count, trieHash } = writer.finish(part)
    return { count, trieHash, puts, deletes: [...this.#loaded.keys()] }
  }
}

const NO_ENTRIES = new Uint8Array(0)

/** A hash as text of 32 characters: it takes a third of the memory of an array. */
export function latin1(hash: Uint8Array): string {
  return Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength).toString('latin1')
}

/** Of the nodes [from, to), which fill a node so many levels below their group: those that go into one bucket and are not loaded. */
function findMerges(
  nodes: readonly StoredNode[], from: number, to: number, levels: number, start: number, missing: StoredNode[],
): void {
  if (isWhole(nodes, from, to, levels)) return
  if (isSmall(nodes, from, to)) {
    missing.push(...nodes.slice(from, to).filter((node) => node.children === null && node.entries === null && node.count > 0))
    return
  }
  const right = start + (GROUP_WIDTH >>> (levels + 1))
  const middle = firstFrom(nodes, from, to, right)
  findMerges(nodes, from, middle, levels + 1, start, missing)
  findMerges(nodes, middle, to, levels + 1, right, missing)
}

/** Changes in ascending order of kh. */
class SortedChanges {
  readonly count: number
  readonly hasDeletes: boolean
  /** kh ‖ vh each, as in a bucket. */
  readonly #entries: Uint8Array
  /** 1 where the key is deleted. */
  readonly #deleted: Uint8Array
  readonly #collection: string
  /** Sparse: what the store gave for keys that were read. */
  readonly #was: TrieChange['was'][] = []

  constructor(collection: string, changes: readonly TrieChange[]) {
    this.#collection = collection
    this.count = changes.length
    this.hasDeletes = changes.some(({ valueHash }) => valueHash === null)
    this.#entries = new Uint8Array(changes.length * ENTRY_BYTES)
    this.#deleted = new Uint8Array(changes.length)
    const given = new Uint8Array(changes.length * ENTRY_BYTES)
    changes.forEach(({ keyHash }, i) => { given.set(keyHash, i * ENTRY_BYTES) })
    sortedOrder(given, changes.length).forEach((index, i) => {
      const { keyHash, valueHash, was } = changes[index]!
      if (was !== undefined) this.#was[i] = was
      this.#entries.set(keyHash, i * ENTRY_BYTES)
      if (valueHash === null) this.#deleted[i] = 1
      else this.#entries.set(valueHash, i * ENTRY_BYTES + HASH_BYTES)
      if (i > 0 && compareHashes(this.#entries, (i - 1) * ENTRY_BYTES, this.#entries, i * ENTRY_BYTES) === 0) {
        throw new RehydrateError('UNEXPECTED', { message: 'One key is changed twice in an update of the digest.' })
      }
    })
  }

  /** The first of the changes [from, to) whose nibble at `index` is `nibble` or above. */
  firstFrom(from: number, to: number, index: number, nibble: number): number {
    let i = from
    while (i < to && nibbleAt(this.#entries, i * ENTRY_BYTES, index) < nibble) i++
    return i
  }

  /** The entries of a bucket with the changes [from, to) applied, in order. */
  merge(bucket: Uint8Array, from: number, to: number): Uint8Array {
    const entries = this.#entries
    const merged = pageMemory(bucket.length + (to - from) * ENTRY_BYTES)
    let length = 0
    let old = 0
    for (let i = from; i < to; i++) {
      const at = i * ENTRY_BYTES
      let order = 1
      const first = old
      while (old < bucket.length && (order = compareHashes(bucket, old, entries, at)) < 0) old += ENTRY_BYTES
      merged.set(bucket.subarray(first, old), length)
      length += old - first
      const isListed = order === 0 && old < bucket.length
      this.#assertAsRead(i, isListed ? bucket.subarray(old + HASH_BYTES, old + ENTRY_BYTES) : null)
      if (isListed) old += ENTRY_BYTES
      if (this.#deleted[i] === 1) continue
      merged.set(entries.subarray(at, at + ENTRY_BYTES), length)
      length += ENTRY_BYTES
    }
    merged.set(bucket.subarray(old), length)
    return merged.subarray(0, length + bucket.length - old)
  }

  /** A cached root proves what was written; this catches a row that is lost or replaced before it is folded and written again. */
  #assertAsRead(i: number, listed: Uint8Array | null): void {
    const was = this.#was[i]
    if (was === undefined) return
    if ((listed === null ? null : latin1(listed)) === was.hash) return
    throw new RehydrateError('STATE_CORRUPT', {
      message: was.hash === null
        ? `The stored entry ${this.#collection}/${was.key} is lost: the digest lists it.`
        : `The stored entry ${this.#collection}/${was.key} is not the one the digest lists.`,
      collection: this.#collection, key: was.key,
    })
  }
}
