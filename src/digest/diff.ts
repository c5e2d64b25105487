import { type Entries, keyOfEntry, sliceOfEntries } from './entries.js'
import { HASH_BYTES } from './hash.js'
import { type LoadPages, type Node, type Refuse, TrieReader, endBelow, isSame, nodeOfEntries, refuseAgainst, refuseOwn } from './nodes.js'
import { compareHashes } from './order.js'
import { ENTRY_BYTES, GROUP_WIDTH } from './pages.js'

/** A key whose value is not the same on both sides: vh on either; null: absent there. */
export interface KeyDifference {
  readonly key: string
  readonly rebuilt: Uint8Array | null
  readonly against: Uint8Array | null
}

/** One side of a comparison. */
export interface Trie {
  readonly load: LoadPages
  /** The collection root its pages must give, `sh1:…`. Left out: whatever they say. */
  readonly root?: string | undefined
}

export interface DiffOptions {
  /** What to throw where a page of a side is missing or wrong. By default STATE_CORRUPT and AGAINST_INVALID. */
  readonly refuseRebuilt?: Refuse
  readonly refuseAgainst?: Refuse
  /** About how many pages one load asks for at most. */
  readonly pagesPerLoad?: number
}

const PAGES_PER_LOAD = 512

/**
 * The keys in which two collections differ, some at a time and nearly in ascending order of kh: one load of pages per side for every
 * four levels of the tries, and none below a T that is the same on both sides. All that is loaded is checked. Memory: what differs in
 * the pages at hand; who stops early ends the walk.
 */
export async function* diffTries(
  collection: string, rebuilt: Trie, against: Trie, options: DiffOptions = {},
): AsyncGenerator<readonly KeyDifference[], void> {
  const ours = new TrieReader(collection, rebuilt.load, options.refuseRebuilt ?? refuseOwn)
  const theirs = new TrieReader(collection, against.load, options.refuseAgainst ?? refuseAgainst)
  const [ourRoot, theirRoot] = await Promise.all([ours.root(rebuilt.root ?? null), theirs.root(against.root ?? null)])
  if (!isSame(ourRoot, theirRoot)) yield* diffNodes(ours, ourRoot, theirs, theirRoot, options.pagesPerLoad)
}

/** A range of kh as both sides have it: nodes that fill it, from left to right. One side has only one. */
interface Region {
  readonly rebuilt: readonly Node[]
  readonly against: readonly Node[]
}

/** The same for two nodes that cover the same range of kh and differ. What it has read of them is let go. */
export async function* diffNodes(
  ours: TrieReader, rebuilt: Node, theirs: TrieReader, against: Node, pagesPerLoad = PAGES_PER_LOAD,
): AsyncGenerator<readonly KeyDifference[], void> {
  /** The last one is next: the walk goes down before it goes on, so that few wait. */
  const waiting: Region[] = [{ rebuilt: [rebuilt], against: [against] }]
  while (waiting.length > 0) {
    const regions = takeSome(waiting, pagesPerLoad)
    await Promise.all([
      ours.read(regions.flatMap((region) => region.rebuilt)), theirs.read(regions.flatMap((region) => region.against)),
    ])
    const level = new Level()
    for (const region of regions) {
      level.compare(region)
      for (const node of [...region.rebuilt, ...region.against]) node.children = null
    }
    for (const region of level.below.reverse()) waiting.push(region)
    if (level.differences.length > 0) yield level.differences
  }
}

function takeSome(waiting: Region[], pages: number): Region[] {
  const regions: Region[] = []
  for (let nodes = 0; nodes < pages && waiting.length > 0;) {
    const region = waiting.pop()!
    regions.push(region)
    nodes += Math.max(region.rebuilt.length, region.against.length)
  }
  return regions
}

/** What comes of regions whose pages are read. */
class Level {
  readonly differences: KeyDifference[] = []
  readonly below: Region[] = []

  compare({ rebuilt, against }: Region): void {
    const [ours] = rebuilt
    const [theirs] = against
    if (rebuilt.length === 1 && ours!.entries !== null) {
      this.#split(
        ours!.entries, against, (one, other) => ({ rebuilt: [one], against: [other] }), (one, other) => { this.#merge(one, other) })
    } else if (against.length === 1 && theirs!.entries !== null) {
      this.#split(
        theirs!.entries, rebuilt, (one, other) => ({ rebuilt: [other], against: [one] }), (one, other) => { this.#merge(other, one) })
    } else {
      this.#align(ours!.children!, theirs!.children!)
    }
  }

  /** The items of two groups at the same place. */
  #align(rebuilt: readonly Node[], against: readonly Node[]): void {
    for (let i = 0, j = 0; i < rebuilt.length;) {
      const ours = rebuilt[i]!
      const theirs = against[j]!
      const end = Math.max(endOf(ours), endOf(theirs))
      const [ourFrom, theirFrom] = [i, j]
      while (i < rebuilt.length && rebuilt[i]!.start < end) i++
      while (j < against.length && against[j]!.start < end) j++
      if (ours.levels === theirs.levels && isSame(ours, theirs)) continue
      this.below.push({ rebuilt: rebuilt.slice(ourFrom, i), against: against.slice(theirFrom, j) })
    }
  }

  /** At most 16 entries of one side against nodes of the other that fill the same range. */
  #split(
    entries: Entries, nodes: readonly Node[], regionOf: (one: Node, other: Node) => Region, merge: (one: Entries, other: Entries) => void,
  ): void {
    let from = 0
    for (const node of nodes) {
      for (const part of node.children ?? [node]) {
        const to = endBelow(part, entries, from)
        const slice = sliceOfEntries(entries, from, to)
        from = to
        if (part.entries !== null) {
          merge(slice, part.entries)
        } else {
          const one = nodeOfEntries(part, slice)
          if (!isSame(one, part)) this.below.push(regionOf(one, part))
        }
      }
    }
  }

  #merge(rebuilt: Entries, against: Entries): void {
    for (let i = 0, j = 0; i < rebuilt.count || j < against.count;) {
      const order = orderOf(rebuilt, i, against, j)
      const ours = order <= 0 ? valueHash(rebuilt, i) : null
      const theirs = order >= 0 ? valueHash(against, j) : null
      if (ours === null || theirs === null || compareHashes(ours, 0, theirs, 0) !== 0) {
        this.differences.push({ key: order <= 0 ? keyOfEntry(rebuilt, i) : keyOfEntry(against, j), rebuilt: ours, against: theirs })
      }
      if (order <= 0) i++
      if (order >= 0) j++
    }
  }
}

/** Below 0 where the entry i comes first, above 0 where j does; one that is not there comes last. */
function orderOf(rebuilt: Entries, i: number, against: Entries, j: number): number {
  if (i === rebuilt.count) return 1
  if (j === against.count) return -1
  return compareHashes(rebuilt.hashes, i * ENTRY_BYTES, against.hashes, j * ENTRY_BYTES)
}

function valueHash({ hashes }: Entries, index: number): Uint8Array {
  return hashes.slice(index * ENTRY_BYTES + HASH_BYTES, (index + 1) * ENTRY_BYTES)
}

/** The nibble behind the last one it covers. */
function endOf({ levels, start }: Node): number {
  return start + (GROUP_WIDTH >>> levels)
}
