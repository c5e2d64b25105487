import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EntryArena } from '../../src/digest/arena.js'
import { hashKeys } from '../../src/digest/batch.js'
import { TrieBuilder } from '../../src/digest/builder.js'
import type { TrieChange } from '../../src/digest/changes.js'
import { type Entries as Run, readEntries } from '../../src/digest/entries.js'
import type { KeyBytes } from '../../src/digest/key-arena.js'
import { groupKey, readRoot } from '../../src/digest/pages.js'
import { updateTrie } from '../../src/digest/trie.js'

type Pages = Map<string, Uint8Array>
const ROOT_KEY = groupKey('orders', '')
/** Key hash in hex → value hash in hex. */
type Entries = Map<string, string>

/** Rule 3 of the state hash, word by word. */
function oracle(entries: readonly (readonly [string, string])[], depth = 0): Buffer {
  const hash = (tag: number, ...parts: Buffer[]): Buffer =>
    createHash('sha256').update(Buffer.concat([Buffer.of(tag), ...parts])).digest()
  if (entries.length <= 16) {
    return hash(3, ...[...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kh, vh]) => Buffer.from(kh + vh, 'hex')))
  }
  const side = (bit: string): Buffer => oracle(
    entries.filter(([kh]) => BigInt(`0x${kh}`).toString(2).padStart(256, '0')[depth] === bit), depth + 1)
  return hash(1, side('0'), side('1'))
}

/** A key for a kh that is none's: of any length, now and then beyond ASCII. */
const keyFor = (kh: string): string => `${kh.slice(60)}${'ü'.repeat(Number.parseInt(kh.slice(62), 16) % 5)}${kh}`

/** kh ‖ vh of each in hex, in order. */
function runOf(hex: string): Run {
  const entries = hex.match(/.{128}/g) ?? []
  const keys = entries.map((entry) => {
    const key = Buffer.from(keyFor(entry.slice(0, 64)))
    return Buffer.concat([Buffer.of(key.length >> 8, key.length & 255), key])
  })
  return readEntries(Buffer.concat([Buffer.from(hex, 'hex'), ...keys]), entries.length)!
}

/** In runs that share `depth` bits. */
function build(entries: Entries, depth = 0): { pages: Pages; count: number; trieHash: Uint8Array } {
  const pages: Pages = new Map()
  const builder = new TrieBuilder('orders', (key, page) => {
    expect(pages.has(key)).toBe(false)
    pages.set(key, page)
  })
  const runs = new Map<string, string>()
  for (const [kh, vh] of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const path = kh.slice(0, depth / 4)
    runs.set(path, (runs.get(path) ?? '') + kh + vh)
  }
  for (const run of runs.values()) builder.add(runOf(run), depth)
  return { pages, ...builder.finish() }
}

async function update(pages: Pages, changes: readonly TrieChange[]): Promise<{ count: number; trieHash: Uint8Array; loads: number }> {
  let loads = 0
  const result = await updateTrie('orders', changes, async (keys) => {
    loads++
    expect(new Set(keys).size).toBe(keys.length)
    return new Map(keys.flatMap((key) => (pages.has(key) ? [[key, pages.get(key)!] as const] : [])))
  })
  for (const key of result.deletes) expect(pages.delete(key)).toBe(true)
  for (const { key, page } of result.puts) pages.set(key, page)
  return { count: result.count, trieHash: result.trieHash, loads }
}

const change = ([kh, vh]: readonly [string, string | null]): TrieChange =>
  ({ key: keyFor(kh), keyHash: Buffer.from(kh, 'hex'), valueHash: vh === null ? null : Buffer.from(vh, 'hex') })

/** Key hashes that crowd: few differing bits at the front, some far at the back, so that deep paths occur. */
const keyHash = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 400 }).map((n) => createHash('sha256').update(String(n)).digest('hex')) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 255 }).map((n) => n.toString(16).padStart(2, '0').padEnd(64, '0')) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 63 }).map((n) => n.toString(16).padStart(64, 'a')) },
)
const valueHash = fc.integer({ min: 0, max: 3 }).map((n) => String(n).repeat(64))
const round = fc.uniqueArray(fc.tuple(keyHash, fc.option(valueHash, { freq: 3 })), { maxLength: 120, selector: ([kh]) => kh })

