import { compareUtf8 } from '../log/position.js'
import { checkpointBytes, checkpointFromBytes } from './checkpoint-codec.js'
import type { Checkpoint, Shard, Writer } from './checkpoint.js'
import type {
  Changes, Entry, GenerationRow, OpenRead, OpenWrite, StateStore, StoreSession, WriterRow,
} from './contract.js'
import { entryOf, firstBeyond, rowOf, sortedKeys, type Table } from './overlay-table.js'
import {
  alreadyRunning, fenced, generationNotFound, generationRefused, liveChanged, sessionClosed, sessionReadOnly,
} from './refusals.js'

/**
 * A store in memory over what a pinned session shows: the ordinary loop runs on it, and what it commits stays here. The base is
 * never written, and is closed by whoever opened it, after the overlay. With a base there is that one generation and no other
 * (STORE_GENERATION); it is live where the base is sealed, and nobody writes it yet. Without a base (null) this is an empty store
 * with the semantics of any other. Forgets everything with the process.
 */
export function overlayStore(base: StoreSession | null, generation = 1): StateStore {
  return new OverlayStore(base, generation)
}

interface Generation {
  readonly generation: number
  readonly base: StoreSession | null
  tables: Map<string, Table>
  /** As a durable store keeps it, so that nobody can reach into it. */
  checkpoint: Uint8Array | null
  everSealed: boolean
  writer: (Omit<WriterRow, 'alive'> & { readonly session: OverlaySession }) | null
}

class OverlayStore implements StateStore {
  readonly capabilities = { durable: false }
  readonly #generations = new Map<number, Generation>()
  readonly #sessions = new Set<OverlaySession>()
  readonly #shards = new Map<string, OverlayStore>()
  /** The only generation there may be; null: any. */
  readonly #only: number | null
  #live: number | null = null

