import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { sqlite } from '../../../adapters/sqlite/index.js'
import { all, commit, keys, put, shown } from '../../../src/conformance/store-scene.js'
import { hashValue } from '../../../src/digest/hash.js'
import { isRehydrateError } from '../../../src/index.js'
import type { StateStore } from '../../../src/index.js'
import { openWriter, temporaryDirectory, writerProcess } from './scene.js'

const many = (count: number, value: string) => Array.from({ length: count }, (_, i) => put('orders', `order-${i}`, value))

/** A store at path whose connections do, at SQL that contains `sql`, what `fail` does. */
function failing(path: string, sql: string, fail: () => void): StateStore {
  class Failing extends Database {
    override exec(text: string): this {
      if (text.includes(sql)) fail()
      return super.exec(text)
    }

    override pragma(text: string, options?: Database.PragmaOptions): unknown {
      if (text.includes(sql)) fail()
      return super.pragma(text, options)
    }
  }
  return sqlite({ path, client: Failing })
}

describe('a full disk', () => {
  it('is STORE_FAILED; the state stays at the last checkpoint, the session refuses more, another one goes on', async () => {
    const path = join(temporaryDirectory(), 'state.db')
    class Small extends Database {
      constructor(file: string, options?: Database.Options) {
        super(file, options)
        this.pragma('max_page_count = 40')
      }
    }
    const store = sqlite({ path, client: Small })
    const session = await openWriter(store)
    const before = await commit(session, { puts: many(10, 'small'), at: 1 })
    const failure = { code: 'STORE_FAILED', details: { file: path, actual: 'SQLITE_FULL' } }
    await expect(commit(session, { puts: many(2_000, 'x'.repeat(500)), at: 2 })).rejects.toMatchObject(failure)
    await expect(commit(session, { puts: many(1, 'y'), at: 3 })).rejects.toMatchObject(failure)
    await expect(session.load('orders', ['order-0'])).rejects.toMatchObject(failure)
    await expect(session.beat(5)).rejects.toMatchObject(failure)
    await session.close()

    const space = sqlite({ path })
    const next = await openWriter(space)
    expect(next.checkpoint).toEqual(before)
    expect(shown(await all(next, 'orders'))).toEqual(shown(many(10, 'small')))
    await commit(next, { puts: many(2_000, 'x'.repeat(500)), at: 2, durable: true })
    expect(await all(next, 'orders')).toHaveLength(2_000)
    await space.close()
  })

  it('of the operating system (a file may not grow) ends a process with STORE_FAILED and whole state', { timeout: 120_000 }, async () => {
    const path = join(temporaryDirectory(), 'state.db')
    const child = writerProcess(path, 'loop', { rows: 6_000, shell: "trap '' XFSZ; ulimit -f 1000" })
    let last: string | null = null
    for (let line = await child.line(); line !== null; line = await child.line()) last = line
    expect(JSON.parse(last ?? 'null')).toMatchObject({ code: 'STORE_FAILED', actual: expect.stringMatching(/^SQLITE_(FULL|IOERR)/) })

    const store = sqlite({ path })
    const session = await openWriter(store)
    const at = session.checkpoint?.manifest.position['log/0'] ?? -1
    const expected = Array.from({ length: at < 0 ? 0 : 6_000 }, (_, i) => put('orders', `k${i}`, { at }))
    expect([...shown(await all(session, 'orders'))].sort()).toEqual([...shown(expected)].sort())
    await store.close()
  })
})

