import { RehydrateError } from '../errors.js'
import { hashValues } from '../digest/batch.js'
import { HASH_BYTES } from '../digest/hash.js'
import { latin1 } from '../digest/changes.js'
import type { Collection, Projection } from '../projection/define.js'
import { Slot } from '../projection/view.js'
import type { Entry, StoreSession } from '../store/contract.js'
import { decode, type Value } from '../value/canonical.js'
import { sortedByKey } from './key-order.js'
import { OWNERS, ownerKey } from './owners.js'

/**
 * About what a slot costs besides its key and value: the object, its place in the Map, the headers of both. Measured: 1 M keys of
 * 15 characters with values of 6 fields (130 bytes encoded) are 280 to 300 MB of live objects. The garbage between two collections
 * of V8 comes on top.
 */
const SLOT_BYTES = 150
/** What a value not yet encoded is taken for. */
const UNKNOWN_BYTES = 100

export interface WorkingSetOptions {
  /** About how much the slots may take together. */
  readonly memoryBytes: number
  /** Owners are kept: each key belongs to one of several order domains. */
  readonly owners: boolean
  /** The digest is kept up, so that it can vouch for what is read. */
  readonly digestKept: () => boolean
  /** The store holds nothing yet, so that a key not in memory is known to be absent. */
  readonly empty: boolean
}

/**
 * The state keys in memory. Two tables per collection, young and old: a key in use is in the young one; when that has its share
 * of the memory, the old is dropped and the young becomes the old. So what is used stays, without bookkeeping per access.
 * Tables turn only right after a commit, when nothing is dirty.
 */
export class WorkingSet {
  readonly #session: StoreSession
  readonly #options: WorkingSetOptions
  readonly #collections: readonly Collection[]
  #young: Map<string, Slot>[]
  #old: Map<string, Slot>[]
  #missing: Slot[] = []
  #dirty: Slot[][]
  readonly #ownerDirty = new Set<Slot>()
  /** Nothing was ever dropped since the store was empty. */
  #complete: boolean
  #youngBytes = 0
  #dirtyBytes = 0

  constructor(projection: Projection, session: StoreSession, options: WorkingSetOptions) {
    this.#session = session
    this.#options = options
    this.#collections = projection.collections
    this.#young = this.#tables()
    this.#old = this.#tables()
    this.#dirty = this.#collections.map(() => [])
    this.#complete = options.empty
  }