  constructor(base: StoreSession | null, generation: number) {
    this.#only = base === null ? null : generation
    if (base === null) return
    const { checkpoint } = base
    const everSealed = checkpoint?.manifest.sealed === true
    this.#generations.set(generation, {
      generation, base, tables: new Map(), everSealed, writer: null,
      checkpoint: checkpoint === null ? null : checkpointBytes(checkpoint),
    })
    if (everSealed) this.#live = generation
  }

  async generations(): Promise<readonly GenerationRow[]> {
    return [...this.#generations.values()]
      .sort((a, b) => a.generation - b.generation)
      .map((kept) => ({
        generation: kept.generation, live: kept.generation === this.#live, everSealed: kept.everSealed,
        checkpoint: checkpointOf(kept), corrupt: null, writer: writerOf(kept),
      }))
  }

  async switchTo(generation: number, expected: number | null): Promise<void> {
    const kept = this.#generations.get(generation)
    if (kept === undefined) throw generationRefused(generation, 'does not exist')
    if (!kept.everSealed) throw generationRefused(generation, 'was never sealed')
    if (this.#live !== expected) throw liveChanged(expected, this.#live)
    this.#live = generation
  }

  async drop(generation: number): Promise<void> {
    const kept = this.#generations.get(generation)
    if (kept === undefined) throw generationRefused(generation, 'does not exist')
    if (generation === this.#live) throw generationRefused(generation, 'is the live one')
    if (kept.base !== null) throw generationRefused(generation, 'is what this overlay lies over')
    const writer = writerOf(kept)
    if (writer?.alive === true) throw generationRefused(generation, `has a living writer (${writer.owner})`)
    this.#generations.delete(generation)
  }

  async open(options: OpenRead | OpenWrite): Promise<StoreSession> {
    const session = options.mode === 'read' ? this.#openRead(options) : this.#openWrite(options)
    this.#sessions.add(session)
    return session
  }

  shard({ index, of }: Shard): StateStore {
    const name = `${index}/${of}`
    let store = this.#shards.get(name)
    if (store === undefined) this.#shards.set(name, (store = new OverlayStore(null, 1)))
    return store
  }

  async close(): Promise<void> {
    for (const store of this.#shards.values()) await store.close()
    for (const session of this.#sessions) await session.close()
  }

  /** The generation, if it is still the one that `kept` was: it may have been dropped and made anew. */
  holds(kept: Generation): boolean {
    return this.#generations.get(kept.generation) === kept
  }

  goLive(generation: number): void {
    this.#live = generation
  }

  forget(session: OverlaySession): void {
    this.#sessions.delete(session)
  }

  #openRead({ generation }: OpenRead): OverlaySession {
    const kept = this.#generations.get(generation)
    if (kept === undefined) throw generationNotFound(generation, 'this overlay')
    for (const table of kept.tables.values()) table.pinned = true
    return new OverlaySession(this, { ...kept, tables: new Map(kept.tables) }, null)
  }

  #openWrite({ generation, incarnation, owner, nowMs, takeover }: OpenWrite): OverlaySession {
    if (this.#only !== null && generation !== this.#only) {
      throw generationRefused(generation, `can not be made: an overlay has generation ${this.#only} alone`)
    }
    const kept = this.#generations.get(generation)
      ?? { generation, base: null, tables: new Map(), checkpoint: null, everSealed: false, writer: null }
    const writer = writerOf(kept)
    if (writer?.alive === true && !takeover) throw alreadyRunning(generation, writer)
    const next = { epoch: (writer?.epoch ?? 0) + 1, incarnation }
    const session = new OverlaySession(this, kept, next)
    kept.writer = { ...next, owner, sinceMs: nowMs, beatMs: nowMs, session }
    this.#generations.set(generation, kept)
    return session
  }
}

/** So many entries of the base are asked for at least, as some of them may be deleted here. */
const BASE_PAGE = 100

class OverlaySession implements StoreSession {
  readonly checkpoint: Checkpoint | null
  readonly writer: Writer | null
  closed = false
  readonly #store: OverlayStore
  readonly #kept: Generation

  constructor(store: OverlayStore, kept: Generation, writer: Writer | null) {
    this.checkpoint = checkpointOf(kept)
    this.writer = writer
    this.#store = store
    this.#kept = kept
  }

  async load(collection: string, keys: readonly string[]): Promise<readonly Entry[]> {
    const rows = this.#tables().get(collection)?.rows
    const entries: Entry[] = []
    const below: string[] = []
    for (const key of new Set(keys)) {
      const row = rows?.get(key)
      if (row === undefined) below.push(key)
      else if (row !== null) entries.push(entryOf(collection, key, row))
    }
    const { base } = this.#kept
    return base === null || below.length === 0 ? entries : [...entries, ...(await base.load(collection, below))]
  }

  async scan(collection: string, after: string | null, limit: number): Promise<readonly Entry[]> {
    const table = this.#tables().get(collection)
    const { base } = this.#kept
    if (table === undefined) return base === null ? [] : await base.scan(collection, after, limit)
    const sorted = sortedKeys(table)
    let place = after === null ? 0 : firstBeyond(sorted, after)
    const entries: Entry[] = []
    const takeOwn = (before: string | null): void => {
      for (; place < sorted.length && entries.length < limit; place++) {
        const key = sorted[place] as string
        if (before !== null && compareUtf8(key, before) >= 0) return
        entries.push(entryOf(collection, key, table.rows.get(key) as Buffer))
      }
    }
    for (let cursor = after, ended = base === null; !ended && entries.length < limit;) {
      const asked = Math.max(limit - entries.length, BASE_PAGE)
      const page = await (base as StoreSession).scan(collection, cursor, asked)
      for (const entry of page) {
        takeOwn(entry.key)
        if (entries.length >= limit) break
        if (!table.rows.has(entry.key)) entries.push(entry)
      }
      ended = page.length < asked
      cursor = page.at(-1)?.key ?? cursor
    }
    takeOwn(null)
    return entries
  }

  async collections(): Promise<readonly string[]> {
    const tables = this.#tables()
    const names = new Set<string>()
    for (const [name, { rows }] of tables) {
      for (const row of rows.values()) {
        if (row === null) continue
        names.add(name)
        break
      }
    }
    for (const name of (await this.#kept.base?.collections()) ?? []) {
      if (!tables.has(name) || (await this.scan(name, null, 1)).length > 0) names.add(name)
    }
    return [...names]
  }

  async commit(
    changes: Changes, next: Checkpoint, expected: Writer, options: { readonly durable: boolean; readonly goLive?: boolean },
  ): Promise<void> {
    this.#writable()
    this.#unfenced(expected)
    const kept = this.#kept
    const everSealed = kept.everSealed || next.manifest.sealed
    if (options.goLive === true && !everSealed) throw generationRefused(kept.generation, 'was never sealed')
    // Everything that can throw comes first, so that a failed commit leaves nothing.
    const puts = Array.from(changes.puts, ({ collection, key, bytes, hash }) => ({ collection, key, row: rowOf(bytes, hash) }))
    const deletes = Array.from(changes.deletes)
    const checkpoint = checkpointBytes(next)

    for (const { collection, key } of deletes) this.#delete(collection, key)
    for (const { collection, key, row } of puts) {
      const table = this.#changeable(collection)
      if (!table.rows.get(key)) table.sorted = null
      table.rows.set(key, row)
    }
    kept.checkpoint = checkpoint
    kept.everSealed = everSealed
    if (options.goLive === true) this.#store.goLive(kept.generation)
  }

  async beat(nowMs: number): Promise<void> {
    this.#unfenced(this.#writable())
    const { writer } = this.#kept
    if (writer !== null) this.#kept.writer = { ...writer, beatMs: nowMs }
  }

  async close(): Promise<void> {
    this.closed = true
    this.#store.forget(this)
  }

  #tables(): Map<string, Table> {
    if (this.closed) throw sessionClosed(this.#kept.generation)
    return this.#kept.tables
  }

  #writable(): Writer {
    if (this.closed) throw sessionClosed(this.#kept.generation)
    if (this.writer === null) throw sessionReadOnly(this.#kept.generation)
    return this.writer
  }

  #unfenced(expected: Writer): void {
    const newest = this.#store.holds(this.#kept) ? this.#kept.writer : null
    if (newest?.epoch !== expected.epoch || newest.incarnation !== expected.incarnation) {
      throw fenced(this.#kept.generation, expected, newest)
    }
  }

  /** What the base may show is hidden; what is only here goes. */
  #delete(collection: string, key: string): void {
    const isOverBase = this.#kept.base !== null
    if (!isOverBase && this.#kept.tables.get(collection)?.rows.has(key) !== true) return
    const table = this.#changeable(collection)
    if (table.rows.get(key)) table.sorted = null
    if (isOverBase) table.rows.set(key, null)
    else table.rows.delete(key)
  }

  /** The table as this commit may change it: a fresh copy where a reader holds the present one. */
  #changeable(collection: string): Table {
    const present = this.#kept.tables.get(collection)
    if (present !== undefined && !present.pinned) return present
    const table = { rows: new Map(present?.rows), sorted: present?.sorted ?? null, pinned: false }
    this.#kept.tables.set(collection, table)
    return table
  }
}

function checkpointOf(kept: Generation): Checkpoint | null {
  return kept.checkpoint === null ? null : checkpointFromBytes(kept.checkpoint)
}

function writerOf(kept: Generation): WriterRow | null {
  if (kept.writer === null) return null
  const { session, ...row } = kept.writer
  return { ...row, alive: !session.closed }
}
