import {
  alreadyRunning, checkpointBytes, checkpointFromBytes, compareUtf8, fenced, generationNotFound, generationRefused, liveChanged,
  sessionClosed, sessionReadOnly,
  type Entry, type OpenRead, type OpenWrite, type StateStore, type StoreSession, type Writer, type WriterRow,
} from 'rehydrate'

type Tables = ReadonlyMap<string, ReadonlyMap<string, Entry>>

/** One generation. A commit replaces `tables` and never changes them, so a reader that holds the old ones sees one state. */
interface Generation {
  readonly number: number
  tables: Tables
  checkpoint: Uint8Array | null
  everSealed: boolean
  writer: WriterRow
}

interface Shelf {
  readonly generations: Map<number, Generation>
  readonly sessions: Set<StoreSession>
  live: number | null
}

/** The smallest store that keeps the contract. It lives in memory; a durable one keeps the same in files or tables. */
export function tinyStore(): StateStore {
  const shelf: Shelf = { generations: new Map(), sessions: new Set(), live: null }
  const found = (number: number): Generation => {
    const generation = shelf.generations.get(number)
    if (generation === undefined) throw generationRefused(number, 'does not exist')
    return generation
  }
  return {
    capabilities: { durable: false },
    async generations() {
      return [...shelf.generations.values()].sort((a, b) => a.number - b.number).map((generation) => ({
        generation: generation.number, live: generation.number === shelf.live, everSealed: generation.everSealed,
        checkpoint: generation.checkpoint && checkpointFromBytes(generation.checkpoint), corrupt: null, writer: generation.writer,
      }))
    },
    async switchTo(number, expected) {
      if (!found(number).everSealed) throw generationRefused(number, 'was never sealed')
      if (shelf.live !== expected) throw liveChanged(expected, shelf.live)
      shelf.live = number
    },
    async drop(number) {
      const { writer } = found(number)
      if (number === shelf.live) throw generationRefused(number, 'is the live one')
      if (writer.alive) throw generationRefused(number, `has a living writer (${writer.owner})`)
      shelf.generations.delete(number)
    },
    async open(options) {
      const session = options.mode === 'read' ? openToRead(shelf, options) : openToWrite(shelf, options)
      shelf.sessions.add(session)
      return session
    },
    async close() {
      for (const session of shelf.sessions) await session.close()
    },
  }
}

function openToRead(shelf: Shelf, { generation: number }: OpenRead): StoreSession {
  const generation = shelf.generations.get(number)
  if (generation === undefined) throw generationNotFound(number, 'this store')
  return sessionOf(shelf, { ...generation }, null)
}

function openToWrite(shelf: Shelf, { generation: number, incarnation, owner, nowMs, takeover }: OpenWrite): StoreSession {
  const present = shelf.generations.get(number)
  if (present?.writer.alive === true && !takeover) throw alreadyRunning(number, present.writer)
  const epoch = (present?.writer.epoch ?? 0) + 1
  const writer = { epoch, incarnation, owner, sinceMs: nowMs, beatMs: nowMs, alive: true }
  const generation = present ?? { number, tables: new Map(), checkpoint: null, everSealed: false, writer }
  generation.writer = writer
  shelf.generations.set(number, generation)
  return sessionOf(shelf, generation, { epoch, incarnation })
}

function sessionOf(shelf: Shelf, generation: Generation, writer: Writer | null): StoreSession {
  const { number } = generation
  let closed = false
  const isNewest = ({ epoch, incarnation }: Writer): boolean => {
    const newest = shelf.generations.get(number)?.writer
    return newest?.epoch === epoch && newest.incarnation === incarnation
  }
  const table = (collection: string): ReadonlyMap<string, Entry> => {
    if (closed) throw sessionClosed(number)
    return generation.tables.get(collection) ?? new Map<string, Entry>()
  }
  const assertWriter = (expected: Writer): void => {
    if (closed) throw sessionClosed(number)
    if (writer === null) throw sessionReadOnly(number)
    if (!isNewest(expected)) throw fenced(number, expected, shelf.generations.get(number)?.writer ?? null)
  }
  const session: StoreSession = {
    checkpoint: generation.checkpoint && checkpointFromBytes(generation.checkpoint),
    writer,
    async load(collection, keys) {
      const entries = table(collection)
      return [...new Set(keys)].flatMap((key) => entries.get(key) ?? []).map(copyOf)
    },
    async scan(collection, after, limit) {
      const entries = [...table(collection).values()].sort((a, b) => compareUtf8(a.key, b.key))
      return entries.filter(({ key }) => after === null || compareUtf8(key, after) > 0).slice(0, limit).map(copyOf)
    },
    async collections() {
      table('')
      return [...generation.tables].filter(([, entries]) => entries.size > 0).map(([name]) => name)
    },
    async commit({ puts, deletes }, next, expected, { goLive = false }) {
      assertWriter(expected)
      // Everything that can throw comes before the first change.
      const everSealed = generation.everSealed || next.manifest.sealed
      if (goLive && !everSealed) throw generationRefused(number, 'was never sealed')
      const tables = new Map([...generation.tables].map(([name, entries]) => [name, new Map(entries)]))
      for (const { collection, key } of deletes) tables.get(collection)?.delete(key)
      for (const put of puts) {
        const entries = tables.get(put.collection) ?? new Map<string, Entry>()
        tables.set(put.collection, entries.set(put.key, copyOf(put)))
      }
      const checkpoint = checkpointBytes(next)
      Object.assign(generation, { tables, checkpoint, everSealed })
      if (goLive) shelf.live = number
    },
    async beat(nowMs) {
      assertWriter(writer ?? { epoch: 0, incarnation: '' })
      generation.writer = { ...generation.writer, beatMs: nowMs }
    },
    async close() {
      if (!closed && writer !== null && isNewest(writer)) generation.writer = { ...generation.writer, alive: false }
      closed = true
      shelf.sessions.delete(session)
    },
  }
  return session
}

/** A store keeps and gives bytes of its own: what a caller does to his does not reach it. */
function copyOf({ collection, key, bytes, hash }: Entry): Entry {
  return { collection, key, bytes: Uint8Array.from(bytes), hash: Uint8Array.from(hash) }
}
