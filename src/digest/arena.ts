import { RehydrateError } from '../errors.js'
import type { TrieBuilder } from './builder.js'
import { type Entries, NO_ENTRIES } from './entries.js'
import { HASH_BYTES } from './hash.js'
import { KeyArena, type KeyBytes } from './key-arena.js'
import { compareHashes, prefixAt, sortedOrder } from './order.js'
import { ENTRY_BYTES, GROUP_LEVELS, GROUP_WIDTH } from './pages.js'

const PREFIX_BITS = 32
const PREFIXES = 2 ** PREFIX_BITS
const FIRST_ENTRIES = 1024
const HASH_WORDS = HASH_BYTES / 4
const ENTRY_WORDS = ENTRY_BYTES / 4
/** About how many entries a run has at once: they and their pages stay in the processor's cache. */
const RUN_ENTRIES = 4096
const NO_KEYS: readonly string[] = []
const NO_KEYS_OF_RUN: Pick<Entries, 'keys' | 'starts'> = { keys: NO_ENTRIES.keys, starts: [] }

/** All entries of this pass whose kh begin with the same bits; valid until the next one. */
export interface Run {
  /** Those bits, as nibbles. */
  readonly path: string
  /** May be none. */
  readonly entries: Entries
}

/** What to throw where a kh came twice: ordinals of both among what the pass kept, and the key where keys are kept. */
export type OnEqual = (later: number, earlier: number, key: string | null) => Error

/**
 * Puts the entries of a store, which come in any order, into ascending order of kh within a fixed memory. Where not all fit, the
 * store is scanned again: each pass keeps the entries of one range of kh and hands them on in order.
 *
 *     do {
 *       for (block of the whole store) arena.add(keyHashes, valueHashes, keys)
 *       for (const _ of arena.drain(builder)) write the pages there are
 *     } while (!arena.isComplete)
 */
export class EntryArena {
  #entries = new Uint8Array(FIRST_ENTRIES * ENTRY_BYTES)
  /** The same memory: entries move as words. */
  #words = new Int32Array(this.#entries.buffer)
  /** Where runs are put together. */
  #run = new Int32Array(0)
  readonly #keys: KeyArena | null
  readonly #limit: number
  #count = 0
  /** This pass keeps entries whose first 32 bits lie in [from, to). */
  #from = 0
  #to = PREFIXES

  /**
   * `bytes`: memory for entries, 64 bytes each, and with `keepsKeys` 4 bytes and the UTF-8 of the key on top; taken as it is
   * needed. While it grows it takes half as much again, and sorting takes about 12 bytes per entry on top. Keys are kept where
   * pages are wanted: a root needs none.
   */
  constructor(bytes: number, keepsKeys = false) {
    this.#limit = Math.max(2, Math.floor(bytes / ENTRY_BYTES)) * ENTRY_BYTES
    this.#keys = keepsKeys ? new KeyArena() : null
  }

  /** True after the `drain` of the last range. */
  get isComplete(): boolean {
    return this.#from === PREFIXES
  }

