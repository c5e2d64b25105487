import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryLog, type MemoryEntry, type MemoryEvent } from '../../adapters/memory/index.js'
import { INPUT_BLOCK } from '../../src/log/inputs.js'
import { MAX_MILESTONES, milestonesAt, milestonesFrom, milestonesOf, nextMilestone } from '../../src/log/milestones.js'
import type { EventSource, Mark } from '../../src/log/source.js'
import { compareInputs, firstDifference, inputsOf } from '../../src/verify/inputs.js'
import { failureOf } from '../support/worlds.js'

const events = (count: number): MemoryEvent[] => Array.from({ length: count }, (_, i) => ({ type: 'T', key: 'k', data: i }))
const logOf = (entries: readonly MemoryEntry[], continuity: 'dense' | 'sparse' = 'dense'): EventSource =>
  memoryLog({ partitions: { p: entries }, continuity })

async function lastMark(source: EventSource): Promise<Mark> {
  const upTo = (await source.bounds()).get('p')!.last
  let mark: Mark | null = null
  const range = { after: -1, upTo, mark: null }
  for await (const batch of source.read('p', range, { events: 1e6, bytes: 1e9 }, new AbortController().signal)) {
    mark = batch.markAt(batch.length - 1)
  }
  return mark!
}

async function inputsUpTo(entries: readonly MemoryEvent[]) {
  const position = new Map([['p', entries.length - 1]])
  return inputsOf(new Map([['p', await lastMark(logOf(entries))]]), position)['p']!
}

describe('what two readers read', () => {
  test('is the same for one log, and unknown where either keeps no chain', async () => {
    const inputs = await inputsUpTo(events(3_000))
    expect(inputs).toMatchObject({ every: INPUT_BLOCK, earlier: [expect.any(String), expect.any(String)] })
    expect(compareInputs(inputs, inputs, 2_999)).toEqual({ is: 'same' })
    const none = inputsOf(new Map(), new Map([['p', 2_999]]))['p']!
    expect(none).toEqual({ chain: null, every: INPUT_BLOCK, earlier: [] })
    expect(compareInputs(inputs, none, 2_999)).toEqual({ is: 'unknown' })
    expect(compareInputs(none, inputs, 2_999)).toEqual({ is: 'unknown' })
  })

  test('parts within the block that differs first, and the records name the offset', async () => {
    const right = events(5_000)
    for (const [at, from, to] of [[0, 0, 1_023], [1_023, 0, 1_023], [1_024, 1_024, 2_047], [4_500, 4_096, 4_999]] as const) {
      const wrong = right.with(at, { type: 'T', key: 'k', data: 'other' }).with(4_999, { type: 'T', key: 'other', data: 0 })
      expect(compareInputs(await inputsUpTo(right), await inputsUpTo(wrong), 4_999)).toEqual({ is: 'different', from, to })
      expect(await firstDifference(logOf(right), logOf(wrong), 'p', { from, to })).toBe(at)
    }
  })

  test('parts somewhere before the last milestone that is known: without milestones, anywhere', async () => {
    const [a, b] = [await inputsUpTo(events(3_000)), await inputsUpTo(events(3_000).with(2_900, { type: 'U' }))]
    const bare = { ...a, earlier: [] }
    expect(compareInputs(bare, b, 2_999)).toEqual({ is: 'different', from: 0, to: 2_999 })
    expect(compareInputs(a, { ...b, earlier: b.earlier.slice(0, 1) }, 2_999)).toEqual({ is: 'different', from: 1_024, to: 2_999 })
    const coarse = { ...b, every: 2_048, earlier: [b.earlier[1]!] }
    expect(compareInputs(a, coarse, 2_999)).toEqual({ is: 'different', from: 2_048, to: 2_999 })
    expect(compareInputs(coarse, a, 2_999)).toEqual({ is: 'different', from: 2_048, to: 2_999 })
  })

  test('is never told from an answer that makes no sense', async () => {
    const [a, b] = [await inputsUpTo(events(3_000)), await inputsUpTo(events(3_000).with(9, { type: 'U' }))]
    for (const every of [0, -1, Number.NaN, 1.5]) {
      expect(compareInputs(a, { ...b, every }, 2_999)).toMatchObject({ is: 'different', to: expect.any(Number) })
    }
  })
})

