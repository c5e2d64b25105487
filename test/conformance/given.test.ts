import { describe, expect, test } from 'vitest'
import { defineReducer } from '../../src/index.js'
import { given } from '../../src/testing.js'

const stock = defineReducer<number>({
  name: 'stock', version: 1, collection: 'stock',
  on: {
    Received: (count, event) => (count ?? 0) + event.data.count,
    Sold: (count) => {
      if ((count ?? 0) === 0) throw new Error('nothing left')
      return (count as number) - 1
    },
    Discontinued: () => null,
  },
})

describe('given events, then state', () => {
  test('resolves where the state is as expected', async () => {
    await given(stock, [{ type: 'Received', key: 'a', data: { count: 3 } }, { type: 'Sold', key: 'a' }]).then({ stock: { a: 2 } })
    await given(stock, [{ type: 'Received', key: 'a', data: { count: 1 } }, { type: 'Discontinued', key: 'a' }]).then({})
  })

  test('rejects showing both where it is not', async () => {
    await expect(given(stock, [{ type: 'Received', key: 'a', data: { count: 3 } }]).then({ stock: { a: 4 } }))
      .rejects.toThrow(/expected \{"stock":\{"a":4\}\}\s+actual {3}\{"stock":\{"a":3\}\}/)
  })

  test('names the error that halts the fold, with its place', async () => {
    const error = await given(stock, [{ type: 'Sold', key: 'a' }]).fails('HANDLER_FAILED')
    expect(error.details).toMatchObject({ partition: 'given', offset: 0 })
    await expect(given(stock, []).fails('HANDLER_FAILED')).rejects.toThrow('HANDLER_FAILED was expected')
    const crossing = [{ type: 'Received', key: 'a', partition: 'p', data: { count: 1 } }, { type: 'Sold', key: 'a', partition: 'q' }]
    await given(stock, crossing).fails('KEY_CROSSES_PARTITIONS')
  })

  test('is as strict as a replay: the clock is out of reach', async () => {
    const impure = defineReducer({ name: 'i', version: 1, collection: 'c', on: { Did: () => Date.now() } })
    await given(impure, [{ type: 'Did', key: 'a' }]).fails('IMPURE_HANDLER')
  })
})
