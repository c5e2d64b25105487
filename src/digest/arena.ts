import { RehydrateError } from '../errors.js'
import type { TrieBuilder } from './builder.js'
import { HASH_BYTES } from './hash.js'
import { compareHashes, prefixAt, sortedOrder } from './order.js'
import { ENTRY_BYTES, GROUP_LEVELS } from './pages.js'

const PREFIX_BITS = 32
const PREFIXES = 2 ** PREFIX_BITS
const FIRST_ENTRIES = 1024
const HASH_WORDS = HASH_BYTES / 4
const ENTRY_WORDS = ENTRY_BYTES / 4
/** About how many entries `drain` hands on at once: they and their pages stay in the processor's cache. */
const RUN_ENTRIES = 4096

/**
 * Puts the entries of a store, which come in any order, into ascending order of kh within a fixed memory. Where not all fit, the
 * store is scanned again: each pass keeps the entries of one range of kh and hands them on in order.
 *
 *     do {
 *       for (block of the whole store) arena.add(keyHashes, valueHashes)
 *       for (const _ of arena.drain(builder)) write the pages there are
 *     } while (!arena.isComplete)
 */
export class EntryArena {
  #entries = new Uint8Array(FIRST_ENTRIES * ENTRY_BYTES)
  /** The same memory: entries move as words. */
  #words = new Int32Array(this.#entries.buffer)
  /** Where runs are put together. */
  #run = new Int32Array(0)
  readonly #limit: number
  #count = 0
  /** This pass keeps entries whose first 32 bits lie in [from, to). */
  #from = 0
  #to = PREFIXES

  /**
   * `bytes`: memory for entries, 64 bytes each; taken as it is needed. While it grows it takes half as much again, and sorting
   * takes about 12 bytes per entry on top.
   */
  constructor(bytes: number) {
    this.#limit = Math.max(2, Math.floor(bytes / ENTRY_BYTES))
  }

  /** True after the `drain` of the last range. */
  get isComplete(): boolean {
    return this.#from === PREFIXES
  }

  /** Keeps those entries that are of this pass. Both hold one hash of 32 bytes per entry, and begin at a multiple of 4 bytes. */
  add(keyHashes: Uint8Array, valueHashes: Uint8Array): void {
    const keyWords = wordsOf(keyHashes)
    const valueWords = wordsOf(valueHashes)
    for (let i = 0; i < keyWords.length; i += HASH_WORDS) {
      const prefix = prefixAt(keyHashes, i * 4)
      if (prefix < this.#from || prefix >= this.#to || !this.#hasRoomFor(prefix)) continue
      const words = this.#words
      const at = this.#count++ * ENTRY_WORDS
      for (let word = 0; word < HASH_WORDS; word++) {
        words[at + word] = keyWords[i + word]!
        words[at + HASH_WORDS + word] = valueWords[i + word]!
      }
    }
  }

  /**
   * Hands what this pass has kept to the builder in ascending order of kh, some thousands at each step, and goes on to the next
   * range after the last. Where a kh came twice, throws `onEqual` of the ordinals, among what this pass kept, of the later and the
   * earlier one.
   */
  *drain(
    builder: TrieBuilder, onEqual: (later: number, earlier: number) => Error = sameKeyTwice,
  ): Generator<void, void, undefined> {
    const order = sortedOrder(this.#entries, this.#count)
    const depth = this.#runDepth()
    const width = 2 ** (PREFIX_BITS - depth)
    for (let from = 0; from < order.length;) {
      const end = Math.floor(this.#prefixOf(order[from]!) / width + 1) * width
      const to = this.#firstFrom(order, from, end)
      const run = this.#gather(order, from, to)
      for (let i = from + 1, at = ENTRY_BYTES; i < to; i++, at += ENTRY_BYTES) {
        if (compareHashes(run, at - ENTRY_BYTES, run, at) === 0) throw onEqual(order[i]!, order[i - 1]!)
      }
      builder.add(run, depth)
      from = to
      yield
    }
    this.#count = 0
    this.#from = this.#to
    this.#to = PREFIXES
  }

  /** False where the pass had to be narrowed so far that the prefix is no more of it. */
  #hasRoomFor(prefix: number): boolean {
    if (this.#count * ENTRY_BYTES === this.#entries.length && this.#count < this.#limit) this.#grow()
    while (this.#count === this.#limit) {
      this.#narrow()
      if (prefix >= this.#to) return false
    }
    return true
  }

  #grow(): void {
    const larger = new Uint8Array(this.#entries.length * 2)
    larger.set(this.#entries)
    this.#entries = larger
    this.#words = wordsOf(larger)
  }

  /** Halves the range, to a power of two, and drops what lies above. */
  #narrow(): void {
    const size = this.#to - this.#from
    if (size === 1) {
      throw new RehydrateError('UNEXPECTED', { message: 'More key hashes begin with the same 32 bits than memory was given for.' })
    }
    this.#to = this.#from + 2 ** (Math.ceil(Math.log2(size)) - 1)
    let kept = 0
    for (let i = 0; i < this.#count; i++) {
      if (this.#prefixOf(i) >= this.#to) continue
      if (kept !== i) this.#words.copyWithin(kept * ENTRY_WORDS, i * ENTRY_WORDS, (i + 1) * ENTRY_WORDS)
      kept++
    }
    this.#count = kept
  }

  /** Bits that the entries of a run share: so many that runs are short, and that the range of this pass is whole runs. */
  #runDepth(): number {
    let depth = 0
    for (let width = PREFIXES; depth < PREFIX_BITS; depth += GROUP_LEVELS, width /= 2 ** GROUP_LEVELS) {
      const isShort = this.#count * width <= RUN_ENTRIES * (this.#to - this.#from)
      if (isShort && this.#from % width === 0 && this.#to % width === 0) break
    }
    return depth
  }

  #prefixOf(index: number): number {
    return prefixAt(this.#entries, index * ENTRY_BYTES)
  }

  /** The first place in `order`, behind `from`, of an entry whose prefix is `end` or above. */
  #firstFrom(order: Uint32Array, from: number, end: number): number {
    let low = from + 1
    let high = order.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#prefixOf(order[middle]!) < end) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The entries at these places, one behind the other; valid until the next call. */
  #gather(order: Uint32Array, from: number, to: number): Uint8Array {
    const length = (to - from) * ENTRY_WORDS
    if (this.#run.length < length) this.#run = new Int32Array(length)
    const words = this.#words
    const run = this.#run
    for (let i = from, target = 0; i < to; i++, target += ENTRY_WORDS) {
      const source = order[i]! * ENTRY_WORDS
      for (let word = 0; word < ENTRY_WORDS; word++) run[target + word] = words[source + word]!
    }
    return new Uint8Array(run.buffer, 0, length * 4)
  }
}

function wordsOf(bytes: Uint8Array): Int32Array<ArrayBuffer> {
  return new Int32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length / 4)
}

function sameKeyTwice(): Error {
  return new RehydrateError('UNEXPECTED', { message: 'A key came twice in one collection.' })
}
