import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { memoryStore } from '../../adapters/memory/index.js'
import { put } from '../../src/conformance/store-scene.js'
import { storeCases, type StoreFactory } from '../../src/conformance/stores.js'
import { compareUtf8, openState, positionFromJson, type Checkpoint, type PutEntry, type StateStore, type StoreSession } from '../../src/index.js'
import { makeCheckpoint } from '../../src/conformance/store-scene.js'
import { overlayStore } from '../../src/store/overlay.js'
import { accountLog, accounts } from '../support/accounts.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'
import { memoryLog } from '../../adapters/memory/index.js'

async function writeTo(store: StateStore, generation = 1): Promise<StoreSession> {
  return await store.open({ generation, mode: 'write', incarnation: 'i', owner: 'test', nowMs: 1, takeover: false })
}

async function commit(session: StoreSession, changes: { puts?: PutEntry[]; deletes?: { collection: string; key: string }[] }, sealed = false): Promise<Checkpoint> {
  const writer = session.writer as NonNullable<StoreSession['writer']>
  const checkpoint = makeCheckpoint(writer, 1, sealed)
  await session.commit({ puts: changes.puts ?? [], deletes: changes.deletes ?? [] }, checkpoint, writer, { durable: false })
  return checkpoint
}

/** A pinned session over these entries. */
async function baseOf(puts: PutEntry[], sealed = true): Promise<StoreSession> {
  const store = memoryStore()
  const session = await writeTo(store)
  await commit(session, { puts }, sealed)
  await session.close()
  return await store.open({ generation: 1, mode: 'read' })
}

async function contentOf(session: StoreSession, page: number): Promise<Record<string, [string, string][]>> {
  const content: Record<string, [string, string][]> = {}
  for (const collection of [...(await session.collections())].sort()) {
    const rows: [string, string][] = []
    for (let after: string | null = null; ;) {
      const entries = await session.scan(collection, after, page)
      rows.push(...entries.map(({ key, bytes }): [string, string] => [key, Buffer.from(bytes).toString('hex')]))
      if (entries.length < page) break
      after = (entries.at(-1) as { key: string }).key
    }
    content[collection] = rows
  }
  return content
}

describe('an overlay over nothing keeps the whole contract of a store', () => {
  const factory: StoreFactory = {
    capabilities: [],
    async make() {
      const store = overlayStore(null)
      return { store, dispose: () => store.close() }
    },
  }
  for (const { name, run } of storeCases(factory)) {
    it(`${name}`, async () => expect(await run()).toBeUndefined())
  }
})

describe('an overlay over a base whose every entry was deleted keeps the contract of a store', () => {
  /** The laws that speak of a store nothing was written to, or of several generations. */
  const OTHER = [
    'a store that nothing was written to has no generations, and asking makes none',
    'opening for writing makes the generation: not live, never sealed, without a checkpoint',
    'generations are listed ascending and share no entry',
    'a session for reading outlives the drop of its generation',
    'a commit that goes live switches in the same transaction; one that was never sealed is refused whole',
    'a generation that was sealed once stays switchable, whatever was committed since',
    'switchTo is refused where another generation is live than expected (FENCED), or the new one was never sealed or is unknown',
    'drop removes a generation, but never the live one, one with a living writer or one that is not there',
    'a generation made again after a drop is empty, and the writer of the dropped one is FENCED',
    'the checkpoint is the one of the last commit, field for field',
    'two generations may have a writer each',
    'two generations keep one collection with other columns each, and switching changes neither',
  ]
  /** What the kit writes, and more, lies below. */
  const below = ['orders', 'customers', 'x', 'y', 'fresh', '$owners'].flatMap((collection) =>
    [...Array.from({ length: 150 }, (_, i) => `k${i}`), 'a', 'b', 'c', 'old', 'new', 'same key', 'é', '\u{1f600}']
      .map((key) => put(collection, key, 'of the base')))
  const factory: StoreFactory = {
    capabilities: [],
    async make() {
      const store = overlayStore(await baseOf(below, false))
      const session = await writeTo(store)
      await commit(session, { deletes: below })
      await session.close()
      return { store, dispose: () => store.close() }
    },
  }
  const cases = storeCases(factory)
  test('the laws left out are laws of the kit', () => {
    expect(OTHER.filter((name) => !cases.some((one) => one.name === name))).toEqual([])
  })
  for (const { name, run } of cases.filter((one) => !OTHER.includes(one.name))) {
    it(`${name}`, async () => expect(await run()).toBeUndefined())
  }
})

