import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isRehydrateError } from '../../src/errors.js'
import { CanonicalWriter, decode, encode, normalise, type Value } from '../../src/value/canonical.js'
import { compileForeign, type ForeignColumnDeclaration } from '../../src/value/column-foreign.js'
import { columnsOfShape, compileColumns, type Cell, type ColumnDeclarations } from '../../src/value/columns.js'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const compile = (declared: unknown): ReturnType<typeof compileColumns> => compileColumns('columns', declared as ColumnDeclarations)
const withCode = (code: string, details: object = {}): unknown => expect.objectContaining({ code, details: expect.objectContaining(details) })

/** The canonical bytes that cells give, by the fast way. */
function bytesOf(columns: ReturnType<typeof compileColumns>, cells: readonly Cell[]): string {
  const writer = new CanonicalWriter(16)
  columns.encodeCells(cells, writer)
  return hex(writer.bytes.subarray(0, writer.length))
}

describe('a declaration', () => {
  it('names a column by the path of its field, with _ for each point, in the order given', () => {
    const { names } = compile({ landed: 'int', 'longestDelay.delay': 'int?', 'longestDelay.from': { type: 'text', column: 'origin' }, '...': 'json' })
    expect(names).toEqual([
      { name: 'landed', kind: 'int', type: 'int', nullable: false, readAs: 'plain' },
      { name: 'longestDelay_delay', kind: 'int', type: 'int', nullable: true, readAs: 'plain' },
      { name: 'origin', kind: 'text', type: 'text', nullable: false, readAs: 'plain' },
      { name: 'rest', kind: 'json', type: 'json', nullable: true, readAs: 'plain' },
    ])
  })

  it('has a shape that is plain data and gives the same columns again', () => {
    const declared = { b: 'int64', 'a.x': 'decimal(10, 2) | null', 'a.y': { type: 'text', null: 'absent', column: 'Y' }, '...': { type: 'json', column: 'more' } }
    const columns = compile(declared)
    const again = columnsOfShape(decode(encode(columns.shape)))
    expect(again.names).toEqual(columns.names)
    expect(hex(encode(again.shape))).toBe(hex(encode(columns.shape)))
    expect(again.int64).toEqual(['b'])
  })

  const wrong: [string, unknown, string | undefined, RegExp][] = [
    ['an unknown type, with the nearest known one', { a: 'integer' }, 'a', /must be one of/],
    ['a type misspelt', { a: 'timestmap' }, 'a', /Did you mean timestamp\?/],
    ['no type', { a: {} }, 'a', /type must be/],
    ['an unknown option', { a: { type: 'int', colum: 'b' } }, 'colum', /Did you mean column\?/],
    ['a type of foreign tables', { a: 'stored' }, 'a', /must be one of/],
    ['a decimal without digits', { a: 'decimal' }, 'a', /decimal\(10,2\)/],
    ['digits of what is no decimal', { a: 'int(3,2)' }, 'a', /decimal\(10,2\)/],
    ['more digits after the point than in all', { a: 'decimal(2,3)' }, 'a', /s ≤ p/],
    ['more than 1,000 digits', { a: 'decimal(1001,0)' }, 'a', /1000/],
    ['no digits', { a: 'decimal(0,0)' }, 'a', /1 ≤ p/],
    ['NULL explained twice', { a: { type: 'int?', null: 'null' } }, 'a', /said once/],
    ['an unknown meaning of NULL', { a: { type: 'int', null: 'zero' } }, 'a', /'refused', 'absent' or 'null'/],
    ['two columns of one name', { 'a.b': 'int', a_b: 'int' }, 'a_b', /name of the one for a\.b/],
    ['two columns whose names differ by case', { A: 'int', a: 'int' }, 'a', /name of the one for A/],
    ['a column named key', { Key: 'text' }, 'Key', /column key already/],
    ['a column named hash', { a: { type: 'text', column: 'hash' } }, 'a', /column hash already/],
    ['an empty name', { a: { type: 'text', column: '' } }, 'a', /1 to 63/],
    ['a name of 64 characters', { a: { type: 'text', column: 'x'.repeat(64) } }, 'a', /1 to 63/],
    ['a field and a field of it', { a: 'json', 'a.b': 'int' }, 'a.b', /contradicts the column a\b/],
    ['an object that may be empty', { 'a.b': 'int?', 'a.c': 'text?' }, 'a', /look alike/],
    ['an object inside that may be empty', { 'a.b': 'int', 'a.c.d': 'text?' }, 'a.c', /look alike/],
    ['an empty path', { '': 'int' }, '', /no path/],
    ['a path with an empty name', { 'a..b': 'int' }, 'a..b', /no path/],
    ['elements of an array', { 'a[].b': 'int' }, 'a[].b', /no path/],
    ['__proto__', JSON.parse('{"__proto__": "int"}'), '__proto__', /no path/],
    ['a rest that is not json', { a: 'int', '...': 'text' }, '...', /'json'/],
    ['no column', {}, undefined, /1 to 1000/],
    ['no object', 'int', undefined, /object of columns/],
  ]
  it.each(wrong)('with %s is CONFIG_INVALID with its path', (_, declared, path, message) => {
    const refusal = { code: 'CONFIG_INVALID', message: expect.stringMatching(message), details: expect.objectContaining(path === undefined ? {} : { path }) }
    expect(() => compile(declared)).toThrow(expect.objectContaining(refusal))
  })

  it('may give a field the names of what every object inherits', () => {
    const columns = compile({ constructor: 'int?', toString: 'text', '...': 'json' })
    expect(columns.toCells({ toString: 'x' } as never)).toEqual([null, 'x', null])
    expect(() => columns.toCells({})).toThrow(withCode('VALUE_INVALID', { path: '$.toString' }))
  })
})

