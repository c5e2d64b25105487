import { join } from 'node:path'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sqlite } from '../../../adapters/sqlite/index.js'
import { all, commit, hex, put, rawPut, shown } from '../../../src/conformance/store-scene.js'
import { hashKey, hashValue } from '../../../src/digest/hash.js'
import { compareUtf8 } from '../../../src/log/position.js'
import type { EntryBlock, PutEntry, StoreSession } from '../../../src/index.js'
import { scanIntact } from '../../../src/replay/intact.js'
import { blockOf } from '../../conformance/faulty-stores.js'
import { failureOf } from '../../support/worlds.js'
import { openWriter, temporaryDirectory } from './scene.js'

const LARGE_BYTES = 16_384

/** A block without the views that its arrays happen to be. */
function plain(block: EntryBlock | null | undefined): unknown {
  if (block === null || block === undefined) return null
  const { count, keys, keyEnds, bytes, ends, hashes } = block
  return { count, keys: hex(keys), keyEnds: Array.from(keyEnds), bytes: hex(bytes), ends: Array.from(ends), hashes: hex(hashes) }
}

/** What a scan of the whole collection finds out: so many entries, or the code and the key of an error. */
async function scanned(session: StoreSession, collection = 'orders'): Promise<unknown> {
  const read = async (): Promise<number> => {
    let count = 0
    for await (const page of scanIntact(session, collection)) count += page.count
    return count
  }
  try {
    return await read()
  } catch (error) {
    return await failureOf(Promise.reject(error)).then(({ code, details }) => [code, details.key])
  }
}

const key = fc.oneof(
  fc.string({ unit: fc.constantFrom('\0', 'a', 'é', '\uffff', '\u{10000}', '\u{1f600}'), maxLength: 5 }),
  fc.string({ unit: 'binary', maxLength: 8 }),
)
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 16, maxLength: 16 }),
  fc.nat(300).map((length) => new Uint8Array(length)), fc.constantFrom(LARGE_BYTES - 1, LARGE_BYTES).map((length) => new Uint8Array(length).fill(7)),
)

describe('a block that SQLite puts together', () => {
  it('is what the scan of the same page gives, for any keys and bytes', { timeout: 60_000 }, async () => {
    const store = sqlite({ path: join(temporaryDirectory(), 'state.db') })
    const session = await openWriter(store)
    const entries = fc.uniqueArray(fc.tuple(key, bytes), { maxLength: 12, selector: ([name]) => name })
    let round = 0
    await fc.assert(fc.asyncProperty(entries, fc.integer({ min: 1, max: 15 }), async (list, limit) => {
      const collection = `round-${round++}`
      await commit(session, { puts: list.map(([name, value]): PutEntry => rawPut(collection, name, value)) })
      let after: string | null = null
      for (;;) {
        const page = await session.scan(collection, after, limit)
        const block = await session.scanBlock?.(collection, after, limit)
        expect(plain(block)).toEqual(list.length === 0 ? null : plain(blockOf(page)))
        if (page.length < limit) break
        after = page.at(-1)?.key ?? null
      }
    }), { numRuns: 80 })
    await store.close()
  })

  it('is none where a value is large; the page is scanned then', async () => {
    const store = sqlite({ path: join(temporaryDirectory(), 'state.db') })
    const session = await openWriter(store)
    const puts = Array.from({ length: 2_500 }, (_, i) => rawPut('orders', `k${String(i).padStart(4, '0')}`, new Uint8Array(i === 1_700 ? 1_048_576 : i % 50)))
    await commit(session, { puts: [...puts, rawPut('edge', 'k', new Uint8Array(LARGE_BYTES)), rawPut('beyond', 'k', new Uint8Array(LARGE_BYTES + 1))] })
    expect((await session.scanBlock?.('orders', null, 1_000))?.count).toBe(1_000)
    expect(await session.scanBlock?.('orders', 'k0999', 1_000)).toBeNull()
    expect((await session.scanBlock?.('edge', null, 10))?.count).toBe(1)
    expect(await session.scanBlock?.('beyond', null, 10)).toBeNull()
    expect(await scanned(session)).toBe(2_500)
    await store.close()
  })
})