describe('an overlay', () => {
  const keys = fc.constantFrom('a', 'b', 'ab', 'c', 'é', '\uffee', '\u{1f600}', '0', '~')
  const collections = fc.constantFrom('one', 'two', '$owners')
  const change = fc.record({ collection: collections, key: keys, value: fc.option(fc.integer(), { nil: null }) })
  const commits = fc.array(fc.array(change, { maxLength: 12 }), { maxLength: 6 })

  test('shows what a map shows, over any base and after any commits; its readers stay where they are, the base is never changed', async () => {
    await fc.assert(fc.asyncProperty(fc.array(change, { maxLength: 20 }), commits, fc.integer({ min: 1, max: 5 }), async (start, rounds, page) => {
      const model = new Map<string, Map<string, string>>()
      const expected = (): Record<string, [string, string][]> => Object.fromEntries([...model].filter(([, rows]) => rows.size > 0)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, rows]) => [name, [...rows].sort(([a], [b]) => compareUtf8(a, b))]))
      const put1 = ({ collection, key, value }: { collection: string; key: string; value: number | null }): void => {
        const rows = model.get(collection) ?? new Map<string, string>()
        model.set(collection, rows)
        if (value === null) rows.delete(key)
        else rows.set(key, Buffer.from(put(collection, key, value).bytes).toString('hex'))
      }
      const unique = (list: typeof start): typeof start => [...new Map(list.map((one) => [`${one.collection}/${one.key}`, one])).values()]
      const puts = unique(start.filter(({ value }) => value !== null))
      const base = await baseOf(puts.map(({ collection, key, value }) => put(collection, key, value)))
      puts.forEach(put1)
      const before = expected()
      const store = overlayStore(base)
      const session = await writeTo(store)
      const readers: [StoreSession, unknown][] = []
      for (const round of rounds) {
        readers.push([await store.open({ generation: 1, mode: 'read' }), expected()])
        const list = unique(round)
        await commit(session, {
          puts: list.filter(({ value }) => value !== null).map(({ collection, key, value }) => put(collection, key, value)),
          deletes: list.filter(({ value }) => value === null),
        })
        list.forEach(put1)
        expect(await contentOf(session, page)).toEqual(expected())
        for (const collection of ['one', 'two', '$owners']) {
          const asked = ['a', 'b', '~', '\u{1f600}', 'a']
          const found = (await session.load(collection, asked)).map(({ key }) => key).sort()
          expect(found).toEqual([...new Set(asked)].filter((key) => model.get(collection)?.has(key)).sort())
        }
      }
      for (const [reader, content] of readers) expect(await contentOf(reader, page)).toEqual(content)
      expect(await contentOf(base, 100)).toEqual(before)
    }), { numRuns: 150 })
  })

  test('over a base begins as the base stands: its checkpoint, live where it is sealed, with no writer, and no other generation', async () => {
    const base = await baseOf([put('one', 'a', 1)])
    const store = overlayStore(base, 7)
    const [row, ...more] = await store.generations()
    expect(row).toMatchObject({ generation: 7, live: true, everSealed: true, writer: null, checkpoint: base.checkpoint })
    expect(more).toEqual([])
    expect((await overlayStore(await baseOf([], false)).generations())[0]).toMatchObject({ live: false, everSealed: false })
    expect((await failureOf(writeTo(store, 8))).code).toBe('STORE_GENERATION')
    expect((await failureOf(store.drop(7))).code).toBe('STORE_GENERATION')
    expect((await failureOf(overlayStore(await baseOf([], false)).drop(1))).message).toContain('is what this overlay lies over')
    expect((await failureOf(store.open({ generation: 1, mode: 'read' }))).code).toBe('STORE_NOT_FOUND')
  })

  test('leaves its base open when it is closed', async () => {
    const base = await baseOf([put('one', 'a', 1)])
    const store = overlayStore(base)
    const session = await writeTo(store)
    await store.close()
    expect((await failureOf(session.load('one', ['a']))).code).toBe('USAGE')
    expect(await base.load('one', ['a'])).toHaveLength(1)
  })

  test('carries the unchanged engine: what is folded over a base is what one run gives, manifest included', async () => {
    const log = accountLog(3, 3, 200)
    const code = { codeOf: async () => 'this file' }
    const whole = await runIn(worldOf(1, code), { source: memoryLog({ partitions: log }), projection: accounts, store: memoryStore() })
    const half = memoryStore()
    await runIn(worldOf(2, code), { source: memoryLog({ partitions: log }), projection: accounts, store: half, until: 'moves/0@120,moves/1@90,moves/2@7' })
    const base = await half.open({ generation: 1, mode: 'read' })
    const store = overlayStore(base)
    const sealed = await runIn(worldOf(3, code), { source: memoryLog({ partitions: log }), projection: accounts, store, batch: { events: 7 } })
    expect(sealed.root).toBe(whole.root)
    expect(sealed.seal.manifest).toEqual({ ...whole.seal.manifest, scrubbedAt: { 'moves/0': 120, 'moves/1': 90, 'moves/2': 7 } })
    const state = await openState(half, { projection: accounts })
    expect(state.position).toEqual(positionFromJson({ 'moves/0': 120, 'moves/1': 90, 'moves/2': 7 }))
  })
})
