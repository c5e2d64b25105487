import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hashKey, hashValue } from '../../src/digest/hash.js'
import { type KeyPath, provePath, rootOfPath } from '../../src/digest/proof.js'
import { loadFrom } from '../../src/digest/rows.js'
import { encode } from '../../src/value/canonical.js'
import { failureOf } from '../support/worlds.js'
import { type State, built, statePair, stateOf } from './support.js'

const hex = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString('hex'))
const vhOf = (state: State, key: string): Uint8Array | null => (state.has(key) ? hashValue(encode(state.get(key)!)) : null)

/** What is another thing in a path. */
type Mutation = (path: KeyPath) => Partial<KeyPath>

const flip = (bytes: Uint8Array, at: number, bit = 1): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ bit : byte))
const concat = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))
const entry = (path: KeyPath, i: number): Uint8Array => path.entries.subarray(i * 64, (i + 1) * 64)
const swap = (path: KeyPath, i: number, j: number): Uint8Array =>
  concat(...Array.from({ length: path.entries.length / 64 }, (_, n) => entry(path, n === i ? j : n === j ? i : n)))

const MUTATIONS: Record<string, Mutation> = {
  'another count': (path) => ({ count: path.count + 1 }),
  'a count of one less': (path) => ({ count: path.count - 1 }),
  'a count of 0': () => ({ count: 0 }),
  'a count of 16': () => ({ count: 16 }),
  'a count below 0': (path) => ({ count: -path.count }),
  'a count beyond 2^53': () => ({ count: 2 ** 60 }),
  'a count that is no integer': (path) => ({ count: path.count + 0.5 }),
  'a count that is no number': () => ({ count: Number.NaN }),
  'a kh that differs in its last bit': (path) => ({ entries: flip(path.entries, 31) }),
  'a kh that differs in its first bit': (path) => ({ entries: flip(path.entries, 0, 128) }),
  'a neighbour with another kh': (path) => ({ entries: flip(path.entries, path.entries.length - 64 + 31) }),
  'a vh that differs in one bit': (path) => ({ entries: flip(path.entries, 63) }),
  'a neighbour with another vh': (path) => ({ entries: flip(path.entries, path.entries.length - 1) }),
  'no entries': () => ({ entries: new Uint8Array(0) }),
  'one entry less at the end': (path) => ({ entries: path.entries.slice(0, -64) }),
  'one entry less at the beginning': (path) => ({ entries: path.entries.slice(64) }),
  'an entry twice': (path) => ({ entries: concat(entry(path, 0), path.entries) }),
  'an entry of zeros in front': (path) => ({ entries: concat(new Uint8Array(64), path.entries) }),
  'an entry of ones at the end': (path) => ({ entries: concat(path.entries, new Uint8Array(64).fill(255)) }),
  'seventeen entries': (path) => ({ entries: concat(...Array.from({ length: 17 }, (_, i) => flip(entry(path, 0), 31, i))) }),
  'entries out of order': (path) => ({ entries: swap(path, 0, path.entries.length / 64 - 1) }),
  'kh and vh exchanged': (path) => ({ entries: concat(path.entries.slice(32, 64), path.entries.slice(0, 32), path.entries.slice(64)) }),
  'a byte too many behind the entries': (path) => ({ entries: concat(path.entries, Uint8Array.of(0)) }),
  'a byte too few behind the entries': (path) => ({ entries: path.entries.slice(0, -1) }),
  'half an entry': (path) => ({ entries: path.entries.slice(0, 32) }),
  'no siblings': () => ({ siblings: [] }),
  'the lowest sibling left out': (path) => ({ siblings: path.siblings.slice(1) }),
  'the highest sibling left out': (path) => ({ siblings: path.siblings.slice(0, -1) }),
  'a sibling twice': (path) => ({ siblings: [path.siblings[0]!, ...path.siblings] }),
  'a sibling on top': (path) => ({ siblings: [...path.siblings, path.siblings[0]!] }),
  'siblings from the root down': (path) => ({ siblings: [...path.siblings].reverse() }),
  'a sibling that differs in one bit': (path) => ({ siblings: path.siblings.map((hash, i) => (i === 1 ? flip(hash, 9) : hash)) }),
  'an empty lowest sibling': (path) => ({ siblings: [hashOfNothing(), ...path.siblings.slice(1)] }),
  'an empty sibling below the lowest': (path) => ({ siblings: [hashOfNothing(), ...path.siblings] }),
  'a sibling of 31 bytes': (path) => ({ siblings: path.siblings.map((hash, i) => (i === 0 ? hash.slice(1) : hash)) }),
  'a sibling of 33 bytes': (path) => ({ siblings: path.siblings.map((hash, i) => (i === 0 ? concat(hash, hash.slice(31)) : hash)) }),
  'an empty text for a sibling': (path) => ({ siblings: path.siblings.map((hash, i) => (i === 2 ? new Uint8Array(0) : hash)) }),
  '257 siblings': (path) => ({ siblings: Array.from({ length: 257 }, () => path.siblings[0]!) }),
  'the path of another collection of as many keys': () => otherPath,
  'siblings of another path': () => ({ siblings: otherPath.siblings }),
  'entries of another path': () => ({ entries: otherPath.entries }),
}
/** Those that are no path of any collection, so that no root comes of them. */
const MALFORMED = new Set([
  'a count of 0', 'a count of 16', 'a count below 0', 'a count beyond 2^53', 'a count that is no integer', 'a count that is no number',
  'an entry twice', 'an entry of zeros in front', 'an entry of ones at the end', 'seventeen entries', 'entries out of order',
  'a byte too many behind the entries', 'a byte too few behind the entries', 'half an entry', 'no siblings', 'an empty lowest sibling',
  'an empty sibling below the lowest', 'a sibling of 31 bytes', 'a sibling of 33 bytes', 'an empty text for a sibling', '257 siblings',
])
const hashOfNothing = (): Uint8Array => built(new Map()).trieHash
const otherPath = await provePath('orders', 'k1', loadFrom(built(stateOf(1_000, 'other')).pages))

