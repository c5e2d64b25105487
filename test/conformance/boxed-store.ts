import { decode, encode, type Entry, type PutEntry, type StateStore, type StoreSession } from '../../src/index.js'
import { compileColumns, type Columns } from '../../src/value/columns.js'

const BOX = compileColumns('box', { 'box.bytes': 'bytes', 'box.key': 'text' })
/** What the kit calls the collections of which it asks more than a name. */
const BOXED: ReadonlyMap<string, Columns> = new Map(
  ['orders', 'customers', 'rounds', 'fresh', 'x', 'y'].map((name) => [name, BOX]),
)

/** A store whose collections are typed tables underneath, whatever the kit puts in: each entry's bytes go in a box with columns. */
export function boxed(store: StateStore): StateStore {
  return {
    capabilities: store.capabilities,
    generations: () => store.generations(),
    switchTo: (generation, expected) => store.switchTo(generation, expected),
    drop: (generation) => store.drop(generation),
    async open(options) {
      if (options.mode === 'read') return boxedSession(await store.open(options))
      return boxedSession(await store.open({ ...options, tables: BOXED }))
    },
    close: () => store.close(),
  }
}

function boxedSession(session: StoreSession): StoreSession {
  return {
    checkpoint: session.checkpoint,
    writer: session.writer,
    load: async (collection, keys) => (await session.load(collection, keys)).map(unbox),
    scan: async (collection, after, limit) => (await session.scan(collection, after, limit)).map(unbox),
    collections: () => session.collections(),
    commit: ({ puts, deletes }, ...rest) => session.commit({ puts: boxes(puts), deletes }, ...rest),
    beat: (nowMs) => session.beat(nowMs),
    close: () => session.close(),
  }
}

function* boxes(puts: Iterable<PutEntry>): Generator<PutEntry> {
  for (const put of puts) {
    const value = { box: { bytes: put.bytes, key: put.key } }
    yield BOXED.has(put.collection) ? { ...put, value, bytes: encode(value) } : put
  }
}

function unbox(entry: Entry): Entry {
  if (!BOXED.has(entry.collection)) return entry
  return { ...entry, bytes: (decode(entry.bytes) as { box: { bytes: Uint8Array } }).box.bytes }
}
