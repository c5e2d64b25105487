import { expect, test } from 'vitest'
import { memoryLog } from '../../../adapters/memory/index.js'
import type { EventBatch, EventSource } from '../../../src/index.js'

async function batchesOf(source: EventSource, partition: string, events = 1_000): Promise<EventBatch[]> {
  const { first, last } = (await source.bounds()).get(partition)!
  const batches: EventBatch[] = []
  const range = { after: first - 1, upTo: last, mark: null }
  for await (const batch of source.read(partition, range, { events, bytes: 1 << 20 }, new AbortController().signal)) batches.push(batch)
  return batches
}

test('an event says what was given, and null, 1 and no headers for the rest', async () => {
  const source = memoryLog({ partitions: { p: [
    { type: 'A' },
    { type: 'B', key: 'k', data: { n: 2n ** 60n }, recordedAt: '2026-01-01T00:00:00Z', schemaVersion: 2, headers: { h: 'x' }, id: 'i' },
  ] } })
  const [batch] = await batchesOf(source, 'p')
  expect(batch?.event(0)).toEqual({
    partition: 'p', offset: 0, type: 'A', schemaVersion: 1, key: null, data: null, bigIntegers: null,
    recordedAtMs: null, headers: {}, id: null,
  })
  expect(batch?.event(1)).toEqual({
    partition: 'p', offset: 1, type: 'B', schemaVersion: 2, key: 'k', data: { n: 2n ** 60n }, bigIntegers: ['$.n'],
    recordedAtMs: Date.UTC(2026, 0, 1), headers: { h: 'x' }, id: 'i',
  })
})

test('what was given can be changed later without changing the log, and what comes out is frozen', async () => {
  const data = { list: [1] }
  const source = memoryLog({ partitions: { p: [{ type: 'A', data }] } })
  data.list.push(2)
  const event = (await batchesOf(source, 'p'))[0]!.event(0)
  expect(event.data).toEqual({ list: [1] })
  expect(() => (event.data as { list: number[] }).list.push(3)).toThrow(TypeError)
})

test('append returns the offset, also of the first event of a new partition', async () => {
  const source = memoryLog({ partitions: { p: [{ type: 'A' }] } })
  expect([source.append('p', { type: 'B' }), source.append('q', { type: 'C' })]).toEqual([1, 0])
  expect(await source.bounds()).toEqual(new Map([['p', { first: 0, last: 1 }], ['q', { first: 0, last: 0 }]]))
})

test('holes stand in the batch of the event before them, and alone where there is none', async () => {
  const source = memoryLog({ continuity: 'sparse', partitions: {
    p: [{ type: 'A' }, { hole: 'control' }, { hole: 'aborted' }, { type: 'B' }], q: [{ hole: 'filtered' }, { hole: 'compactedOrLost' }],
  } })
  const shape = async (partition: string): Promise<unknown[]> =>
    (await batchesOf(source, partition, 1)).map(({ length, through, holes }) => [length, through, ...Object.values(holes)])
  expect(await shape('p')).toEqual([[1, 2, 1, 1, 0, 0], [1, 3, 0, 0, 0, 0]])
  expect(await shape('q')).toEqual([[0, 1, 0, 0, 1, 1]])
})

test('a mark stands for a position behind the holes that follow its record', async () => {
  const source = memoryLog({ continuity: 'sparse', partitions: { p: [{ type: 'A' }, { hole: 'control' }, { type: 'B' }] } })
  const mark = (await batchesOf(source, 'p', 1))[0]!.markAt(0)
  expect(await source.check(new Map([['p', { mark, at: 1 }]]))).toEqual(new Map([['p', { is: 'same' }]]))
})

test('holes in a dense log, unknown options and times that are none are CONFIG_INVALID', () => {
  const code = (make: () => unknown): unknown => {
    try {
      return make()
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  expect(code(() => memoryLog({ partitions: { p: [{ hole: 'control' }] } }))).toBe('CONFIG_INVALID')
  expect(code(() => memoryLog({ partitions: {}, continuty: 'dense' } as never))).toBe('CONFIG_INVALID')
  expect(code(() => memoryLog({ partitions: { p: [{ type: 'A', recordedAt: 'soon' }] } }))).toBe('CONFIG_INVALID')
})
