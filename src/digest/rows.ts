import { RehydrateError } from '../errors.js'
import { type OnEqual, EntryArena } from './arena.js'
import { hashKeys, hashRuns } from './batch.js'
import { TrieBuilder } from './builder.js'
import { type KeyDifference, diffNodes } from './diff.js'
import { HASH_BYTES, collectionRoot, formatHash } from './hash.js'
import {
  type LoadPages, type Node, type Refuse, TrieReader, entriesBelow, isSame, nodeOfEntries, pathOf, placeOf, refuseOwn,
} from './nodes.js'
import { type Part, PageWriter } from './page-writer.js'
import { GROUP_LEVELS, NIBBLES } from './pages.js'

/** Rows as they are hashed: canonical values one behind the other. `ends[i]` is where value i ends. Valid until the next block. */
export interface Rows {
  readonly keys: readonly string[]
  readonly bytes: Uint8Array
  readonly ends: readonly number[]
}

/** All rows of a collection, in any order; the same at every call. */
export type ScanRows = () => AsyncIterable<Rows>

export interface RowsRoot {
  readonly count: number
  /** Rule 4. */
  readonly root: Uint8Array
}

export interface DiffRowsOptions {
  /** For the hashes and keys of rows: about 70 bytes and the key of each. Where not all fit, they are scanned several times. */
  readonly memoryBytes: number
  /** The collection root our pages must give, `sh1:…`. Left out: whatever they say. */
  readonly root?: string | undefined
  /** What to throw where a page of ours is missing or wrong. By default STATE_CORRUPT. */
  readonly refuseRebuilt?: Refuse
}

/**
 * The keys in which a collection of ours (`rebuilt`) differs from rows that have no hashes (`against`), some at a time; in the end the
 * root of the rows. All rows are read and hashed; of our pages, those above and where something differs. VALUE_INVALID for a key that
 * comes twice.
 */
export async function* diffRows(
  collection: string, ours: LoadPages, scan: ScanRows, options: DiffRowsOptions,
): AsyncGenerator<readonly KeyDifference[], RowsRoot> {
  const arena = new EntryArena(options.memoryBytes, true)
  const builder = new TrieBuilder(collection, null)
  const reader = new TrieReader(collection, ours, options.refuseRebuilt ?? refuseOwn)
  const root = await reader.root(options.root ?? null)
  const descent = new Descent(reader, root)
  let isDifferent = false
  while (!arena.isComplete) {
    for await (const { keys, bytes, ends } of scan()) arena.add(hashKeys(keys), hashRuns(bytes, ends), keys)
    for (const { path, entries } of arena.runs(keyTwice(collection))) {
      const part = builder.add(entries, path.length * GROUP_LEVELS)
      const own = await descent.to(path)
      const rows = nodeOfPart(path, part)
      if (isSame(own, rows)) continue
      isDifferent = true
      // The pages of a run are made where it differs only.
      const pages = new Map<string, Uint8Array>()
      if (rows.isGroup) new PageWriter(collection, (key, page) => { pages.set(key, page) }).build(path, entries)
      yield* diffNodes(reader, own, new TrieReader(collection, loadFrom(pages), refuseOwn), rows)
    }
  }
  const { count, trieHash } = builder.finish()
  const rowsRoot = collectionRoot(count, trieHash)
  if (isDifferent === (formatHash(rowsRoot) === formatHash(collectionRoot(root.count, root.trieHash)))) {
    throw new RehydrateError('UNEXPECTED', { message: `The rows of ${collection} and their root do not say the same.`, collection })
  }
  return { count, root: rowsRoot }
}

/** Rows as a trie in memory, keys and pages: about 150 bytes for each. VALUE_INVALID for a key that comes twice. */
export async function pagesOfRows(collection: string, scan: ScanRows): Promise<RowsRoot & { readonly load: LoadPages }> {
  const pages = new Map<string, Uint8Array>()
  const arena = new EntryArena(Infinity, true)
  const builder = new TrieBuilder(collection, (key, page) => { pages.set(key, page) })
  for await (const { keys, bytes, ends } of scan()) arena.add(hashKeys(keys), hashRuns(bytes, ends), keys)
  for (const _ of arena.drain(builder, keyTwice(collection)));
  const { count, trieHash } = builder.finish()
  return { count, root: collectionRoot(count, trieHash), load: loadFrom(pages) }
}

/** Pages that are at hand. */
export function loadFrom(pages: ReadonlyMap<string, Uint8Array>): LoadPages {
  return async (keys) => {
    const found = new Map<string, Uint8Array>()
    for (const key of keys) {
      const page = pages.get(key)
      if (page !== undefined) found.set(key, page)
    }
    return found
  }
}

/** The node under a path over a run of rows. */
function nodeOfPart(path: string, { isGroup, count, hashes, hashAt, entries }: Part): Node {
  const place = placeOf(path)
  if (entries !== null) return nodeOfEntries(place, entries)
  return { ...place, isGroup, count, trieHash: hashes.subarray(hashAt, hashAt + HASH_BYTES), entries: null }
}

function keyTwice(collection: string): OnEqual {
  return (_later, _earlier, key) => new RehydrateError('VALUE_INVALID', {
    message: `The key ${JSON.stringify(key)} comes twice among the rows of ${collection}.`,
    collection, key: key ?? undefined,
    fix: 'Each key must have one row. Name the columns that make a key of it.',
  })
}

/** Goes down our trie to one path after the other, in ascending order, and keeps the groups on the way. */
export class Descent {
  readonly #reader: TrieReader
  /** By length of path. */
  readonly #groups: Node[]

  constructor(reader: TrieReader, root: Node) {
    this.#reader = reader
    this.#groups = [root]
  }

  /** What lies under these nibbles. */
  async to(path: string): Promise<Node> {
    const groups = this.#groups
    while (groups.length > 1 && !path.startsWith(pathOf(groups.at(-1)!))) groups.pop()!.children = null
    for (;;) {
      const group = groups.at(-1)!
      const depth = groups.length - 1
      if (depth === path.length) return group
      await this.#reader.read([group])
      const nibble = NIBBLES.indexOf(path[depth]!)
      const child = group.children === null ? group : group.children.findLast(({ start }) => start <= nibble)!
      if (child.levels === GROUP_LEVELS && depth + 1 === path.length) return child
      if (child.isGroup) {
        groups.push(child)
        continue
      }
      // A bucket that begins above the path.
      await this.#reader.read([child])
      const place = placeOf(path)
      return nodeOfEntries(place, entriesBelow(place, child.entries!))
    }
  }
}
