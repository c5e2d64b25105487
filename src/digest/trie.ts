import { type TrieChange, SortedChanges } from './changes.js'
import { type Entries, NO_ENTRIES, readEntries } from './entries.js'
import { BUCKET_CAPACITY } from './hash.js'
import type { LoadPages } from './nodes.js'
import { type Part, PageWriter, firstFrom, isSmall, isWhole } from './page-writer.js'
import {
  type TrieRoot, GROUP_WIDTH, NIBBLES, bucketKey, corruptPage, groupKey, readGroup, readRoot, rootBody,
} from './pages.js'

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

export type { LoadPages } from './nodes.js'

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
  entries: Entries | null
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
      for (const bucket of missing) bucket.entries = this.#entriesOf(bucket)
    }
    return this.#rebuild(root)
  }

  async #loadRoot(): Promise<StoredNode> {
    const key = groupKey(this.#collection, '')
    const page = (await this.#load([key])).get(key)
    if (page !== undefined) this.#loaded.set(key, page)
    const count = page === undefined ? 0 : readRoot(page).count
    return {
      isGroup: count > BUCKET_CAPACITY, levels: 0, start: 0, count, hashes: NO_ENTRIES.hashes, hashAt: 0,
      path: '', from: 0, to: this.#changes.count, children: null, entries: null,
    }
  }

  /** Reads a loaded page. Returns those children of a group that have changes below them. */
  #open(node: StoredNode): readonly StoredNode[] {
    if (!node.isGroup) {
      node.entries = this.#changes.merge(this.#entriesOf(node), node.from, node.to)
      node.count = node.entries.count
      return []
    }
    const page = this.#pageOf(node)
    let from = node.from
    const children = readGroup(page, (isGroup, levels, start, count, hashAt): StoredNode => {
      const to = this.#changes.firstFrom(from, node.to, node.path.length, start + (GROUP_WIDTH >>> levels))
      const path = isGroup && from < to ? node.path + NIBBLES[start]! : node.path
      const child = { isGroup, levels, start, count, hashes: page, hashAt, path, from, to, children: null, entries: null }
      from = to
      return child
    })
    if (children === null) throw corruptPage(this.#keyOf(node))
    node.children = children
    return children.filter((child) => child.from < child.to)
  }

  #pageOf(node: StoredNode): Uint8Array {
    const key = this.#keyOf(node)
    const page = this.#loaded.get(key)
    if (page === undefined) throw corruptPage(key)
    return node.levels === 0 ? rootBody(page) : page
  }

  #entriesOf(bucket: StoredNode): Entries {
    if (bucket.count === 0) return NO_ENTRIES
    const entries = readEntries(this.#pageOf(bucket), bucket.count)
    if (entries === null) throw corruptPage(this.#keyOf(bucket))
    return entries
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