describe('a row that is not one that was written', () => {
  const tampered: readonly (readonly [what: string, sql: string, told: unknown])[] = [
    ['bytes that changed', "UPDATE t SET bytes = x'c0' WHERE key = 'k3'", ['STATE_CORRUPT', 'k3']],
    ['bytes of two rows exchanged', `UPDATE t SET bytes = CASE key WHEN 'k3' THEN (SELECT bytes FROM t WHERE key = 'k4')
      ELSE (SELECT bytes FROM t WHERE key = 'k3') END WHERE key IN ('k3', 'k4')`, ['STATE_CORRUPT', 'k3']],
    ['bytes that are a number', "UPDATE t SET bytes = 7 WHERE key = 'k3'", ['STATE_CORRUPT', 'k3']],
    ['the hash of another row', "UPDATE t SET hash = (SELECT hash FROM t WHERE key = 'k4') WHERE key = 'k3'", ['STATE_CORRUPT', 'k3']],
    ['a hash that is too short', "UPDATE t SET hash = substr(hash, 1, 31) WHERE key = 'k3'", ['STATE_CORRUPT', 'k3']],
    ['a hash whose last byte stands before the next one', `UPDATE t SET hash = CAST((SELECT substr(hash, 32) FROM t WHERE key = 'k3') || hash AS BLOB)
      WHERE key = 'k4'; UPDATE t SET hash = substr(hash, 1, 31) WHERE key = 'k3'`, ['STATE_CORRUPT', 'k3']],
    ['a key that is bytes', "UPDATE t SET key = CAST(key AS BLOB) WHERE key = 'k3'", ['STATE_CORRUPT', 'k3']],
    ['a key that is bytes, the last', "UPDATE t SET key = CAST(key AS BLOB) WHERE key = 'k9'", ['STATE_CORRUPT', 'k9']],
    ['an empty value in place of another', "UPDATE t SET bytes = x'' WHERE key = 'k3'", ['STATE_CORRUPT', 'k3']],
  ]

  it.each(tampered)('is found and named: %s', async (_, sql, told) => {
    const path = join(temporaryDirectory(), 'state.db')
    const store = sqlite({ path })
    const writer = await openWriter(store)
    const puts = Array.from({ length: 10 }, (__, i) => put('orders', `k${i}`, { i }))
    await commit(writer, { puts })
    expect(await scanned(writer)).toBe(10)
    expect(shown(await all(writer, 'orders'))).toEqual(shown(puts))
    await writer.close()
    const db = new Database(path)
    db.exec(sql.replaceAll(/\bt\b/g, 'entries_1'))
    db.close()
    const session = await openWriter(store)
    expect(await scanned(session)).toEqual(told)
    await store.close()
  })
})

describe('what a scan of intact pages gives', () => {
  it('is the same from blocks and from rows: keys and hashes', async () => {
    const store = sqlite({ path: join(temporaryDirectory(), 'state.db') })
    const session = await openWriter(store)
    const puts = Array.from({ length: 2_345 }, (_, i) => put('orders', i % 3 === 0 ? `ü\0${i}` : `k${i}`, { i, text: 'x'.repeat(i % 90) }))
    await commit(session, { puts })
    const rows = { ...session, scan: session.scan.bind(session) } as StoreSession
    const gathered = await Promise.all([session, rows].map(async (from) => {
      const hashes: string[] = []
      for await (const { count, keys, keyHashes, valueHashes } of scanIntact(from, 'orders')) {
        const texts = 'ends' in keys ? Array.from(keys.ends, (end, i) => Buffer.from(keys.bytes).toString('utf8', keys.ends[i - 1] ?? 0, end)) : keys
        for (let i = 0; i < count; i++) {
          const at = i * 32
          hashes.push([texts[i], hex(keyHashes.subarray(at, at + 32)), hex(valueHashes.subarray(at, at + 32))].join(' '))
        }
      }
      return hashes
    }))
    expect(gathered[0]).toEqual(gathered[1])
    const line = ({ key: name, bytes: value }: PutEntry): string => [name, hex(hashKey(name)), hex(hashValue(value))].join(' ')
    expect(gathered[0]).toEqual([...puts].sort((a, b) => compareUtf8(a.key, b.key)).map(line))
    await store.close()
  })
})
