import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore } from '../../adapters/memory/index.js'
import { defineProjection, defineReducer, type ColumnDeclarations, type Projection } from '../../src/index.js'
import { fingerprintOf } from '../../src/projection/fingerprint.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

const log = memoryLog({ partitions: { sums: [{ type: 'Add', key: 'k', data: { n: 1 } }, { type: 'Add', key: 'k', data: { n: 2 } }] } })

function sums(columns: object | undefined, put: (before: any) => unknown): Projection {
  const declared = columns === undefined ? {} : { columns: columns as ColumnDeclarations }
  return defineReducer<any>({ name: 'sums', version: 1, collection: 'sums', on: { Add: put }, ...declared })
}

const failing = (columns: object, put: (before: any) => unknown): Promise<any> =>
  failureOf(runIn(worldOf(1), { source: log, projection: sums(columns, put), store: memoryStore() }))

describe('columns of a collection', () => {
  test.each([
    ['VALUE_INVALID', { n: 'int' }, { n: 0.5 }, '$.n'],
    ['VALUE_INVALID', { n: 'int' }, {}, '$.n'],
    ['VALUE_INVALID', { n: 'int' }, 7, '$'],
    ['COLUMN_UNKNOWN', { n: 'int' }, { n: 1, m: 1 }, '$.m'],
    ['COLUMN_UNKNOWN', { 'in.n': 'int', '...': 'json' }, { in: { n: 1, m: 1 }, other: 1 }, '$.in.m'],
  ])('make put refuse with %s what does not fit %j, with its place, in a store that keeps no columns too', async (code, columns, value, path) => {
    const failure = await failing(columns, () => value)
    expect(failure.code).toBe(code)
    expect(failure.details).toMatchObject({ collection: 'sums', key: 'k', path, partition: 'sums', offset: 0 })
  })

  test('name the offset of the event whose value does not fit', async () => {
    const failure = await failing({ n: 'int' }, (before) => (before === undefined ? { n: 1 } : { n: '2' }))
    expect(failure.details).toMatchObject({ collection: 'sums', key: 'k', path: '$.n', partition: 'sums', offset: 1 })
  })

  test('of type int64 make the field a bigint for handlers', async () => {
    const seen: unknown[] = []
    const projection = sums({ n: 'int64' }, (before) => {
      if (before !== undefined) seen.push(before.n)
      return { n: before === undefined ? 1 : before.n + 1n }
    })
    await runIn(worldOf(1), { source: log, projection, store: memoryStore() })
    expect(new Set(seen)).toEqual(new Set([1n]))
  })

  test('are part of the fingerprint, under collections; without columns it is the one it always was', () => {
    const shape = (columns?: object): Readonly<Record<string, string>> => fingerprintOf(sums(columns, () => ({ n: 1 })), null).shape
    const [without, as, other] = [shape(), shape({ n: 'int' }), shape({ n: 'int?' })]
    expect(without['collections']).toBe('sh1:a08eb9c3b40fe99411a164a45f977f7f1201a3f2b89b47cec41edae49c3e03b3')
    expect(new Set([without['collections'], as['collections'], other['collections']]).size).toBe(3)
    expect({ ...as, collections: '' }).toEqual({ ...without, collections: '' })
  })

  test('that are not what they must be are CONFIG_INVALID with collection and path', () => {
    const define = (): unknown => defineProjection({
      name: 'x', version: 1, collections: { sums: { columns: { n: 'integer' as never } } }, on: { Add: () => {} },
    })
    const message = expect.stringContaining('collections.sums.columns: n: the type must be one of text, int, int64')
    expect(define).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', message }))
  })
})
