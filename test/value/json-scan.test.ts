import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { JsonScanner, UNREADABLE } from '../../src/value/json-scan.js'
import { parseJson } from '../../src/value/json.js'
import { compileReads, envelopeReads, pickReads, type Reads } from '../../src/value/reads.js'

const NAMES = ['a', 'b', 'amount', 'items', 'sku', 'id', 'constructor', 'toString', 'length', 'é', '0', '😀', 'a b', 'abc', 'abd']
const PATHS = ['a', 'b', 'amount', 'items', 'items[]', 'items[].sku', 'a.b', 'a.b.id', 'b[].a.b', 'items[].items[].sku', 'a[][].b', 'é', '0.a',
  'constructor', 'toString.length', '😀', 'a b', 'a.amount', 'a.items[].amount', 'abc']

const read = (text: string | Buffer, reads: Reads, scanner = new JsonScanner(reads.root)): unknown => {
  const bytes = Buffer.isBuffer(text) ? text : Buffer.from(text)
  // What follows in the buffer must not matter, whatever it is.
  const padded = Buffer.concat([Buffer.from('"7'), bytes, Buffer.from('1e5"}]')])
  return scanner.scan(padded, 2, 2 + bytes.length)
}

/** What must come out: the same, or nothing readable. */
const expected = (text: string, reads: Reads): unknown => {
  try {
    return pickReads(parseJson(text, { int64: 'wide' }), reads.root)
  } catch {
    return UNREADABLE
  }
}

/** With the order of names, own names, −0 and bigints; guarded objects can not be walked by toEqual. */
const plain = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return Object.is(value, -0) ? 'minus zero' : value
  return Object.entries(value).map(([name, item]) => [name, plain(item)])
}

const paths = fc.uniqueArray(fc.constantFrom(...PATHS), { maxLength: 6 })
const escaped = (text: string): fc.Arbitrary<string> => fc.array(fc.integer({ min: 0, max: 3 }), { minLength: text.length, maxLength: text.length })
  .map((choices) => `"${[...text.split('')].map((unit, i) => {
    if (choices[i] === 0) return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
    return JSON.stringify(unit).slice(1, -1)
  }).join('')}"`)
const space = fc.constantFrom('', '', '', ' ', '\n\t', '\r ')
const number = fc.oneof(
  fc.constantFrom('0', '-0', '-0.0', '1e3', '1E-2', '0.1', '12.34', '123456789012345', '1234567890123456', '9007199254740993', '-9223372036854775808',
    '18446744073709551615', '0.1234567890123456789', '5e-324', '1.7976931348623157e308', '123456789.012345', '99999999999999.9', '-1.0', '1e22'),
  // Integers that no type here holds have a test of their own.
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (Number.isInteger(value) ? value.toExponential() : String(value))),
  fc.integer().map(String),
)
const string = fc.oneof(
  fc.constantFrom('', 'EUR', 'USD', 'paid', '\u0000', '\ud800', '\u2028', 'naïve', '1234567890123456789', '😀😀', '"\\/'),
  fc.string({ unit: 'binary', maxLength: 12 }),
).chain(escaped)
const json = fc.letrec<{ value: string; array: string; object: string }>((tie) => ({
  value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, fc.constantFrom('null', 'true', 'false'), number, string, tie('array'), tie('object')),
  array: fc.tuple(space, fc.array(fc.tuple(tie('value'), space), { maxLength: 4 }))
    .map(([gap, items]) => `[${gap}${items.map(([item, after]) => item + after).join(`,${gap}`)}]`),
  object: fc.tuple(space, fc.array(fc.tuple(fc.constantFrom(...NAMES).chain(escaped), space, tie('value'), space), { maxLength: 6 }))
    .map(([gap, fields]) => `{${gap}${fields.map(([name, before, item, after]) => `${name}${before}:${before}${item}${after}`).join(`,${gap}`)}}`),
}))
const text = fc.tuple(space, fc.oneof(json.object, json.object, json.value), space).map((parts) => parts.join(''))

