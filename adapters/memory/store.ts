import {
  alreadyRunning,
  checkpointBytes,
  checkpointFromBytes,
  compareUtf8,
  fenced,
  generationNotFound,
  generationRefused,
  liveChanged,
  sessionClosed,
  sessionReadOnly,
} from '../../src/index.js'
import type {
  Changes,
  Checkpoint,
  Entry,
  GenerationRow,
  OpenRead,
  OpenWrite,
  StateStore,
  StoreSession,
  Writer,
  WriterRow,
} from '../../src/index.js'

interface Kept {
  readonly bytes: Uint8Array
  readonly hash: Uint8Array
}

/** One collection. `pinned`: a reader holds it, so the next commit copies it before it changes it. */
interface Table {
  readonly entries: Map<string, Kept>
  sorted: readonly string[] | null
  pinned: boolean
}

type Tables = Map<string, Table>

interface Generation {
  readonly generation: number
  tables: Tables
  /** As a durable store keeps it, so that nobody can reach into it. */
  checkpoint: Uint8Array | null
  everSealed: boolean
  writer: (Omit<WriterRow, 'alive'> & { readonly session: MemorySession }) | null
}

/**
 * A store in this process's memory: for tests and small states. It has the semantics of a durable store (generations,
 * fencing, pinned reads) and forgets everything with the process. What was committed outlives sessions and `close()`, so
 * that a restart can be played with one object.
 */
export function memoryStore(): StateStore {
  return new MemoryStore()
}

class MemoryStore implements StateStore {
  readonly capabilities = { durable: false }
  readonly #generations = new Map<number, Generation>()
  readonly #sessions = new Set<MemorySession>()
  #live: number | null = null

