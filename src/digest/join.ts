import { TrieBuilder } from './builder.js'
import { type Entries, joinEntries, keyOfEntry, NO_ENTRIES } from './entries.js'
import { collectionRoot, formatHash } from './hash.js'
import { type LoadPages, type Node, refuseOwn, TrieReader } from './nodes.js'
import { compareHashes } from './order.js'
import { ENTRY_BYTES, GROUP_LEVELS, GROUP_WIDTH, NIBBLES } from './pages.js'
import { Descent } from './rows.js'

/** One part of a collection. */
export interface TriePart {
  readonly load: LoadPages
  /** The collection root that its pages must give, `sh1:…`; null: it has no pages, and holds nothing. */
  readonly root: string | null
}

/** What to throw where a key is in two parts: which they are, by their place in the list. */
export type OnShared = (key: string, first: number, second: number) => Promise<Error>

/** About how many entries of all parts are in memory at once: they and what is made of them stay in the processor's cache. */
const RUN_ENTRIES = 4_096

/**
 * Count and root of the collection that all parts make together, from their pages alone: no row is read. Every page is read and checked
 * against the root of its part. Takes the memory of some thousand entries, whatever the size. STATE_CORRUPT.
 */
export async function joinTries(
  collection: string, parts: readonly TriePart[], onShared: OnShared,
): Promise<{ readonly count: number; readonly root: string }> {
  const open = await Promise.all(parts.map(async ({ load, root }) => {
    const reader = new TrieReader(collection, load, refuseOwn)
    const node = root === null ? null : await reader.root(root)
    return { reader, count: node?.count ?? 0, descent: node === null ? null : new Descent(reader, node) }
  }))
  const builder = new TrieBuilder(collection, null)
  const depth = depthOf(open.reduce((sum, { count }) => sum + count, 0))
  for (const path of pathsOf(depth)) {
    const lists: Entries[] = []
    for (const { reader, descent } of open) {
      lists.push(descent === null ? NO_ENTRIES : await entriesUnder(reader, await descent.to(path)))
    }
    const { hashes, shared } = merged(lists)
    if (shared !== null) throw await onShared(shared.key, shared.first, shared.second)
    const count = hashes.length / ENTRY_BYTES
    if (count > 0) builder.add({ count, hashes, keys: NO_ENTRIES.keys, starts: [] }, depth * GROUP_LEVELS)
  }
  const { count, trieHash } = builder.finish()
  return { count, root: formatHash(collectionRoot(count, trieHash)) }
}

/** So many nibbles that what begins with the same ones is about a run. */
function depthOf(count: number): number {
  return count <= RUN_ENTRIES ? 0 : Math.ceil(Math.log2(count / RUN_ENTRIES) / GROUP_LEVELS)
}

/** All paths of so many nibbles, ascending. */
function* pathsOf(length: number): Generator<string> {
  for (let i = 0; i < GROUP_WIDTH ** length; i++) yield length === 0 ? '' : i.toString(NIBBLES.length).padStart(length, '0')
}

/** All entries below a node, with one request for all pages of a level. */
async function entriesUnder(reader: TrieReader, node: Node): Promise<Entries> {
  let level: readonly Node[] = [node]
  for (;;) {
    await reader.read(level)
    if (level.every(({ children }) => children === null)) return joinEntries(level.flatMap(({ entries }) => entries ?? []))
    level = level.flatMap((each) => {
      const { children } = each
      // The pages are not asked for again: what was read may go.
      if (children !== null && each !== node) each.children = null
      return children ?? [each]
    })
  }
}

interface Merged {
  /** kh ‖ vh of all, ascending. */
  readonly hashes: Uint8Array
  /** The first key that two lists have; what follows is not merged. */
  readonly shared: { readonly key: string; readonly first: number; readonly second: number } | null
}

function merged(lists: readonly Entries[]): Merged {
  const filled = lists.flatMap((entries, part) => (entries.count === 0 ? [] : [{ entries, part, at: 0 }]))
  const [only] = filled
  if (only !== undefined && filled.length === 1) return { hashes: only.entries.hashes, shared: null }
  const hashes = new Uint8Array(filled.reduce((sum, { entries }) => sum + entries.count, 0) * ENTRY_BYTES)
  for (let at = 0; at < hashes.length; at += ENTRY_BYTES) {
    let least: (typeof filled)[number] | null = null
    for (const list of filled) {
      if (list.at === list.entries.count) continue
      const order = least === null ? -1
        : compareHashes(list.entries.hashes, list.at * ENTRY_BYTES, least.entries.hashes, least.at * ENTRY_BYTES)
      if (order === 0) return { hashes, shared: { key: keyOfEntry(list.entries, list.at), first: least!.part, second: list.part } }
      if (order < 0) least = list
    }
    const { entries, at: from } = least!
    hashes.set(entries.hashes.subarray(from * ENTRY_BYTES, (from + 1) * ENTRY_BYTES), at)
    least!.at++
  }
  return { hashes, shared: null }
}
