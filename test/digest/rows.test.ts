import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { diffTries } from '../../src/digest/diff.js'
import { formatHash } from '../../src/digest/hash.js'
import { type DiffRowsOptions, type Rows, type ScanRows, diffRows, loadFrom, pagesOfRows } from '../../src/digest/rows.js'
import { CanonicalWriter } from '../../src/value/canonical.js'
import { failureOf, seeded } from '../support/worlds.js'
import { type Pages, type State, built, collected, differencesOf, keptUp, stateOf, statePair, told } from './support.js'

/** The state as rows, shuffled, in blocks of a few; the memory of a block is used again for the next. */
function rowsOf(state: State, seed = 1): { scan: ScanRows; scans: () => number } {
  const random = seeded(seed)
  const rows = [...state].map((row) => ({ row, at: random() })).sort((a, b) => a.at - b.at).map(({ row }) => row)
  let scans = 0
  const scan = async function* (): AsyncGenerator<Rows> {
    scans++
    const writer = new CanonicalWriter()
    for (let from = 0; from < rows.length;) {
      const block = rows.slice(from, from + 1 + Math.floor(random() * 300))
      writer.reset()
      const ends = block.map(([, value]) => (writer.write(value), writer.length))
      yield { keys: block.map(([key]) => key), bytes: writer.bytes, ends }
      from += block.length
    }
  }
  return { scan, scans: () => scans }
}

const LARGE: DiffRowsOptions = { memoryBytes: 1e9 }
const diff = (pages: Pages, scan: ScanRows, options = LARGE) => collected(diffRows('orders', loadFrom(pages), scan, options))

describe('diffRows', () => {
  it('finds exactly the keys in which rows differ from our pages, and their root, however little memory there is', async () => {
    const memory = fc.constantFrom(1e9, 100_000, 20_000, 3_000)
    await fc.assert(fc.asyncProperty(statePair, memory, fc.nat(), async ([a, b], memoryBytes, seed) => {
      const { scan, scans } = rowsOf(b, seed)
      const { found, result } = await diff(await keptUp(b, a), scan, { memoryBytes })
      expect(told(found)).toBe(told(differencesOf(a, b)))
      expect(result).toEqual({ count: b.size, root: built(b).root })
      if (memoryBytes === 1e9) expect(scans()).toBe(1)
      else if (b.size * 70 > 3 * memoryBytes) expect(scans()).toBeGreaterThan(2)
    }), { numRuns: 60 })
  })

  it('reads few of our pages where little differs', async () => {
    const state = stateOf(60_000)
    const { pages } = built(state)
    const counted = async (rows: State): Promise<{ found: number; loaded: number }> => {
      let loaded = 0
      const load = loadFrom(pages)
      const { found } = await collected(diffRows('orders', (keys) => ((loaded += keys.length), load(keys)), rowsOf(rows).scan, LARGE))
      return { found: found.length, loaded }
    }
    expect(await counted(state)).toEqual({ found: 0, loaded: 1 })
    const { found, loaded } = await counted(new Map([...state, ['k1', 'other'], ['k2', 'other']]))
    expect(found).toBe(2)
    expect(loaded).toBeLessThanOrEqual(12)
  })

  it('finds all of ours where there are no rows, and all rows where we have nothing', async () => {
    const state = stateOf(6_000)
    const { pages } = built(state)
    expect((await diff(pages, rowsOf(new Map()).scan)).found).toHaveLength(6_000)
    expect((await diff(new Map(), rowsOf(state).scan, { memoryBytes: 50_000 })).found).toHaveLength(6_000)
  })

  it('refuses a key that comes twice, by name, in whatever pass', async () => {
    for (const memoryBytes of [1e9, 10_000]) {
      const { scan } = rowsOf(stateOf(1_000))
      const twice = async function* (): AsyncGenerator<Rows> {
        yield* scan()
        yield* rowsOf(new Map([['k700', 'again']])).scan()
      }
      expect(await failureOf(diff(new Map(), twice, { memoryBytes })))
        .toMatchObject({ code: 'VALUE_INVALID', details: { collection: 'orders', key: 'k700' } })
      expect(await failureOf(pagesOfRows('orders', twice))).toMatchObject({ code: 'VALUE_INVALID', details: { key: 'k700' } })
    }
  })

  it('refuses a page of ours that is not what it should be', async () => {
    const { pages, root } = built(stateOf(200))
    const rows = rowsOf(stateOf(200, 'other')).scan
    for (const [key, page] of pages) {
      const changed = page.slice()
      changed[page.length - 1]! ^= 1
      expect(await failureOf(diff(new Map([...pages, [key, changed]]), rows)), key).toMatchObject({ code: 'STATE_CORRUPT' })
    }
    const promised = { ...LARGE, root: formatHash(built(stateOf(201)).root) }
    expect(await failureOf(diff(pages, rows, promised))).toMatchObject({ code: 'STATE_CORRUPT' })
    expect((await diff(pages, rows, { ...LARGE, root: formatHash(root) })).found).toHaveLength(200)
  })
})

describe('pagesOfRows', () => {
  it('makes the pages that a store would keep, so that two sides of rows can be compared', async () => {
    const [a, b] = [stateOf(3_000), new Map([...stateOf(2_999), ['k5', 'other']])]
    const [ours, theirs] = [await pagesOfRows('orders', rowsOf(a).scan), await pagesOfRows('orders', rowsOf(b).scan)]
    expect({ count: ours.count, root: ours.root }).toEqual({ count: 3_000, root: built(a).root })
    const keys = [...built(a).pages.keys(), 'orders/none']
    expect(await ours.load(keys)).toEqual(built(a).pages)
    expect(told((await collected(diffTries('orders', { load: ours.load }, { load: theirs.load }))).found)).toBe(told(differencesOf(a, b)))
  })
})
