import { RehydrateError } from '../errors.js'
import { BUCKET_CAPACITY, HASH_BYTES, TAG, sha256 } from './hash.js'
import {
  type Item, type TrieRoot, ENTRY_BYTES, GROUP_LEVELS, bitAt, bucketKey, groupKey, rootKey, writeGroup, writeRoot,
} from './pages.js'

/** T of no entries: H(03). */
export const EMPTY_TRIE_HASH: Uint8Array = sha256(Uint8Array.of(TAG.BUCKET))

/** A node whose entries have all come. */
interface Node {
  /** Bits of kh that its entries share; it may be lifted as long as no other entry joins. */
  depth: number
  /** Any kh below it; null where the first of the waiting entries says it. */
  readonly prefix: Uint8Array | null
  readonly count: number
  /** Where its entries wait, in entries; −1 where they do not: it is inner, or an unchanged bucket. */
  readonly from: number
  /** T; null while its entries wait. */
  hash: Uint8Array | null
  /** For an inner node: where the levels of its group end below it. */
  items: readonly Item[] | null
}

/** Two subtrees part at this depth; the left one is complete. */
interface Fork {
  readonly depth: number
  readonly left: Node
}

/**
 * Builds the trie of a collection from entries in ascending order of kh, and emits each page as soon as it is known. It holds the
 * entries and nodes along one path, whatever the number of entries.
 */
export class TrieBuilder {
  readonly #collection: string
  readonly #emit: (key: string, page: Uint8Array) => void
  readonly #forks: Fork[] = []
  #current: Node | null = null
  /** A kh below `#current`. */
  readonly #last = new Uint8Array(HASH_BYTES)
  /** Entries that are not in a bucket yet: the runs of `#forks` from left to right, then the one of `#current`. */
  #waiting = new Uint8Array(64 * ENTRY_BYTES)
  #waitingCount = 0
  readonly #message = Buffer.alloc(1 + BUCKET_CAPACITY * ENTRY_BYTES)

  /** `emit` gets the key in `$digest` and the page, which is its own. */
  constructor(collection: string, emit: (key: string, page: Uint8Array) => void) {
    this.#collection = collection
    this.#emit = emit
  }

  /** Adds kh ‖ vh, the 64 bytes at `at`. kh must lie above all before: UNEXPECTED where it does not, or comes twice. */
  add(entries: Uint8Array, at = 0): void {
    this.#startAt(entries, at)
    const index = this.#waitingCount++
    if (this.#waitingCount * ENTRY_BYTES > this.#waiting.length) this.#growWaiting()
    const waiting = this.#waiting
    const offset = index * ENTRY_BYTES
    for (let i = 0; i < ENTRY_BYTES; i++) waiting[offset + i] = entries[at + i]!
    this.#current = { depth: HASH_BYTES * 8, prefix: null, count: 1, from: index, hash: null, items: null }
  }

  /** Adds a bucket or a group whose pages are in the store already and stay as they are. Empty ones are left out. */
  addUnchanged(item: Item): void {
    if (item.count === 0) return
    const { depth, prefix, count, hash } = item
    this.#startAt(prefix, 0)
    this.#current = { depth, prefix, count, from: -1, hash, items: item.isGroup ? [item] : null }
  }

  /** Emits what is left, the root last. The empty collection has no page. */
  finish(): TrieRoot {
    if (this.#current === null) return { count: 0, trieHash: EMPTY_TRIE_HASH }
    const root = this.#close(-1)
    if (root.items === null) {
      const body = this.#waiting.slice(root.from * ENTRY_BYTES, (root.from + root.count) * ENTRY_BYTES)
      const result = { count: root.count, trieHash: this.#hashBucket(root) }
      this.#emit(rootKey(this.#collection), writeRoot(result, body))
      return result
    }
    return { count: root.count, trieHash: root.hash! }
  }

  /** Completes what lies left of a new node: after that, only the entries along its path wait. */
  #startAt(source: Uint8Array, at: number): void {
    if (this.#current !== null) {
      const depth = firstDifference(this.#last, source, at)
      this.#forks.push({ depth, left: this.#close(depth) })
    }
    for (let i = 0; i < HASH_BYTES; i++) this.#last[i] = source[at + i]!
  }

  /** Completes the subtree that `#current` is in, just below a fork at `depth`: −1 for the root. */
  #close(depth: number): Node {
    let node = this.#current!
    for (let fork = this.#forks.at(-1); fork !== undefined && fork.depth > depth; fork = this.#forks.at(-1)) {
      this.#forks.pop()
      node = this.#join(fork.left, this.#lift(node, fork.depth + 1), fork.depth)
    }
    return this.#lift(node, depth + 1)
  }

  /** The inner node, or the bucket to be, at `depth` over two children. */
  #join(left: Node, right: Node, depth: number): Node {
    const count = left.count + right.count
    if (count <= BUCKET_CAPACITY) {
      if (left.from < 0 || right.from < 0) throw unexpected('A bucket grew into a neighbour that was not loaded.')
      return { depth, prefix: left.prefix, count, from: left.from, hash: null, items: null }
    }
    this.#settle(left)
    this.#settle(right)
    const items = [...this.#itemsOf(left), ...this.#itemsOf(right)]
    return this.#inner(this.#prefixOf(left), depth, count, this.#hashNode(left.hash!, right.hash!), items)
  }

  /** Moves a node up to `depth`, next to empty neighbours. */
  #lift(node: Node, depth: number): Node {
    if (node.items === null) {
      if (node.from < 0 && node.depth !== depth) throw unexpected('A bucket moved up though it was not loaded.')
      node.depth = depth
      return node
    }
    let lifted = node
    while (lifted.depth > depth) {
      const above = lifted.depth - 1
      const prefix = this.#prefixOf(lifted)
      const empty: Item = {
        isGroup: false, depth: lifted.depth, prefix: neighbour(prefix, above), count: 0, hash: EMPTY_TRIE_HASH,
      }
      const isRight = bitAt(prefix, above) === 1
      const hash = isRight ? this.#hashNode(EMPTY_TRIE_HASH, lifted.hash!) : this.#hashNode(lifted.hash!, EMPTY_TRIE_HASH)
      const items = isRight ? [empty, ...this.#itemsOf(lifted)] : [...this.#itemsOf(lifted), empty]
      lifted = this.#inner(prefix, above, lifted.count, hash, items)
    }
    return lifted
  }

  #inner(prefix: Uint8Array, depth: number, count: number, hash: Uint8Array, items: readonly Item[]): Node {
    if (depth % GROUP_LEVELS !== 0) return { depth, prefix, count, from: -1, hash, items }
    const page = writeGroup(items, depth)
    if (depth === 0) this.#emit(rootKey(this.#collection), writeRoot({ count, trieHash: hash }, page))
    else this.#emit(groupKey(this.#collection, prefix, depth), page)
    return { depth, prefix, count, from: -1, hash, items: [{ isGroup: true, depth, prefix, count, hash }] }
  }

  /** A small node under an inner one is a bucket for good. */
  #settle(node: Node): void {
    if (node.hash !== null) return
    const begin = node.from * ENTRY_BYTES
    const page = this.#waiting.slice(begin, begin + node.count * ENTRY_BYTES)
    node.hash = this.#hashBucket(node)
    this.#emit(bucketKey(this.#collection, page, node.depth), page)
    // Left comes before right, and both are the last that wait: so what waits always ends where the left one began.
    this.#waitingCount = Math.min(this.#waitingCount, node.from)
  }

