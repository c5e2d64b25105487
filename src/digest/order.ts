import { HASH_BYTES } from './hash.js'
import { ENTRY_BYTES } from './pages.js'

/**
 * The order of the first `count` entries by kh: their indexes, ascending; equal ones as they stand. A counting sort by leading
 * bits, about four entries a slot, then by insertion within a slot. The kh are hashes, and so spread evenly from the least to the
 * greatest; where they do not, the order is right and takes longer.
 */
export function sortedOrder(entries: Uint8Array, count: number): Uint32Array {
  // The leading 32 bits, close together: they settle nearly all, and stay in the processor's cache.
  const prefixes = new Uint32Array(count)
  let from = 2 ** 32
  let to = 0
  for (let i = 0; i < count; i++) {
    const prefix = prefixAt(entries, i * ENTRY_BYTES)
    prefixes[i] = prefix
    if (prefix < from) from = prefix
    if (prefix >= to) to = prefix + 1
  }
  const slots = 2 ** Math.ceil(Math.log2(count / 4 + 1))
  const scale = slots / (to - from)
  const starts = new Uint32Array(slots + 1)
  for (let i = 0; i < count; i++) starts[((prefixes[i]! - from) * scale >>> 0) + 1]!++
  for (let slot = 0; slot < slots; slot++) starts[slot + 1]! += starts[slot]!
  const next = starts.slice()
  const order = new Uint32Array(count)
  for (let i = 0; i < count; i++) {
    const prefix = prefixes[i]!
    const slot = (prefix - from) * scale >>> 0
    const first = starts[slot]!
    let place = next[slot]!++
    for (; place > first; place--) {
      const before = order[place - 1]!
      const difference = prefix - prefixes[before]!
      if (difference > 0) break
      if (difference === 0 && compareHashes(entries, i * ENTRY_BYTES, entries, before * ENTRY_BYTES) >= 0) break
      order[place] = before
    }
    order[place] = i
  }
  return order
}

/** The first 32 bits of the hash at `at`. */
export function prefixAt(hashes: Uint8Array, at: number): number {
  return ((hashes[at]! << 24) | (hashes[at + 1]! << 16) | (hashes[at + 2]! << 8) | hashes[at + 3]!) >>> 0
}

export function compareHashes(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): number {
  for (let i = 0; i < HASH_BYTES; i++) {
    const difference = a[aAt + i]! - b[bAt + i]!
    if (difference !== 0) return difference
  }
  return 0
}
