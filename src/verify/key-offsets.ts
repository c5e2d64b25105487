import { hashKeys } from '../digest/batch.js'
import { HASH_BYTES, sha256 } from '../digest/hash.js'
import { offsetIn, positionToJson, type Offset, type Position } from '../log/position.js'
import { EventApplier } from '../projection/apply.js'
import type { Fingerprint } from '../projection/fingerprint.js'
import { Slot } from '../projection/view.js'
import type { World } from '../replay/api.js'
import { refolded, type RefoldOptions } from '../replay/refold.js'
import type { Accepted, Manifest } from '../store/checkpoint.js'
import { decode, encode, normalise, type Value } from '../value/canonical.js'
import {
  entriesByEvent, EntryList, HIGH_WORD, WORD_BYTES, wordAt, type EntryColumns, type IndexedPartition,
} from './offset-columns.js'

/** What an index is for: exactly this, or it is built anew. */
export interface OffsetsScope {
  readonly position: Position
  readonly identity: Manifest['identity']
  readonly fingerprint: Fingerprint
  readonly accepted: readonly Accepted[]
}

/** Where an index is kept between calls. It is a cache: what can not be used is built again. */
export interface OffsetsFile {
  /** Null: there is none. */
  read(): Promise<Uint8Array | null>
  /** Whole or not at all. `why`: what was wrong with what was read. */
  write(bytes: Uint8Array, why: string): Promise<void>
}

/** The index of a file; where that is none for this scope, one is built in a pass over the log, and written. Errors as in a replay. */
export async function offsetsIn(file: OffsetsFile, scope: OffsetsScope, options: RefoldOptions, world: World): Promise<KeyOffsets> {
  const bytes = await file.read()
  const kept = bytes === null ? null : KeyOffsets.fromBytes(bytes)
  if (kept?.fits(scope) === true) return kept
  const offsets = await KeyOffsets.build(scope, options, world)
  const why = bytes === null ? 'there was none' : kept === null ? 'what was there is no index, or a damaged one'
    : 'what was there is for another position, log, projection or list of waivers'
  await file.write(offsets.toBytes(), why)
  return offsets
}

/** The first word of a file, as this machine writes it: with another order of bytes, or another version, it is another number. */
const FORMAT = 0x524b4f31

/**
 * Which events touch a key: those that were folded, with what was left out of the fold left out here too. Events are numbered in the
 * order of the fold. Two keys may have one hash here, so that a key may be given events that are not its own.
 */
export class KeyOffsets {
  /** Canonical bytes of the scope. */
  readonly #scope: Uint8Array
  readonly #partitions: readonly IndexedPartition[]
  readonly #columns: EntryColumns
  /** Made when it is first needed. */
  #ofEvents: ReturnType<typeof entriesByEvent> | null = null

  private constructor(scope: Uint8Array, partitions: readonly IndexedPartition[], columns: EntryColumns) {
    this.#scope = scope
    this.#partitions = partitions
    this.#columns = columns
  }

  /** One pass over the log. Memory: 12 bytes per event and 12 per key of an event; while they grow and are sorted, up to twice as much. */
  static async build(scope: OffsetsScope, options: RefoldOptions, world: World): Promise<KeyOffsets> {
    const list = new EntryList()
    const reading = {
      applier: new EventApplier(options.projection),
      slotOf: (...slot: ConstructorParameters<typeof Slot>) => new Slot(...slot),
      onHoles: (holes: { readonly compactedOrLost: number }, partition: string) => {
        if (holes.compactedOrLost > 0) list.markCompacted(partition)
      },
    }
    const whole = { ...options, upTo: scope.position, accepted: scope.accepted }
    for await (const prepared of refolded(whole, reading, world)) list.add(prepared)
    return new KeyOffsets(scopeBytes(scope), list.partitions(), list.columns())
  }

  /** Null where these are not the bytes of an index, each as it was written, and of this version. */
  static fromBytes(bytes: Uint8Array): KeyOffsets | null {
    const begin = HASH_BYTES + 2 * WORD_BYTES
    if (bytes.length < begin || bytes.length % WORD_BYTES !== 0) return null
    const hashed = bytes.subarray(HASH_BYTES)
    if (Buffer.compare(sha256(hashed), bytes.subarray(0, HASH_BYTES)) !== 0) return null
    // Words must be aligned, which bytes from elsewhere need not be.
    const words = hashed.byteOffset % WORD_BYTES === 0
      ? new Uint32Array(hashed.buffer, hashed.byteOffset, hashed.length / WORD_BYTES)
      : new Uint32Array(new Uint8Array(hashed).buffer)
    if (words[0] !== FORMAT) return null
    const headBytes = words[1] as number
    const head = decode(bytes.subarray(begin, begin + headBytes)) as unknown as Head
    let at = 2 + paddedWords(headBytes)
    const take = (count: number): Uint32Array => words.subarray(at, (at += count))
    const { entries, events } = head
    const columns = {
      hashHigh: take(entries), hashLow: take(entries), ordinal: take(entries),
      partition: take(events), offsetHigh: take(events), offsetLow: take(events),
    }
    return new KeyOffsets(encode(head.scope), head.partitions, columns)
  }

