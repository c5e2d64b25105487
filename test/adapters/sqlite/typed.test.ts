import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { memoryLog, memoryStore } from '../../../adapters/memory/index.js'
import type { MemoryEvent } from '../../../adapters/memory/index.js'
import { sqlite } from '../../../adapters/sqlite/index.js'
import { all, commit, put } from '../../../src/conformance/store-scene.js'
import { defineProjection, defineReducer, type Projection, type SealedRun, type StateStore } from '../../../src/index.js'
import { assertIntact } from '../../../src/replay/working-set.js'
import { compileColumns, type ColumnDeclarations, type Columns } from '../../../src/value/columns.js'
import { failureOf, runIn, worldOf } from '../../support/worlds.js'
import { openWriter } from './scene.js'

const folder = mkdtempSync(join(tmpdir(), 'typed-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const newPath = (): string => join(folder, `${files++}.db`)

const EVERY_TYPE = {
  text: 'text?', int: 'int', int64: 'int64?', real: 'real | null', bool: 'bool?', bytes: 'bytes?', json: 'json?', decimal: 'decimal(20,4)?',
  timestamp: 'timestamp?', date: 'date?', uuid: 'uuid?', 'in.side': 'int', 'in.deep.x': { type: 'text', column: 'select' }, '...': 'json',
} as const

/** Each event puts what it brings, as far as JSON can not bring it in another form; a Gone one deletes. */
const everyType: Projection = defineProjection({
  name: 'every', version: 1,
  collections: { things: { columns: EVERY_TYPE }, counts: { columns: { n: 'int' } }, plain: {} },
  keys: {
    Put: (event) => ['things', 'counts', 'plain'].map((collection) => ({ collection, key: event.key as string })),
    Gone: (event) => [{ collection: 'things', key: event.key as string }],
  },
  on: {
    Put(state, { key, data }) {
      const { int64, bytes, ...rest } = data
      const n: number = state.counts.get(key as string)?.n ?? 0
      state.things.put(key as string, {
        ...rest, int: n,
        ...(int64 === undefined ? {} : { int64: BigInt(int64) }), ...(bytes === undefined ? {} : { bytes: Uint8Array.from(bytes) }),
      })
      state.counts.put(key as string, { n: n + 1 })
      state.plain.put(key as string, data.text ?? null)
    },
    Gone(state, event) { state.things.delete(event.key as string) },
  },
})

const text = fc.string({ unit: 'binary', maxLength: 12 }).filter((item) => !/[\ud800-\udfff]/.test(item))
const data = fc.record({
  text, int64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  real: fc.oneof(fc.constant(null), fc.double({ noNaN: true, noDefaultInfinity: true, max: 2 ** 53 - 1, min: -(2 ** 53) + 1 }), fc.constant(1e300)),
  bool: fc.boolean(), bytes: fc.array(fc.nat(255), { maxLength: 5 }),
  json: fc.oneof(fc.constant(null), fc.dictionary(text.filter((name) => name !== '__proto__'), fc.integer(), { maxKeys: 3 }), fc.array(text, { maxLength: 3 })),
  decimal: fc.constantFrom('0', '-1.5', '1234567890123456.0001'), timestamp: fc.maxSafeInteger(), date: fc.constantFrom('0000-01-01', '2024-02-29'), uuid: fc.uuid(),
  in: fc.record({ side: fc.integer(), deep: fc.record({ x: text }) }), other: fc.integer(), another: fc.array(text, { maxLength: 2 }),
}, { requiredKeys: ['real', 'in'] })
const events = fc.array(fc.record({ type: fc.constantFrom('Put', 'Put', 'Put', 'Gone'), key: fc.constantFrom('a', 'b', 'é', '\0', '"'), data }), { minLength: 1, maxLength: 30 })

/** The same store, which is never told of columns. */
function inBytes(store: StateStore): StateStore {
  return {
    capabilities: store.capabilities,
    generations: () => store.generations(),
    switchTo: (generation, expected) => store.switchTo(generation, expected),
    drop: (generation) => store.drop(generation),
    open(options) {
      const { tables: _tables, ...rest } = options as typeof options & { tables?: unknown }
      return store.open(rest as typeof options)
    },
    close: () => store.close(),
  }
}

function rebuilt(store: StateStore, partitions: Record<string, MemoryEvent[]>, projection = everyType): Promise<SealedRun> {
  return runIn(worldOf(1), { source: memoryLog({ partitions }), projection, store, memoryBytes: 2_000, batch: { events: 4 } })
}

describe('one state', () => {
  it('has one root and one manifest in bytes, in typed tables and in memory, at once or in two halves', async () => {
    await fc.assert(fc.asyncProperty(events, fc.nat(), async (log, cut) => {
      const whole = { log: log as MemoryEvent[] }
      const stores = [memoryStore(), inBytes(sqlite({ path: newPath() })), sqlite({ path: newPath() })]
      const [memory, bytes, typed] = await Promise.all(stores.map((store) => rebuilt(store, whole)))
      const half = sqlite({ path: newPath() })
      await rebuilt(half, { log: whole.log.slice(0, 1 + (cut % log.length)) })
      const halves = await rebuilt(half, whole)
      for (const sealed of [bytes, typed]) {
        expect(sealed?.root).toBe(memory?.root)
        expect(sealed?.seal.manifest).toEqual(memory?.seal.manifest)
      }
      expect(halves.root).toBe(memory?.root)
    }), { numRuns: 25 })
  }, 60_000)

  it('comes out of a typed table byte for byte', async () => {
    const path = newPath()
    const log = fc.sample(events, { numRuns: 1, seed: 5 })[0] as MemoryEvent[]
    const store = sqlite({ path })
    await rebuilt(store, { log })
    const memory = memoryStore()
    await rebuilt(memory, { log })
    const [ours, theirs] = [await store.open({ generation: 1, mode: 'read' }), await memory.open({ generation: 1, mode: 'read' })]
    for (const collection of ['things', 'counts', 'plain']) expect(await all(ours, collection)).toEqual((await all(theirs, collection)).map((entry) => ({
      ...entry, bytes: Buffer.from(entry.bytes), hash: Buffer.from(entry.hash),
    })))
    await store.close()
  })
})

const airports = (version: number, columns: ColumnDeclarations = { landed: 'int', mean: 'real?', 'last.from': 'text' }): Projection => defineReducer<any>({
  name: 'flights', version, collection: 'airports', columns,
  on: { Landed: (state, event) => ({ landed: (state?.landed ?? 0) + version, last: { from: event.key as string } }) },
})
const landings = { log: ['EDDB', 'LIRF', 'EDDB'].map((key) => ({ type: 'Landed', key, data: null })) }
const columnsOf = (declared: ColumnDeclarations): Columns => compileColumns('columns', declared)
const tables = (...names: string[]): Map<string, Columns> => new Map(names.map((name) => [name, columnsOf({ n: 'int' })]))

function query(path: string, sql: string): unknown[] {
  const file = new Database(path, { readonly: true })
  try {
    return file.prepare(sql).all()
  } finally {
    file.close()
  }
}

const objects = (path: string): unknown[] => query(path, "SELECT type, name FROM sqlite_master WHERE name LIKE 'airports%' ORDER BY name")

describe('a service', () => {
  it('reads a view of plain SQL values under the name of the collection, with the key and no hash', async () => {
    const path = newPath()
    const store = sqlite({ path })
    await rebuilt(store, landings, airports(1))
    expect(query(path, 'SELECT * FROM airports ORDER BY key')).toEqual([
      { key: 'EDDB', landed: 2, mean: null, last_from: 'EDDB' }, { key: 'LIRF', landed: 1, mean: null, last_from: 'LIRF' },
    ])
    expect(objects(path)).toEqual([{ type: 'view', name: 'airports' }, { type: 'table', name: 'airports__g1' }])
    expect(query(path, "SELECT name, type, pk, \"notnull\" AS required FROM pragma_table_info('airports__g1')")).toEqual([
      { name: 'key', type: 'TEXT', pk: 1, required: 1 }, { name: 'landed', type: 'INTEGER', pk: 0, required: 1 },
      { name: 'mean', type: 'REAL', pk: 0, required: 0 }, { name: 'last_from', type: 'TEXT', pk: 0, required: 1 }, { name: 'hash', type: 'BLOB', pk: 0, required: 1 },
    ])
  })

  it('sees the old generation whole while it is in a transaction, and the new one after it', async () => {
    const path = newPath()
    const store = sqlite({ path })
    await rebuilt(store, landings, airports(1))
    const reader = new Database(path, { readonly: true })
    const read = (): unknown[] => reader.prepare('SELECT * FROM airports ORDER BY key').all()
    reader.exec('BEGIN')
    const before = read()
    await rebuilt(store, landings, airports(10, { landed: 'int', last: 'json' }))
    expect(read()).toEqual(before)
    reader.exec('COMMIT')
    expect(read()).toEqual([{ key: 'EDDB', landed: 20, last: '{"from":"EDDB"}' }, { key: 'LIRF', landed: 10, last: '{"from":"LIRF"}' }])
    await store.switchTo(1, 2)
    expect(read()).toEqual(before)
    await store.drop(2)
    expect(read()).toEqual(before)
    expect(objects(path)).toEqual([{ type: 'view', name: 'airports' }, { type: 'table', name: 'airports__g1' }])
    reader.close()
  })

  it('finds no view of a generation that keeps the collection as bytes, or before one is live', async () => {
    const path = newPath()
    const store = sqlite({ path })
    const session = await openWriter(store, { tables: tables('airports') })
    expect(objects(path)).toEqual([{ type: 'table', name: 'airports__g1' }])
    await commit(session, { puts: [put('airports', 'a', { n: 1 })], sealed: true, goLive: true })
    expect(query(path, 'SELECT * FROM airports')).toEqual([{ key: 'a', n: 1 }])
    const bytes = await openWriter(store, { generation: 2, tables: new Map() })
    await commit(bytes, { puts: [put('airports', 'a', { n: 1 })], sealed: true, goLive: true })
    expect(objects(path)).toEqual([{ type: 'table', name: 'airports__g1' }])
    await session.close()
    await store.drop(1)
    expect(objects(path)).toEqual([])
    await store.close()
  })
})

describe('a changed cell', () => {
  const value = {
    text: 'a', int: 5, int64: 2n ** 60n, real: 0.5, bool: true, bytes: Uint8Array.of(1), json: { a: 1, bb: [] }, decimal: '1.5', timestamp: 1, date: '2024-01-01',
    uuid: '00000000-0000-4000-8000-00000000000a', in: { side: 1, deep: { x: '' } }, more: 1,
  }
  const columns = columnsOf(EVERY_TYPE)
  const names = [...columns.names.map(({ name }) => name), 'hash']
  const others = [
    'NULL', '0', '1', '2', '1.5', '9007199254740993', '-0.0', '1e300', "''", "'x'", "'a '", "'5'", "'0.50'", "'1.50'", "'+1.5'", "x''", "x'00'", "x'35'", "'2024-01-02'",
    "'2024-02-30'", `'{"a": 1,"bb":[]}'`, `'{"bb":[],"a":1}'`, `'{"a":1,"bb":[],"a":1}'`, `'{"more": 1}'`, "'{}'", `'{"int":5}'`, `'{"more":1.0}'`, "'null'",
    "'00000000-0000-4000-8000-00000000000A'", "x'01'", "'1152921504606846976'", '1152921504606846977', "x'31313532393231353034363036383436393736'",
  ]

  it.each(names)('in the column %s is STATE_CORRUPT with its key, whatever it holds now', async (name) => {
    const path = newPath()
    const store = sqlite({ path })
    const session = await openWriter(store, { tables: new Map([['things', columns]]) })
    await commit(session, { puts: [put('things', 'one', value)] })
    const file = new Database(path)
    const cell = (): unknown => file.prepare(`SELECT typeof("${name}") AS type, quote("${name}") AS cell FROM things__g1`).get()
    const unchanged = cell()
    let changes = 0
    for (const other of others) {
      file.exec('SAVEPOINT before')
      try {
        file.exec(`UPDATE things__g1 SET "${name}" = ${other}`)
      } catch (error) {
        expect(String(error)).toMatch(/NOT NULL/)
      }
      if (JSON.stringify(cell()) !== JSON.stringify(unchanged)) {
        changes++
        file.exec('RELEASE before')
        for (const read of [() => session.load('things', ['one']), () => session.scan('things', null, 10)]) {
          const failure = await failureOf(read().then(assertIntact))
          expect([other, failure.code, failure.details.collection, failure.details.key]).toEqual([other, 'STATE_CORRUPT', 'things', 'one'])
        }
        await commit(session, { puts: [put('things', 'one', value)] })
        expect(cell()).toEqual(unchanged)
      } else file.exec('RELEASE before')
    }
    expect(changes).toBeGreaterThan(15)
    file.close()
    await store.close()
  })

  it('of the list of columns is STATE_CORRUPT', async () => {
    const path = newPath()
    const store = sqlite({ path })
    const session = await openWriter(store, { tables: tables('airports') })
    await commit(session, { puts: [put('airports', 'a', { n: 1 })] })
    await session.close()
    const file = new Database(path)
    for (const list of ['{', 'null', '[null]', '[{"path":"n","type":"integer","null":"refused","column":"n"}]']) {
      file.prepare('UPDATE collections SET columns = ?').run(list)
      const reader = await store.open({ generation: 1, mode: 'read' })
      await expect(reader.load('airports', ['a'])).rejects.toMatchObject({ code: 'STATE_CORRUPT', details: { collection: 'airports' } })
      await reader.close()
    }
    file.close()
  })
})

describe('refusals', () => {
  it('a generation that was begun with other columns is STORE_GENERATION and takes no epoch', async () => {
    const store = sqlite({ path: newPath() })
    const session = await openWriter(store, { tables: tables('airports') })
    await commit(session, { puts: [put('plain', 'a', { n: 1 })] })
    await session.close()
    const changed = new Map([['airports', columnsOf({ n: 'int?' })]])
    for (const other of [changed, tables(), tables('airports', 'plain')]) {
      await expect(openWriter(store, { tables: other })).rejects.toMatchObject({ code: 'STORE_GENERATION' })
    }
    expect((await store.generations())[0]?.writer).toMatchObject({ epoch: 1, alive: false })
    await (await openWriter(store, { tables: tables('airports') })).close()
    const untold = await openWriter(store)
    await commit(untold, { puts: [put('airports', 'b', { n: 2 })] })
    expect(await all(untold, 'airports')).toHaveLength(1)
    await store.close()
  })

  it.each(['generations', 'Collections', 'entries_7', 'ENTRIES_7', 'sqlite_x', 'airports__g3', 'one_live_generation', 'taken', 'TAKEN', 'held'])(
    'a collection whose view can not be named %s is CONFIG_INVALID', async (name) => {
      const path = newPath()
      const store = sqlite({ path })
      await (await openWriter(store)).close()
      new Database(path).exec('CREATE TABLE taken (x); CREATE VIEW held AS SELECT x FROM taken').close()
      const refusal = { code: 'CONFIG_INVALID', details: { collection: name, path: `collections.${name}.columns` } }
      await expect(openWriter(store, { tables: tables(name) })).rejects.toMatchObject(refusal)
      expect((await store.generations())[0]?.writer).toMatchObject({ epoch: 1 })
    },
  )

  it('names that differ only by case, and a table in place of ours, are CONFIG_INVALID', async () => {
    const path = newPath()
    const store = sqlite({ path })
    await expect(openWriter(store, { tables: tables('airports', 'Airports') })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    new Database(path).exec('CREATE TABLE Airports__G1 (x)').close()
    await expect(openWriter(store, { tables: tables('airports') })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    await (await openWriter(store, { tables: tables('select', 'order') })).close()
  })

  it('a switch whose view has lost its name is CONFIG_INVALID and switches nothing', async () => {
    const path = newPath()
    const store = sqlite({ path })
    const session = await openWriter(store, { tables: tables('airports') })
    const other = new Database(path)
    other.exec('CREATE TABLE airports (x)')
    const changes = { puts: [put('airports', 'a', { n: 1 })], sealed: true }
    await expect(commit(session, { ...changes, goLive: true })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    expect((await store.generations())[0]).toMatchObject({ live: false, checkpoint: null })
    await commit(session, changes)
    await expect(store.switchTo(1, null)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    other.exec('DROP TABLE airports')
    await store.switchTo(1, null)
    expect(query(path, 'SELECT * FROM airports')).toEqual([{ key: 'a', n: 1 }])
    other.close()
    await store.close()
  })

  it('a value that does not fit is refused by the commit, with its key, and leaves nothing', async () => {
    const store = sqlite({ path: newPath() })
    const session = await openWriter(store, { tables: tables('airports') })
    const puts = [put('airports', 'a', { n: 1 }), put('airports', 'b', { n: 1, m: 2 })]
    await expect(commit(session, { puts })).rejects.toMatchObject({ code: 'COLUMN_UNKNOWN', details: { collection: 'airports', key: 'b', path: '$.m' } })
    expect(await all(session, 'airports')).toEqual([])
    await store.close()
  })
})

describe('stores from before there were typed tables', () => {
  it('are read as they are, and get what is missing when they are opened to write', async () => {
    const path = newPath()
    const store = sqlite({ path })
    const session = await openWriter(store)
    await commit(session, { puts: [put('plain', 'a', 1)], sealed: true, goLive: true })
    await store.close()
    new Database(path).exec('ALTER TABLE collections DROP COLUMN columns; PRAGMA user_version = 1').close()
    const reader = await store.open({ generation: 1, mode: 'read' })
    expect(await all(reader, 'plain')).toHaveLength(1)
    expect(await reader.collections()).toEqual(['plain'])
    const version = (): unknown => new Database(path, { readonly: true }).pragma('user_version', { simple: true })
    expect(version()).toBe(1)
    const writer = await openWriter(store, { tables: tables('airports') })
    await commit(writer, { puts: [put('airports', 'a', { n: 1 }), put('plain', 'b', 2)], goLive: true })
    expect(await all(reader, 'plain')).toHaveLength(1)
    expect(await writer.collections()).toEqual(['airports', 'plain'])
    // A program that knows nothing of typed tables would switch without their views.
    expect(version()).toBe(2)
    await store.close()
  })
})

it('a thousand columns are kept as well as one', async () => {
  const store = sqlite({ path: newPath() })
  const value = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`c${i}`, i]))
  const columns = columnsOf(Object.fromEntries(Object.keys(value).map((name) => [name, 'int'])))
  const session = await openWriter(store, { tables: new Map([['wide', columns]]) })
  const puts = Array.from({ length: 70 }, (_, i) => put('wide', `k${String(i).padStart(2, '0')}`, value))
  await commit(session, { puts })
  expect((await all(session, 'wide')).map(({ bytes }) => Buffer.from(bytes))).toEqual(puts.map(({ bytes }) => Buffer.from(bytes)))
  await store.close()
})
