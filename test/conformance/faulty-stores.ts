import { memoryStore } from '../../adapters/memory/store.js'
import type { Changes, Entry, EntryBlock, GenerationRow, OpenRead, OpenWrite, PutEntry, StateStore, StoreSession } from '../../src/index.js'

type Commit = StoreSession['commit']

/** Each is one plausible bug of a store, planted over the memory store. */
export const FAULTS: Readonly<Record<string, (inner: StateStore) => StateStore>> = {
  'position first, entries in a second transaction': session((inner) => ({
    async commit(changes, next, expected, options) {
      await inner.commit({ puts: [], deletes: [] }, next, expected, options)
      await inner.commit(changes, next, expected, options)
    },
  })),
  'entries first, switch in a second transaction': session((inner) => ({
    async commit(changes, next, expected, { durable, goLive }) {
      await inner.commit(changes, next, expected, { durable })
      if (goLive === true) await inner.commit({ puts: [], deletes: [] }, next, expected, { durable, goLive })
    },
  })),
  'keeps what came before the error of an iterable': session((inner) => ({
    async commit(changes, next, expected, options) {
      const puts = []
      try {
        for (const put of changes.puts) puts.push(put)
      } catch (error) {
        await inner.commit({ puts, deletes: [] }, next, expected, { durable: false })
        throw error
      }
      await inner.commit({ puts, deletes: changes.deletes }, next, expected, options)
    },
  })),
  'no fence': fence((_expected, newest) => newest),
  'a fence that compares the epoch only': fence((expected, newest) => ({ ...expected, incarnation: newest.incarnation })),
  'a fence that compares the incarnation only': fence((expected, newest) => ({ ...expected, epoch: newest.epoch })),
  'scan in UTF-16 order': session((inner) => ({
    async scan(collection, after, limit) {
      const all = await inner.scan(collection, null, 100_000)
      const sorted = [...all].sort((a, b) => (a.key < b.key ? -1 : 1))
      return sorted.filter(({ key }) => after === null || key > after).slice(0, limit)
    },
  })),
  'scan in the order of writing': session((inner) => {
    const seen: string[] = []
    return {
      async commit(changes, ...rest) {
        const puts = [...changes.puts]
        await inner.commit({ puts, deletes: changes.deletes }, ...rest)
        for (const { key } of puts) if (!seen.includes(key)) seen.push(key)
      },
      async scan(collection, after, limit) {
        const all = await inner.scan(collection, null, 100_000)
        const sorted = [...all].sort((a, b) => seen.indexOf(a.key) - seen.indexOf(b.key))
        return sorted.slice(sorted.findIndex(({ key }) => key === after) + 1).slice(0, limit)
      },
    }
  }),
  'scan that includes after': session((inner) => ({
    async scan(collection, after, limit) {
      const found = after === null ? [] : await inner.load(collection, [after])
      return [...found, ...(await inner.scan(collection, after, limit))].slice(0, limit)
    },
  })),
  'scan without a limit': session((inner) => ({ scan: (collection, after) => inner.scan(collection, after, 100_000) })),
  'scan one short': session((inner) => ({ scan: (collection, after, limit) => inner.scan(collection, after, limit - 1) })),
  'a block that lacks the last entry': session((inner) => ({
    scanBlock: async (...page) => blockOf((await inner.scan(...page)).slice(0, -1)),
  })),
  'a block whose values end at a zero byte': session((inner) => ({
    scanBlock: async (...page) => blockOf((await inner.scan(...page)).map((entry) => ({ ...entry, bytes: endedAtZero(entry.bytes) }))),
  })),
  'a block whose keys end at a zero byte': session((inner) => ({
    scanBlock: async (...page) => blockOf((await inner.scan(...page)).map((entry) => ({ ...entry, key: entry.key.split('\0')[0] as string }))),
  })),
  'a block that goes on from the first': session((inner) => ({
    scanBlock: async (collection, _, limit) => blockOf(await inner.scan(collection, null, limit)),
  })),
  'forgets deletes': changed((changes) => ({ puts: changes.puts, deletes: [] })),
  'forgets all but the first delete': changed((changes) => ({ puts: changes.puts, deletes: [...changes.deletes].slice(0, 1) })),
  'drops entries of no bytes': changed((changes) => ({
    puts: [...changes.puts].filter(({ bytes }) => bytes.length > 0),
    deletes: changes.deletes,
  })),
  'cuts bytes at 64 KiB': changed((changes) => ({
    puts: [...changes.puts].map((put) => ({ ...put, bytes: put.bytes.subarray(0, 65_536) })),
    deletes: changes.deletes,
  })),
  'walks iterables twice': changed((changes) => {
    for (const _ of changes.puts) continue
    return changes
  }),
  'collections told apart without case': renamed((collection) => collection.toLowerCase()),
  'collections cut at the first NUL': renamed((collection) => collection.split('\0')[0] as string),
  'loses the hash': session((inner) => ({
    load: async (collection, keys) => (await inner.load(collection, keys)).map((entry) => ({ ...entry, hash: new Uint8Array(32) })),
  })),
  'reads the newest state instead of a pinned view': (inner) => ({
    ...plain(inner),
    async open(options) {
      const opened = await inner.open(options)
      if (options.mode === 'write') return opened
      const fresh = async <T>(work: (session: StoreSession) => Promise<T>): Promise<T> => work(await inner.open(options))
      return {
        ...plainSession(opened),
        load: (collection, keys) => fresh((newest) => newest.load(collection, keys)),
        scan: (collection, after, limit) => fresh((newest) => newest.scan(collection, after, limit)),
      }
    },
  }),
  'keeps the buffers of a put': session((inner) => {
    const kept = new Map<string, Entry>()
    return {
      commit: (changes, ...rest) => inner.commit({ puts: noting(changes.puts, kept), deletes: changes.deletes }, ...rest),
      load: async (collection, keys) =>
        (await inner.load(collection, keys)).map((entry) => kept.get(JSON.stringify([collection, entry.key])) ?? entry),
    }
  }),
  'gives out its own buffers': session((inner) => {
    const cache = new Map<string, readonly Entry[]>()
    return {
      async load(collection, keys) {
        const name = JSON.stringify([collection, keys])
        const found = cache.get(name) ?? (await inner.load(collection, keys))
        cache.set(name, found)
        return found
      },
    }
  }),
  'names collections that hold nothing': session((inner) => {
    const names = new Set<string>()
    return {
      commit: (changes, ...rest) => inner.commit({ puts: noting(changes.puts, new Map(), names), deletes: changes.deletes }, ...rest),
      collections: async () => [...new Set([...(await inner.collections()), ...names])],
    }
  }),
  'switches to what was never sealed': (inner) => ({
    ...plain(inner),
    switchTo: (generation, expected) => inner.switchTo(generation, expected).catch(() => undefined),
  }),
  'switches whatever was expected': (inner) => ({
    ...plain(inner),
    switchTo: async (generation) => inner.switchTo(generation, liveOf(await inner.generations())),
  }),
  'goes live without being told': session((inner) => ({
    commit: (changes, next, expected, options) =>
      inner.commit(changes, next, expected, next.manifest.sealed ? { ...options, goLive: true } : options),
  })),
  'forgets to go live': session((inner) => ({
    commit: (changes, next, expected, { durable }) => inner.commit(changes, next, expected, { durable }),
  })),
  'forgets which were sealed': (inner) => ({
    ...plain(inner),
    generations: async () =>
      (await inner.generations()).map((row) => ({ ...row, everSealed: row.checkpoint?.manifest.sealed ?? false })),
  }),
  'lets every writer in': (inner) => ({
    ...plain(inner),
    open: (options) => inner.open(options.mode === 'write' ? { ...options, takeover: true } : options),
  }),
  'says that no writer lives': (inner) => ({
    ...plain(inner),
    generations: async () =>
      (await inner.generations()).map((row) => ({ ...row, writer: row.writer === null ? null : { ...row.writer, alive: false } })),
  }),
  'takes an epoch to read': (inner) => ({
    ...plain(inner),
    async open(options) {
      if (options.mode === 'read' && (await inner.generations()).some((row) => row.generation === options.generation)) {
        const write: OpenWrite = { ...options, mode: 'write', incarnation: 'reader', owner: 'reader', nowMs: 0, takeover: true }
        await (await inner.open(write)).close()
      }
      return inner.open(options)
    },
  }),
  'a beat without a fence': session((inner) => ({ beat: (nowMs) => inner.beat(nowMs).catch(() => undefined) })),
  'goes on after close': session((inner) => ({ async close() { await inner.collections() } })),
  'makes a generation for a reader': (inner) => ({
    ...plain(inner),
    async open(options) {
      if (options.mode === 'read') {
        const write: OpenWrite = { ...options, mode: 'write', incarnation: 'reader', owner: 'reader', nowMs: 0, takeover: false }
        await inner.open(write).then((opened) => opened.close(), () => undefined)
      }
      return inner.open(options)
    },
  }),
  'one table for all generations': (inner) => ({
    ...plain(inner),
    open: (options: OpenRead | OpenWrite) => inner.open({ ...options, generation: 1 }),
  }),
}