  /** About how many bytes a commit would write. */
  get dirtyBytes(): number { return this.#dirtyBytes }
  get dirtyKeys(): number { return this.#dirty.reduce((sum, slots) => sum + slots.length, this.#ownerDirty.size) }
  /** The young table has its share: a commit is due, so that the tables can turn. */
  get full(): boolean { return this.#youngBytes > this.#options.memoryBytes / 2 }

  /** The slot of a key; `load` must run before its value is looked at. */
  readonly slotOf = (collection: Collection, key: string): Slot => {
    const young = this.#young[collection.index] as Map<string, Slot>
    let slot = young.get(key)
    if (slot !== undefined) return slot
    slot = this.#old[collection.index]?.get(key)
    if (slot === undefined) {
      slot = new Slot(collection, key)
      if (!this.#complete) this.#missing.push(slot)
    }
    young.set(key, slot)
    this.#youngBytes += sizeOf(slot)
    return slot
  }

  /** Told of every slot that becomes dirty. */
  readonly changed = (slot: Slot): void => {
    (this.#dirty[slot.collection.index] as Slot[]).push(slot)
    this.#dirtyBytes += slot.key.length + (slot.encodedBytes || UNKNOWN_BYTES)
  }

  ownerChanged(slot: Slot): void {
    this.#ownerDirty.add(slot)
    this.#dirtyBytes += 2 * slot.key.length
  }

  /** True where slots wait for `load`. */
  get waiting(): boolean { return this.#missing.length > 0 }

  /** Reads what `slotOf` made and the store may hold. STATE_CORRUPT for a row whose bytes do not fit its hash. */
  async load(): Promise<void> {
    const missing = this.#missing
    this.#missing = []
    for (const collection of this.#collections) {
      const slots = missing.filter((slot) => slot.collection === collection)
      if (slots.length === 0) continue
      const keys = slots.map((slot) => slot.key)
      const loaded = await this.#session.load(collection.name, keys)
      assertIntact(loaded)
      const entries = byKey(loaded)
      const owners = this.#options.owners
        ? byKey(await this.#session.load(OWNERS, keys.map((key) => ownerKey(collection.name, key))))
        : null
      const kept = this.#options.digestKept()
      for (const slot of slots) {
        const entry = entries.get(slot.key)
        fill(slot, entry, owners?.get(ownerKey(collection.name, slot.key)))
        if (kept) slot.was = entry === undefined ? null : latin1(entry.hash)
      }
    }
  }

  /** What a commit writes: dirty slots per collection, by key in UTF-16 order (good enough to write in a store's order). */
  takeDirty(): { readonly collections: readonly { collection: Collection; slots: Slot[] }[]; readonly owners: Slot[] } {
    const collections = this.#collections.map((collection) => ({
      collection, slots: sortedByKey(this.#dirty[collection.index] as Slot[]),
    }))
    // Most have just been made, and are written with their values: in order already.
    const written = collections.flatMap(({ slots }) => slots.filter((slot) => this.#ownerDirty.has(slot)))
    const owners = written.length === this.#ownerDirty.size ? written : sortedByKey([...this.#ownerDirty])
    return { collections, owners }
  }

  /** After a commit: everything is clean, and the tables turn where it is time. */
  committed(): void {
    const turns = this.full
    for (const slots of [...this.#dirty, this.#ownerDirty]) {
      for (const slot of slots) {
        slot.dirty = false
        slot.was = undefined
        if (slot.value === undefined) slot.encodedBytes = 0
      }
    }
    this.#dirty = this.#collections.map(() => [])
    for (const slot of this.#ownerDirty) slot.storedOwner = slot.owner
    this.#ownerDirty.clear()
    this.#dirtyBytes = 0
    this.#youngBytes = 0
    for (const table of this.#young) for (const slot of table.values()) this.#youngBytes += sizeOf(slot)
    // Sizes are known better now. Turning all the same keeps a table that just filled up from filling up again at once.
    if (!turns && !this.full) return
    if (this.#old.some((table) => table.size > 0)) this.#complete = false
    this.#old = this.#young
    this.#young = this.#tables()
    this.#youngBytes = 0
  }

  /** Lets go of every key: right after a commit, where memory is needed for something else. */
  release(): void {
    this.#complete = false
    this.#young = this.#tables()
    this.#old = this.#tables()
    this.#youngBytes = 0
  }

  #tables(): Map<string, Slot>[] {
    return this.#collections.map(() => new Map())
  }
}

function sizeOf(slot: Slot): number {
  return SLOT_BYTES + slot.key.length + (slot.encodedBytes || UNKNOWN_BYTES)
}

function byKey(entries: readonly Entry[]): Map<string, Entry> {
  return new Map(entries.map((entry) => [entry.key, entry]))
}

function fill(slot: Slot, entry: Entry | undefined, owner: Entry | undefined): void {
  if (entry !== undefined) {
    slot.value = decodedValue(entry, slot.collection)
    slot.encodedBytes = entry.bytes.length
  }
  if (owner !== undefined) slot.owner = slot.storedOwner = checkedValue(owner, null) as string
}

/** The value of an entry whose bytes fit its hash; STATE_CORRUPT otherwise, naming the key. */
export function checkedValue(entry: Entry, collection: Collection | null): Value {
  assertIntact([entry])
  return decodedValue(entry, collection)
}

/** The value of an entry that is intact. */
export function decodedValue(entry: Entry, collection: Collection | null): Value {
  try {
    return decode(entry.bytes, collection?.int64 == null ? undefined : { int64: collection.int64 })
  } catch (cause) {
    throw stateCorrupt(entry, 'Its bytes are not a canonical value.', cause)
  }
}

/** STATE_CORRUPT for the first entry whose bytes do not fit its hash. Gives the hashes, 32 bytes each, as recomputed. */
export function assertIntact(entries: readonly Entry[]): Uint8Array {
  const hashes = hashValues(entries.map(({ bytes }) => bytes))
  entries.forEach((entry, i) => {
    const at = i * HASH_BYTES
    if (Buffer.compare(hashes.subarray(at, at + HASH_BYTES), entry.hash) !== 0) {
      throw stateCorrupt(entry, 'Its bytes do not fit its hash.')
    }
  })
  return hashes
}

export function stateCorrupt(entry: { readonly collection: string; readonly key: string }, why: string, cause?: unknown): RehydrateError {
  return new RehydrateError('STATE_CORRUPT', {
    message: `The stored entry ${entry.collection}/${entry.key} is not what was written.`,
    collection: entry.collection, key: entry.key, why, cause,
  })
}
