import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Value, compileInt64, normalise } from '../../src/value/canonical.js'
import { findBigIntegers, parseJson, stringifyJson, suspectDigits } from '../../src/value/json.js'

describe('parseJson', () => {
  it('reads what JSON.parse reads, whatever the text', () => {
    fc.assert(fc.property(fc.json({ maxDepth: 5 }).filter((text) => !/\d{16}/.test(text)), (text) => {
      const spaced = JSON.stringify(JSON.parse(text), null, 2)
      expect(parseJson(text, { int64: compileInt64(['no.such']) })).toStrictEqual(JSON.parse(text))
      expect(parseJson(spaced, { int64: compileInt64(['no.such']) })).toStrictEqual(JSON.parse(text))
      expect(parseJson(text)).toStrictEqual(JSON.parse(text))
    }))
  })

  it('never rounds an integer', () => {
    fc.assert(fc.property(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), fc.string({ maxLength: 20 }), (n, before) => {
      const text = `[${JSON.stringify(before)},{"a":${n}}]`
      if (Number.isSafeInteger(Number(n))) expect(parseJson(text)).toEqual([before, { a: Number(n) }])
      else expect(() => parseJson(text)).toThrow(expect.objectContaining({ code: 'NUMBER_INEXACT' }))
      if (n >= -(2n ** 63n) && n < 2n ** 64n) {
        expect(parseJson(text, { int64: 'wide' }))
          .toEqual([before, { a: Number.isSafeInteger(Number(n)) ? Number(n) : n }])
      }
    }))
  })

  it.each([
    ['[1,{"b c":9007199254740993}]', '$[1]["b c"]'],
    ['{"a":-9007199254740992}', '$.a'],
    ['{"a":"\\"","b":[1e400]}', '$.b[0]'],
    ['{"a":-2.5E+999}', '$.a'],
    [`[${'9'.repeat(400)}.5]`, '$[0]'],
  ])('refuses %s and names the place', (text, path) => {
    expect(() => parseJson(text, { where: { line: 7 } })).toThrow(expect.objectContaining({
      code: 'NUMBER_INEXACT', details: expect.objectContaining({ path, line: 7 }),
    }))
  })

  it.each(['1e20', '9007199254740993.0', '"12345678901234567890"', '{"12345678901234567890":1}', '0.12345678901234567890', '1e-400'])(
    'takes %s, which is no integer token', (text) => {
      expect(parseJson(text)).toEqual(JSON.parse(text))
    })

  it('gives a bigint for every integer at a declared path, chosen by what the text says if wanted', () => {
    const byType = (plain: unknown): ReturnType<typeof compileInt64> | null =>
      (plain as { type: string }).type === 'Paid' ? compileInt64(['data.id', 'data.list[]']) : null
    expect(parseJson('{"type":"Paid","data":{"id":1,"list":[18446744073709551615,"x",null],"n":1}}', { int64: byType }))
      .toEqual({ type: 'Paid', data: { id: 1n, list: [2n ** 64n - 1n, 'x', null], n: 1 } })
    expect(parseJson('{"type":"Other","data":{"id":1}}', { int64: byType })).toEqual({ type: 'Other', data: { id: 1 } })
    expect(() => parseJson('{"type":"Paid","data":{"id":1.5}}', { int64: byType })).toThrow(/\$\.data\.id is declared int64/)
    expect(() => parseJson('{"type":"Paid","data":{"id":18446744073709551616}}', { int64: byType })).toThrow(/more than 64 bits/)
  })

  it('keeps a property named __proto__ a property', () => {
    const object = parseJson('{"__proto__":{"x":1},"n":12345678901234567}', { int64: 'wide' }) as object
    expect(Object.keys(object)).toEqual(['__proto__', 'n'])
    expect(Object.getPrototypeOf(object)).toBe(Object.prototype)
  })

  it('leaves syntax errors as JSON.parse throws them', () => {
    expect(() => parseJson('{"a":')).toThrow(SyntaxError)
  })
})

describe('suspectDigits', () => {
  it('is true exactly where 16 digits stand in a row', () => {
    const pieces = fc.array(fc.constantFrom('1', '23456789', 'x', '-'), { maxLength: 60 })
    fc.assert(fc.property(pieces, fc.nat(5), fc.nat(5), (parts, before, after) => {
      const text = parts.join('')
      const bytes = Buffer.from('9'.repeat(before) + text + '9'.repeat(after))
      expect(suspectDigits(bytes, before, before + text.length)).toBe(/\d{16}/.test(text))
    }), { numRuns: 500 })
  })
})

describe('findBigIntegers', () => {
  it('names the place of every bigint in plain data', () => {
    expect(findBigIntegers({ a: [1, { 'b c': 2n }], d: 3n, bytes: Uint8Array.of(1) })).toEqual(['$.a[1]["b c"]', '$.d'])
    expect(findBigIntegers(1n)).toEqual(['$'])
  })

  it('gives null where there is none', () => {
    for (const data of [undefined, null, 'text', { a: [1, { b: null }] }, []]) expect(findBigIntegers(data)).toBeNull()
  })
})

describe('stringifyJson', () => {
  it('loses nothing but the type of bytes', () => {
    const number = fc.double({ noNaN: true, noDefaultInfinity: true })
      .filter((n) => !Number.isInteger(n) || Number.isSafeInteger(n) || Math.abs(n) >= 2 ** 64).map((n) => (n === 0 ? 0 : n))
    const wide = fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n })
    const item = fc.oneof(number, fc.string({ unit: 'binary' }), fc.constantFrom(null, true), wide)
    fc.assert(fc.property(fc.dictionary(fc.string().filter((name) => name !== '__proto__'), fc.array(item)), (source) => {
      const normal = normalise(source)
      const text = stringifyJson(normal)
      expect(parseJson(text, { int64: 'wide' })).toEqual(normal)
      expect(() => JSON.parse(text) as unknown).not.toThrow()
    }))
  })

  it('writes bigints as digits, great numbers with an exponent, and bytes as base64', () => {
    const value: Value = { big: 2n ** 64n - 1n, e: 1e20, f: 1.5, blob: Uint8Array.of(1, 2), list: [] }
    expect(stringifyJson(value)).toBe('{"big":18446744073709551615,"e":1e+20,"f":1.5,"blob":"AQI=","list":[]}')
  })
})