/** Entries as a block holds them. */
export function blockOf(entries: readonly Entry[]): EntryBlock {
  const keys = entries.map(({ key }) => Buffer.from(key))
  const values = entries.map(({ bytes }) => bytes)
  return {
    count: entries.length, keys: Buffer.concat(keys), keyEnds: endsOf(keys),
    bytes: Buffer.concat(values), ends: endsOf(values), hashes: Buffer.concat(entries.map(({ hash }) => hash)),
  }
}

function endsOf(parts: readonly Uint8Array[]): number[] {
  let end = 0
  return parts.map(({ length }) => (end += length))
}

function endedAtZero(bytes: Uint8Array): Uint8Array {
  const zero = bytes.indexOf(0)
  return zero < 0 ? bytes : bytes.subarray(0, zero)
}

/** No fault: what the wrappers themselves do must pass. */
export function faithful(): StateStore {
  return session((inner) => ({ scanBlock: async (...page) => blockOf(await inner.scan(...page)) }))(memoryStore())
}

function session(fault: (inner: StoreSession) => Partial<StoreSession>): (inner: StateStore) => StateStore {
  return (inner) => ({
    ...plain(inner),
    async open(options) {
      const opened = await inner.open(options)
      return { ...plainSession(opened), ...fault(opened) }
    },
  })
}

