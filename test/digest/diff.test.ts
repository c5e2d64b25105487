import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type DiffOptions, type KeyDifference, type Trie, diffTries } from '../../src/digest/diff.js'
import { formatHash } from '../../src/digest/hash.js'
import { loadFrom } from '../../src/digest/rows.js'
import { failureOf } from '../support/worlds.js'
import { type Pages, built, collected, differencesOf, keptUp, stateOf, statePair, swapped, told } from './support.js'

const trie = (pages: Pages): Trie => ({ load: loadFrom(pages) })
const found = async (a: Trie, b: Trie, options?: DiffOptions): Promise<KeyDifference[]> =>
  (await collected(diffTries('orders', a, b, options))).found

/** The pages that the walk asks for, by request. */
function watched(pages: Pages): { trie: Trie; requests: string[][] } {
  const requests: string[][] = []
  const load = loadFrom(pages)
  return { requests, trie: { load: (keys) => (requests.push([...keys]), load(keys)) } }
}

describe('diffTries', () => {
  it('finds exactly the keys in which two states differ, with pages as built and as kept up', async () => {
    await fc.assert(fc.asyncProperty(statePair, fc.constantFrom(1, 3, 512), async ([a, b], pagesPerLoad) => {
      const [pagesOfA, pagesOfB] = [built(a).pages, await keptUp(a, b)]
      const expected = differencesOf(a, b)
      expect(told(await found(trie(pagesOfA), trie(pagesOfB), { pagesPerLoad }))).toBe(told(expected))
      expect(told(await found(trie(pagesOfB), trie(pagesOfA)))).toBe(told(expected.map(swapped)))
    }), { numRuns: 60 })
  })

  it('asks for each page once, for one batch per level and side, and for none below an equal T', async () => {
    const a = stateOf(20_000)
    const b = new Map([...a, ['k77', 'other'], ['k4000', 'other']])
    const [ours, theirs] = [watched(built(a).pages), watched(built(b).pages)]
    expect(await found(ours.trie, theirs.trie)).toHaveLength(2)
    expect(ours.requests).toEqual(theirs.requests)
    expect(ours.requests.length).toBeLessThanOrEqual(5)
    expect(ours.requests.flat().length).toBeLessThanOrEqual(2 * 5)
    expect(new Set(ours.requests.flat()).size).toBe(ours.requests.flat().length)
  })

  it('asks for nothing but the root where both are equal', async () => {
    const { trie: one, requests } = watched(built(stateOf(500)).pages)
    expect(await found(one, trie(built(stateOf(500)).pages))).toEqual([])
    expect(requests).toEqual([['orders/']])
  })

  it('keeps its requests small where everything differs, and stops with its caller', async () => {
    const [a, b] = [watched(built(stateOf(5_000)).pages), watched(built(stateOf(5_000, 'other')).pages)]
    expect(await found(a.trie, b.trie, { pagesPerLoad: 64 })).toHaveLength(5_000)
    expect(Math.max(...a.requests.map((keys) => keys.length))).toBeLessThan(64 + 16)
    const before = a.requests.length
    for await (const keys of diffTries('orders', a.trie, b.trie, { pagesPerLoad: 64 })) {
      expect(keys.length).toBeGreaterThan(0)
      break
    }
    expect(a.requests.length - before).toBeLessThan(8)
  })

  it('refuses every page that has one byte changed, cut off or added, on either side', async () => {
    const a = stateOf(300)
    const b = new Map([...a].map(([key, value]) => [key, `${value}!`]))
    const [sound, other] = [built(a).pages, built(b).pages]
    for (const [key, page] of sound) {
      const flips = key === 'orders/' || page.length < 100 ? page.length : 16
      const faulty = [page.slice(0, -1), Buffer.concat([page, Buffer.of(0)]), new Uint8Array(0)]
      for (let n = 0; n < flips; n++) {
        const copy = page.slice()
        copy[Math.floor((n * page.length) / flips)]! ^= 1 << (n % 8)
        faulty.push(copy)
      }
      for (const changed of faulty) {
        const damaged = trie(new Map([...sound, [key, changed]]))
        expect((await failureOf(found(damaged, trie(other)))).code, key).toBe('STATE_CORRUPT')
        expect((await failureOf(found(trie(other), damaged))).code, key).toBe('AGAINST_INVALID')
      }
      const missing = new Map(sound)
      missing.delete(key)
      if (key !== 'orders/') expect(await failureOf(found(trie(missing), trie(other)))).toMatchObject({ code: 'STATE_CORRUPT', details: { key } })
    }
  })

  it('refuses pages that are whole and give another root than was promised', async () => {
    const [a, b] = [built(stateOf(40)), built(stateOf(50))]
    const promised = { ...trie(a.pages), root: formatHash(b.root) }
    expect(await failureOf(found(promised, trie(b.pages)))).toMatchObject({ code: 'STATE_CORRUPT' })
    expect(await failureOf(found(trie(b.pages), promised))).toMatchObject({ code: 'AGAINST_INVALID' })
    expect(await failureOf(found(trie(b.pages), { load: loadFrom(new Map()), root: formatHash(b.root) }))).toMatchObject({ code: 'AGAINST_INVALID' })
    expect(await found(trie(a.pages), { ...trie(b.pages), root: formatHash(b.root) })).toHaveLength(10)
  })

  it('says of pages of version 1 what to do', async () => {
    const pages = new Map(built(stateOf(40)).pages)
    pages.set('orders/', Uint8Array.from(pages.get('orders/')!, (byte, i) => (i === 0 ? 1 : byte)))
    const error = await failureOf(found(trie(pages), trie(new Map())))
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', fix: expect.stringContaining('replay --restart') })
    expect(error.message).toContain('earlier version')
  })
})
