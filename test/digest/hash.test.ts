import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HashBatch, hashEntries, hashKeys, hashValues } from '../../src/digest/batch.js'
import { digestOfLines } from '../../src/digest/dump.js'
import {
  EMPTY_TRIE_HASH, TAG, collectionRoot, formatHash, hashKey, hashValue, manifestHash, parseHash, sha256, stateRoot,
} from '../../src/digest/hash.js'
import { encode } from '../../src/value/canonical.js'

const vectors = JSON.parse(readFileSync(new URL('../../fixtures/digest/hashes.json', import.meta.url), 'utf8')) as {
  keys: { description: string; key: string; kh: string }[]
  values: { description: string; bytes: string; vh: string }[]
  rfc6962: [{ text: string; hash: string }, { left: string; right: string; hash: string }]
  emptyTrie: string
  collections: { description: string; n: number; root: string }[]
  states: { description: string; collections: Record<string, number>; root: string }[]
  refusedTexts: { description: string; text: string }[]
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const linesOf = (collection: string, n: number): string[] => Array.from({ length: n }, (_, i) =>
  JSON.stringify({ collection, key: `k${i}`, value: { i, s: 'v'.repeat(i % 5) } }))
const openssl = (tag: number, bytes: Uint8Array): string => createHash('sha256').update(Uint8Array.of(tag)).update(bytes).digest('hex')

describe('hashes', () => {
  it.each(vectors.keys)('kh of $description', ({ key, kh }) => {
    expect(hex(hashKey(key))).toBe(kh)
    expect(hex(hashKeys([key]))).toBe(kh)
  })

  it.each(vectors.values)('vh of $description', ({ bytes, vh }) => {
    expect(hex(hashValue(Buffer.from(bytes, 'hex')))).toBe(vh)
  })

  it('agree with RFC 6962 on leaves and nodes', () => {
    const [leaf, node] = vectors.rfc6962
    expect(leaf.hash.slice(0, 8)).toBe('395aa064')
    expect(node.hash.slice(0, 8)).toBe('aa217fe8')
    expect(hex(hashValue(Buffer.from(leaf.text)))).toBe(leaf.hash)
    expect(hex(sha256(Buffer.concat([Buffer.of(TAG.NODE), Buffer.from(node.left), Buffer.from(node.right)])))).toBe(node.hash)
  })

  it.each(vectors.collections)('collection root of $description', async ({ n, root }) => {
    if (n === 0) expect(hex(collectionRoot(0, EMPTY_TRIE_HASH))).toBe(root)
    else expect(hex((await digestOfLines(linesOf('m', n))).collections.get('m')!.root)).toBe(root)
    expect(hex(EMPTY_TRIE_HASH)).toBe(vectors.emptyTrie)
  })

  it.each(vectors.states)('state root of $description', async ({ collections, root }) => {
    const lines = Object.entries(collections).flatMap(([name, n]) => linesOf(name, n))
    expect(hex((await digestOfLines(lines)).root)).toBe(root)
    const empty = { count: 0, root: collectionRoot(0, EMPTY_TRIE_HASH) }
    expect(hex(stateRoot(new Map([['none', empty], ...(await digestOfLines(lines)).collections])))).toBe(root)
  })

  it('of manifests have a tag of their own', () => {
    expect(hex(manifestHash(Buffer.from('m')))).toBe(openssl(6, Buffer.from('m')))
  })

  it('are printed and read as sh1: and 64 digits', () => {
    const bytes = sha256(Buffer.from('x'))
    expect(parseHash(formatHash(bytes))).toEqual(bytes)
  })

  it.each(vectors.refusedTexts)('are not read from text with $description', ({ text }) => {
    expect(() => parseHash(text)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})

describe.each([['four lanes', 0], ['OpenSSL', Infinity]])('a batch on %s', (_, lanesFrom) => {
  it('hashes messages of every length, in any mixture, like OpenSSL', () => {
    const bytes = Uint8Array.from({ length: 800 }, (__, i) => (i * 31) & 255)
    const batch = new HashBatch(lanesFrom)
    const message = fc.tuple(fc.nat(6), fc.nat(100), fc.nat(700))
    fc.assert(fc.property(fc.array(message, { maxLength: 60 }), fc.constantFrom(1, 25), (messages, times) => {
      const all = Array.from({ length: times }, () => messages).flat()
      const out = new Uint8Array(all.length * 32)
      batch.start(out)
      for (const [tag, from, length] of all) batch.add(tag, bytes, from, from + length)
      batch.finish()
      expect(hex(out)).toBe(all.map(([tag, from, length]) => openssl(tag, bytes.subarray(from, from + length))).join(''))
    }), { numRuns: 50 })
    for (let length = 0; length < 700; length++) {
      const out = new Uint8Array(32)
      batch.start(out)
      batch.add(3, bytes, 0, length)
      batch.finish()
      expect(hex(out)).toBe(openssl(3, bytes.subarray(0, length)))
    }
  })

  it('hashes messages that stand one behind the other, wherever they begin', () => {
    const batch = new HashBatch(lanesFrom)
    const memory = Uint8Array.from({ length: 40_000 }, (__, i) => (i * 37 + (i >>> 8)) & 255)
    const lengths = fc.array(fc.oneof(fc.nat(70), fc.nat(300)), { maxLength: 80 })
    fc.assert(fc.property(lengths, fc.nat(9), fc.constantFrom(0, 2), (sizes, from, tag) => {
      let end = 0
      const ends = sizes.map((size) => (end += size))
      const bytes = memory.subarray(from, from + end)
      const out = new Uint8Array(sizes.length * 32)
      batch.start(out)
      batch.addRuns(tag, bytes, ends)
      batch.finish()
      expect(hex(out)).toBe(ends.map((to, i) => openssl(tag, bytes.subarray(ends[i - 1] ?? 0, to))).join(''))
    }), { numRuns: 60 })
  })

  it('hashes text as its UTF-8', () => {
    const batch = new HashBatch(lanesFrom)
    fc.assert(fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 80 }), { maxLength: 20 }), (texts) => {
      const out = new Uint8Array(texts.length * 32)
      batch.start(out)
      for (const text of texts) batch.addText(2, text)
      batch.finish()
      expect(hex(out)).toBe(texts.map((text) => openssl(2, Buffer.from(text))).join(''))
    }))
  })
})

