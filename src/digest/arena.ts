import { RehydrateError } from '../errors.js'
import type { TrieBuilder } from './builder.js'
import { HASH_BYTES } from './hash.js'
import { ENTRY_BYTES } from './pages.js'

const PREFIXES = 2 ** 32
const FIRST_ENTRIES = 1024

/**
 * Puts the entries of a store, which come in any order, into ascending order of kh within a fixed memory. Where not all fit, the
 * store is scanned again: each pass keeps the entries of one range of kh and hands them on in order.
 *
 *     do {
 *       for (entry of the whole store) arena.add(kh, vh)
 *       arena.drain(builder)
 *     } while (!arena.isComplete)
 */
export class EntryArena {
  #entries = new Uint8Array(FIRST_ENTRIES * ENTRY_BYTES)
  #view = new DataView(this.#entries.buffer)
  readonly #limit: number
  #count = 0
  /** This pass keeps entries whose first 32 bits lie in [from, to). */
  #from = 0
  #to = PREFIXES

  /**
   * `bytes`: memory for entries, 64 bytes each; taken as it is needed. While it grows it takes half as much again, and sorting
   * takes about 5 bytes per entry on top.
   */
  constructor(bytes: number) {
    this.#limit = Math.max(2, Math.floor(bytes / ENTRY_BYTES))
  }

  /** True after the `drain` of the last range. */
  get isComplete(): boolean {
    return this.#from === PREFIXES
  }

  /** Keeps one entry if it is of this pass: kh is the 32 bytes of `keyHashes` at `keyAt`, vh likewise. */
  add(keyHashes: Uint8Array, keyAt: number, valueHashes: Uint8Array, valueAt: number): void {
    const prefix = prefixAt(keyHashes, keyAt)
    if (prefix < this.#from || prefix >= this.#to) return
    if (this.#count * ENTRY_BYTES === this.#entries.length && this.#count < this.#limit) this.#grow()
    while (this.#count === this.#limit) {
      this.#narrow()
      if (prefix >= this.#to) return
    }
    const entries = this.#entries
    const at = this.#count++ * ENTRY_BYTES
    for (let i = 0; i < HASH_BYTES; i++) {
      entries[at + i] = keyHashes[keyAt + i]!
      entries[at + HASH_BYTES + i] = valueHashes[valueAt + i]!
    }
  }

  /**
   * Hands what this pass has kept to the builder in ascending order of kh, and goes on to the next range. Where a kh came twice,
   * throws `onEqual` of the ordinals, among what this pass kept, of the later and the earlier one.
   */
  drain(builder: TrieBuilder, onEqual: (later: number, earlier: number) => Error = sameKeyTwice): void {
    const prefixes = this.#prefixes()
    let previous = -1
    for (const index of this.#sorted(prefixes)) {
      if (previous >= 0 && this.#compare(prefixes, previous, index) === 0) throw onEqual(index, previous)
      builder.add(this.#entries, index * ENTRY_BYTES)
      previous = index
    }
    this.#count = 0
    this.#from = this.#to
    this.#to = PREFIXES
  }

  #grow(): void {
    const larger = new Uint8Array(this.#entries.length * 2)
    larger.set(this.#entries)
    this.#entries = larger
    this.#view = new DataView(larger.buffer)
  }

  /** Halves the range and drops what lies above. */
  #narrow(): void {
    if (this.#to - this.#from === 1) {
      throw new RehydrateError('UNEXPECTED', { message: 'More key hashes begin with the same 32 bits than memory was given for.' })
    }
    this.#to = this.#from + Math.ceil((this.#to - this.#from) / 2)
    let kept = 0
    for (let i = 0; i < this.#count; i++) {
      if (this.#view.getUint32(i * ENTRY_BYTES) >= this.#to) continue
      if (kept !== i) this.#entries.copyWithin(kept * ENTRY_BYTES, i * ENTRY_BYTES, (i + 1) * ENTRY_BYTES)
      kept++
    }
    this.#count = kept
  }

  /** The leading 32 bits of all entries, close together: sorting by them stays in the processor's cache. */
  #prefixes(): Uint32Array {
    const prefixes = new Uint32Array(this.#count)
    for (let i = 0; i < prefixes.length; i++) prefixes[i] = prefixAt(this.#entries, i * ENTRY_BYTES)
    return prefixes
  }

  /** Indexes in order: a counting sort by leading bits of the range, about four entries a slot, then by insertion within a slot. */
  #sorted(prefixes: Uint32Array): Uint32Array {
    const count = prefixes.length
    const slots = 2 ** Math.ceil(Math.log2(count / 4 + 1))
    const scale = slots / (this.#to - this.#from)
    const from = this.#from
    const starts = new Uint32Array(slots + 1)
    for (let i = 0; i < count; i++) starts[Math.floor((prefixes[i]! - from) * scale) + 1]!++
    for (let slot = 0; slot < slots; slot++) starts[slot + 1]! += starts[slot]!
    const next = starts.slice()
    const order = new Uint32Array(count)
    for (let i = 0; i < count; i++) {
      const slot = Math.floor((prefixes[i]! - from) * scale)
      const first = starts[slot]!
      let place = next[slot]!++
      for (; place > first && this.#compare(prefixes, i, order[place - 1]!) < 0; place--) order[place] = order[place - 1]!
      order[place] = i
    }
    return order
  }

  #compare(prefixes: Uint32Array, a: number, b: number): number {
    const difference = prefixes[a]! - prefixes[b]!
    return difference !== 0 ? difference : compareHashes(this.#entries, a * ENTRY_BYTES, this.#entries, b * ENTRY_BYTES)
  }
}

function sameKeyTwice(): Error {
  return new RehydrateError('UNEXPECTED', { message: 'A key came twice in one collection.' })
}

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
