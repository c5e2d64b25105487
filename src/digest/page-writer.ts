import { RehydrateError } from '../errors.js'
import { type Entries, joinEntries, pageOfEntries } from './entries.js'
import { BUCKET_CAPACITY, EMPTY_TRIE_HASH, HASH_BYTES, TAG, hashInto } from './hash.js'
import {
  type Item, type TrieRoot, ENTRY_BYTES, GROUP_LEVELS, GROUP_WIDTH, MAX_GROUP_BYTES, NIBBLES, ROOT_HEAD_BYTES,
  bucketKey, copyOfPage, groupKey, nibbleAt, writeItem, writeRoot,
} from './pages.js'

/** Gets the key in `$digest` and the page: part of a larger memory, perhaps, but never written to again. */
export type EmitPage = (key: string, page: Uint8Array) => void

/** What a group is made of: a node whose pages are known, or entries whose pages are to be written. */
export interface Part extends Item {
  /** Of any number. Null: T and the pages below it are known. */
  readonly entries: Entries | null
}

/**
 * Computes T over entries and parts, and emits the pages on the way. A node writes its T straight into the message of the node
 * above it, and its item onto the page of its group, so that nothing is allocated per node but its page.
 */
export class PageWriter {
  readonly #collection: string
  readonly #emit: EmitPage | null
  /** By depth: 01 ‖ T left ‖ T right of the node that is being computed there. */
  readonly #nodes: Uint8Array[] = []
  /** By entries: 03 and room for so many, in one memory. */
  readonly #buckets: readonly Uint8Array[]
  /** By length of path: the page of the group that is open there, and what of it is written. */
  readonly #pages: Uint8Array[] = []
  readonly #pageLengths: number[] = []

  /** `emit` null: no pages are made, and entries need no keys. */
  constructor(collection: string, emit: EmitPage | null) {
    this.#collection = collection
    this.#emit = emit
    const bucket = new Uint8Array(1 + BUCKET_CAPACITY * ENTRY_BYTES)
    bucket[0] = TAG.BUCKET
    this.#buckets = Array.from({ length: BUCKET_CAPACITY + 1 }, (_, count) => bucket.subarray(0, 1 + count * ENTRY_BYTES))
  }

  /** The node under `path` over all entries there, and its pages: none yet for 16 or fewer, which may join their neighbours. */
  build(path: string, entries: Entries): Part {
    const { count } = entries
    if (count <= BUCKET_CAPACITY) return smallPart(path, entries)
    const hashes = new Uint8Array(HASH_BYTES)
    this.#open(path)
    this.#fork(entries, 0, count, path.length * GROUP_LEVELS, path, hashes, 0)
    this.#close(path, count, hashes)
    return groupPart(path, count, hashes)
  }

  /** The same over the parts of the group, in order; what they do not cover is empty. Parts that must merge need their entries. */
  join(path: string, parts: readonly Part[]): Part {
    if (isSmall(parts, 0, parts.length)) return smallPart(path, gather(parts, 0, parts.length))
    const hashes = new Uint8Array(HASH_BYTES)
    let count = 0
    for (const part of parts) count += part.count
    this.#open(path)
    this.#forkParts(parts, 0, parts.length, 0, 0, path, hashes, 0)
    this.#close(path, count, hashes)
    return groupPart(path, count, hashes)
  }

  /** Emits the root's page where `root`, the node under the empty path, is a bucket. The empty collection has no page. */
  finish(root: Part): TrieRoot {
    if (root.entries === null) return { count: root.count, trieHash: root.hashes }
    if (root.count === 0) return { count: 0, trieHash: EMPTY_TRIE_HASH }
    const trieHash = new Uint8Array(HASH_BYTES)
    this.#hashBucket(root.entries.hashes, 0, root.count, trieHash, 0)
    const result = { count: root.count, trieHash }
    this.#emit?.(groupKey(this.#collection, ''), writeRoot(pageOfEntries(root.entries, 0, root.count, ROOT_HEAD_BYTES), result))
    return result
  }

