import { hashEntries } from '../digest/batch.js'
import { collectionRoot, formatHash } from '../digest/hash.js'
import { KeySet, type KeySum } from '../digest/key-set.js'
import { positionToJson } from '../log/position.js'
import type { Projection } from '../projection/define.js'
import type { Fingerprint } from '../projection/fingerprint.js'
import type { Slot } from '../projection/view.js'
import { makeManifestHash, rootOfCollections } from '../store/checkpoint-codec.js'
import type { Checkpoint, Manifest, Shard, Writer } from '../store/checkpoint.js'
import type { EntryKey, PutEntry, StoreSession } from '../store/contract.js'
import type { Value } from '../value/canonical.js'
import type { Clock } from './api.js'
import type { Cut } from './cut.js'
import { assertListed } from './listed.js'
import { HELD } from './held.js'
import { IDS, type IdWindow } from './ids.js'
import { OWNERS, ownerKey } from './owners.js'
import { MARKS, MERGE, SCAN_PAGE } from './state.js'
import { updateDigest, type Roots } from './upkeep.js'
import type { WorkingSet } from './working-set.js'

/** Collections of the engine that decide how the next event applies: what `control` in the manifest covers. */
export const CONTROL: ReadonlySet<string> = new Set([OWNERS, IDS, MERGE])

/** So many of the keys written since the last seal are re-read by the next one. */
const WRITTEN_KEPT = 100_000

export interface CommitOptions {
  readonly sealed: boolean
  readonly durable: boolean
  readonly goLive?: boolean
  /** Set where every stored byte has just been re-read. */
  readonly scrubbed?: boolean
  /** Entries that go besides what changed. */
  readonly deletes?: readonly EntryKey[]
}

/** Writes checkpoints: entries, marks, digest pages and the manifest, in one commit. */
export class Committer {
  readonly #session: StoreSession
  readonly #writer: Writer
  readonly #projection: Projection
  readonly #fingerprint: Fingerprint
  readonly #clock: Clock
  readonly #shard: Shard | null
  #checkpoint: Checkpoint | null
  #roots: Roots | null
  /** While the digest is pending: the keys of each collection. */
  readonly #keys = new Map<string, KeySet>()
  /** Keys written since the last seal, while the digest is kept; the first WRITTEN_KEPT of them. */
  #written = new Set<string>()

  constructor(
    session: StoreSession, checkpoint: Checkpoint | null, projection: Projection, fingerprint: Fingerprint, clock: Clock,
    shard: Shard | null,
  ) {
    this.#session = session
    this.#writer = session.writer as Writer
    this.#projection = projection
    this.#fingerprint = fingerprint
    this.#clock = clock
    this.#shard = shard
    this.#checkpoint = checkpoint
    this.#roots = checkpoint?.collections ?? null
    for (const [collection, sum] of Object.entries(checkpoint?.keys ?? {})) this.#keys.set(collection, new KeySet(sum))
  }