  #hashBucket(node: Node): Uint8Array {
    const message = this.#message
    const length = node.count * ENTRY_BYTES
    const begin = node.from * ENTRY_BYTES
    message[0] = TAG.BUCKET
    message.set(this.#waiting.subarray(begin, begin + length), 1)
    return sha256(message.subarray(0, 1 + length))
  }

  #hashNode(left: Uint8Array, right: Uint8Array): Uint8Array {
    const message = this.#message
    message[0] = TAG.NODE
    message.set(left, 1)
    message.set(right, 1 + HASH_BYTES)
    return sha256(message.subarray(0, 1 + 2 * HASH_BYTES))
  }

  #prefixOf(node: Node): Uint8Array {
    return node.prefix ?? this.#waiting.slice(node.from * ENTRY_BYTES, node.from * ENTRY_BYTES + HASH_BYTES)
  }

  /** What a node adds to the list of the group above it. */
  #itemsOf(node: Node): readonly Item[] {
    if (node.items !== null) return node.items
    return [{ isGroup: false, depth: node.depth, prefix: this.#prefixOf(node), count: node.count, hash: node.hash! }]
  }

  #growWaiting(): void {
    const larger = new Uint8Array(this.#waiting.length * 2)
    larger.set(this.#waiting)
    this.#waiting = larger
  }
}

/** The prefix with its bit at `depth` turned. */
function neighbour(prefix: Uint8Array, depth: number): Uint8Array {
  const other = prefix.slice()
  other[depth >>> 3]! ^= 0x80 >>> (depth & 7)
  return other
}

/** The first bit in which the kh at b[at] differs from a. UNEXPECTED unless it lies above a. */
function firstDifference(a: Uint8Array, b: Uint8Array, at: number): number {
  for (let i = 0; i < HASH_BYTES; i++) {
    const difference = a[i]! ^ b[at + i]!
    if (difference === 0) continue
    if (a[i]! > b[at + i]!) throw unexpected('Entries of the digest came out of order.')
    return i * 8 + Math.clz32(difference) - 24
  }
  throw unexpected('Two entries of a collection have the same key hash.')
}

function unexpected(message: string): RehydrateError {
  return new RehydrateError('UNEXPECTED', { message })
}