describe('I/O errors', () => {
  it.each([
    ['COMMIT', 'SQLITE_IOERR_FSYNC'],
    ['BEGIN IMMEDIATE', 'SQLITE_IOERR_LOCK'],
    ['wal_checkpoint', 'SQLITE_IOERR_WRITE'],
  ])('at %s: %s is STORE_FAILED, never retried on the same session', async (sql, code) => {
    const path = join(temporaryDirectory(), 'state.db')
    let broken = false
    const store = failing(path, sql, () => {
      if (broken) throw new Database.SqliteError('planted', code)
    })
    const session = await openWriter(store)
    await commit(session, { puts: [put('orders', 'a', 1)], at: 1 })
    broken = true
    const failure = { code: 'STORE_FAILED', details: { actual: code } }
    await expect(commit(session, { puts: [put('orders', 'b', 1)], at: 2, durable: true })).rejects.toMatchObject(failure)
    broken = false
    await expect(commit(session, { puts: [put('orders', 'c', 1)], at: 3 })).rejects.toMatchObject(failure)
    await session.close()

    const next = await openWriter(store)
    // Folding the log comes after the commit: that one is there, and is found by opening again.
    const [at, names] = sql === 'wal_checkpoint' ? [2, ['a', 'b']] : [1, ['a']]
    expect(next.checkpoint?.manifest.position).toEqual({ 'log/0': at })
    expect(await keys(next, 'orders')).toEqual(names)
    await store.close()
  })

  it('a store that may only be read is read; writing to it is STORE_FAILED', async () => {
    const path = join(temporaryDirectory(), 'state.db')
    const store = sqlite({ path })
    await commit(await openWriter(store), { puts: [put('orders', 'a', 1)], sealed: true })
    await store.close()
    class ReadOnly extends Database {
      constructor(file: string, options?: Database.Options) {
        super(file, { ...options, readonly: file === path || (options?.readonly ?? false) })
      }
    }
    const readOnly = sqlite({ path, client: ReadOnly })
    expect(await keys(await readOnly.open({ generation: 1, mode: 'read' }), 'orders')).toEqual(['a'])
    const failure = { code: 'STORE_FAILED', details: { actual: 'SQLITE_READONLY' } }
    await expect(openWriter(readOnly)).rejects.toMatchObject(failure)
    await expect(readOnly.switchTo(1, null)).rejects.toMatchObject(failure)
    await readOnly.close()
  })

  it('a lock that nobody gives back is STORE_FAILED and leaves the session usable', async () => {
    const path = join(temporaryDirectory(), 'state.db')
    class Impatient extends Database {
      constructor(file: string, options?: Database.Options) {
        super(file, { ...options, timeout: 20 })
      }
    }
    const store = sqlite({ path, client: Impatient })
    const session = await openWriter(store)
    const holder = new Database(path)
    holder.exec('BEGIN IMMEDIATE')
    await expect(commit(session, { at: 1 })).rejects.toMatchObject({ code: 'STORE_FAILED', details: { actual: 'SQLITE_BUSY' } })
    holder.exec('ROLLBACK')
    holder.close()
    await commit(session, { puts: [put('orders', 'a', 1)], at: 2 })
    expect(await keys(session, 'orders')).toEqual(['a'])
    await store.close()
  })
})

describe('bit flips in the file', () => {
  it('end in a typed error, or in entries whose hashes tell; never in silence, never in a crash', { timeout: 60_000 }, async () => {
    const directory = temporaryDirectory()
    const path = join(directory, 'state.db')
    const puts = many(400, 'value of an order that is long enough to be found by a flip')
    const store = sqlite({ path, pageSizeBytes: 4_096 })
    await commit(await openWriter(store), { puts, at: 1, durable: true })
    await store.close()
    const whole = readFileSync(path)
    const expected = (await readAll(path)).found
    const seen = { refused: 0, hash: 0, root: 0, harmless: 0 }
    const untyped: string[] = []
    for (let trial = 0; trial < 300; trial++) {
      const at = Math.floor((trial / 300) * statSync(path).size) + (trial % 7)
      const flipped = Buffer.from(whole)
      flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << (trial % 8)), at)
      const copy = join(directory, `flipped-${trial}.db`)
      writeFileSync(copy, flipped)
      const { error, found, hashesFit } = await readAll(copy)
      if (error !== null) {
        if (!isRehydrateError(error)) untyped.push(`byte ${at}: ${String(error)}`)
        seen.refused += 1
      } else if (!hashesFit) seen.hash += 1
      // Whole entries lost or keys changed: the root over keys and hashes differs.
      else if (found !== expected) seen.root += 1
      else seen.harmless += 1
    }
    expect(untyped).toEqual([])
    expect(seen.refused).toBeGreaterThan(0)
    expect(seen.hash).toBeGreaterThan(100)
  })

  async function readAll(path: string): Promise<{ error: unknown; found: string; hashesFit: boolean }> {
    const store = sqlite({ path })
    try {
      const reader = await store.open({ generation: 1, mode: 'read' })
      const entries = await all(reader, 'orders')
      const hashesFit = entries.every(({ bytes, hash }) => Buffer.compare(hashValue(bytes), hash) === 0)
      const found = JSON.stringify([shown(entries), reader.checkpoint, (await store.generations())[0]])
      return { error: null, found, hashesFit }
    } catch (error) {
      return { error, found: '', hashesFit: false }
    } finally {
      await store.close()
    }
  }

  it('a flip in the checkpoint row is STATE_CORRUPT', async () => {
    const path = join(temporaryDirectory(), 'state.db')
    const store = sqlite({ path })
    await commit(await openWriter(store), { at: 1 })
    await store.close()
    const file = new Database(path)
    const { checkpoint } = file.prepare('SELECT checkpoint FROM generations').get() as { checkpoint: Buffer }
    for (let at = 0; at < checkpoint.length; at++) {
      const flipped = Buffer.from(checkpoint)
      flipped.writeUInt8(flipped.readUInt8(at) ^ 0x10, at)
      file.prepare('UPDATE generations SET checkpoint = ?').run(flipped)
      expect(await store.generations()).toMatchObject([{ checkpoint: null, corrupt: { code: 'STATE_CORRUPT' } }])
    }
    await expect(store.open({ generation: 1, mode: 'read' })).rejects.toMatchObject({ code: 'STATE_CORRUPT' })
    await expect(openWriter(store)).rejects.toMatchObject({ code: 'STATE_CORRUPT' })
    file.close()
  })
})
