import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { loadClient } from '../../../adapters/sqlite/client.js'
import { sqlite } from '../../../adapters/sqlite/index.js'
import { all, commit, keys, put } from '../../../src/conformance/store-scene.js'
import { openWriter, temporaryDirectory } from './scene.js'

describe('options', () => {
  it('an unknown option is refused with the nearest known one', () => {
    expect(() => sqlite({ path: 'x', pageSizeByte: 4_096 } as never)).toThrow(/Did you mean pageSizeBytes/)
  })

  it('a position is for tables of another program: a store knows its own', () => {
    expect(() => sqlite({ path: 'x', position: { at: 'a@1' } } as never)).toThrow(/tables must be an object/)
  })

  const wrong = [{}, { path: '' }, { path: ':memory:' }, { path: 7 }, { path: 'x', pageSizeBytes: 5_000 }, { path: 'x', pageSizeBytes: 131_072 }]
  it.each(wrong)(
    '%j is CONFIG_INVALID',
    (options) => {
      expect(() => sqlite(options as never)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
    },
  )

  it('a missing client is ADAPTER_PEER_MISSING with the command that installs it', async () => {
    await expect(loadClient('better-sqlite3-is-not-here')).rejects.toMatchObject({
      code: 'ADAPTER_PEER_MISSING',
      fix: 'npm install better-sqlite3@12',
    })
  })

  it('a client that is passed in is the one used', async () => {
    const paths: string[] = []
    class Counted extends Database {
      constructor(path: string, options?: Database.Options) {
        super(path, options)
        paths.push(path)
      }
    }
    const path = join(temporaryDirectory(), 'state.db')
    const store = sqlite({ path, client: Counted })
    await (await openWriter(store)).close()
    expect(paths).toContain(path)
  })
})

describe('files', () => {
  it('nothing but opening to write makes the file', async () => {
    const directory = temporaryDirectory()
    const store = sqlite({ path: join(directory, 'state.db') })
    expect(await store.generations()).toEqual([])
    await expect(store.open({ generation: 1, mode: 'read' })).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
    await expect(store.switchTo(1, null)).rejects.toMatchObject({ code: 'STORE_GENERATION' })
    await expect(store.drop(1)).rejects.toMatchObject({ code: 'STORE_GENERATION' })
    expect(readdirSync(directory)).toEqual([])
  })

  it('after the last session only the one file is left', async () => {
    const directory = temporaryDirectory()
    const store = sqlite({ path: join(directory, 'state.db') })
    const session = await openWriter(store)
    await commit(session, { puts: [put('orders', 'a', 1)] })
    await store.close()
    expect(readdirSync(directory)).toEqual(['state.db'])
  })

  it('a directory that does not exist is STORE_FAILED with the command that makes it', async () => {
    const directory = join(temporaryDirectory(), 'absent')
    const store = sqlite({ path: join(directory, 'state.db') })
    await expect(openWriter(store)).rejects.toMatchObject({ code: 'STORE_FAILED', fix: `mkdir -p ${directory}` })
    expect(existsSync(directory)).toBe(false)
  })

  it("a directory in place of the file is STORE_FAILED with SQLite's code", async () => {
    const path = temporaryDirectory()
    const failure = { code: 'STORE_FAILED', details: { file: path, actual: expect.stringMatching(/^SQLITE_/) } }
    await expect(sqlite({ path }).generations()).rejects.toMatchObject(failure)
    await expect(openWriter(sqlite({ path }))).rejects.toMatchObject(failure)
  })

  it('an empty file becomes a store', async () => {
    const path = join(temporaryDirectory(), 'state.db')
    writeFileSync(path, '')
    const store = sqlite({ path })
    expect(await store.generations()).toEqual([])
    await (await openWriter(store)).close()
    expect(await store.generations()).toHaveLength(1)
  })

  it("another program's database is CONFIG_INVALID and keeps every byte", async () => {
    const directory = temporaryDirectory()
    const path = join(directory, 'shop.db')
    new Database(path).exec('CREATE TABLE customer (id INTEGER PRIMARY KEY)').close()
    const before = readFileSync(path)
    const store = sqlite({ path })
    const refusal = { code: 'CONFIG_INVALID', details: { file: path, actual: 'customer' } }
    await expect(store.generations()).rejects.toMatchObject(refusal)
    await expect(store.open({ generation: 1, mode: 'read' })).rejects.toMatchObject(refusal)
    await expect(openWriter(store)).rejects.toMatchObject(refusal)
    await expect(store.drop(1)).rejects.toMatchObject(refusal)
    expect(readFileSync(path).equals(before)).toBe(true)
    expect(readdirSync(directory)).toEqual(['shop.db'])
  })

  it('a file that is no database is STATE_CORRUPT and keeps every byte', async () => {
    const path = join(temporaryDirectory(), 'notes.txt')
    const text = 'these are notes, '.repeat(1_000)
    writeFileSync(path, text)
    await expect(openWriter(sqlite({ path }))).rejects.toMatchObject({ code: 'STATE_CORRUPT', details: { actual: 'SQLITE_NOTADB' } })
    expect(readFileSync(path, 'utf8')).toBe(text)
  })

  it('a store of a later format is STORE_FORMAT_NEWER and names both formats', async () => {
    const path = join(temporaryDirectory(), 'state.db')
    const store = sqlite({ path })
    await (await openWriter(store)).close()
    const later = new Database(path)
    later.pragma('user_version = 7')
    later.close()
    const refusal = { code: 'STORE_FORMAT_NEWER', details: { expected: 2, actual: 7 } }
    await expect(store.generations()).rejects.toMatchObject(refusal)
    await expect(store.open({ generation: 1, mode: 'read' })).rejects.toMatchObject(refusal)
    await expect(openWriter(store)).rejects.toMatchObject(refusal)
  })

  it.each([512, 8_192, 65_536])('pages have the %i bytes asked for', async (pageSizeBytes) => {
    const path = join(temporaryDirectory(), 'state.db')
    const store = sqlite({ path, pageSizeBytes })
    await commit(await openWriter(store), { puts: [put('orders', 'a', 'x'.repeat(9_000))], durable: true })
    await store.close()
    const file = new Database(path, { readonly: true })
    expect(file.pragma('page_size', { simple: true })).toBe(pageSizeBytes)
    expect(file.pragma('journal_mode', { simple: true })).toBe('wal')
    file.close()
  })
})

describe('commits', () => {
  it('a durable commit brings everything into the one file', async () => {
    const path = join(temporaryDirectory(), 'state.db')
    const store = sqlite({ path })
    const session = await openWriter(store)
    await commit(session, { puts: [put('orders', 'a', 1)], durable: false })
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(0)
    await commit(session, { at: 1, durable: true })
    expect(statSync(`${path}-wal`).size).toBe(0)
    await store.close()
  })

  it('a long reader neither fails nor delays durable commits', async () => {
    const store = sqlite({ path: join(temporaryDirectory(), 'state.db') })
    const writer = await openWriter(store)
    await commit(writer, { puts: [put('orders', 'a', 0)], durable: true })
    const reader = await store.open({ generation: 1, mode: 'read' })
    const begun = performance.now()
    for (let at = 1; at <= 10; at++) await commit(writer, { puts: [put('orders', `a${at}`, at)], at, durable: true })
    expect(performance.now() - begun).toBeLessThan(2_000)
    expect(await keys(reader, 'orders')).toEqual(['a'])
    expect(await all(writer, 'orders')).toHaveLength(11)
    await store.close()
  })

  it('a dropped generation leaves no table behind', async () => {
    const path = join(temporaryDirectory(), 'state.db')
    const store = sqlite({ path })
    const session = await openWriter(store)
    await commit(session, { puts: [put('orders', 'a', 1), put('$owners', 'a', 1)] })
    await session.close()
    await store.drop(1)
    const file = new Database(path, { readonly: true })
    expect(file.prepare("SELECT name FROM sqlite_master WHERE name LIKE 'entries%'").all()).toEqual([])
    expect(file.prepare('SELECT * FROM collections').all()).toEqual([])
    file.close()
  })
})