  async generations(): Promise<readonly GenerationRow[]> {
    return [...this.#generations.values()]
      .sort((a, b) => a.generation - b.generation)
      .map((kept) => ({
        generation: kept.generation,
        live: kept.generation === this.#live,
        everSealed: kept.everSealed, corrupt: null,
        checkpoint: checkpointOf(kept),
        writer: writerRow(kept),
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
    const writer = writerRow(kept)
    if (writer?.alive === true) throw generationRefused(generation, `has a living writer (${writer.owner})`)
    this.#generations.delete(generation)
  }

  async open(options: OpenRead | OpenWrite): Promise<StoreSession> {
    const session = options.mode === 'read' ? this.#openRead(options) : this.#openWrite(options)
    this.#sessions.add(session)
    return session
  }

  async close(): Promise<void> {
    for (const session of this.#sessions) await session.close()
  }

  /** The generation, if it is still the one that `kept` was: it may have been dropped and made anew. */
  holds(kept: Generation): boolean {
    return this.#generations.get(kept.generation) === kept
  }

  goLive(generation: number): void {
    this.#live = generation
  }

  forget(session: MemorySession): void {
    this.#sessions.delete(session)
  }

  #openRead(options: OpenRead): MemorySession {
    const kept = this.#generations.get(options.generation)
    if (kept === undefined) throw generationNotFound(options.generation, 'this store')
    for (const table of kept.tables.values()) table.pinned = true
    return new MemorySession(this, { ...kept, tables: new Map(kept.tables) }, null)
  }

  #openWrite(options: OpenWrite): MemorySession {
    const { generation, incarnation, owner, nowMs } = options
    const kept = this.#generations.get(generation) ?? {
      generation,
      tables: new Map(),
      checkpoint: null,
      everSealed: false,
      writer: null,
    }
    const writer = writerRow(kept)
    if (writer?.alive === true && !options.takeover) throw alreadyRunning(generation, writer)
    const next = { epoch: (writer?.epoch ?? 0) + 1, incarnation }
    const session = new MemorySession(this, kept, next)
    kept.writer = { ...next, owner, sinceMs: nowMs, beatMs: nowMs, session }
    this.#generations.set(generation, kept)
    return session
  }
}

class MemorySession implements StoreSession {
  readonly checkpoint: Checkpoint | null
  readonly writer: Writer | null
  closed = false
  readonly #store: MemoryStore
  readonly #kept: Generation

  constructor(store: MemoryStore, kept: Generation, writer: Writer | null) {
    this.checkpoint = checkpointOf(kept)
    this.writer = writer
    this.#store = store
    this.#kept = kept
  }

  async load(collection: string, keys: readonly string[]): Promise<readonly Entry[]> {
    const table = this.#tables().get(collection)
    if (table === undefined) return []
    return [...new Set(keys)].flatMap((key) => {
      const kept = table.entries.get(key)
      return kept === undefined ? [] : [entry(collection, key, kept)]
    })
  }

  async scan(collection: string, after: string | null, limit: number): Promise<readonly Entry[]> {
    const table = this.#tables().get(collection)
    if (table === undefined) return []
    table.sorted ??= [...table.entries.keys()].sort(compareUtf8)
    const first = after === null ? 0 : firstBeyond(table.sorted, after)
    return table.sorted.slice(first, first + limit).map((key) => entry(collection, key, table.entries.get(key) as Kept))
  }

  async collections(): Promise<readonly string[]> {
    return [...this.#tables()].flatMap(([name, table]) => (table.entries.size === 0 ? [] : [name]))
  }

  async commit(
    changes: Changes,
    next: Checkpoint,
    expected: Writer,
    options: { readonly durable: boolean; readonly goLive?: boolean },
  ): Promise<void> {
    this.#writable()
    this.#unfenced(expected)
    const { generation } = this.#kept
    const everSealed = this.#kept.everSealed || next.manifest.sealed
    if (options.goLive === true && !everSealed) throw generationRefused(generation, 'was never sealed')
    // Everything that can throw comes first, so that a failed commit leaves nothing.
    const puts = Array.from(changes.puts, ({ collection, key, bytes, hash }) => ({
      collection,
      key,
      kept: { bytes: Uint8Array.from(bytes), hash: Uint8Array.from(hash) },
    }))
    const deletes = Array.from(changes.deletes)
    const checkpoint = checkpointBytes(next)

    for (const { collection, key } of deletes) {
      if (this.#kept.tables.get(collection)?.entries.has(key) !== true) continue
      const table = this.#changeable(collection)
      table.entries.delete(key)
      table.sorted = null
    }
    for (const { collection, key, kept } of puts) {
      const table = this.#changeable(collection)
      if (!table.entries.has(key)) table.sorted = null
      table.entries.set(key, kept)
    }
    this.#kept.checkpoint = checkpoint
    this.#kept.everSealed = everSealed
    if (options.goLive === true) this.#store.goLive(generation)
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

  #tables(): Tables {
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

  /** The table as this commit may change it: a fresh copy where a reader holds the present one. */
  #changeable(collection: string): Table {
    const present = this.#kept.tables.get(collection)
    if (present !== undefined && !present.pinned) return present
    const table = { entries: new Map(present?.entries), sorted: present?.sorted ?? null, pinned: false }
    this.#kept.tables.set(collection, table)
    return table
  }
}

function checkpointOf(kept: Generation): Checkpoint | null {
  return kept.checkpoint === null ? null : checkpointFromBytes(kept.checkpoint)
}

function writerRow(kept: Generation): WriterRow | null {
  if (kept.writer === null) return null
  const { session, ...row } = kept.writer
  return { ...row, alive: !session.closed }
}

/** A copy: what a caller does to it does not reach the store. */
function entry(collection: string, key: string, kept: Kept): Entry {
  return { collection, key, bytes: kept.bytes.slice(), hash: kept.hash.slice() }
}

/** Index of the first key > after. */
function firstBeyond(sorted: readonly string[], after: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareUtf8(sorted[middle] as string, after) <= 0) low = middle + 1
    else high = middle
  }
  return low
}
