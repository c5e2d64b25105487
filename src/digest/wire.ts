import { RehydrateError } from '../errors.js'
import { hashKeys } from './batch.js'
import { type Entries, keysOfEntries, pageOfEntries, readEntries, startsOf } from './entries.js'
import { BUCKET_CAPACITY, HASH_BYTES } from './hash.js'
import { compareHashes } from './order.js'
import { ENTRY_BYTES, MAX_GROUP_BYTES, readGroup } from './pages.js'

/**
 * Pages as they travel between hosts: what can be computed from the rest is left out. A bucket is 1 byte of count, the vh of its
 * entries and their keys, each as 2 bytes of length and UTF-8; its kh are made of the keys. A group is 1 byte 20, and of each item
 * its first byte with the number of bytes of its count in bits 3 to 5, so many bytes of count, and T. Anything else is 1 byte 00 and
 * the page.
 */
const AS_IT_IS = 0
const GROUP = 0x20
const WIDTH_SHIFT = 3
const WIDTH_BITS = 0b111 << WIDTH_SHIFT
const COUNT_BYTES = 6

/** The page in fewer bytes. */
export function packPage(page: Uint8Array): Uint8Array {
  const entries = bucketOn(page)
  if (entries === null) return packGroup(page) ?? Buffer.concat([Uint8Array.of(AS_IT_IS), page])
  const { count, hashes, keys } = entries
  const packed = new Uint8Array(1 + count * HASH_BYTES + keys.length)
  packed[0] = count
  for (let i = 0; i < count; i++) packed.set(hashes.subarray(i * ENTRY_BYTES + HASH_BYTES, (i + 1) * ENTRY_BYTES), 1 + i * HASH_BYTES)
  packed.set(keys, 1 + count * HASH_BYTES)
  return packed
}

/** The page again. AGAINST_INVALID for what is no packed page; whether it is the right one shows where it is read. */
export function unpackPage(packed: Uint8Array): Uint8Array {
  const count = packed[0] ?? BUCKET_CAPACITY + 1
  if (count === AS_IT_IS) return packed.subarray(1)
  if (count === GROUP) return unpackGroup(packed)
  const keys = packed.subarray(1 + count * HASH_BYTES)
  const starts = startsOf(keys, count)
  if (count > BUCKET_CAPACITY || starts[count] !== keys.length) {
    throw noPage()
  }
  const hashes = new Uint8Array(count * ENTRY_BYTES)
  const entries: Entries = { count, hashes, keys, starts }
  const keyHashes = hashKeys(keysOfEntries(entries))
  for (let i = 0; i < count; i++) {
    hashes.set(keyHashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES), i * ENTRY_BYTES)
    hashes.set(packed.subarray(1 + i * HASH_BYTES, 1 + (i + 1) * HASH_BYTES), i * ENTRY_BYTES + HASH_BYTES)
  }
  return pageOfEntries(entries, 0, count)
}

/** Null where the page is no group's. */
function packGroup(page: Uint8Array): Uint8Array | null {
  const items = readGroup(page, (_isGroup, _levels, _start, _count, hashAt) => hashAt)
  if (items === null) return null
  const parts: Uint8Array[] = [Uint8Array.of(GROUP)]
  for (const hashAt of items) {
    const head = hashAt - COUNT_BYTES - 1
    let countAt = head + 1
    while (countAt < hashAt && page[countAt] === 0) countAt++
    parts.push(Uint8Array.of(page[head]! | (hashAt - countAt) << WIDTH_SHIFT), page.subarray(countAt, hashAt + HASH_BYTES))
  }
  return Buffer.concat(parts)
}

function unpackGroup(packed: Uint8Array): Uint8Array {
  const page = new Uint8Array(MAX_GROUP_BYTES)
  let length = 0
  for (let at = 1; at < packed.length;) {
    const width = (packed[at]! & WIDTH_BITS) >>> WIDTH_SHIFT
    const end = at + 1 + width + HASH_BYTES
    if (width > COUNT_BYTES || end > packed.length || length === page.length) throw noPage()
    page[length] = packed[at]! & ~WIDTH_BITS
    page.set(packed.subarray(at + 1, end), length + 1 + COUNT_BYTES - width)
    length += 1 + COUNT_BYTES + HASH_BYTES
    at = end
  }
  return page.subarray(0, length)
}

function noPage(): RehydrateError {
  return new RehydrateError('AGAINST_INVALID', {
    message: 'The other side sent something that is no page of a digest.', collection: '$digest',
  })
}

/** The entries where the page is a bucket's: its length gives candidates for their count, and the kh of the keys settle it. */
function bucketOn(page: Uint8Array): Entries | null {
  for (let count = 1; count <= BUCKET_CAPACITY && count * ENTRY_BYTES < page.length; count++) {
    const entries = readEntries(page, count)
    if (entries === null) continue
    const keyHashes = hashKeys(keysOfEntries(entries))
    const isBucket = (i: number): boolean => i === count
      || (compareHashes(keyHashes, i * HASH_BYTES, entries.hashes, i * ENTRY_BYTES) === 0 && isBucket(i + 1))
    if (isBucket(0)) return entries
  }
  return null
}
