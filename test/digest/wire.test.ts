import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { packPage, unpackPage } from '../../src/digest/wire.js'
import { built, statePair } from './support.js'

describe('a page on its way', () => {
  it('arrives as it was, whatever the page; a bucket is shorter by its kh, a group by the zeros of its counts', () => {
    fc.assert(fc.property(statePair, ([state]) => {
      for (const [key, page] of [...built(state).pages].slice(0, 100)) {
        const packed = packPage(page)
        expect(Buffer.compare(unpackPage(packed), page)).toBe(0)
        if (key.includes('.')) expect(packed.length).toBe(page.length - 32 * packed[0]! + 1)
        else if (key.endsWith('/')) expect(packed.length).toBe(page.length + 1)
        else expect(packed.length).toBeLessThan(page.length - 4 * (page.length / 39))
      }
    }), { numRuns: 30 })
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(Buffer.compare(unpackPage(packPage(bytes)), bytes)).toBe(0)
    }))
  })

  it('is refused where it is none', () => {
    const bucket = packPage([...built(new Map([['a', '1'], ['b', '2']])).pages.values()][0]!.subarray(41))
    expect(bucket[0]).toBe(2)
    const faulty = [
      new Uint8Array(0), Uint8Array.of(17), bucket.slice(0, -1), bucket.slice(0, 5), Uint8Array.from([...bucket, 0]), bucket.with(0, 3),
      bucket.with(0, 200), Uint8Array.of(0x20, 0xff), Uint8Array.of(0x20, ...new Uint8Array(40 * 17).fill(1)),
    ]
    for (const packed of faulty) expect(() => unpackPage(packed)).toThrow(expect.objectContaining({ code: 'AGAINST_INVALID' }))
  })
})
