import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { unpack } from 'msgpackr'
import { describe, expect, it } from 'vitest'
import {
  type Value, CanonicalWriter, MAX_BYTES, compileInt64, decode, encode, lend, normalise,
} from '../../src/value/canonical.js'
import { parseJson } from '../../src/value/json.js'

const vectors = JSON.parse(readFileSync(new URL('../../fixtures/digest/canonical.json', import.meta.url), 'utf8')) as {
  values: { description: string; json?: string; binary?: string; bytes: string }[]
  refused: { description: string; json: string; code: string }[]
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** Anything `normalise` gives: text of every length class, integers at every boundary, names that look like integers. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(...[15, 16, 23, 24, 31, 32, 255, 256, 65_535, 65_536].flatMap((n) => ['a'.repeat(n), 'é'.repeat(n)])),
)
const oddName = fc.constantFrom('', '-1', '01', 'toString', '__proto_')
const name = fc.oneof(fc.string({ unit: 'binary', maxLength: 8 }), fc.nat(300).map(String), oddName).filter((key) => key !== '__proto__')
const boundary = fc.tuple(fc.constantFrom(...[5, 7, 8, 15, 16, 31, 32, 53]), fc.integer({ min: -2, max: 2 }), fc.constantFrom(1, -1))
  .map(([bits, delta, sign]) => sign * 2 ** bits + delta).filter(Number.isSafeInteger)
const wide = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }).filter((n) => n > 2n ** 53n - 1n || n < -(2n ** 53n) + 1n)
const number = fc.double({ noNaN: true, noDefaultInfinity: true })
  .filter((n) => !Number.isInteger(n) || Number.isSafeInteger(n) || Math.abs(n) >= 2 ** 64)
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(fc.constantFrom(null, true, false), text, boundary, number, wide, fc.constantFrom(2n ** 53n, -(2n ** 53n), 2n ** 64n - 1n),
      fc.uint8Array({ maxLength: 300 })),
    fc.array(tie('value'), { maxLength: 18 }),
    fc.dictionary(name, tie('value'), { maxKeys: 18 }),
  ),
}))

function isDeepFrozen(item: Value): boolean {
  if (typeof item !== 'object' || item === null || item instanceof Uint8Array) return true
  return Object.isFrozen(item) && Object.values(item as object).every((child) => isDeepFrozen(child as Value))
}

