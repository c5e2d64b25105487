import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { expect, test } from 'vitest'
import { encode, isRehydrateError, type Value } from '../../../../src/index.js'
import { failureOf } from '../../../support/worlds.js'
import { eventWith, readerOf } from './readings.js'

const reader = readerOf('msgpack', { type: { topic: true } })
const dataOf = (bytes: Uint8Array) => eventWith(reader, { value: Buffer.from(bytes) })
const refusal = (bytes: readonly number[]) => failureOf((async () => dataOf(Uint8Array.from(bytes)))())

/** What MessagePack holds: JSON, bytes, integers of 64 bits. */
const values = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 },
    fc.constant(null), fc.boolean(), fc.string({ unit: 'grapheme' }), fc.integer(), fc.maxSafeInteger(), fc.double({ noNaN: true, noInteger: true, noDefaultInfinity: true }),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }), fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => new Uint8Array(bytes)),
    fc.array(tie('value'), { maxLength: 20 }), fc.dictionary(fc.string(), tie('value'), { maxKeys: 20 })),
})).value as fc.Arbitrary<Value>

test('what msgpackr writes, and what our own canonical writer writes, comes as it was', () => {
  const packr = new Packr({ useRecords: false, variableMapSize: true, useBigIntExtension: false })
  fc.assert(fc.property(values, (value) => {
    const event = dataOf(encode(value))
    expect(event.data).toEqual(value)
    const holdsBigints = JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? '\u0000big' : item)).includes('\\u0000big')
    expect(event.bigIntegers !== null).toBe(holdsBigints)
  }), { numRuns: 500 })
  fc.assert(fc.property(values.filter((value) => !Object.hasOwn(Object(value) as object, '__proto__')), (value) => {
    expect(dataOf(packr.pack(value)).data).toEqual(value)
  }), { numRuns: 500 })
})

test('every form of the specification is read', () => {
  const forms: readonly (readonly [readonly number[], unknown])[] = [
    [[0xca, 0x3f, 0x80, 0, 0], 1], [[0xcb, 0xbf, 0xf8, 0, 0, 0, 0, 0, 0], -1.5],
    [[0xd0, 0x80], -128], [[0xd1, 0x80, 0], -32_768], [[0xd2, 0x80, 0, 0, 0], -(2 ** 31)], [[0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], -1],
    [[0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0], 2n ** 53n], [[0xcf, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 2 ** 53 - 1],
    [[0xd6, 0xff, 0x65, 0x92, 0x00, 0x80], '2024-01-01T00:00:00Z'],
    [[0xd7, 0xff, 0x77, 0x35, 0x94, 0x00, 0x65, 0x92, 0x00, 0x80], '2024-01-01T00:00:00.500Z'],
    [[0xc7, 12, 0xff, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], '1969-12-31T23:59:59.000000001Z'],
    [[0xde, 0, 1, 0xa1, 0x61, 1], { a: 1 }], [[0xdc, 0, 1, 0xc0], [null]], [[0xd9, 1, 0x61], 'a'], [[0xc5, 0, 1, 7], new Uint8Array([7])],
  ]
  for (const [bytes, value] of forms) expect(dataOf(Uint8Array.from(bytes)).data).toEqual(value)
})

test('the name __proto__ is a name, and changes no prototype', () => {
  const { data } = dataOf(Uint8Array.from([0x81, 0xa9, ...Buffer.from('__proto__'), 0x81, 0xa1, 0x61, 1])) as { data: Record<string, unknown> }
  expect([Object.entries(data), Object.getPrototypeOf(data) === Object.prototype, data['a']]).toEqual([[['__proto__', { a: 1 }]], true, undefined])
})

test('what is no whole value of plain data is EVENT_INVALID at its place', async () => {
  const deep = [...Array.from({ length: 65 }, () => 0x91), 0xc0]
  const cases: readonly (readonly [readonly number[], string])[] = [
    [[], 'ends too soon'], [[0xc1], 'no MessagePack'], [[1, 2], '1 bytes after'], [[0xdd, 0x7f, 0xff, 0xff, 0xff], 'ends too soon'],
    [[0xc6, 0xff, 0xff, 0xff, 0xff, 1], 'ends too soon'], [[0xa1, 0xff], 'not UTF-8'], [[0x81, 1, 1], 'not a text'], [[0xd4, 5, 0], 'extension of type 5'],
    [[0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 2], 'twice'], [deep, 'deeper than 64'], [[0xd7, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 'which is none'],
  ]
  for (const [bytes, what] of cases) {
    const error = await refusal(bytes)
    expect([error.code, error.details.partition, error.details.offset, error.message]).toEqual(['EVENT_INVALID', 'orders/3', 41, expect.stringContaining(what)])
  }
})

test('hostile bytes give a value or EVENT_INVALID', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    try {
      dataOf(bytes)
    } catch (error) {
      if (!isRehydrateError(error) || error.code !== 'EVENT_INVALID') throw error
    }
  }), { numRuns: 2_000 })
})