describe('a value', () => {
  const columns = compile({
    text: 'text', int: 'int', int64: 'int64', real: 'real', bool: 'bool', bytes: 'bytes', json: 'json', decimal: 'decimal(6,2)',
    timestamp: 'timestamp', date: 'date', uuid: 'uuid', 'in.side': 'int?', 'in.must': 'text', 'no.thing': 'int | null', maybe: 'json?',
  })
  const value = {
    text: 'a\0é', int: -7, int64: 2n ** 62n, real: 0.1, bool: true, bytes: Uint8Array.of(0, 255), json: { b: [1, null], a: 'x' },
    decimal: '-12.5', timestamp: 1_700_000_000_000_001, date: '2024-02-29', uuid: '00000000-0000-4000-8000-00000000000a',
    in: { must: '' }, no: { thing: null },
  }

  it('is kept in one cell for each column', () => {
    expect(columns.toCells(value)).toEqual([
      'a\0é', -7, 2n ** 62n, 0.1, 1, Uint8Array.of(0, 255), '{"a":"x","b":[1,null]}', '-12.5', 1_700_000_000_000_001, '2024-02-29',
      '00000000-0000-4000-8000-00000000000a', null, '', null, null,
    ])
  })

  it('comes back from them, int64 as a bigint always', () => {
    expect(columns.fromCells(columns.toCells(value))).toEqual(value)
    expect(columns.fromCells(columns.toCells({ ...value, int64: 5 }))).toEqual({ ...value, int64: 5n })
    expect(columns.fromCells(columns.toCells({ ...value, maybe: null }))).toEqual({ ...value, maybe: null })
  })

  it('has its canonical bytes written without being built, digits of an int64 as text included', () => {
    const cells = columns.toCells(value)
    expect(bytesOf(columns, cells)).toBe(hex(encode(value)))
    expect(bytesOf(columns, cells.map((cell) => (typeof cell === 'bigint' ? String(cell) : cell)))).toBe(hex(encode(value)))
  })

  const unfit: [string, Value][] = [
    ['text', 5], ['text', '\ud800'], ['int', 1.5], ['int', 2 ** 53], ['int', '1'], ['int64', 2n ** 63n], ['int64', 0.5], ['real', '1'],
    ['real', 2n ** 60n], ['bool', 1], ['bytes', 'x'], ['json', [Uint8Array.of(1)]], ['decimal', '1.50'], ['decimal', '1.234'],
    ['decimal', '12345'], ['decimal', '1e3'], ['decimal', 1], ['timestamp', 0.5], ['timestamp', '2024-01-01T00:00:00Z'],
    ['date', '2023-02-29'], ['uuid', '00000000-0000-4000-8000-00000000000A'], ['int', null], ['text', null], ['maybe', Uint8Array.of(1)],
  ]
  it.each(unfit)('with %s: %s is VALUE_INVALID with its path', (name, item) => {
    const refusal = withCode('VALUE_INVALID', { path: `$.${name}` })
    expect(() => columns.toCells({ ...value, [name]: item })).toThrow(refusal)
    expect(() => columns.check({ ...value, [name]: item })).toThrow(refusal)
  })

  it('without a required field, or that is no object, is VALUE_INVALID', () => {
    const { int: _int, ...without } = value
    expect(() => columns.check(without)).toThrow(withCode('VALUE_INVALID', { path: '$.int', fix: expect.stringContaining("'int?'") }))
    expect(() => columns.check({ ...value, in: {} })).toThrow(withCode('VALUE_INVALID', { path: '$.in.must' }))
    expect(() => columns.check({ ...value, in: 5 })).toThrow(withCode('VALUE_INVALID', { path: '$.in' }))
    expect(() => columns.check({ ...value, no: {} })).toThrow(withCode('VALUE_INVALID', { path: '$.no.thing' }))
    for (const item of [null, 5, 'x', [], Uint8Array.of(1)]) expect(() => columns.check(item)).toThrow(withCode('VALUE_INVALID', { path: '$' }))
  })

  it('with a field that has no column is COLUMN_UNKNOWN with its path', () => {
    expect(() => columns.check({ ...value, extra: 1 })).toThrow(withCode('COLUMN_UNKNOWN', { path: '$.extra' }))
    expect(() => columns.check({ ...value, in: { must: '', more: 1 } })).toThrow(withCode('COLUMN_UNKNOWN', { path: '$.in.more' }))
    const open = compile({ 'a.b': 'int', '...': 'json' })
    expect(open.toCells({ a: { b: 1 }, y: 2n ** 60n, x: [1] })).toEqual([1, `{"x":[1],"y":${2n ** 60n}}`])
    expect(() => open.check({ a: { b: 1, c: 2 } })).toThrow(withCode('COLUMN_UNKNOWN', { path: '$.a.c' }))
    expect(() => open.check({ a: { b: 1 }, x: [Uint8Array.of(1)] })).toThrow(withCode('VALUE_INVALID'))
  })
})