describe('the trie', () => {
  it('has the hash of rule 3, whatever the entries', () => {
    fc.assert(fc.property(fc.uniqueArray(fc.tuple(keyHash, valueHash), { maxLength: 200, selector: ([kh]) => kh }), (list) => {
      const built = build(new Map(list))
      expect(built.count).toBe(list.length)
      expect(Buffer.from(built.trieHash).toString('hex')).toBe(oracle(list).toString('hex'))
      const root = built.pages.get(ROOT_KEY)
      if (list.length === 0) expect(built.pages.size).toBe(0)
      else expect(readRoot(root!)).toEqual({ count: built.count, trieHash: built.trieHash })
    }), { numRuns: 150 })
  })

  it('has the same pages whether it is built at once or in runs of any depth', () => {
    fc.assert(fc.property(round, fc.integer({ min: 0, max: 64 }), (list, nibbles) => {
      const entries = new Map(list.map(([kh, vh]) => [kh, vh ?? kh]))
      const [whole, inRuns] = [build(entries), build(entries, nibbles * 4)]
      expect(inRuns.trieHash).toEqual(whole.trieHash)
      expect(inRuns.count).toBe(whole.count)
      expect(new Map([...inRuns.pages].sort())).toEqual(new Map([...whole.pages].sort()))
    }))
  })

  it('has the same pages after any rounds of writes and deletes as if it were built at once', async () => {
    await fc.assert(fc.asyncProperty(fc.array(round, { maxLength: 6 }), async (rounds) => {
      const pages: Pages = new Map()
      const entries: Entries = new Map()
      for (const changes of rounds) {
        for (const [kh, vh] of changes) {
          if (vh === null) entries.delete(kh)
          else entries.set(kh, vh)
        }
        const updated = await update(pages, changes.map(change))
        const built = build(entries)
        expect(updated.count).toBe(built.count)
        expect(updated.trieHash).toEqual(built.trieHash)
        expect(new Map([...pages].sort())).toEqual(new Map([...built.pages].sort()))
      }
    }), { numRuns: 200 })
  })

  it('shrinks to nothing when every key is deleted', async () => {
    const kh = hashKeys(Array.from({ length: 3000 }, (_, i) => `k${i}`))
    const hex = Array.from({ length: 3000 }, (_, i) => Buffer.from(kh.subarray(i * 32, i * 32 + 32)).toString('hex'))
    const { pages } = build(new Map(hex.map((h) => [h, h])))
    for (let i = 0; i < hex.length; i += 700) await update(pages, hex.slice(i, i + 700).map((h) => change([h, null])))
    expect(pages.size).toBe(0)
  })

  it('loads and writes the paths of the changed keys only', async () => {
    const kh = hashKeys(Array.from({ length: 5000 }, (_, i) => `k${i}`))
    const hex = Array.from({ length: 5000 }, (_, i) => Buffer.from(kh.subarray(i * 32, i * 32 + 32)).toString('hex'))
    const { pages } = build(new Map(hex.map((h) => [h, h])))
    let loaded = 0
    let loads = 0
    const { puts } = await updateTrie('orders', [change([hex[0]!, hex[1]!])], async (keys) => {
      loads++
      loaded += keys.length
      return new Map(keys.map((key) => [key, pages.get(key)!]))
    })
    expect(loads).toBeLessThanOrEqual(4)
    expect(loaded).toBeLessThanOrEqual(4)
    expect(puts.length).toBe(loaded)
  })

  it('writes nothing where no value changed', async () => {
    const entries: Entries = new Map(
      Array.from({ length: 50 }, (_, i) => [createHash('sha256').update(`${i}`).digest('hex'), '11'.repeat(32)]))
    const { pages } = build(entries)
    const absent = createHash('sha256').update('absent').digest('hex')
    const result = await updateTrie('orders', [...[...entries].map(change), change([absent, null])],
      async (keys) => new Map(keys.flatMap((key) => (pages.has(key) ? [[key, pages.get(key)!] as const] : []))))
    expect(result.puts).toEqual([])
    expect(result.deletes).toEqual([])
  })

  it('refuses a key hash that comes twice, one out of order, and a run that is not one subtree', async () => {
    const runs = (depth: number, ...given: readonly number[][]) => () => {
      const builder = new TrieBuilder('orders', () => {})
      for (const bytes of given) builder.add(runOf(Buffer.concat(bytes.map((byte) => Buffer.alloc(64, byte))).toString('hex')), depth)
    }
    expect(runs(256, [2], [2])).toThrow(/same key hash/)
    expect(runs(0, [1, 2, 2])).toThrow(/same key hash/)
    expect(runs(256, [2], [1])).toThrow(/out of order/)
    expect(runs(0, [1, 3, 2])).toThrow(/out of order/)
    expect(runs(4, [0x11, 0x21])).toThrow(/one subtree/)
    expect(runs(4, [0x11], [0x12])).toThrow(/one subtree/)
    expect(runs(4, [0x11, 0x12], [0x21], [])).not.toThrow()
    const twice = change(['ab'.repeat(32), 'cd'.repeat(32)])
    await expect(updateTrie('orders', [twice, twice], async () => new Map())).rejects.toThrow(/changed twice/)
  })

  it('says STATE_CORRUPT where a page is missing or cut short', async () => {
    const kh = hashKeys(Array.from({ length: 300 }, (_, i) => `k${i}`))
    const hex = Array.from({ length: 300 }, (_, i) => Buffer.from(kh.subarray(i * 32, i * 32 + 32)).toString('hex'))
    const { pages } = build(new Map(hex.map((h) => [h, h])))
    for (const key of pages.keys()) {
      const faulty = [new Map(pages), new Map(pages)]
      if (key !== ROOT_KEY) faulty[0]!.delete(key)
      faulty[1]!.set(key, pages.get(key)!.slice(0, -1))
      for (const damaged of faulty.filter((map) => map.get(key) !== pages.get(key))) {
        await expect(update(damaged, hex.map((h) => change([h, '00'.repeat(32)])))).rejects.toMatchObject({ code: 'STATE_CORRUPT' })
      }
    }
  })
})

