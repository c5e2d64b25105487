import { RehydrateError } from '../errors.js'
import { domainOf, placeOf, type Order } from './domains.js'
import type { Offset } from './position.js'

/**
 * How a key was made a partition number: (hash of its UTF-8 bytes) mod (number of partitions).
 * 'murmur2': the Java clients, and those that follow them · 'crc32': librdkafka's `consistent` and `consistent_random`.
 */
export type KeyHash = 'murmur2' | 'crc32' | ((key: Uint8Array) => number)

export interface PartitionerOptions {
  readonly hash: KeyHash
  /** How many partitions the topics have had, ascending: `[6]`, or `[4, 6]` where they grew from 4 to 6. */
  readonly counts: readonly number[]
}

/** Where a key stands: the order domains it has come through, up to this one. */
export interface Home {
  /** Who owns the keys it touches: the domain, or the way there from the first: `orders/2 > orders/0`. */
  readonly owner: string
  /** The owners before, from the first. Empty: the key has not moved. */
  readonly former: readonly string[]
  /** One of the homes before can not be read to its end before this one is read, so that the event is held until then. */
  readonly isHeld: boolean
}

/** Of a partition. `home`: of all its keys, once it is known; where keys move it depends on the key. */
interface Place {
  readonly topic: string
  readonly index: number
  home: Home | null
}

/**
 * The declared partitioner, which proves record by record that the log is placed as it says. A key that moved when its topic grew has
 * several homes; its events in the old one come before those in the new one.
 */
export class Placement {
  readonly counts: readonly number[]
  /** 'murmur2', 'crc32' or 'own'. */
  readonly name: string
  /** Topics grew, so that keys may have moved. */
  readonly moves: boolean
  readonly #order: Order
  readonly #hash: (key: Uint8Array) => number
  readonly #places = new Map<string, Place>()
  readonly #homes = new Map<string, Home>()

  constructor({ hash, counts }: PartitionerOptions, order: Order) {
    this.counts = counts
    this.name = typeof hash === 'string' ? hash : 'own'
    this.moves = counts.length > 1
    this.#order = order
    this.#hash = hashFunction(hash)
  }

  /** The partitions that came with count `tier`, from 0: those of the first were there from the beginning. */
  tierOf(partition: string): number {
    const { index } = this.#placeOf(partition)
    return Math.max(0, this.counts.findIndex((count) => index < count))
  }

  /**
   * PARTITIONER_UNPROVED where the key belongs elsewhere under each of the counts. EVENT_KEY_MISSING under order 'copartition';
   * elsewhere a record without a key may lie anywhere, and stays there.
   */
  homeOf(partition: string, offset: Offset, key: string | null): Home {
    if (key === null) {
      if (this.#order !== 'copartition') return this.#home([partition], [0])
      throw new RehydrateError('EVENT_KEY_MISSING', {
        message: `${partition}@${offset} has no key, so that nothing says that it belongs to this partition.`, partition, offset,
        fix: "Give each record a key, or use order 'time'.",
      })
    }
    const place = this.#placeOf(partition)
    const { topic, index } = place
    const hash = this.#hash(utf8(key))
    if (!this.moves) {
      if (hash % (this.counts[0] as number) !== index) throw this.#unproved(partition, offset, key, [hash % (this.counts[0] as number)])
      return place.home ??= this.#home([domainOf(this.#order, partition) as string], [index])
    }
    const indexes = this.counts.map((count) => hash % count).filter((at, i, all) => at !== all[i - 1])
    const stage = indexes.indexOf(index)
    if (stage === -1 || indexes.includes(index, stage + 1)) throw this.#unproved(partition, offset, key, indexes)
    const way = indexes.slice(0, stage + 1)
    return this.#home(way.map((at) => domainOf(this.#order, `${topic}/${at}`) as string), way)
  }

  #home(domains: readonly string[], way: readonly number[]): Home {
    const owner = domains.join(' > ')
    const known = this.#homes.get(owner)
    if (known !== undefined) return known
    const tiers = way.map((index) => this.counts.findIndex((count) => index < count))
    const home = {
      owner,
      former: domains.slice(0, -1).map((_, i) => domains.slice(0, i + 1).join(' > ')),
      isHeld: tiers.some((tier, i) => i > 0 && tier <= (tiers[i - 1] as number)),
    }
    this.#homes.set(owner, home)
    return home
  }