const text = fc.string({ unit: 'binary', maxLength: 40 })
const name = fc.oneof(fc.string({ unit: 'binary', maxLength: 8 }), fc.nat(300).map(String)).filter((key) => key !== '__proto__')
const wide = fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n })
const number = fc.oneof(fc.double(), fc.maxSafeInteger(), fc.constantFrom(-0, 2 ** 53, 2 ** 63, -(2 ** 64), 1e300, Number.MIN_VALUE))
const plain = fc.oneof(text, number, wide, fc.boolean(), fc.constant(null), fc.uint8Array({ maxLength: 5 }))
const nested = fc.oneof(plain, fc.dictionary(name, plain, { maxKeys: 4 }), fc.array(plain, { maxLength: 4 }))
const form = fc.oneof(
  fc.uuid(), fc.date({ noInvalidDate: true }).map((date) => date.toISOString().slice(0, 10)), fc.constantFrom('0', '-0', '1.5', '-1.50', '99999.9', '0.01', '.5', '1.'),
)

describe('round trip', () => {
  const kinds = ['text', 'int', 'int64', 'real', 'bool', 'bytes', 'json', 'decimal(6,2)', 'timestamp', 'date', 'uuid'] as const
  const anything = fc.oneof(nested, form)

  it('gives back the canonical bytes of any value, of any type, or refuses the value', () => {
    let kept = 0
    fc.assert(fc.property(fc.constantFrom(...kinds), fc.constantFrom('', '?', ' | null'), anything, (kind, suffix, item) => {
      const columns = compile({ x: `${kind}${suffix}`, 'o.must': 'bool' })
      for (const field of [{}, { x: item }]) {
        const value = { ...field, o: { must: true } } as Value
        let expected: string
        try {
          expected = hex(encode(value))
        } catch {
          continue
        }
        let cells: Cell[]
        try {
          cells = columns.toCells(value)
        } catch (error) {
          expect(isRehydrateError(error) && error.code).toBe('VALUE_INVALID')
          expect(() => columns.check(value)).toThrow(withCode('VALUE_INVALID'))
          continue
        }
        kept++
        columns.check(value)
        expect(bytesOf(columns, cells)).toBe(expected)
        expect(hex(encode(columns.fromCells(cells)))).toBe(expected)
      }
    }), { numRuns: 3_000 })
    expect(kept).toBeGreaterThan(1_000)
  })

  it('holds for objects of any names, declared or not', () => {
    const columns = compile({ 1: 'int?', b: 'json?', 'in.a': 'int', 'in.zz': 'text?', éé: 'real?', '...': 'json' })
    const own = fc.record({ 1: fc.integer(), b: nested, éé: number }, { requiredKeys: [] })
    fc.assert(fc.property(own, fc.dictionary(name, nested, { maxKeys: 6 }), fc.option(text, { nil: undefined }), (declared, others, zz) => {
      let value: Value
      try {
        const { in: _in, ...rest } = others
        value = normalise({ ...rest, ...declared, in: { a: 1, zz } })
        columns.check(value)
      } catch (error) {
        expect(isRehydrateError(error) && error.code).toBe('VALUE_INVALID')
        return
      }
      const cells = columns.toCells(value)
      expect(bytesOf(columns, cells)).toBe(hex(encode(value)))
      expect(hex(encode(columns.fromCells(cells)))).toBe(hex(encode(value)))
    }), { numRuns: 1_000 })
  })

  it('is refused for every cell that no value has, so that a changed cell is seen', () => {
    const cells: [string, Cell][] = [
      ['text', 5], ['int', 1.5], ['int', 2 ** 53], ['int', -0], ['int', 'x'], ['int64', 5], ['int64', 'x'], ['int64', String(2n ** 63n)], ['real', 'x'],
      ['real', -0], ['bool', 2], ['bool', 'true'], ['bytes', 'x'], ['json', 'x'], ['json', '{"a": 1}'], ['json', '{"bb":1,"a":2}'], ['json', '1.0'],
      ['json', '{"a":1,"a":1}'], ['json', 5],
      ['json', `${'['.repeat(100_000)}${']'.repeat(100_000)}`], ['decimal(6,2)', '1.50'], ['decimal(6,2)', '+1'], ['decimal(6,2)', '12345'], ['timestamp', 0.5],
      ['date', '2023-02-29'], ['uuid', '0'], ['int', null], ['json', null],
    ]
    for (const [type, cell] of cells) {
      expect(() => bytesOf(compile({ a: type }), [cell]), `${type} ${String(cell).slice(0, 40)}`).toThrow(withCode('VALUE_INVALID', { path: '$.a' }))
    }
    const open = compile({ a: 'int', '...': 'json' })
    for (const rest of ['{}', '[]', '5', '{"a":1}', '{"b": 1}', 5]) expect(() => bytesOf(open, [1, rest])).toThrow(withCode('VALUE_INVALID'))
  })
})

