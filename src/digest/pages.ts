import { RehydrateError } from '../errors.js'
import { BUCKET_CAPACITY, HASH_BYTES } from './hash.js'

/**
 * How the trie of rule 3 lies in the store's collection `$digest`. All of it is a function of the state:
 *
 * - A node of at most 16 entries is a bucket. Its page is those entries: kh ‖ vh, 64 bytes each, ascending.
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
const ITEM_BYTES = 1 + 6 + HASH_BYTES
const ROOT_HEAD_BYTES = 1 + 8 + HASH_BYTES
const PAGE_VERSION = 1
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
  /** Absolute: bits of kh that all entries below share. */
  readonly depth: number
  /** Any kh that begins with those bits. */
  readonly prefix: Uint8Array
  readonly count: number
  readonly hash: Uint8Array
}

export function rootKey(collection: string): string {
  return `${collection}/`
}

export function groupKey(collection: string, prefix: Uint8Array, depth: number): string {
  return `${collection}/${nibbles(prefix, depth)}`
}

export function bucketKey(collection: string, prefix: Uint8Array, depth: number): string {
  if (depth === 0) return rootKey(collection)
  const group = groupDepthAbove(depth)
  let bits = ''
  for (let i = group; i < depth; i++) bits += bitAt(prefix, i)
  return `${collection}/${nibbles(prefix, group)}.${bits}`
}

/** The depth of the group on whose page a node at `depth` ≥ 1 is listed. */
export function groupDepthAbove(depth: number): number {
  return Math.floor((depth - 1) / GROUP_LEVELS) * GROUP_LEVELS
}

export function bitAt(prefix: Uint8Array, depth: number): 0 | 1 {
  return ((prefix[depth >>> 3]! >>> (7 - (depth & 7))) & 1) as 0 | 1
}

const NIBBLES = '0123456789abcdef'

function nibbles(prefix: Uint8Array, depth: number): string {
  let text = ''
  for (let i = 0; i < depth / GROUP_LEVELS; i++) {
    const byte = prefix[i >>> 1]!
    text += NIBBLES[(i & 1) === 0 ? byte >>> 4 : byte & 15]!
  }
  return text
}

export function writeGroup(items: readonly Item[], groupDepth: number): Uint8Array {
  const page = new Uint8Array(items.length * ITEM_BYTES)
  let at = 0
  for (const item of items) {
    page[at] = (item.isGroup ? GROUP_FLAG : 0) | (item.depth - groupDepth)
    writeCount(page, at + 1, item.count)
    page.set(item.hash, at + 7)
    at += ITEM_BYTES
  }
  return page
}

/** Reads a group's items. `prefix` and `depth` are the group's. STATE_CORRUPT where they do not fill its four levels exactly. */
export function readGroup(page: Uint8Array, prefix: Uint8Array, depth: number): Item[] {
  const items: Item[] = []
  let covered = 0
  for (let at = 0; at + ITEM_BYTES <= page.length; at += ITEM_BYTES) {
    const levels = page[at]! & ~GROUP_FLAG
    const isGroup = (page[at]! & GROUP_FLAG) !== 0
    if (levels < 1 || levels > GROUP_LEVELS || (isGroup && levels !== GROUP_LEVELS) || covered >= 16) throw corruptPage()
    const count = readCount(page, at + 1)
    if (isGroup !== count > BUCKET_CAPACITY) throw corruptPage()
    items.push({
      isGroup, count,
      depth: depth + levels,
      prefix: extended(prefix, depth, covered),
      hash: page.subarray(at + 7, at + ITEM_BYTES),
    })
    covered += 16 >>> levels
  }
  if (covered !== 16 || page.length % ITEM_BYTES !== 0) throw corruptPage()
  return items
}

/** The prefix with the four bits behind `depth` set to `nibble`. `depth` is a multiple of four. */
function extended(prefix: Uint8Array, depth: number, nibble: number): Uint8Array {
  const longer = new Uint8Array(HASH_BYTES)
  longer.set(prefix.subarray(0, depth >>> 3))
  longer[depth >>> 3] = (depth & 7) === 0 ? nibble << 4 : (prefix[depth >>> 3]! & 0xf0) | nibble
  return longer
}

export function writeRoot(root: TrieRoot, body: Uint8Array): Uint8Array {
  const page = new Uint8Array(ROOT_HEAD_BYTES + body.length)
  page[0] = PAGE_VERSION
  writeCount(page, 3, root.count)
  page.set(root.trieHash, 9)
  page.set(body, ROOT_HEAD_BYTES)
  return page
}

/** Count and T of a collection, from the page under `rootKey`. STATE_CORRUPT where it is none. */
export function readRoot(page: Uint8Array): TrieRoot {
  if (page.length < ROOT_HEAD_BYTES || page[0] !== PAGE_VERSION) throw corruptPage()
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
