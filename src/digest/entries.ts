import { ENTRY_BYTES, pageMemory } from './pages.js'

/** Entries of one collection, ascending by kh, as they stand on the page of a bucket. */
export interface Entries {
  readonly count: number
  /** kh ‖ vh of each, 64 bytes. */
  readonly hashes: Uint8Array
  /** The keys in the same order, each as 2 bytes of length and its UTF-8. Empty where no pages are wanted. */
  readonly keys: Uint8Array
  /** Where in `keys` each key begins, and where the last one ends: count + 1 places. Empty where `keys` is. */
  readonly starts: ArrayLike<number>
}

/** Bytes before the UTF-8 of a key. */
export const KEY_HEAD_BYTES = 2

export const NO_ENTRIES: Entries = { count: 0, hashes: new Uint8Array(0), keys: new Uint8Array(0), starts: [0] }

/** So many entries from a bucket's page; null where it does not hold exactly them. */
export function readEntries(page: Uint8Array, count: number): Entries | null {
  const keys = page.subarray(count * ENTRY_BYTES)
  const starts = startsOf(keys, count)
  return starts[count] === keys.length ? { count, hashes: page.subarray(0, count * ENTRY_BYTES), keys, starts } : null
}

/** Where each of so many keys begins, and where the last one ends; NaN where the memory ends before. */
export function startsOf(keys: Uint8Array, count: number): number[] {
  const starts = [0]
  for (let i = 0, at = 0; i < count; i++) {
    at = at + KEY_HEAD_BYTES > keys.length ? Number.NaN : at + keyBytesAt(keys, at)
    starts.push(at)
  }
  return starts
}

/** The entries [from, to) as a bucket's page, behind `head` bytes that are left free. */
export function pageOfEntries(entries: Entries, from: number, to: number, head = 0): Uint8Array {
  const { hashes, keys, starts } = entries
  const keysFrom = starts[from]!
  const keysTo = starts[to]!
  const keysAt = head + (to - from) * ENTRY_BYTES
  const page = pageMemory(keysAt + keysTo - keysFrom)
  page.set(hashes.subarray(from * ENTRY_BYTES, to * ENTRY_BYTES), head)
  page.set(keys.subarray(keysFrom, keysTo), keysAt)
  return page
}

/** Lists of entries as one, in the order given. */
export function joinEntries(lists: readonly Entries[]): Entries {
  const [only] = lists
  if (only === undefined) return NO_ENTRIES
  if (lists.length === 1) return only
  const starts: number[] = []
  let end = 0
  for (const list of lists) {
    for (let i = 0; i < list.count && list.starts.length > 0; i++) starts.push(end + list.starts[i]!)
    end += list.keys.length
  }
  if (end > 0) starts.push(end)
  const count = lists.reduce((sum, list) => sum + list.count, 0)
  return { count, hashes: joined(lists.map(({ hashes }) => hashes)), keys: joined(lists.map(({ keys }) => keys)), starts }
}

/** The same entries in memory of their own. */
export function copyOfEntries({ count, hashes, keys, starts }: Entries): Entries {
  return { count, hashes: hashes.slice(), keys: keys.slice(), starts: Array.from(starts) }
}

/** The entries [from, to), in the same memory. */
export function sliceOfEntries({ hashes, keys, starts }: Entries, from: number, to: number): Entries {
  const first = starts[from]!
  return {
    count: to - from,
    hashes: hashes.subarray(from * ENTRY_BYTES, to * ENTRY_BYTES),
    keys: keys.subarray(first, starts[to]!),
    starts: Array.from({ length: to - from + 1 }, (_, i) => starts[from + i]! - first),
  }
}

export function keyOfEntry({ keys, starts }: Entries, index: number): string {
  return keyTextAt(keys, starts[index]!)
}

export function keysOfEntries(entries: Entries): string[] {
  return Array.from({ length: entries.count }, (_, i) => keyOfEntry(entries, i))
}

/** The key at this place as text. */
function keyTextAt(keys: Uint8Array, at: number): string {
  return Buffer.from(keys.buffer, keys.byteOffset, keys.byteLength).toString('utf8', at + KEY_HEAD_BYTES, at + keyBytesAt(keys, at))
}

/** Bytes of the key at this place, with its length in front. */
export function keyBytesAt(keys: Uint8Array, at: number): number {
  return KEY_HEAD_BYTES + (keys[at]! << 8 | keys[at + 1]!)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = pageMemory(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