describe('scanning JSON', () => {
  test('gives what JSON.parse and picking give, of any JSON', () => {
    fc.assert(fc.property(text, paths, (given, declared) => {
      const reads = compileReads(declared, 'Order')
      expect(plain(read(given, reads))).toEqual(plain(expected(given, reads)))
    }), { numRuns: 1_000 })
  })

  test('gives the same after any other JSON: what it remembers of layouts and texts changes nothing', () => {
    fc.assert(fc.property(fc.array(text, { minLength: 2, maxLength: 8 }), paths, (texts, declared) => {
      const reads = compileReads(declared, 'Order')
      const scanner = new JsonScanner(reads.root)
      for (const given of texts) expect(plain(read(given, reads, scanner))).toEqual(plain(expected(given, reads)))
    }), { numRuns: 300 })
  })

  test('refuses what JSON.parse refuses, wherever it is', () => {
    const broken = fc.tuple(text, fc.nat(), fc.constantFrom('', ',', '"', '\\', '}', '0', '.', 'e', '-', '\u0001', ' ', 't', 'x', '\u00a0', '\ufeff'), fc.boolean())
      .map(([given, place, patch, insert]) => {
        const at = place % (given.length + 1)
        return given.slice(0, at) + patch + given.slice(insert ? at : at + 1)
      })
    let refused = 0
    fc.assert(fc.property(broken, paths, (given, declared) => {
      const reads = compileReads(declared, 'Order')
      const whole = isJson(given)
      if (!whole) refused++
      const wanted = expected(given, reads)
      // Some other change made an integer too long, maybe where it is not read.
      if (whole && wanted === UNREADABLE) return
      if (whole) expect(plain(read(given, reads))).toEqual(plain(wanted))
      else expect(read(given, reads)).toBe(UNREADABLE)
    }), { numRuns: 3_000 })
    expect(refused).toBeGreaterThan(500)
  })

  test.each([
    '', ' ', '{', '{"x":', '{"x"}', '{"x":1,}', '{,}', '[1,]', '[,]', '{"x":01}', '{"x":1.}', '{"x":.5}', '{"x":+1}', '{"x":1e}', '{"x":-}', '{"x":--1}', '{"x":0x1}',
    '{"x":NaN}', '{"x":Infinity}', '{"x":nul}', '{"x":truee}', '{"x":"\t"}', '{"x":"\\x"}', '{"x":"\\u12g4"}', '{"x":"a}', "{'x':1}", '{x:1}', '{"x":1}}', '{"x":1} x',
    '{"x":1 2}', '{"x":[1}', '{"x":{]}', '\ufeff{"x":1}', '{"x":1}\u00a0', '{"x":1e5.5}', '{"x":\u00001}', '{"x":1}\u0000',
  ])('%j is refused, where x is read and where it is not', (given) => {
    expect(isJson(given)).toBe(false)
    for (const declared of [['x'], ['x.y'], ['x[].y'], ['other'], []]) expect(read(given, compileReads(declared, 'Order'))).toBe(UNREADABLE)
  })

  test('a name is its text, however it is escaped; the last of equal names counts', () => {
    const reads = compileReads(['amount', 'a.b'], 'Order')
    expect(plain(read('{"\\u0061mount":1}', reads))).toEqual([['amount', 1]])
    expect(plain(read('{"amount":1,"am\\u006funt":2,"a":{"b":1,"b":[2]},"a":{"c":3}}', reads))).toEqual([['amount', 2], ['a', []]])
  })

  test('an integer beyond 2^53 is an exact bigint where it is read, and may be of any size where it is not', () => {
    const reads = compileReads(['id'], 'Order')
    const scanner = new JsonScanner(reads.root)
    expect(plain(read('{"id":9007199254740993,"other":1}', reads, scanner))).toEqual([['id', 9007199254740993n]])
    expect(scanner.hasBigints).toBe(true)
    expect(plain(read('{"id":1,"other":99999999999999999999999,"more":1e999}', reads, scanner))).toEqual([['id', 1]])
    expect(scanner.hasBigints).toBe(false)
    expect(read('{"id":99999999999999999999999}', reads)).toBe(UNREADABLE)
    expect(read('{"id":1e999}', reads)).toBe(UNREADABLE)
    expect(read('{"id":{"n":99999999999999999999999}}', reads)).toBe(UNREADABLE)
  })

  test('any depth that JSON.parse takes is passed over, and read', () => {
    const deep = `{"x":${'[{"y":'.repeat(50_000)}1${'}]'.repeat(50_000)},"amount":5}`
    expect(plain(read(deep, compileReads(['amount'], 'Order')))).toEqual([['amount', 5]])
    expect(read(deep.slice(0, -20), compileReads(['amount'], 'Order'))).toBe(UNREADABLE)
    expect((read(deep, compileReads(['x'], 'Order')) as { x: unknown[] }).x).toHaveLength(1)
  })

  test('a value of another kind than the paths suppose is read whole', () => {
    const reads = compileReads(['a.b', 'items[].sku'], 'Order')
    expect(plain(read('{"a":[1,{"c":2}],"items":{"sku":1,"n":2}}', reads))).toEqual([['a', [1, [['c', 2]]]], ['items', [['sku', 1], ['n', 2]]]])
    for (const given of ['7', '"text"', 'null', 'true', '[1,2]']) expect(read(given, reads)).toEqual(JSON.parse(given))
  })

  test('says whether all of it was ASCII, so that who calls knows where UTF-8 must be proved', () => {
    const reads = compileReads(['a'], 'Order')
    const scanner = new JsonScanner(reads.root)
    const cases = [['{"a":"x","b":"y"}', true], ['{"a":"é"}', false], ['{"b":"é"}', false], ['{"é":1}', false], ['{"é":1}', false], ['{"a":"x"}', true]] as const
    for (const [given, isAscii] of cases) {
      read(given, reads, scanner)
      expect(scanner.isAscii).toBe(isAscii)
    }
  })

  test('reads an envelope and the fields of its data in one go', () => {
    const reads = compileReads(['amount'], 'Order')
    const scanner = new JsonScanner(envelopeReads(['type', 'key'], 'data', reads))
    const given = scanner.scan(Buffer.from('{"type":"Order","key":null,"other":[1],"data":{"amount":5,"note":"n"}}'), 0, 70) as Record<string, unknown>
    expect(plain(given)).toEqual([['type', 'Order'], ['key', null], ['data', [['amount', 5]]]])
  })

  test('names that are data, ever new ones, are passed over, and read', () => {
    const reads = compileReads(['amount', 'late'], 'Order')
    const scanner = new JsonScanner(reads.root)
    for (let round = 0; round < 5; round++) {
      const ids = Array.from({ length: 300 }, (_, i) => [`id-${round}-${i}`, i] as const)
      const given = { ...Object.fromEntries(ids), amount: round, ...Object.fromEntries(ids.map(([id]) => [`${id}-more`, '}'])), late: [round] }
      expect(plain(read(JSON.stringify(given), reads, scanner))).toEqual([['amount', round], ['late', [round]]])
    }
  })

  test('objects of more than thirty fields are read too', () => {
    const names = Array.from({ length: 40 }, (_, i) => `field${i}`)
    const reads = compileReads(names, 'Order')
    const given = Object.fromEntries(names.slice(5).map((name, i) => [name, i]))
    expect(plain(read(JSON.stringify(given), reads))).toEqual(Object.entries(given))
  })
})

function isJson(given: string): boolean {
  try {
    JSON.parse(given)
    return true
  } catch {
    return false
  }
}