  /** SHA-256 of what follows · format · length of the head · head (canonical bytes, filled up to whole words) · columns. */
  toBytes(): Uint8Array {
    const { hashHigh, hashLow, ordinal, partition, offsetHigh, offsetLow } = this.#columns
    const head = encode({
      scope: decode(this.#scope), partitions: this.#partitions as unknown as Value, entries: this.entries, events: this.events,
    })
    const words = new Uint32Array(HASH_BYTES / WORD_BYTES + 2 + paddedWords(head.length) + 3 * this.entries + 3 * this.events)
    const bytes = new Uint8Array(words.buffer)
    let at = HASH_BYTES / WORD_BYTES
    words[at++] = FORMAT
    words[at++] = head.length
    bytes.set(head, at * WORD_BYTES)
    at += paddedWords(head.length)
    for (const column of [hashHigh, hashLow, ordinal, partition, offsetHigh, offsetLow]) {
      words.set(column, at)
      at += column.length
    }
    bytes.set(sha256(bytes.subarray(HASH_BYTES)))
    return bytes
  }

  /** How many events are listed: those with keys. */
  get events(): number { return this.#columns.partition.length }

  /** How many keys of events are listed: a key counts once for each of its events. */
  get entries(): number { return this.#columns.ordinal.length }

  /** True where it is for exactly this. */
  fits(scope: OffsetsScope): boolean {
    return Buffer.compare(this.#scope, scopeBytes(scope)) === 0
  }

  /** True where offsets of one of these partitions are gone without a known reason. */
  isCompacted(within: Position): boolean {
    return this.#partitions.some(({ name, isCompacted }) => isCompacted && within.has(name))
  }

  /** Where an event is. */
  placeOf(ordinal: number): { readonly partition: string; readonly offset: Offset } {
    const { partition, offsetHigh, offsetLow } = this.#columns
    const offset = (offsetHigh[ordinal] as number) * HIGH_WORD + (offsetLow[ordinal] as number)
    return { partition: (this.#partitions[partition[ordinal] as number] as IndexedPartition).name, offset }
  }

  /**
   * Ordinals, rising, of the events of these keys (`collection:key`) and of all keys that share events with one of them, and so on from
   * key to key; up to a position.
   */
  eventsOf(names: readonly string[], upTo: Position): number[] {
    const { hashHigh, hashLow, ordinal } = this.#columns
    const isListed = new Uint8Array(this.events)
    const isSeen = new Uint8Array(this.entries)
    const waiting = this.#firstEntries(names)
    for (let first = waiting.pop(); first !== undefined; first = waiting.pop()) {
      if (isSeen[first] === 1) continue
      isSeen[first] = 1
      for (let i = first; i < ordinal.length && hashHigh[i] === hashHigh[first] && hashLow[i] === hashLow[first]; i++) {
        const event = ordinal[i] as number
        if (isListed[event] === 1) continue
        isListed[event] = 1
        if (this.entries > this.events) for (const entry of this.#firstEntriesOf(event)) waiting.push(entry)
      }
    }
    const listed: number[] = []
    for (let event = 0; event < isListed.length; event++) {
      if (isListed[event] === 0) continue
      const { partition, offset } = this.placeOf(event)
      if (offset <= offsetIn(upTo, partition)) listed.push(event)
    }
    return listed
  }

  #firstEntries(names: readonly string[]): number[] {
    const hashes = hashKeys(names)
    return names.flatMap((_, i) => {
      const [high, low] = [wordAt(hashes, i * HASH_BYTES), wordAt(hashes, i * HASH_BYTES + WORD_BYTES)]
      const first = this.#firstEntry(high, low)
      return this.#columns.hashHigh[first] === high && this.#columns.hashLow[first] === low ? [first] : []
    })
  }

  /** The first entry of each key of an event. */
  #firstEntriesOf(event: number): number[] {
    const { hashHigh, hashLow, ordinal } = this.#columns
    const { starts, places } = this.#ofEvents ??= entriesByEvent(ordinal, this.events)
    const entries = [...places.subarray(starts[event] as number, starts[event + 1] as number)]
    return entries.map((entry) => this.#firstEntry(hashHigh[entry] as number, hashLow[entry] as number))
  }

  /** The first entry that is not below a hash. */
  #firstEntry(high: number, low: number): number {
    const { hashHigh, hashLow } = this.#columns
    let [from, to] = [0, hashHigh.length]
    while (from < to) {
      const middle = (from + to) >>> 1
      const isBelow = hashHigh[middle] === high ? (hashLow[middle] as number) < low : (hashHigh[middle] as number) < high
      if (isBelow) from = middle + 1
      else to = middle
    }
    return from
  }
}

interface Head {
  readonly scope: Value
  readonly partitions: readonly IndexedPartition[]
  readonly entries: number
  readonly events: number
}

function scopeBytes({ position, identity, fingerprint, accepted }: OffsetsScope): Uint8Array {
  return encode(normalise({ position: positionToJson(position), identity, fingerprint, accepted }))
}

function paddedWords(bytes: number): number {
  return Math.ceil(bytes / WORD_BYTES)
}