function changed(change: (changes: Changes) => Changes): (inner: StateStore) => StateStore {
  return session((inner) => ({ commit: (changes, ...rest) => inner.commit(change(changes), ...rest) }))
}

function fence(seen: (expected: Parameters<Commit>[2], newest: Parameters<Commit>[2]) => Parameters<Commit>[2]) {
  return (inner: StateStore): StateStore => ({
    ...plain(inner),
    async open(options) {
      const opened = await inner.open(options)
      return {
        ...plainSession(opened),
        async commit(changes, next, expected, rest) {
          const row = (await inner.generations()).find(({ generation }) => generation === options.generation)
          await opened.commit(changes, next, seen(expected, row?.writer ?? expected), rest)
        },
      }
    },
  })
}

function renamed(rename: (collection: string) => string): (inner: StateStore) => StateStore {
  return session((inner) => ({
    load: (collection, keys) => inner.load(rename(collection), keys),
    scan: (collection, after, limit) => inner.scan(rename(collection), after, limit),
    commit: (changes, ...rest) =>
      inner.commit(
        {
          puts: Array.from(changes.puts, (put) => ({ ...put, collection: rename(put.collection) })),
          deletes: Array.from(changes.deletes, ({ collection, key }) => ({ collection: rename(collection), key })),
        },
        ...rest,
      ),
  }))
}

function* noting(puts: Changes['puts'], entries: Map<string, Entry>, names?: Set<string>): Generator<PutEntry> {
  for (const put of puts) {
    entries.set(JSON.stringify([put.collection, put.key]), put)
    names?.add(put.collection)
    yield put
  }
}

function liveOf(rows: readonly GenerationRow[]): number | null {
  return rows.find(({ live }) => live)?.generation ?? null
}

function plain(inner: StateStore): StateStore {
  return {
    capabilities: inner.capabilities,
    generations: () => inner.generations(),
    switchTo: (generation, expected) => inner.switchTo(generation, expected),
    drop: (generation) => inner.drop(generation),
    open: (options) => inner.open(options),
    close: () => inner.close(),
  }
}

function plainSession(inner: StoreSession): StoreSession {
  return {
    checkpoint: inner.checkpoint,
    writer: inner.writer,
    load: (collection, keys) => inner.load(collection, keys),
    scan: (collection, after, limit) => inner.scan(collection, after, limit),
    collections: () => inner.collections(),
    commit: (changes, next, expected, options) => inner.commit(changes, next, expected, options),
    beat: (nowMs) => inner.beat(nowMs),
    close: () => inner.close(),
  }
}
