import { RehydrateError } from '../errors.js'
import { BUCKET_CAPACITY, HASH_BYTES } from './hash.js'

/**
 * How the trie of rule 3 lies in the store's collection `$digest`. All of it is a function of the state:
 *
 * - A node of at most 16 entries is a bucket. Its page is those entries, kh ‖ vh, 64 bytes each, ascending; behind them their keys
 *   in the same order, each as 2 bytes of length and its UTF-8, so that an entry that differs has a name.
 * - A node of more is inner. Inner nodes at depths 0, 4, 8 … are groups: a group's page lists, from left to right, the nodes
 *   where its four levels end, each as 1 byte (128 for a group, plus its depth below this one, 1 to 4), 6 bytes of count
 *   and 32 bytes of T. What lies between is computed from them.
 * - The page of the root begins with 1 byte of version, 8 bytes of count and 32 bytes of T; a bucket or a group follows.
 *
 * Empty nodes have no page. Integers are big-endian. Keys: `orders/` is the root of collection orders, `orders/3f` the group below
 * the nibbles 3 and f, `orders/3f.01` a bucket two levels below that.
 */

export const ENTRY_BYTES = 64
export const GROUP_LEVELS = 4
/** Nibbles, and so at most items, of a group. */
export const GROUP_WIDTH = 16
const ITEM_BYTES = 1 + 6 + HASH_BYTES
export const MAX_GROUP_BYTES = GROUP_WIDTH * ITEM_BYTES
const ITEM_HASH_AT = 7
export const ROOT_HEAD_BYTES = 1 + 8 + HASH_BYTES
const PAGE_VERSION = 2
/** Its buckets did not name their keys. */
const EARLIER_VERSION = 1
const GROUP_FLAG = 0x80

export interface TrieRoot {
  /** Live keys. */
  readonly count: number
  /** T of rule 3. */
  readonly trieHash: Uint8Array
}

/** A node where the four levels of a group end. */
export interface Item {
  readonly isGroup: boolean
  /** Levels below the group, 1 to 4: it covers 16 >> levels nibbles. */
  readonly levels: number
  /** The first nibble it covers. */
  readonly start: number
  readonly count: number
  /** Where its T lies. */
  readonly hashes: Uint8Array
  readonly hashAt: number
}

const SLAB_BYTES = 64 * 1024
let slab = new Uint8Array(SLAB_BYTES)
let slabUsed = 0

/** Zeros, for what becomes a page. Many share one memory: each on its own would cost more than all that is written into it. */
export function pageMemory(length: number): Uint8Array {
  if (slabUsed + length > slab.length) {
    slab = new Uint8Array(Math.max(SLAB_BYTES, length))
    slabUsed = 0
  }
  const memory = new Uint8Array(slab.buffer, slabUsed, length)
  slabUsed += length
  return memory
}

/** A copy behind `head` bytes that are left free. */
export function copyOfPage(bytes: Uint8Array, head = 0): Uint8Array {
  const copy = pageMemory(head + bytes.length)
  copy.set(bytes, head)
  return copy
}

export const NIBBLES = '0123456789abcdef'

/** The path of a group is its nibbles as text; the root's is empty. */
export function groupKey(collection: string, path: string): string {
  return `${collection}/${path}`
}

/** `path` is the group's on whose page the bucket is listed. */
export function bucketKey(collection: string, path: string, levels: number, start: number): string {
  return `${collection}/${path}${BUCKET_SUFFIX[(GROUP_WIDTH + start) >>> (GROUP_LEVELS - levels)]!}`
}

/** The leading bits of a nibble, behind a 1 that says how many they are: 0b101 → '.01'. */
const BUCKET_SUFFIX = Array.from({ length: 2 * GROUP_WIDTH }, (_, code) => `.${code.toString(2).slice(1)}`)

/** The nibble at `index` of the hash at `at`. */
export function nibbleAt(hashes: Uint8Array, at: number, index: number): number {
  const byte = hashes[at + (index >>> 1)]!
  return (index & 1) === 0 ? byte >>> 4 : byte & 15
}

