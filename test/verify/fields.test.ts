import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { fieldsOf, MAX_FIELDS, without } from '../../src/verify/fields.js'
import { encode, type Value } from '../../src/value/canonical.js'

const values = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom<Value>(null, true, false, 0, 1, 5n, 1.5, '', 'a', new Uint8Array([1, 2])),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c d', 'constructor'), tie('value'), { maxKeys: 4 }),
  ),
})).value

describe('the places in which two values differ', () => {
  test('are the smallest, with their paths', () => {
    const rebuilt = { landed: 2, worst: { delay: 9, from: 'ORD' }, tags: ['a', 'b'], only: 1 }
    const against = { landed: 3, worst: { delay: 9, from: 'JFK' }, tags: ['a', 'c', 'd'], 'a b': null }
    expect(fieldsOf(rebuilt, against)).toEqual([
      { path: '$.landed', rebuilt: 2, against: 3 },
      { path: '$.worst.from', rebuilt: 'ORD', against: 'JFK' },
      { path: '$.tags[1]', rebuilt: 'b', against: 'c' },
      { path: '$.tags[2]', rebuilt: undefined, against: 'd' },
      { path: '$.only', rebuilt: 1, against: undefined },
      { path: '$["a b"]', rebuilt: undefined, against: null },
    ])
  })

  test('a null is not an absent field, and an array is not an object', () => {
    expect(fieldsOf({ a: null }, {})).toEqual([{ path: '$.a', rebuilt: null, against: undefined }])
    expect(fieldsOf([], {})).toEqual([{ path: '$', rebuilt: [], against: {} }])
  })

  test('there are none exactly where the canonical bytes are equal', () => {
    fc.assert(fc.property(values, values, (a, b) => {
      expect(fieldsOf(a, b).length === 0).toBe(Buffer.compare(encode(a), encode(b)) === 0)
      expect(fieldsOf(a, a)).toEqual([])
    }), { numRuns: 500 })
  })

  test('a value with thousands of them tells only the first', () => {
    const many = (n: number): Value => Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`f${i}`, n]))
    expect(fieldsOf(many(1), many(2))).toHaveLength(MAX_FIELDS + 1)
  })
})

test('fields are left out by their paths, and what is not there is left alone', () => {
  const value = { a: 1, b: { c: 2, d: 3 }, e: [1] }
  expect(without(value, ['a', 'b.c', 'b.x', 'e.0', 'toString'])).toEqual({ b: { d: 3 }, e: [1] })
  expect(value).toEqual({ a: 1, b: { c: 2, d: 3 }, e: [1] })
})
