import { RehydrateError } from '../errors.js'
import { type Entries, startsOf } from './entries.js'
import { HASH_BYTES } from './hash.js'
import { KeyHeap } from './key-heap.js'
import { compareHashes, sortedOrder } from './order.js'
import { ENTRY_BYTES, copyOfPage, nibbleAt, pageMemory } from './pages.js'

/** One key that was written (`valueHash` = vh) or deleted (null) since the trie stood as it is stored. */
export interface TrieChange {
  readonly key: string
  /** kh of the key. */
  readonly keyHash: Uint8Array
  readonly valueHash: Uint8Array | null
  /**
   * What the store gave for this key when it was read: its vh as latin1 text, or null where it was absent. The trie must list
   * the same, else a row was lost or replaced: STATE_CORRUPT. Undefined: it was not read.
   */
  readonly was?: string | null | undefined
}

/** A hash as text of 32 characters: it takes a third of the memory of an array. */
export function latin1(hash: Uint8Array): string {
  return Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength).toString('latin1')
}

/** Changes of a collection in ascending order of kh. UNEXPECTED for a kh that comes twice. */
export class SortedChanges {
  readonly count: number
  readonly hasDeletes: boolean
  readonly #collection: string
  readonly #changes: readonly TrieChange[]
  /** kh ‖ vh each, as in a bucket. */
  readonly #entries: Uint8Array

  constructor(collection: string, changes: readonly TrieChange[]) {
    this.#collection = collection
    this.count = changes.length
    this.hasDeletes = changes.some(({ valueHash }) => valueHash === null)
    const given = new Uint8Array(changes.length * ENTRY_BYTES)
    changes.forEach(({ keyHash }, i) => { given.set(keyHash, i * ENTRY_BYTES) })
    this.#changes = Array.from(sortedOrder(given, changes.length), (index) => changes[index]!)
    this.#entries = given
    this.#changes.forEach(({ keyHash, valueHash }, i) => {
      this.#entries.set(keyHash, i * ENTRY_BYTES)
      if (valueHash !== null) this.#entries.set(valueHash, i * ENTRY_BYTES + HASH_BYTES)
      if (i > 0 && compareHashes(this.#entries, (i - 1) * ENTRY_BYTES, this.#entries, i * ENTRY_BYTES) === 0) {
        throw new RehydrateError('UNEXPECTED', { message: 'One key is changed twice in an update of the digest.' })
      }
    })
  }

  /** The first of the changes [from, to) whose nibble at `index` is `nibble` or above. */
  firstFrom(from: number, to: number, index: number, nibble: number): number {
    let i = from
    while (i < to && nibbleAt(this.#entries, i * ENTRY_BYTES, index) < nibble) i++
    return i
  }

  /** The entries of a bucket with the changes [from, to) applied, in order. STATE_CORRUPT where it lists others than were read. */
  merge(bucket: Entries, from: number, to: number): Entries {
    const entries = this.#entries
    const old = bucket.hashes
    const merged = pageMemory(old.length + (to - from) * ENTRY_BYTES)
    const keys = new MergedKeys(bucket)
    let length = 0
    let oldAt = 0
    for (let i = from; i < to; i++) {
      const at = i * ENTRY_BYTES
      let order = 1
      const first = oldAt
      while (oldAt < old.length && (order = compareHashes(old, oldAt, entries, at)) < 0) oldAt += ENTRY_BYTES
      merged.set(old.subarray(first, oldAt), length)
      length += oldAt - first
      const isListed = order === 0 && oldAt < old.length
      const change = this.#changes[i]!
      this.#assertAsRead(change, isListed ? old.subarray(oldAt + HASH_BYTES, oldAt + ENTRY_BYTES) : null)
      if (change.valueHash !== null) {
        if (!isListed) keys.insert(oldAt / ENTRY_BYTES, change.key)
        merged.set(entries.subarray(at, at + ENTRY_BYTES), length)
        length += ENTRY_BYTES
      } else if (isListed) {
        keys.remove(oldAt / ENTRY_BYTES)
      }
      if (isListed) oldAt += ENTRY_BYTES
    }
    merged.set(old.subarray(oldAt), length)
    return keys.with(merged.subarray(0, length + old.length - oldAt))
  }

  /** A cached root proves what was written; this catches a row that is lost or replaced before it is folded and written again. */
  #assertAsRead({ key, was }: TrieChange, listed: Uint8Array | null): void {
    if (was === undefined || (listed === null ? null : latin1(listed)) === was) return
    throw new RehydrateError('STATE_CORRUPT', {
      message: was === null
        ? `The stored entry ${this.#collection}/${key} is lost: the digest lists it.`
        : `The stored entry ${this.#collection}/${key} is not the one the digest lists.`,
      collection: this.#collection, key,
    })
  }
}

/** The keys of a bucket while entries come and go. Where none does, nothing is copied. */
class MergedKeys {
  readonly #bucket: Entries
  #merged: KeyHeap | null = null
  /** So many of the bucket's are taken over or left out. */
  #passed = 0

  constructor(bucket: Entries) {
    this.#bucket = bucket
  }

  /** Puts a key before the one at `index` of the bucket. Indexes ascend. */
  insert(index: number, key: string): void {
    this.#takeUntil(index).add(key)
  }

  /** Leaves out the one at `index` of the bucket. */
  remove(index: number): void {
    this.#takeUntil(index)
    this.#passed = index + 1
  }

  /** The entries with these hashes and the keys that there are now. */
  with(hashes: Uint8Array): Entries {
    if (this.#merged === null) return { ...this.#bucket, hashes }
    const { bytes, length } = this.#takeUntil(this.#bucket.count)
    const keys = copyOfPage(bytes.subarray(0, length))
    const count = hashes.length / ENTRY_BYTES
    return { count, hashes, keys, starts: startsOf(keys, count) }
  }

  #takeUntil(index: number): KeyHeap {
    if (this.#merged === null) {
      this.#merged = scratch
      scratch.clear()
    }
    const { keys, starts } = this.#bucket
    for (; this.#passed < index; this.#passed++) this.#merged.copy(keys, starts[this.#passed]!)
    return this.#merged
  }
}

/** Where keys are put together; a merge does not wait for anything. */
const scratch = new KeyHeap()