describe('milestones', () => {
  const chainBefore = (offset: number): string => `before ${offset}`

  test('that are kept block by block are those of the offset alone, from wherever the log begins', () => {
    fc.assert(fc.property(fc.nat(300_000), fc.nat(300 * INPUT_BLOCK), (first, length) => {
      const nothing = milestonesFrom(first).chains[0] ?? ''
      let earlier = milestonesFrom(first)
      let block = Math.floor(first / INPUT_BLOCK)
      for (; (block + 1) * INPUT_BLOCK <= first + length; block++) {
        earlier = nextMilestone(earlier, (block + 1) * INPUT_BLOCK, () => chainBefore((block + 1) * INPUT_BLOCK))
      }
      expect(earlier).toEqual(milestonesAt(first + length, (offset) => (offset <= first ? nothing : chainBefore(offset))))
      expect(earlier.chains.length).toBeLessThanOrEqual(MAX_MILESTONES)
      expect(earlier.every === INPUT_BLOCK || earlier.chains.length >= MAX_MILESTONES / 2).toBe(true)
      expect(milestonesOf(earlier, first + length)).toEqual(earlier)
    }))
  })

  test('that can not be of an offset are not believed', () => {
    const right = milestonesAt(5_000, chainBefore)
    expect(milestonesOf(right, 5_000)).toEqual(right)
    expect(milestonesOf(undefined, 5_000)).toBeNull()
    expect(milestonesOf(right, 6_000)).toBeNull()
    expect(milestonesOf({ ...right, every: 2_048 }, 5_000)).toBeNull()
    expect(milestonesOf({ ...right, chains: [1, 2, 3, 4] as never }, 5_000)).toBeNull()
    expect(milestonesOf({ every: 1_024, chains: null as never }, 5_000)).toBeNull()
  })
})

describe('the first difference of two logs', () => {
  const base = events(40)
  const full: MemoryEvent = {
    type: 'T', key: 'k', data: { n: 2n ** 60n }, recordedAt: 5, id: 'i', headers: { h: '1' }, schemaVersion: 2,
  }
  const find = (a: EventSource, b: EventSource, range = { from: 0, to: 39 }): Promise<number | null> =>
    firstDifference(a, b, 'p', range)

  test('is found in every field, and equal logs have none', async () => {
    const ours = logOf(base.with(17, full))
    expect(await find(ours, logOf(base.with(17, full)))).toBeNull()
    const changes: Partial<MemoryEvent>[] = [
      { type: 'U' }, { key: null }, { data: { n: 2 ** 60 } }, { recordedAt: 6 }, { id: 'j' }, { headers: { h: '2' } }, { schemaVersion: 3 },
    ]
    for (const change of changes) expect(await find(ours, logOf(base.with(17, { ...full, ...change })))).toBe(17)
  })

  test('is the end of the shorter, the beginning of the later, and nothing where neither has the partition', async () => {
    expect(await find(logOf(base), logOf(base.slice(0, 30)))).toBe(30)
    expect(await find(logOf(base.slice(0, 30)), logOf(base))).toBe(30)
    const late = memoryLog({ partitions: { p: base } })
    late.expire('p', 5)
    expect(await find(logOf(base), late)).toBe(0)
    expect(await find(late, logOf(base), { from: 5, to: 39 })).toBeNull()
    expect(await find(logOf(base), memoryLog({ partitions: {} }))).toBe(0)
    expect(await find(memoryLog({ partitions: {} }), memoryLog({ partitions: {} }))).toBeNull()
  })

  test('is looked for in the range only', async () => {
    const other = logOf(base.with(3, full).with(20, full))
    expect(await find(logOf(base), other, { from: 4, to: 19 })).toBeNull()
    expect(await find(logOf(base), other, { from: 4, to: 20 })).toBe(20)
  })

  test('is an offset that holds an event in one of them only', async () => {
    const withHole = logOf([...base.slice(0, 8), { hole: 'filtered' }, ...base.slice(9)], 'sparse')
    expect(await find(logOf(base, 'sparse'), withHole)).toBe(8)
  })

  test('is that of brute force, for any two logs', async () => {
    const entry = fc.constantFrom<MemoryEvent>({ type: 'A' }, { type: 'B' })
    await fc.assert(fc.asyncProperty(fc.array(entry, { maxLength: 9 }), fc.array(entry, { maxLength: 9 }), async (a, b) => {
      const brute = Array.from({ length: 9 }, (_, i) => i).find((i) => a[i]?.type !== b[i]?.type) ?? null
      expect(await find(logOf(a), logOf(b), { from: 0, to: 8 })).toBe(brute)
    }))
  })

  test('names the record that can not be compared', async () => {
    let deep: unknown = 1
    for (let i = 0; i < 70; i++) deep = [deep]
    const source = logOf(base.with(6, { type: 'T', data: deep as never }))
    expect(await failureOf(find(source, source))).toMatchObject({ code: 'EVENT_INVALID', details: { partition: 'p', offset: 6 } })
  })
})
