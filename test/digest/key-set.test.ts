import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hashKeys } from '../../src/digest/batch.js'
import { hashKey } from '../../src/digest/hash.js'
import { KeySet } from '../../src/digest/key-set.js'

const texts = fc.uniqueArray(fc.string({ unit: 'grapheme', maxLength: 12 }), { maxLength: 30 })

describe('a set of keys', () => {
  it('is the XOR of their kh, whatever the order, and however they were given', () => {
    fc.assert(fc.property(texts, fc.nat(30), (keys, cut) => {
      const sum = Buffer.alloc(32)
      for (const key of keys) hashKey(key).forEach((byte, i) => { sum[i]! ^= byte })
      const set = new KeySet(undefined)
      set.add(keys.slice(cut).reverse())
      set.addHashes(hashKeys(keys.slice(0, cut)))
      expect(set.value).toEqual({ count: keys.length, sum: sum.toString('hex') })
    }))
  })

  it('is empty again where all that came is gone, also when it was kept in between', () => {
    fc.assert(fc.property(texts, texts, (first, second) => {
      const set = new KeySet(undefined)
      set.add(first)
      const before = set.value
      const later = new KeySet(before)
      later.add(second)
      later.remove(second)
      expect(later.value).toEqual(before)
      later.remove(first)
      expect(later.value).toEqual({ count: 0, sum: '0'.repeat(64) })
    }))
  })
})