/** Appends an item to a group's page; returns where the next one goes. */
export function writeItem(
  page: Uint8Array, at: number, isGroup: boolean, levels: number, count: number, hashes: Uint8Array, hashAt: number,
): number {
  page[at] = (isGroup ? GROUP_FLAG : 0) | levels
  writeCount(page, at + 1, count)
  for (let i = 0; i < HASH_BYTES; i++) page[at + ITEM_HASH_AT + i] = hashes[hashAt + i]!
  return at + ITEM_BYTES
}

/** Makes one thing of each item; null where they do not fill the four levels exactly. */
export function readGroup<T>(
  page: Uint8Array, make: (isGroup: boolean, levels: number, start: number, count: number, hashAt: number) => T,
): T[] | null {
  const made: T[] = []
  let start = 0
  for (let at = 0; at + ITEM_BYTES <= page.length; at += ITEM_BYTES) {
    const levels = page[at]! & ~GROUP_FLAG
    const isGroup = (page[at]! & GROUP_FLAG) !== 0
    if (levels < 1 || levels > GROUP_LEVELS || (isGroup && levels !== GROUP_LEVELS) || start >= GROUP_WIDTH) return null
    const count = readCount(page, at + 1)
    if (isGroup !== count > BUCKET_CAPACITY) return null
    made.push(make(isGroup, levels, start, count, at + ITEM_HASH_AT))
    start += GROUP_WIDTH >>> levels
  }
  return start === GROUP_WIDTH && page.length % ITEM_BYTES === 0 ? made : null
}

/** Fills in the head of the root's page. */
export function writeRoot(page: Uint8Array, root: TrieRoot): Uint8Array {
  page[0] = PAGE_VERSION
  writeCount(page, 3, root.count)
  page.set(root.trieHash, 9)
  return page
}

/** Count and T of a collection, from the page under the key of its root. STATE_CORRUPT where it is none, or of another version. */
export function readRoot(page: Uint8Array): TrieRoot {
  if (page[0] === EARLIER_VERSION) throw earlierPage()
  if (page.length < ROOT_HEAD_BYTES || page[0] !== PAGE_VERSION || page[1] !== 0 || page[2] !== 0) throw corruptPage()
  return { count: readCount(page, 3), trieHash: new Uint8Array(page.subarray(9, ROOT_HEAD_BYTES)) }
}

/** The bucket or the group behind the head of the root's page. */
export function rootBody(page: Uint8Array): Uint8Array {
  return page.subarray(ROOT_HEAD_BYTES)
}

/** 48 bits, which is beyond what any store holds. */
function writeCount(page: Uint8Array, at: number, count: number): void {
  page[at] = count / 2 ** 40
  page[at + 1] = count / 2 ** 32
  page[at + 2] = count >>> 24
  page[at + 3] = count >>> 16
  page[at + 4] = count >>> 8
  page[at + 5] = count
}

function readCount(page: Uint8Array, at: number): number {
  const high = page[at]! * 256 + page[at + 1]!
  const low = page[at + 2]! * 2 ** 24 + (page[at + 3]! << 16) + (page[at + 4]! << 8) + page[at + 5]!
  return high * 2 ** 32 + low
}

export function corruptPage(key?: string): RehydrateError {
  return new RehydrateError('STATE_CORRUPT', {
    message: 'A page of the digest is missing or is not what its key says.',
    collection: '$digest',
    key,
  })
}

function earlierPage(): RehydrateError {
  return new RehydrateError('STATE_CORRUPT', {
    message: 'The pages of the digest are of an earlier version of this tool, which did not keep the keys in them.',
    collection: '$digest', expected: PAGE_VERSION, actual: EARLIER_VERSION,
    why: 'Pages are not converted: they are made anew from the log.',
    safe: 'Nothing was changed.',
    fix: '`rehydrate replay --restart` builds a new generation from the log.',
  })
}