describe('the path to a key', () => {
  it('gives the collection root, for every key that is there and for keys that are not', async () => {
    await fc.assert(fc.asyncProperty(statePair, async ([state]) => {
      const { pages, root } = built(state)
      const load = loadFrom(pages)
      const keys = [...[...state.keys()].slice(0, 40), ...Array.from({ length: 20 }, (_, i) => `absent-${i}`)]
      for (const key of keys) {
        const path = await provePath('orders', key, load)
        const [kh, vh] = [hashKey(key), vhOf(state, key)]
        expect(hex(rootOfPath(path, kh, vh))).toBe(hex(root))
        expect(rootOfPath(path, kh, vh === null ? kh : null)).toBe(null)
        expect(rootOfPath(path, kh, flip(vh ?? kh, 3))).toBe(null)
      }
    }), { numRuns: 60 })
  })

  it.each(Object.entries(MUTATIONS))('shows nothing with %s', async (name, mutate) => {
    const state = stateOf(1_000)
    const { pages, root } = built(state)
    for (const key of ['k1', 'k77', 'k500', 'absent', 'absent-2']) {
      const path = await provePath('orders', key, loadFrom(pages))
      const [kh, vh] = [hashKey(key), vhOf(state, key)]
      const mutated = { ...path, ...mutate(path) }
      for (const asked of [vh, null, hashValue(encode('v'))]) {
        const result = rootOfPath(mutated, kh, asked)
        if (MALFORMED.has(name)) expect(result).toBe(null)
        else expect(hex(result)).not.toBe(hex(root))
      }
      expect(rootOfPath(path, kh.slice(1), vh)).toBe(null)
    }
  })

  it('of a small collection is its bucket, and of an empty one nothing', async () => {
    const small = built(stateOf(16))
    const path = await provePath('orders', 'k3', loadFrom(small.pages))
    expect(path.siblings).toEqual([])
    expect(hex(rootOfPath(path, hashKey('k3'), hashValue(encode('v'))))).toBe(hex(small.root))
    for (const count of [0, 15, 17]) expect(rootOfPath({ ...path, count }, hashKey('k3'), hashValue(encode('v')))).toBe(null)
    const none = await provePath('orders', 'k3', loadFrom(new Map()))
    expect(none).toEqual({ count: 0, entries: new Uint8Array(0), siblings: [] })
    expect(hex(rootOfPath(none, hashKey('k3'), null))).toBe(hex(built(new Map()).root))
    expect(rootOfPath({ ...none, count: 1 }, hashKey('k3'), null)).toBe(null)
    expect(rootOfPath({ ...path, count: 0 }, hashKey('other'), null)).toBe(null)
  })

  it('does not show that a key is absent in a bucket where it would not be', async () => {
    const { pages, root } = built(stateOf(1_000))
    const path = await provePath('orders', 'k1', loadFrom(pages))
    for (let i = 2; i < 200; i++) {
      const other = hashKey(`k${i}`)
      const held = Array.from({ length: path.entries.length / 64 }, (_, n) => hex(entry(path, n).subarray(0, 32)))
      if (!held.includes(hex(other))) expect(hex(rootOfPath(path, other, null))).not.toBe(hex(root))
    }
  })

  it('is not made from pages that are damaged', async () => {
    const { pages } = built(stateOf(1_000))
    const damaged = new Map([...pages].map(([key, page]) => [key, flip(page, page.length - 1)]))
    expect(await failureOf(provePath('orders', 'k1', loadFrom(damaged)))).toMatchObject({ code: 'STATE_CORRUPT' })
  })
})