describe('tables of another program', () => {
  const read = (declaration: unknown, cell: Cell): Value => {
    const foreign = compileForeign('tables.a.columns', { x: declaration as ForeignColumnDeclaration })
    const writer = new CanonicalWriter(16)
    foreign.encodeRow([cell], writer)
    return (decode(writer.bytes.subarray(0, writer.length)) as { x: Value }).x
  }
  const at = 1_704_067_200_123_456

  const forms: [unknown, Cell, Value][] = [
    ['text', ' a  ', ' a  '], [{ type: 'text', trim: 'end' }, ' a  ', ' a'], ['int', 5, 5], ['int64', '9223372036854775807', 2n ** 63n - 1n],
    ['int64', '5', 5], ['real', 0.5, 0.5], ['real', 1e20, 1e20], ['bool', 0, false], ['bool', 't', true], ['bool', 'false', false],
    ['bytes', Uint8Array.of(1), Uint8Array.of(1)], ['bytes', '\\xff00', Uint8Array.of(255, 0)], ['json', '{ "b": 1.0, "a": [2] }', { b: 1, a: [2] }],
    ['decimal(6,2)', '+01.50', '1.5'], ['decimal(20,0)', '9007199254740993', '9007199254740993'], ['decimal(6,2)', 7, '7'],
    [{ type: 'timestamp', unit: 'us' }, at, at], [{ type: 'timestamp', unit: 'ms' }, 1_704_067_200_123.456, at],
    [{ type: 'timestamp', unit: 's' }, 1_704_067_200.123456, at], [{ type: 'timestamp', unit: 's' }, -1, -1_000_000],
    ['timestamp', '2024-01-01T00:00:00.123456Z', at], ['timestamp', '2024-01-01 02:00:00.123456+02:00', at],
    [{ type: 'timestamp', zone: 'UTC' }, '2024-01-01 00:00:00.123456', at], [{ type: 'timestamp', zone: '+02:00' }, '2024-01-01T02:00:00.123456', at],
    [{ type: 'timestamp', zone: '+02:00' }, '2024-01-01T00:00:00.123456Z', at], ['date', '2024-02-29', '2024-02-29'],
    ['uuid', '{00000000-0000-4000-8000-00000000000A}', '00000000-0000-4000-8000-00000000000a'],
    ['uuid', Buffer.from('0000000000004000800000000000000a', 'hex'), '00000000-0000-4000-8000-00000000000a'],
    ['stored', 5, 5], ['stored', 'x', 'x'], ['stored', 0.5, 0.5], ['stored', Uint8Array.of(1), Uint8Array.of(1)],
    ['int | null', null, null],
  ]
  it.each(forms)('%j reads %s as %s', (declaration, cell, value) => expect(read(declaration, cell)).toEqual(value))

  it.each(['int?', 'stored', { type: 'text', null: 'absent' }])('%j: NULL is an absent field', (declaration) => {
    expect(read(declaration, null)).toBe(undefined)
  })

  const refusedCells: [unknown, Cell, string][] = [
    ['int', 2 ** 53, 'NUMBER_INEXACT'], ['stored', -(2 ** 60), 'NUMBER_INEXACT'], ['real', 2 ** 62, 'NUMBER_INEXACT'], ['int64', 2 ** 53, 'NUMBER_INEXACT'],
    ['int', 1.5, 'VALUE_INVALID'], ['int', '1', 'VALUE_INVALID'], ['int64', '1.5', 'VALUE_INVALID'], ['bool', 2, 'VALUE_INVALID'], ['bool', 'yes', 'VALUE_INVALID'],
    ['bytes', 'xyz', 'VALUE_INVALID'], ['json', '{', 'VALUE_INVALID'], ['decimal(6,2)', 0.1, 'VALUE_INVALID'], ['decimal(6,2)', '1.234', 'VALUE_INVALID'],
    ['timestamp', 5, 'VALUE_INVALID'], [{ type: 'timestamp', unit: 's' }, 0.00000001, 'VALUE_INVALID'], ['timestamp', '2024-01-01 00:00:00', 'VALUE_INVALID'],
    ['timestamp', '2024-01-01', 'VALUE_INVALID'], ['date', '2024-01-01 00:00:00', 'VALUE_INVALID'], ['date', 19_000, 'VALUE_INVALID'], ['uuid', Uint8Array.of(1), 'VALUE_INVALID'],
    ['int', null, 'VALUE_INVALID'], ['text', 5, 'VALUE_INVALID'], [{ type: 'timestamp', unit: 's' }, 1e15, 'VALUE_INVALID'],
  ]
  it.each(refusedCells)('%j refuses %s with %s and the path', (declaration, cell, code) => {
    expect(() => read(declaration, cell)).toThrow(withCode(code, { path: '$.x' }))
  })

  it('has for each field its source, and how integers are to be read', () => {
    const { columns } = compileForeign('x', { 'a.b': 'int', 'a.c': { type: 'int64', column: 'C d' }, e: { type: 'decimal(3,1)', sql: 'f * 2' } })
    expect(columns).toEqual([
      { path: 'a.b', source: { column: 'a_b' }, readAs: 'plain' }, { path: 'a.c', source: { column: 'C d' }, readAs: 'text' },
      { path: 'e', source: { sql: 'f * 2' }, readAs: 'text' },
    ])
  })

  it.each<[unknown, RegExp]>([
    [{ type: 'int', unit: 's' }, /unit is for columns of type timestamp/], [{ type: 'timestamp', unit: 'min' }, /'s', 'ms' or 'us'/],
    [{ type: 'timestamp', zone: 'CET' }, /'UTC' or an offset/], [{ type: 'text', trim: 'both' }, /'end'/],
    [{ type: 'text', sql: 'a', column: 'b' }, /not from both/], [{ type: 'text', sql: ' ' }, /expression/],
  ])('%j is CONFIG_INVALID', (declaration, message) => {
    const refusal = { code: 'CONFIG_INVALID', message: expect.stringMatching(message) }
    expect(() => compileForeign('x', { x: declaration as never })).toThrow(expect.objectContaining(refusal))
    expect(() => compileForeign('x', { '...': 'json' })).toThrow(withCode('CONFIG_INVALID', { path: '...' }))
  })
})
