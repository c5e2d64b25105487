import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  compareUtf8, distance, formatPosition, parsePosition, positionFromJson, positionToJson, reaches, samePosition,
} from '../../src/log/position.js'

const partitions = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
const positions = fc.dictionary(partitions, fc.nat({ max: 2 ** 40 }), { maxKeys: 6 }).map((json) => positionFromJson(json))

describe('a position', () => {
  test('is read back from its text, whatever its partitions are called', () => {
    fc.assert(fc.property(positions.filter((position) => position.size > 0), (position) => {
      expect(samePosition(parsePosition(formatPosition(position)), position)).toBe(true)
    }))
  })

  test('is written in the order of the UTF-8 bytes of its partitions, with @ , % encoded', () => {
    expect(formatPosition(new Map([['b', 1], ['a@,%', 0], ['\u{1f600}', 3], ['\uffee', 2]]))).toBe('a%40%2C%25@0,b@1,\uffee@2,\u{1f600}@3')
  })

  test.each(['', 'a', 'a@', '@1', 'a@-1', 'a@1.5', 'a@9007199254740993', 'a@1,a@2', 'a@1;b@2'])('%j is none: USAGE', (text) => {
    expect(() => parsePosition(text)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })

  test('an absent partition has nothing applied', () => {
    expect(reaches(new Map([['a', 3]]), new Map())).toBe(true)
    expect(reaches(new Map(), new Map([['a', 0]]))).toBe(false)
    expect(samePosition(new Map([['a', -1]]), new Map())).toBe(true)
    expect(distance(new Map(), new Map([['a', 3], ['b', 0]]))).toBe(5)
    expect(positionToJson(new Map([['a', -1], ['b', 0]]))).toEqual({ b: 0 })
  })

  test('partitions compare as their UTF-8 bytes do', () => {
    fc.assert(fc.property(partitions, partitions, (a, b) => {
      expect(Math.sign(compareUtf8(a, b))).toBe(Math.sign(Buffer.from(a).compare(Buffer.from(b))))
    }))
  })
})
