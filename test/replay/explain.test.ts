import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore, type MemoryEvent } from '../../adapters/memory/index.js'
import { defineReducer, openState, type Position, type Projection } from '../../src/index.js'
import { cutAt } from '../../src/replay/end.js'
import { explainKey, type ExplainOptions } from '../../src/replay/explain.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

const listed = (order: 'partition' | 'time'): Projection => defineReducer<readonly string[]>({
  name: 'listed', version: 1, collection: 'listed', order, on: { Added: (before = [], { data }) => [...before, data as string] },
})

const added = (data: string, recordedAt: number): MemoryEvent => ({ type: 'Added', key: 'k', data, recordedAt })
const at = (position: Readonly<Record<string, number>>): Position => new Map(Object.entries(position))

async function explained(options: Omit<ExplainOptions, 'collection' | 'key'>): Promise<unknown[]> {
  const values: unknown[] = []
  for await (const { value } of explainKey({ ...options, collection: 'listed', key: 'k' }, worldOf(1))) values.push(value)
  return values
}

describe('what a key held at an earlier event', () => {
  test('is not told of a log whose events are gone without a known reason: LOG_COMPACTED', async () => {
    const source = memoryLog({ continuity: 'sparse', partitions: { a: [added('x', 1), { hole: 'compactedOrLost' }, added('y', 2)] } })
    expect(await failureOf(explained({ source, projection: listed('partition'), upTo: at({ a: 2 }) }))).toMatchObject({ code: 'LOG_COMPACTED' })
    const filtered = memoryLog({ continuity: 'sparse', partitions: { a: [added('x', 1), { hole: 'filtered' }, added('y', 2)] } })
    expect(await explained({ source: filtered, projection: listed('partition'), upTo: at({ a: 2 }) })).toEqual([['x'], ['x', 'y']])
  })

  test('is not told of another log than the one the state was read from: LOG_REWRITTEN, LOG_TRUNCATED', async () => {
    const projection = listed('partition')
    const events = [added('x', 1), added('y', 2), added('z', 3)]
    const store = memoryStore()
    await runIn(worldOf(1), { source: memoryLog({ partitions: { a: events } }), projection, store })
    const readFrom = await openState(store, { projection })
    const of = (others: MemoryEvent[]) => explained({ source: memoryLog({ partitions: { a: others } }), projection, upTo: at({ a: 1 }), readFrom })
    expect(await of(events)).toEqual([['x'], ['x', 'y']])
    expect(await failureOf(of([added('X', 1), ...events.slice(1)]))).toMatchObject({ code: 'LOG_REWRITTEN' })
    expect(await failureOf(of([...events.slice(0, 2), added('Z', 3)]))).toMatchObject({ code: 'LOG_REWRITTEN' })
    expect(await failureOf(of(events.slice(0, 2)))).toMatchObject({ code: 'LOG_TRUNCATED' })
  })

  test('is not told where the beginning of the log is gone: LOG_TRUNCATED', async () => {
    const source = memoryLog({ partitions: { a: [added('x', 1), added('y', 2)] } })
    source.expire('a', 1)
    expect(await failureOf(explained({ source, projection: listed('partition'), upTo: at({ a: 1 }) }))).toMatchObject({ code: 'LOG_TRUNCATED' })
  })
})

describe('where a state could stand', () => {
  const source = memoryLog({ partitions: { a: [added('a0', 10), added('a1', 30)], b: [added('b0', 20)] } })

  test("under order 'time' only where the merge goes through; else USAGE names the nearest before it", async () => {
    const error = await failureOf(cutAt(source, listed('time'), at({ a: 1 })))
    expect(error).toMatchObject({ code: 'USAGE', details: { expected: 'a@0', actual: 'a@1' } })
    expect(error.message).toBe('--at a@1 is no prefix of the merge by time; the nearest before it is a@0.')
    const upTo = await cutAt(source, listed('time'), at({ a: 1, b: 0 }))
    expect(await explained({ source, projection: listed('time'), upTo })).toEqual([['a0'], ['a0', 'b0'], ['a0', 'b0', 'a1']])
  })

  test('else at every position of the log, and before every time', async () => {
    expect(await cutAt(source, listed('partition'), at({ a: 1 }))).toEqual(at({ a: 1 }))
    expect(await cutAt(source, listed('time'), new Date(30))).toEqual(at({ a: 0, b: 0 }))
    expect(await failureOf(cutAt(source, listed('partition'), at({ a: 2 })))).toMatchObject({ code: 'USAGE' })
  })
})