describe('hashEntries', () => {
  it('gives bytes and hash of each entry, valid beyond its block', () => {
    const entries = Array.from({ length: 2500 }, (_, i) =>
      ({ collection: 'c', key: `k${i}`, value: i % 500 === 0 ? 'x'.repeat(600_000) : { i } }))
    const hashed = [...hashEntries(entries)]
    expect(hashed.length).toBe(2500)
    hashed.forEach((entry, i) => {
      expect(entry.key).toBe(`k${i}`)
      expect(Buffer.compare(entry.bytes, encode(entries[i]!.value))).toBe(0)
      expect(hex(entry.hash)).toBe(openssl(0, entry.bytes))
    })
    expect(hex(hashValues(hashed.map(({ bytes }) => bytes)))).toBe(hashed.map(({ hash }) => hex(hash)).join(''))
  })

  it('names the entry that has no canonical bytes', () => {
    const entries = [{ collection: 'c', key: 'good', value: 1 }, { collection: 'c', key: 'bad', value: { n: NaN } }]
    expect(() => [...hashEntries(entries)]).toThrow(expect.objectContaining({
      code: 'VALUE_INVALID', details: expect.objectContaining({ collection: 'c', key: 'bad', path: '$.n' }),
    }))
  })
})

describe('digestOfLines', () => {
  it('does not depend on the order of lines', async () => {
    const lines = [...linesOf('a', 100), ...linesOf('b', 50)]
    expect(await digestOfLines([...lines].reverse())).toEqual(new Object(await digestOfLines(lines)))
  })

  it('puts lines without a collection into "default"', async () => {
    expect([...(await digestOfLines(['{"key":"a","value":null}'])).collections.keys()]).toEqual(['default'])
  })

  it.each([
    ['bad JSON', '{"key":', 'VALUE_INVALID'],
    ['a blank line', '', 'VALUE_INVALID'],
    ['an array', '[]', 'VALUE_INVALID'],
    ['no key', '{"value":1}', 'VALUE_INVALID'],
    ['a key that is a number', '{"key":1,"value":1}', 'VALUE_INVALID'],
    ['no value', '{"key":"a"}', 'VALUE_INVALID'],
    ['an empty key', '{"key":"","value":1}', 'KEY_INVALID'],
    ['a key of 1,025 bytes', JSON.stringify({ key: 'k'.repeat(1025), value: 1 }), 'KEY_INVALID'],
    ['a key with a lone surrogate', '{"key":"\\ud800","value":1}', 'KEY_INVALID'],
    ['a lone surrogate in a value', '{"key":"a","value":"\\ud800"}', 'VALUE_INVALID'],
    ['an integer over 64 bits', '{"key":"a","value":18446744073709551616}', 'NUMBER_INEXACT'],
    ['a collection that is no name', '{"collection":7,"key":"a","value":1}', 'VALUE_INVALID'],
    ['a key seen before', '{"key":"first","value":2}', 'VALUE_INVALID'],
  ])('refuses %s and names the line', async (_, line, code) => {
    await expect(digestOfLines(['{"key":"first","value":1}', line])).rejects.toMatchObject({ code, details: { line: 2 } })
  })
})