  /**
   * Keeps those entries that are of this pass. Both hold one hash of 32 bytes per entry, and begin at a multiple of 4 bytes.
   * `keys`: where they are kept; as text or in UTF-8.
   */
  add(keyHashes: Uint8Array, valueHashes: Uint8Array, keys: readonly string[] | KeyBytes = NO_KEYS): void {
    const keyWords = wordsOf(keyHashes)
    const valueWords = wordsOf(valueHashes)
    const kept = this.#keys
    const given = 'ends' in keys ? keys.ends.length : keys.length
    if (kept !== null && given * HASH_WORDS !== keyWords.length) throw unexpected('Entries came without their keys.')
    kept?.stage(keys)
    for (let i = 0; i < keyWords.length; i += HASH_WORDS) {
      const prefix = prefixAt(keyHashes, i * 4)
      if (prefix < this.#from || prefix >= this.#to || !this.#hasRoomFor(prefix)) continue
      kept?.keep(i / HASH_WORDS)
      const words = this.#words
      const at = this.#count++ * ENTRY_WORDS
      for (let word = 0; word < HASH_WORDS; word++) {
        words[at + word] = keyWords[i + word]!
        words[at + HASH_WORDS + word] = valueWords[i + word]!
      }
    }
  }

  /** Hands the runs of this pass to the builder, one at each step. */
  *drain(builder: TrieBuilder, onEqual: OnEqual = sameKeyTwice): Generator<void, void, undefined> {
    for (const { path, entries } of this.runs(onEqual)) {
      if (entries.count === 0) continue
      builder.add(entries, path.length * GROUP_LEVELS)
      yield
    }
  }

  /**
   * What this pass has kept, in ascending order of kh: a run for each beginning of so many nibbles that a run has some thousands
   * of entries, also where it has none. Goes on to the next range after the last.
   */
  *runs(onEqual: OnEqual = sameKeyTwice): Generator<Run, void, undefined> {
    const order = sortedOrder(this.#entries, this.#count)
    const nibbles = this.#runDepth() / GROUP_LEVELS
    const width = PREFIXES / GROUP_WIDTH ** nibbles
    for (let prefix = this.#from, from = 0; prefix < this.#to; prefix += width) {
      const to = this.#firstFrom(order, from, prefix + width)
      const entries = this.#gather(order, from, to)
      for (let i = from + 1, at = ENTRY_BYTES; i < to; i++, at += ENTRY_BYTES) {
        if (compareHashes(entries.hashes, at - ENTRY_BYTES, entries.hashes, at) !== 0) continue
        const later = order[i]!
        throw onEqual(later, order[i - 1]!, this.#keys?.textOf(later) ?? null)
      }
      yield { path: pathOf(prefix, nibbles), entries }
      from = to
    }
    this.#count = 0
    this.#keys?.clear()
    this.#from = this.#to
    this.#to = PREFIXES
  }

  /** False where the pass had to be narrowed so far that the prefix is no more of it. */
  #hasRoomFor(prefix: number): boolean {
    while (this.#usedBytes() >= this.#limit) {
      this.#narrow()
      if (prefix >= this.#to) return false
    }
    if (this.#count * ENTRY_BYTES === this.#entries.length) this.#grow()
    return true
  }

  /** A key may reach beyond the limit. Two entries always have room. */
  #usedBytes(): number {
    if (this.#keys === null) return this.#count * ENTRY_BYTES
    return this.#count < 2 ? 0 : this.#count * ENTRY_BYTES + this.#keys.usedBytes
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
      throw unexpected('More key hashes begin with the same 32 bits than memory was given for.')
    }
    this.#to = this.#from + 2 ** (Math.ceil(Math.log2(size)) - 1)
    let kept = 0
    for (let i = 0; i < this.#count; i++) {
      if (this.#prefixOf(i) >= this.#to) continue
      if (kept !== i) this.#words.copyWithin(kept * ENTRY_WORDS, i * ENTRY_WORDS, (i + 1) * ENTRY_WORDS)
      this.#keys?.move(i, kept)
      kept++
    }
    this.#keys?.cut(kept)
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

  /** The first place in `order`, from `from` on, of an entry whose prefix is `end` or above. */
  #firstFrom(order: Uint32Array, from: number, end: number): number {
    let low = from
    let high = order.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#prefixOf(order[middle]!) < end) low = middle + 1
      else high = middle
    }
    return low
  }

  /**
   * The entries at these places, one behind the other; valid until the next call. They are far apart in memory: a short loop over their
   * ends first, so that the processor waits for many at once.
   */
  #gather(order: Uint32Array, from: number, to: number): Entries {
    const length = (to - from) * ENTRY_WORDS
    if (this.#run.length < length) this.#run = new Int32Array(length)
    const words = this.#words
    const run = this.#run
    const lastWord = ENTRY_WORDS - 1
    for (let i = from, target = 0; i < to; i++, target += ENTRY_WORDS) {
      const source = order[i]! * ENTRY_WORDS
      run[target] = words[source]!
      run[target + lastWord] = words[source + lastWord]!
    }
    for (let i = from, target = 0; i < to; i++, target += ENTRY_WORDS) {
      const source = order[i]! * ENTRY_WORDS
      for (let word = 0; word < ENTRY_WORDS; word++) run[target + word] = words[source + word]!
    }
    const hashes = new Uint8Array(run.buffer, 0, length * 4)
    return { count: to - from, hashes, ...this.#keys?.gather(order, from, to) ?? NO_KEYS_OF_RUN }
  }
}

function wordsOf(bytes: Uint8Array): Int32Array<ArrayBuffer> {
  return new Int32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length / 4)
}

function sameKeyTwice(): Error {
  return unexpected('A key came twice in one collection.')
}

/** The first nibbles of a prefix of 32 bits. */
function pathOf(prefix: number, nibbles: number): string {
  return prefix.toString(16).padStart(PREFIX_BITS / GROUP_LEVELS, '0').slice(0, nibbles)
}

function unexpected(message: string): RehydrateError {
  return new RehydrateError('UNEXPECTED', { message })
}
