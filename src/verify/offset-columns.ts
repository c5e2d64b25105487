import { hashKeys } from '../digest/batch.js'
import { HASH_BYTES } from '../digest/hash.js'
import type { PreparedEvent } from '../projection/apply.js'
import { nameOf } from '../replay/refold.js'

/** Bytes of a column's place. */
export const WORD_BYTES = 4
/** An offset is two words: one that counts these, and the rest. */
export const HIGH_WORD = 2 ** 32

/** A partition of the index. */
export interface IndexedPartition {
  readonly name: string
  /** Offsets are gone without a known reason. */
  readonly isCompacted: boolean
}

/**
 * Words of 32 bits. The first three have a place for each key of each event, in the order of the hash: the first 8 bytes of the key's
 * hash, and the event's ordinal. The others have a place for each event, by ordinal.
 */
export interface EntryColumns {
  readonly hashHigh: Uint32Array
  readonly hashLow: Uint32Array
  readonly ordinal: Uint32Array
  readonly partition: Uint32Array
  readonly offsetHigh: Uint32Array
  readonly offsetLow: Uint32Array
}

/** What is listed while the log is read: in the order of the fold. */
export class EntryList {
  readonly #partitions = new Map<string, number>()
  readonly #compacted = new Set<string>()
  readonly #hashHigh = new Words()
  readonly #hashLow = new Words()
  readonly #ordinal = new Words()
  readonly #partition = new Words()
  readonly #offsetHigh = new Words()
  readonly #offsetLow = new Words()

  add(prepared: readonly PreparedEvent[]): void {
    const hashes = hashKeys(prepared.flatMap(({ slots }) => slots.map(nameOf)))
    let at = 0
    for (const { event: { partition, offset }, slots } of prepared) {
      if (slots.length === 0) continue
      for (let i = 0; i < slots.length; i++, at += HASH_BYTES) {
        this.#hashHigh.push(wordAt(hashes, at))
        this.#hashLow.push(wordAt(hashes, at + WORD_BYTES))
        this.#ordinal.push(this.#partition.length)
      }
      this.#partition.push(this.#numberOf(partition))
      this.#offsetHigh.push(Math.floor(offset / HIGH_WORD))
      this.#offsetLow.push(offset % HIGH_WORD)
    }
  }

  markCompacted(partition: string): void {
    this.#numberOf(partition)
    this.#compacted.add(partition)
  }

  partitions(): IndexedPartition[] {
    return [...this.#partitions.keys()].map((name) => ({ name, isCompacted: this.#compacted.has(name) }))
  }

  columns(): EntryColumns {
    const [hashHigh, hashLow, ordinal] = [this.#hashHigh.words(), this.#hashLow.words(), this.#ordinal.words()]
    const places = sortedPlaces(hashHigh, hashLow)
    const inOrder = (column: Uint32Array): Uint32Array => places.map((place) => column[place]!)
    return {
      hashHigh: inOrder(hashHigh), hashLow: inOrder(hashLow), ordinal: inOrder(ordinal),
      partition: this.#partition.words(), offsetHigh: this.#offsetHigh.words(), offsetLow: this.#offsetLow.words(),
    }
  }

  #numberOf(partition: string): number {
    const number = this.#partitions.get(partition) ?? this.#partitions.size
    this.#partitions.set(partition, number)
    return number
  }
}

/** A list of words that grows. */
class Words {
  length = 0
  #words = new Uint32Array(1_024)

  push(word: number): void {
    if (this.length === this.#words.length) {
      const grown = new Uint32Array(2 * this.length)
      grown.set(this.#words)
      this.#words = grown
    }
    this.#words[this.length++] = word
  }

  words(): Uint32Array {
    return this.#words.subarray(0, this.length)
  }
}

/** Places in the order of (high, low), by radix; those of equal ones in the order they were in. */
function sortedPlaces(high: Uint32Array, low: Uint32Array): Uint32Array {
  let places = new Uint32Array(high.length).map((_, i) => i)
  let sorted = new Uint32Array(high.length)
  for (const [words, shift] of [[low, 0], [low, 16], [high, 0], [high, 16]] as const) {
    const starts = new Uint32Array(0x10001)
    for (const word of words) starts[((word >>> shift) & 0xffff) + 1]!++
    for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!
    for (const place of places) sorted[starts[(words[place]! >>> shift) & 0xffff]!++] = place
    ;[places, sorted] = [sorted, places]
  }
  return places
}

/** Which entries are of an event: of event i, places[starts[i]] up to places[starts[i + 1]]. */
export function entriesByEvent(ordinal: Uint32Array, events: number): { starts: Uint32Array; places: Uint32Array } {
  const starts = new Uint32Array(events + 1)
  for (const event of ordinal) starts[event + 1]!++
  for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!
  const next = starts.slice()
  const places = new Uint32Array(ordinal.length)
  for (let entry = 0; entry < ordinal.length; entry++) places[next[ordinal[entry]!]!++] = entry
  return { starts, places }
}

/** 4 bytes, big-endian. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}