describe('the arena', () => {
  it('gives the same trie in one pass or in many, within its memory, from keys as text or in UTF-8', () => {
    const count = 5000
    const keys = Array.from({ length: count }, (_, i) => `${i % 7 === 0 ? 'ü'.repeat(i % 50) : 'k'}${i}`)
    const kh = hashKeys(keys)
    const texts = keys.map((key) => Buffer.from(key))
    const keysFrom = (from: number, inUtf8: boolean): readonly string[] | KeyBytes => {
      if (!inUtf8) return keys.slice(from, from + 500)
      let end = 0
      const some = texts.slice(from, from + 500)
      return { bytes: Buffer.concat(some), ends: some.map(({ length }) => (end += length)) }
    }
    const results = [[count, false], [1000, false], [37, false], [count, true], [37, true]].map(([capacity, inUtf8]) => {
      const pages: Pages = new Map()
      const builder = new TrieBuilder('orders', (key, page) => { pages.set(key, page) })
      const arena = new EntryArena(Number(capacity) * 100, true)
      let passes = 0
      do {
        for (let i = 0; i < count; i += 500) {
          const hashes = kh.subarray(i * 32, (i + 500) * 32)
          arena.add(hashes, hashes, keysFrom(i, inUtf8 === true))
        }
        for (const _ of arena.drain(builder));
        passes++
      } while (!arena.isComplete)
      return { passes, pages, ...builder.finish() }
    })
    expect(results.map(({ passes }) => passes === 1)).toEqual([true, false, false, true, false])
    for (const result of results) {
      expect(result.count).toBe(count)
      expect(result.trieHash).toEqual(results[0]!.trieHash)
      expect(result.pages).toEqual(results[0]!.pages)
    }
  })

  it('refuses where even one prefix of 32 bits does not fit', () => {
    const arena = new EntryArena(4 * 64)
    const same = Buffer.alloc(32, 7)
    const drain = (of: EntryArena): number => [...of.drain(new TrieBuilder('orders', null))].length
    const scanAll = (): void => {
      do {
        for (let i = 0; i < 9; i++) arena.add(same, same)
        drain(arena)
      } while (!arena.isComplete)
    }
    expect(scanAll).toThrow(/32 bits/)
  })

  it('hands on some thousands of entries at each step', () => {
    const count = 20_000
    const keys = Array.from({ length: count }, (_, i) => `k${i}`)
    const kh = hashKeys(keys)
    const arena = new EntryArena(Infinity, true)
    arena.add(kh, kh, keys)
    let pages = 0
    const builder = new TrieBuilder('orders', () => { pages++ })
    let most = 0
    for (const _ of arena.drain(builder)) {
      most = Math.max(most, pages)
      pages = 0
    }
    builder.finish()
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThan(1000)
  })

  it('refuses a key that comes twice, and says which of the entries it were', () => {
    const kh = hashKeys(['a', 'b', 'c', 'b'])
    const arena = new EntryArena(Infinity, true)
    arena.add(kh, kh, ['a', 'b', 'c', 'b'])
    const builder = new TrieBuilder('orders', null)
    expect(() => { arena.drain(builder).next() }).toThrow(/came twice/)
    expect(() => { arena.drain(builder, (later, earlier, key) => new Error(`${later} and ${earlier}: ${key}`)).next() }).toThrow('3 and 1: b')
    expect(() => { arena.add(kh, kh) }).toThrow('without their keys')
  })
})