describe('canonical bytes', () => {
  it.each(vectors.values)('of $description are those of the vector', ({ json, binary, bytes }) => {
    const item = (json === undefined ? Buffer.from(binary!, 'hex') : parseJson(json, { int64: 'wide' })) as Value
    expect(hex(encode(item))).toBe(bytes)
  })

  it.each(vectors.refused)('do not exist for $description', ({ json, code }) => {
    expect(() => encode(parseJson(json, { int64: 'wide' }) as Value)).toThrow(expect.objectContaining({ code }))
  })

  it('decode to what was normalised, in the same order of names, frozen, and encode to themselves', () => {
    fc.assert(fc.property(value, (source) => {
      const normal = normalise(source)
      const bytes = encode(normal)
      const back = decode(bytes)
      expect(back).toStrictEqual(normal)
      expect(String(JSON.stringify(back, (_, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item))))
        .toBe(String(JSON.stringify(normal, (_, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item))))
      expect(isDeepFrozen(normal) && isDeepFrozen(back)).toBe(true)
      expect(hex(encode(back))).toBe(hex(bytes))
      expect(hex(encode(source as Value))).toBe(hex(bytes))
    }), { numRuns: 500 })
  })

  it('are read alike by msgpackr', () => {
    const plainName = fc.string({ maxLength: 8 }).filter((key) => key !== '__proto__')
    fc.assert(fc.property(fc.dictionary(plainName, fc.oneof(fc.integer(), fc.string())), (source) => {
      expect(unpack(Buffer.from(encode(source)))).toEqual(source)
    }))
  })

  it('may be read from any part of a larger buffer, and share no memory with it', () => {
    const bytes = encode({ blob: Uint8Array.of(1, 2, 3), f: 1.5, big: 2n ** 60n })
    const larger = Buffer.concat([Buffer.alloc(5, 0xff), bytes, Buffer.alloc(5, 0xff)])
    const back = decode(larger.subarray(5, 5 + bytes.length)) as { blob: Uint8Array }
    larger.fill(0)
    expect(back).toEqual({ blob: Uint8Array.of(1, 2, 3), f: 1.5, big: 2n ** 60n })
    expect(Object.getPrototypeOf(back.blob)).toBe(Uint8Array.prototype)
    expect(back.blob.buffer.byteLength).toBe(3)
  })

  it('that are cut short, too long or of another format are STATE_CORRUPT', () => {
    fc.assert(fc.property(value, fc.nat(), (source, cut) => {
      const bytes = encode(normalise(source))
      expect(() => decode(bytes.subarray(0, cut % bytes.length))).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }))
      expect(() => decode(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }))
    }))
    for (const other of ['c1', 'ca00000000', 'd40000', '8101c0', 'ddffffffff', 'c6ffffffff', `${'91'.repeat(65)}c0`, '']) {
      expect(() => decode(Buffer.from(other, 'hex'))).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }))
    }
  })

  it('are at most 16 MiB', () => {
    expect(encode(new Uint8Array(MAX_BYTES - 5)).length).toBe(MAX_BYTES)
    expect(() => encode(new Uint8Array(MAX_BYTES - 4))).toThrow(/16 MiB/)
    expect(() => encode(Array.from({ length: 20 }, () => 'x'.repeat(2 ** 20)))).toThrow(/16 MiB/)
  })

  it('of many values stand one behind the other, and a refused one leaves nothing', () => {
    const writer = new CanonicalWriter(4)
    expect(writer.write({ a: 'x'.repeat(100) })).toBe(105)
    expect(() => writer.write(['fine', NaN])).toThrow(/\$\[1\] is NaN/)
    expect(writer.write([1])).toBe(2)
    expect(hex(writer.bytes.subarray(105, writer.length))).toBe('9101')
  })
})

const cycle: unknown[] = []
cycle.push({ again: cycle })
const sparse: unknown[] = [1]
sparse.length = 2
class Point { x = 1 }
const refused: [string, unknown, string][] = [
  ['NaN', { a: [0, { b: NaN }] }, '$.a[1].b'],
  ['Infinity', [-Infinity], '$[0]'],
  ['a Date', { at: new Date(0) }, '$.at'],
  ['a Map', new Map(), '$'],
  ['a Set', [[new Set()]], '$[0][0]'],
  ['a class instance', { point: new Point() }, '$.point'],
  ['a subclass of Array', new (class List extends Array<number> {})(), '$'],
  ['another typed array', { floats: new Float64Array(1) }, '$.floats'],
  ['a function', { 'a b': () => 1 }, '$["a b"]'],
  ['a symbol', Symbol('s'), '$'],
  ['a symbol as a name', { a: { [Symbol('s')]: 1 } }, '$.a'],
  ['a lone surrogate', { a: 'x\ud800y' }, '$.a'],
  ['a lone surrogate in a name', { a: { '\udc00': 1 } }, '$.a'],
  ['an undefined element', [undefined], '$[0]'],
  ['a hole', sparse, '$[1]'],
  ['the name __proto__', JSON.parse('{"a":{"__proto__":1}}'), '$.a'],
  ['a great integer that is a number', { a: 2 ** 53 }, '$.a'],
  ['a small bigint', [2n ** 53n - 1n], '$[0]'],
  ['a bigint over 64 bits', 2n ** 64n, '$'],
  ['a bigint under 64 bits', -(2n ** 63n) - 1n, '$'],
  ['undefined', undefined, '$'],
]