  /** Writes T of an inner node at `depth` over the entries [from, to) to out[at]. */
  #fork(entries: Entries, from: number, to: number, depth: number, path: string, out: Uint8Array, at: number): void {
    const node = this.#nodeAt(depth)
    const middle = firstWithBit(entries.hashes, from, to, depth)
    this.#node(entries, from, middle, depth + 1, path, node, 1)
    this.#node(entries, middle, to, depth + 1, path, node, 1 + HASH_BYTES)
    hashInto(out, at, node)
  }

  /** Likewise of any node below the group at `path`, and lists it there where it is a bucket or a group. */
  #node(entries: Entries, from: number, to: number, depth: number, path: string, out: Uint8Array, at: number): void {
    const count = to - from
    const levels = depth - path.length * GROUP_LEVELS
    if (count <= BUCKET_CAPACITY) {
      this.#bucket(entries, from, to, levels, path, out, at)
    } else if (levels < GROUP_LEVELS) {
      this.#fork(entries, from, to, depth, path, out, at)
    } else {
      const below = path + NIBBLES[nibbleAt(entries.hashes, from * ENTRY_BYTES, path.length)]!
      this.#open(below)
      this.#fork(entries, from, to, depth, below, out, at)
      this.#close(below, count, out, at)
      this.#list(path, true, levels, count, out, at)
    }
  }

  /** Writes T of the inner node `levels` below the group, from the nibble `start` on, over parts [from, to) to out[at]. */
  #forkParts(
    parts: readonly Part[], from: number, to: number, levels: number, start: number, path: string, out: Uint8Array, at: number,
  ): void {
    const node = this.#nodeAt(path.length * GROUP_LEVELS + levels)
    const right = start + (GROUP_WIDTH >>> (levels + 1))
    const middle = firstFrom(parts, from, to, right)
    this.#nodeOfParts(parts, from, middle, levels + 1, start, path, node, 1)
    this.#nodeOfParts(parts, middle, to, levels + 1, right, path, node, 1 + HASH_BYTES)
    hashInto(out, at, node)
  }

  #nodeOfParts(
    parts: readonly Part[], from: number, to: number, levels: number, start: number, path: string, out: Uint8Array, at: number,
  ): void {
    const depth = path.length * GROUP_LEVELS + levels
    if (isWhole(parts, from, to, levels)) {
      const { entries, isGroup, count, hashes, hashAt } = parts[from]!
      if (entries !== null) {
        this.#node(entries, 0, count, depth, path, out, at)
      } else {
        for (let i = 0; i < HASH_BYTES; i++) out[at + i] = hashes[hashAt + i]!
        this.#list(path, isGroup, levels, count, out, at)
      }
    } else if (isSmall(parts, from, to)) {
      const entries = gather(parts, from, to)
      this.#bucket(entries, 0, entries.count, levels, path, out, at)
    } else {
      this.#forkParts(parts, from, to, levels, start, path, out, at)
    }
  }

  #bucket(entries: Entries, from: number, to: number, levels: number, path: string, out: Uint8Array, at: number): void {
    if (from === to) {
      out.set(EMPTY_TRIE_HASH, at)
    } else {
      this.#hashBucket(entries.hashes, from, to, out, at)
      if (this.#emit !== null) {
        const start = nibbleAt(entries.hashes, from * ENTRY_BYTES, path.length)
        this.#emit(bucketKey(this.#collection, path, levels, start), pageOfEntries(entries, from, to))
      }
    }
    this.#list(path, false, levels, to - from, out, at)
  }

  #hashBucket(hashes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): void {
    const message = this.#buckets[to - from]!
    message.set(hashes.subarray(from * ENTRY_BYTES, to * ENTRY_BYTES), 1)
    hashInto(out, at, message)
  }

  #open(path: string): void {
    if (this.#emit === null) return
    this.#pages[path.length] ??= new Uint8Array(MAX_GROUP_BYTES)
    this.#pageLengths[path.length] = 0
  }

  #list(path: string, isGroup: boolean, levels: number, count: number, hashes: Uint8Array, at: number): void {
    if (this.#emit === null) return
    const index = path.length
    this.#pageLengths[index] = writeItem(this.#pages[index]!, this.#pageLengths[index]!, isGroup, levels, count, hashes, at)
  }

  #close(path: string, count: number, hashes: Uint8Array, at = 0): void {
    if (this.#emit === null) return
    const body = this.#pages[path.length]!.subarray(0, this.#pageLengths[path.length])
    const page = copyOfPage(body, path === '' ? ROOT_HEAD_BYTES : 0)
    if (path === '') writeRoot(page, { count, trieHash: hashes.subarray(at, at + HASH_BYTES) })
    this.#emit(groupKey(this.#collection, path), page)
  }

  #nodeAt(depth: number): Uint8Array {
    let node = this.#nodes[depth]
    if (node === undefined) {
      node = this.#nodes[depth] = new Uint8Array(1 + 2 * HASH_BYTES)
      node[0] = TAG.NODE
    }
    return node
  }
}

function smallPart(path: string, entries: Entries): Part {
  const { count, hashes } = entries
  return { isGroup: false, levels: GROUP_LEVELS, start: lastNibble(path), count, hashes, hashAt: 0, entries }
}

function groupPart(path: string, count: number, hashes: Uint8Array): Part {
  return { isGroup: true, levels: GROUP_LEVELS, start: lastNibble(path), count, hashes, hashAt: 0, entries: null }
}

function lastNibble(path: string): number {
  return path === '' ? 0 : NIBBLES.indexOf(path[path.length - 1]!)
}

/** The parts [from, to) are one that fills a node so many levels below its group. */
export function isWhole(parts: readonly Item[], from: number, to: number, levels: number): boolean {
  return to - from === 1 && parts[from]!.levels === levels
}

/** The parts [from, to) fit one bucket. */
export function isSmall(parts: readonly Item[], from: number, to: number): boolean {
  let count = 0
  for (let i = from; i < to && count <= BUCKET_CAPACITY; i++) count += parts[i]!.count
  return count <= BUCKET_CAPACITY
}

/** The first of the parts [from, to) that starts at this nibble or behind it. */
export function firstFrom(parts: readonly Item[], from: number, to: number, start: number): number {
  let i = from
  while (i < to && parts[i]!.start < start) i++
  return i
}

function gather(parts: readonly Part[], from: number, to: number): Entries {
  const lists: Entries[] = []
  for (let i = from; i < to; i++) {
    const { entries, count } = parts[i]!
    if (count === 0) continue
    if (entries === null) throw new RehydrateError('UNEXPECTED', { message: 'A bucket grew into a neighbour that was not loaded.' })
    lists.push(entries)
  }
  return joinEntries(lists)
}

/** The first of the entries [from, to), which are in order and equal up to `depth`, whose bit there is 1. */
function firstWithBit(hashes: Uint8Array, from: number, to: number, depth: number): number {
  const byte = depth >>> 3
  const mask = 0x80 >>> (depth & 7)
  let low = from
  let high = to
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((hashes[middle * ENTRY_BYTES + byte]! & mask) === 0) low = middle + 1
    else high = middle
  }
  return low
}