  #placeOf(partition: string): Place {
    let place = this.#places.get(partition)
    // Names are checked when a run is planned.
    if (place === undefined) this.#places.set(partition, (place = { ...placeOf(partition) ?? { topic: partition, index: -1 }, home: null }))
    return place
  }

  #unproved(partition: string, offset: Offset, key: string, indexes: readonly number[]): RehydrateError {
    const { topic } = this.#placeOf(partition)
    const expected = indexes.map((index) => `${topic}/${index}`).join(' or ')
    const returns = indexes.length !== new Set(indexes).size && expected.includes(partition)
    return new RehydrateError('PARTITIONER_UNPROVED', {
      message: returns
        ? `The key of ${partition}@${offset} left ${partition} and came back as the topic grew: which of its events there came later, `
          + 'the log does not say.'
        : `${partition}@${offset} does not lie where ${this.name} puts its key with ${this.counts.join(' or ')} partitions.`,
      partition, offset, key, expected, actual: partition,
    })
  }
}

/** What is wrong with the names and numbers of partitions, in a sentence; null: nothing. `isWhole`: these are all there are. */
export function misplacedPartitions(
  order: Order, { counts }: Placement, partitions: Iterable<string>, isWhole: boolean,
): string | null {
  const topics = new Map<string, number[]>()
  for (const partition of partitions) {
    const place = placeOf(partition)
    if (place === null) return `The partition ${partition} is not named TOPIC/N, which a partitioner needs.`
    topics.set(place.topic, [...(topics.get(place.topic) ?? []), place.index])
  }
  const largest = counts.at(-1) as number
  for (const [topic, indexes] of topics) {
    const last = Math.max(...indexes)
    if (last >= largest) return `${topic} has a partition ${last}, and the counts of the partitioner end at ${largest}.`
  }
  if (order !== 'copartition') return null
  if (new Set([...topics.values()].map((indexes) => indexes.sort((a, b) => a - b).join())).size > 1) {
    return `Its topics must have equally many partitions: ${[...topics].map(([topic, { length }]) => `${topic} has ${length}`).join(', ')}.`
  }
  for (const [topic, indexes] of isWhole ? topics : []) {
    const last = Math.max(...indexes)
    if (indexes.length !== last + 1) return `${topic} lacks one of the partitions 0 to ${last}.`
    if (!counts.includes(last + 1)) return `${topic} has ${last + 1} partitions, and the partitioner's counts are ${counts.join(', ')}.`
  }
  return null
}

/** A hash as a whole number from 0. */
export function hashFunction(hash: KeyHash): (key: Uint8Array) => number {
  if (hash === 'crc32') return crc32
  // The Java clients drop the sign bit.
  if (hash === 'murmur2') return (key) => murmur2(key) & 0x7fffffff
  return (key) => {
    const value = hash(key)
    if (Number.isSafeInteger(value) && value >= 0) return value
    throw new RehydrateError('CONFIG_INVALID', {
      message: 'partitioner.hash must return a whole number from 0.', path: 'partitioner.hash', actual: String(value),
    })
  }
}

const MULTIPLIER = 0x5bd1e995
const SEED = 0x9747b28c

/** MurmurHash2, 32 bits with the seed of Kafka's Java client: a signed integer. */
export function murmur2(bytes: Uint8Array): number {
  const { length } = bytes
  const whole = length & ~3
  let hash = SEED ^ length
  for (let i = 0; i < whole; i += 4) {
    let word = Math.imul(wordAt(bytes, i), MULTIPLIER)
    word = Math.imul(word ^ (word >>> 24), MULTIPLIER)
    hash = Math.imul(hash, MULTIPLIER) ^ word
  }
  if (whole < length) {
    for (let i = length - 1; i >= whole; i--) hash ^= (bytes[i] as number) << (8 * (i - whole))
    hash = Math.imul(hash, MULTIPLIER)
  }
  hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER)
  return hash ^ (hash >>> 15)
}

/** Little-endian. */
function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | (bytes[at + 1] as number) << 8 | (bytes[at + 2] as number) << 16 | (bytes[at + 3] as number) << 24
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1
  return value
})

/** CRC-32 as of zip and zlib: an unsigned integer. */
export function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff
  for (const byte of bytes) value = (CRC_TABLE[(value ^ byte) & 0xff] as number) ^ (value >>> 8)
  return (value ^ 0xffffffff) >>> 0
}

const encoder = new TextEncoder()
const scratch = new Uint8Array(3 * 1_024)

/** Valid until the next call. */
function utf8(key: string): Uint8Array {
  if (3 * key.length > scratch.length) return encoder.encode(key)
  // Most keys are short and of ASCII: a third of the time of the encoder.
  for (let i = 0; i < key.length; i++) {
    const unit = key.charCodeAt(i)
    if (unit > 127) return scratch.subarray(0, encoder.encodeInto(key, scratch).written)
    scratch[i] = unit
  }
  return scratch.subarray(0, key.length)
}