describe('normalise', () => {
  it.each(refused)('refuses %s and names the place', (_, source, path) => {
    expect(() => normalise(source)).toThrow(expect.objectContaining({ code: 'VALUE_INVALID', details: expect.objectContaining({ path }) }))
  })

  it('refuses what is nested deeper than 64 levels, cycles among it', () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)])
    expect(() => normalise(nested(64))).not.toThrow()
    expect(() => normalise(nested(65))).toThrow(/deeper than 64/)
    expect(() => normalise(cycle)).toThrow(/holds itself/)
  })

  it('makes −0 zero, leaves undefined properties out, and orders names as decode does', () => {
    expect(Object.is(normalise(-0), 0)).toBe(true)
    const normal = normalise({ name: 1, b: undefined, id: -0, 10: 2, 9: 3, é: 4 }) as object
    expect(Object.entries(normal)).toEqual([['9', 3], ['10', 2], ['id', 0], ['é', 4], ['name', 1]])
  })

  it('shares nothing mutable with its source and reads each getter once', () => {
    let reads = 0
    const bare = Object.assign(Object.create(null) as object, { x: 1 })
    const source = { get a() { return ++reads }, list: [1], blob: Buffer.from([1]), bare }
    const normal = normalise(source) as { a: number; list: number[]; blob: Uint8Array; bare: object }
    source.list.push(2)
    source.blob[0] = 9
    expect(normal).toEqual({ a: 1, list: [1], blob: Uint8Array.of(1), bare: { x: 1 } })
    expect(reads).toBe(1)
    expect(Object.isFrozen(source)).toBe(false)
    expect(Object.getPrototypeOf(normal.blob)).toBe(Uint8Array.prototype)
  })

  it('makes bigints of integers at declared paths, and decode does too', () => {
    const int64 = compileInt64(['id', 'lines[].amount', 'grid[][]', 'wide.n'])
    const source = { id: 1, lines: [{ amount: 5n, n: 5 }, { amount: null }], grid: [[1], [-2]], wide: { n: 2n ** 63n } }
    const normal = normalise(source, { int64 })
    expect(normal).toEqual({ id: 1n, lines: [{ amount: 5n, n: 5 }, { amount: null }], grid: [[1n], [-2n]], wide: { n: 2n ** 63n } })
    expect(decode(encode(normal), { int64 })).toStrictEqual(normal)
    expect(() => normalise({ id: 1.5 }, { int64 })).toThrow(/\$\.id is declared int64/)
    expect(() => normalise({ id: 2 ** 53 }, { int64 })).toThrow(/\$\.id is declared int64/)
  })

  it.each(['', 'a.', '.a', 'a..b', 'a[0]', '[].a', 'a[]b', 'a['])('refuses to compile the int64 path %j', (path) => {
    expect(() => compileInt64([path])).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })
})

describe('lend', () => {
  it('gives bytes of their own to a handler, and the value itself where there are none', () => {
    const plain = normalise({ a: [1] })
    expect(lend(plain)).toBe(plain)
    const kept = normalise({ a: [{ blob: Uint8Array.of(1) }], b: [1] }) as { a: { blob: Uint8Array }[] }
    const lent = lend(kept) as typeof kept
    lent.a[0]!.blob[0] = 9
    expect(kept.a[0]!.blob).toEqual(Uint8Array.of(1))
    expect(isDeepFrozen(lent)).toBe(true)
  })
})

describe('the cache of shapes', () => {
  it('stays right whatever shapes come and go', () => {
    fc.assert(fc.property(fc.array(fc.uniqueArray(name, { maxLength: 6 }), { minLength: 50, maxLength: 300 }), (shapes) => {
      for (const names of shapes) {
        const source = Object.fromEntries(names.map((key, i) => [key, i]))
        expect(decode(encode(source))).toEqual(source)
      }
    }), { numRuns: 20 })
  })
})
