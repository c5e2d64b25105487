import fc from 'fast-check'
import { EntryArena } from '../../src/digest/arena.js'
import { hashKeys, hashValues } from '../../src/digest/batch.js'
import { TrieBuilder } from '../../src/digest/builder.js'
import type { KeyDifference } from '../../src/digest/diff.js'
import { collectionRoot, hashKey, hashValue } from '../../src/digest/hash.js'
import { loadFrom } from '../../src/digest/rows.js'
import { updateTrie } from '../../src/digest/trie.js'
import { encode } from '../../src/value/canonical.js'

/** Key → value of collection orders. */
export type State = ReadonlyMap<string, string>
export type Pages = ReadonlyMap<string, Uint8Array>

export function stateOf(count: number, value = 'v'): State {
  return new Map(Array.from({ length: count }, (_, i) => [`k${i}`, value]))
}

export function built(state: State): { pages: Map<string, Uint8Array>; count: number; root: Uint8Array; trieHash: Uint8Array } {
  const pages = new Map<string, Uint8Array>()
  const builder = new TrieBuilder('orders', (key, page) => { pages.set(key, page) })
  const arena = new EntryArena(Infinity, true)
  const keys = [...state.keys()]
  arena.add(hashKeys(keys), hashValues([...state.values()].map((value) => encode(value))), keys)
  for (const _ of arena.drain(builder));
  const { count, trieHash } = builder.finish()
  return { pages, count, trieHash, root: collectionRoot(count, trieHash) }
}

/** The pages of `to`, made from those of `from` by updates. */
export async function keptUp(from: State, to: State): Promise<Map<string, Uint8Array>> {
  const { pages } = built(from)
  const changes = [...new Set([...from.keys(), ...to.keys()])].filter((key) => from.get(key) !== to.get(key))
  const half = Math.floor(changes.length / 2)
  for (const some of [changes.slice(0, half), changes.slice(half)]) {
    const { puts, deletes } = await updateTrie('orders', some.map((key) => {
      const value = to.get(key)
      return { key, keyHash: hashKey(key), valueHash: value === undefined ? null : hashValue(encode(value)) }
    }), loadFrom(pages))
    for (const key of deletes) pages.delete(key)
    for (const { key, page } of puts) pages.set(key, page)
  }
  return pages
}

/** Word by word. */
export function differencesOf(rebuilt: State, against: State): KeyDifference[] {
  const hashOf = (value: string | undefined): Uint8Array | null => (value === undefined ? null : hashValue(encode(value)))
  return [...new Set([...rebuilt.keys(), ...against.keys()])]
    .filter((key) => rebuilt.get(key) !== against.get(key))
    .map((key) => ({ key, rebuilt: hashOf(rebuilt.get(key)), against: hashOf(against.get(key)) }))
}

/** Two states: from equal to disjoint, of up to 3,000 keys, many of which are few. */
export const statePair: fc.Arbitrary<readonly [State, State]> = fc.record({
  count: fc.oneof(fc.nat(20), fc.nat(300), fc.nat(3_000)),
  added: fc.oneof(fc.constant(0), fc.nat(3), fc.nat(600)),
  seed: fc.nat(1_000_000),
  /** Of a thousand. */
  removed: fc.constantFrom(0, 1, 30, 500, 1_000),
  changed: fc.constantFrom(0, 1, 30, 500, 1_000),
}).map(({ count, added, seed, removed, changed }) => {
  const chance = (i: number, of: number): number => (((i + seed) * 2_654_435_761 + of * 40_503) >>> 7) % 1_000
  const key = (i: number): string => `${i % 5 === 0 ? 'ü'.repeat(i % 9) : 'k'}${seed}-${i}`
  const a = new Map(Array.from({ length: count }, (_, i) => [key(i), 'v']))
  const b = new Map([...a].filter((_, i) => chance(i, 1) >= removed).map(([k, v], i) => [k, chance(i, 2) < changed ? 'w' : v]))
  for (let i = 0; i < added; i++) b.set(key(count + i), 'v')
  return [a, b]
})

export async function collected<R>(differences: AsyncGenerator<readonly KeyDifference[], R>): Promise<{ found: KeyDifference[]; result: R }> {
  const found: KeyDifference[] = []
  for (;;) {
    const { done, value } = await differences.next()
    if (done === true) return { found, result: value }
    found.push(...value)
  }
}

export function swapped({ key, rebuilt, against }: KeyDifference): KeyDifference {
  return { key, rebuilt: against, against: rebuilt }
}

/** As text, ascending by key: to be compared quickly. */
export function told(differences: readonly KeyDifference[]): string {
  const hex = (hash: Uint8Array | null): string => (hash === null ? '-' : Buffer.from(hash).toString('hex'))
  return differences.map(({ key, rebuilt, against }) => `${key} ${hex(rebuilt)} ${hex(against)}`).sort().join('\n')
}