  /** The digest is not kept up yet: it is built in bulk before the first seal. */
  get pending(): boolean { return this.#roots === null }
  get checkpoint(): Checkpoint | null { return this.#checkpoint }

  async commit(cut: Cut, workingSet: WorkingSet, ids: IdWindow, options: CommitOptions): Promise<Checkpoint> {
    const dirty = workingSet.takeDirty()
    const idChanges = ids.takeChanges()
    const deletes: EntryKey[] = [
      ...deletedKeys(dirty.collections), ...idChanges.deletes.map((key) => ({ collection: IDS, key })),
      ...cut.takeHeldGone().map((key) => ({ collection: HELD, key })), ...(options.deletes ?? []),
    ]
    const puts = hashEntries(putsOf(dirty, cut, idChanges.puts))
    if (this.#roots === null) {
      this.#countKeys(dirty, options.deletes ?? [])
      this.#countAll(MERGE, cut.merge)
      this.#countAll(HELD, cut.held)
      return await this.#write(cut, sizing(puts, dirty.collections), deletes, options)
    }
    const entries = [...sizing(puts, dirty.collections)]
    this.#remember(dirty)
    const pages = await updateDigest(this.#session, this.#roots, { puts: entries, deletes }, readHashes(dirty))
    this.#roots = pages.roots
    return await this.#write(cut, [...entries, ...pages.puts], [...deletes, ...pages.deletes], options)
  }

  /** Pages of a digest under construction; the checkpoint stays as it is, pending. */
  async commitPages(puts: Iterable<PutEntry>, deletes: readonly EntryKey[]): Promise<void> {
    const checkpoint = this.#checkpoint as Checkpoint
    await this.#session.commit({ puts, deletes }, { ...checkpoint, writer: this.#writer }, this.#writer, { durable: false })
  }

  /** The keys that a collection must hold, while the digest is pending. */
  keysOf(collection: string): KeySum { return (this.#keys.get(collection) ?? new KeySet(undefined)).value }

  /** Collections whose keys are counted while the digest is pending. */
  get counted(): readonly string[] { return [...this.#keys.keys()] }

  /** Re-reads what was written since the last seal, and compares it with the digest. STATE_CORRUPT. */
  async assertWritten(): Promise<void> {
    const { collections } = this.#projection
    for (const { name } of collections) {
      const keys = [...this.#written].filter((key) => key.startsWith(`${name}:`)).map((key) => key.slice(name.length + 1))
      for (let i = 0; i < keys.length; i += SCAN_PAGE) await assertListed(this.#session, name, keys.slice(i, i + SCAN_PAGE))
    }
    this.#written = new Set()
  }

  #remember({ collections }: DirtySlots): void {
    for (const { collection, slots } of collections) {
      for (const { key } of slots) {
        if (this.#written.size >= WRITTEN_KEPT) return
        this.#written.add(ownerKey(collection.name, key))
      }
    }
  }

  /** Which keys come and go with this commit: a slot whose value has no bytes yet is not in the store. */
  #countKeys({ collections, owners }: DirtySlots, gone: readonly EntryKey[]): void {
    for (const { collection: { name }, slots } of collections) {
      this.#keySet(name).add(slots.filter((slot) => slot.value !== undefined && slot.encodedBytes === 0).map(({ key }) => key))
      this.#keySet(name).remove(slots.filter((slot) => slot.value === undefined && slot.encodedBytes > 0).map(({ key }) => key))
    }
    const owned = owners.filter(({ storedOwner }) => storedOwner === null)
    if (owned.length > 0) this.#keySet(OWNERS).add(owned.map(({ collection, key }) => ownerKey(collection.name, key)))
    for (const { collection, key } of gone) this.#keySet(collection).remove([key])
  }

  /** Of a collection of which each commit knows all keys. */
  #countAll(collection: string, entries: ReadonlyMap<string, unknown>): void {
    if (entries.size === 0 && !this.#keys.has(collection)) return
    const keys = new KeySet(undefined)
    keys.add([...entries.keys()])
    this.#keys.set(collection, keys)
  }

  #keySet(collection: string): KeySet {
    let keys = this.#keys.get(collection)
    if (keys === undefined) this.#keys.set(collection, (keys = new KeySet(undefined)))
    return keys
  }

  /** The digest is built: its roots, by collection. */
  digestBuilt(roots: ReadonlyMap<string, { readonly count: number; readonly trieHash: Uint8Array }>): void {
    this.#roots = Object.fromEntries([...roots].map(([name, { count, trieHash }]) =>
      [name, { count, root: formatHash(collectionRoot(count, trieHash)) }]))
  }

  async #write(cut: Cut, puts: Iterable<PutEntry>, deletes: readonly EntryKey[], options: CommitOptions): Promise<Checkpoint> {
    const manifest = this.#manifest(cut, options)
    const next: Checkpoint = {
      manifest, manifestHash: makeManifestHash(manifest), writer: this.#writer,
      collections: this.#roots, writtenAtMs: this.#clock.nowMs(),
      keys: this.#roots === null ? Object.fromEntries([...this.#keys].map(([name, keys]) => [name, keys.value])) : null,
      ...(this.#shard !== null && { shard: this.#shard }),
    }
    const { durable, goLive = false } = options
    await this.#session.commit({ puts, deletes }, next, this.#writer, { durable, goLive })
    this.#checkpoint = next
    return next
  }

  #manifest(cut: Cut, { sealed, scrubbed }: CommitOptions): Manifest {
    const { name, version, order } = this.#projection
    const position = positionToJson(cut.position)
    const before = this.#checkpoint?.manifest.scrubbedAt ?? null
    return {
      v: 1, sealed, position, order,
      root: this.#rootOver((collection) => !collection.startsWith('$')),
      identity: cut.identity(),
      projection: { name, version, fingerprint: this.#fingerprint },
      holes: { ...cut.holes },
      accepted: [...cut.accepted],
      scrubbedAt: scrubbed === true ? position : before,
      control: this.#rootOver((collection) => CONTROL.has(collection)),
    }
  }

  #rootOver(belongs: (collection: string) => boolean): string | null {
    return this.#roots === null ? null : rootOfCollections(Object.entries(this.#roots).filter(([collection]) => belongs(collection)))
  }
}

interface DirtySlots {
  readonly collections: readonly { readonly collection: { readonly name: string }; readonly slots: readonly Slot[] }[]
  readonly owners: readonly Slot[]
}

type Plain = { readonly collection: string; readonly key: string; readonly value: Value }

function* putsOf(dirty: DirtySlots, cut: Cut, ids: ReadonlyMap<string, Value>): Generator<Plain> {
  for (const { collection, slots } of dirty.collections) {
    for (const { key, value } of slots) {
      if (value !== undefined) yield { collection: collection.name, key, value }
    }
  }
  for (const slot of dirty.owners) {
    yield { collection: OWNERS, key: ownerKey(slot.collection.name, slot.key), value: slot.owner }
  }
  for (const [partition, mark] of cut.marks()) yield { collection: MARKS, key: partition, value: mark as unknown as Value }
  for (const [partition, point] of cut.merge) yield { collection: MERGE, key: partition, value: point as unknown as Value }
  for (const [partition, range] of cut.held) yield { collection: HELD, key: partition, value: range as unknown as Value }
  for (const [key, value] of ids) yield { collection: IDS, key, value }
}

/** Passes entries on, and remembers in each slot how large its value is. Slots come first, in the order of `putsOf`. */
function* sizing(puts: Iterable<PutEntry>, collections: DirtySlots['collections']): Generator<PutEntry> {
  const slots = present(collections)
  for (const entry of puts) {
    const next = slots.next()
    if (next.done !== true) next.value.encodedBytes = entry.bytes.length
    yield entry
  }
}

function* present(collections: DirtySlots['collections']): Generator<Slot, undefined> {
  for (const { slots } of collections) {
    for (const slot of slots) if (slot.value !== undefined) yield slot
  }
}

function* deletedKeys(collections: DirtySlots['collections']): Generator<EntryKey> {
  for (const { collection, slots } of collections) {
    for (const slot of slots) if (slot.value === undefined) yield { collection: collection.name, key: slot.key }
  }
}

/** What the store gave for dirty keys that were read from it. The owner of a key that did not move is written once only: it was absent. */
function readHashes({ collections, owners }: DirtySlots): Map<string, string | null> {
  const read = new Map<string, string | null>()
  for (const { slots } of collections) {
    for (const { collection, key, was } of slots) if (was !== undefined) read.set(ownerKey(collection.name, key), was)
  }
  for (const { collection, key, was, storedOwner } of owners) {
    if (was !== undefined && storedOwner === null) read.set(ownerKey(OWNERS, ownerKey(collection.name, key)), null)
  }
  return read
}
