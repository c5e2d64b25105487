import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, defineProjection, encode, type Projection, type RowSide, type Value } from '../../src/index.js'
import { digestOfLines } from '../../src/digest/dump.js'
import { ndjsonDump } from '../../src/verify/dump.js'
import { stringifyJson } from '../../src/value/json.js'
import { failureOf } from '../support/worlds.js'

const projectionOf = (collections: Record<string, object>): Projection =>
  defineProjection({ name: 'p', version: 1, collections, keys: { T: () => [] }, on: { T: () => {} } })
const BOTH = projectionOf({ airports: {}, routes: {} })
const ONE = projectionOf({ airports: {} })

function dumpOf(lines: readonly string[], projection = BOTH, position?: { at: string }): Promise<RowSide> {
  const given = async function* (): AsyncGenerator<string> { yield* lines }
  const against = ndjsonDump({ name: 'dump.ndjson', lines: given, ...(position !== undefined && { position }) })
  return against.open({ projection, signal: new AbortController().signal }) as Promise<RowSide>
}

async function rowsOf(side: RowSide, collection: string): Promise<Record<string, Value>> {
  const rows: Record<string, Value> = {}
  for await (const { keys, bytes, ends } of side.scan(collection)) {
    keys.forEach((key, i) => (rows[key] = decode(bytes.subarray(ends[i - 1] ?? 0, ends[i]))))
  }
  return rows
}

describe('a dump', () => {
  test('is read per collection, from lines in any order, over blocks', async () => {
    const lines = Array.from({ length: 5_000 }, (_, i) =>
      `{"key":"k${i}","collection":"${i % 3 === 0 ? 'routes' : 'airports'}","value":{"i":${i}},"more":1}`)
    const side = await dumpOf(lines)
    expect([...side.collections]).toEqual([['airports', { omitted: [] }], ['routes', { omitted: [] }]])
    const [airports, routes] = [await rowsOf(side, 'airports'), await rowsOf(side, 'routes')]
    expect([Object.keys(airports).length, Object.keys(routes).length]).toEqual([3_333, 1_667])
    expect([airports['k1'], routes['k3']]).toEqual([{ i: 1 }, { i: 3 }])
    expect([...(await side.values('routes', ['k3', 'k1', 'nope', 'k4998']))].map(([key, bytes]) => [key, decode(bytes)]))
      .toEqual([['k3', { i: 3 }], ['k4998', { i: 4_998 }]])
    expect((await side.values('routes', [])).size).toBe(0)
    await side.close()
  })

  test('stands where a person says, or nowhere', async () => {
    expect((await dumpOf([])).standing).toBeNull()
    expect((await dumpOf([], BOTH, { at: 'a@1,b@2' })).standing).toEqual({ position: new Map([['a', 1], ['b', 2]]), known: 'asserted' })
    expect(await failureOf((async () => dumpOf([], BOTH, { at: 'x' }))())).toMatchObject({ code: 'USAGE' })
    expect(() => ndjsonDump({ name: 'x', line: 1 } as never)).toThrow(/Did you mean lines/)
  })

  test('whose lines name no collection is of the only one', async () => {
    expect(await rowsOf(await dumpOf(['{"key":"a","value":1}', '{"key":"b","collection":"airports","value":2}'], ONE), 'airports')).toEqual({ a: 1, b: 2 })
    expect(await rowsOf(await dumpOf(['{"key":"a","value":1}'], projectionOf({ default: {}, airports: {} })), 'default')).toEqual({ a: 1 })
    expect(await failureOf(rowsOf(await dumpOf(['{"key":"a","value":1}']), 'airports'))).toMatchObject({ code: 'CONFIG_INVALID', details: { line: 1 } })
  })

  test('with a collection that the projection does not have is refused, not passed over', async () => {
    const side = await dumpOf(['{"key":"a","collection":"airports","value":1}', '{"key":"a","collection":"airport","value":1}'])
    expect(await failureOf(rowsOf(side, 'routes'))).toMatchObject({
      code: 'CONFIG_INVALID', message: expect.stringContaining('Did you mean airports?'), details: { file: 'dump.ndjson', line: 2, collection: 'airport', key: 'a' },
    })
  })

  test('names file and line of what is no line of a dump', async () => {
    const wrong: Record<string, string> = {
      '{': 'VALUE_INVALID', '[]': 'VALUE_INVALID', '{"key":5,"value":1}': 'VALUE_INVALID', '{"key":"a"}': 'VALUE_INVALID', '{"key":"","value":1}': 'KEY_INVALID',
      '{"key":"a","value":1e999}': 'NUMBER_INEXACT', '{"key":"a","value":99999999999999999999}': 'NUMBER_INEXACT', '{"key":"a","value":"\\ud800"}': 'VALUE_INVALID',
    }
    for (const [line, code] of Object.entries(wrong)) {
      const side = await dumpOf(['{"key":"x","value":1}', line], ONE)
      expect(await failureOf(rowsOf(side, 'airports')), line).toMatchObject({
        code, message: expect.stringMatching(/^dump\.ndjson: .*[Ll]ine 2/), details: { file: 'dump.ndjson', line: 2 },
      })
    }
  })

  test('holds bytes where the projection declares them, as base64; other text stays text', async () => {
    const projection = projectionOf({ things: { columns: { blob: 'bytes?', 'in.blob': 'bytes', text: 'text' } } })
    const side = await dumpOf(['{"key":"a","value":{"blob":"AP8=","in":{"blob":""},"text":"AP8="}}', '{"key":"b","value":{"in":{"blob":"AA=="},"text":""}}'], projection)
    expect(await rowsOf(side, 'things')).toEqual({
      a: { blob: new Uint8Array([0, 255]), in: { blob: new Uint8Array() }, text: 'AP8=' }, b: { in: { blob: new Uint8Array([0]) }, text: '' },
    })
    const wrong = await dumpOf(['{"key":"a","value":{"in":{"blob":"no base64!"},"text":""}}'], projection)
    expect(await failureOf(rowsOf(wrong, 'things'))).toMatchObject({ code: 'VALUE_INVALID', details: { line: 1, key: 'a', path: '$.in.blob' } })
  })

  test('gives the bytes that its digest is made of, for any state', async () => {
    const value = fc.oneof(fc.jsonValue().filter((one) => isExact(one)), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n })) as fc.Arbitrary<Value>
    const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 9 })
    await fc.assert(fc.asyncProperty(fc.dictionary(key, value, { noNullPrototype: true }), async (state) => {
      const lines = Object.entries(state).map(([name, item]) => `{"collection":"airports","key":${JSON.stringify(name)},"value":${stringifyJson(item)}}`)
      const side = await dumpOf(lines)
      const keys = Object.keys(state)
      const values = await side.values('airports', keys)
      expect(keys.map((name) => Buffer.from(values.get(name)!))).toEqual(keys.map((name) => Buffer.from(encode(state[name]!))))
      expect((await digestOfLines(lines)).collections.get('airports')?.count ?? 0).toBe(keys.length)
    }))
  })

  test('is mended by the lines it should have', async () => {
    const side = await dumpOf([])
    const lines = side.mend!([
      { collection: 'airports', key: 'a"b', should: encode({ n: 2n ** 60n, x: 1e300 }), is: null },
      { collection: 'routes', key: 'gone', should: null, is: encode(1) },
    ])
    expect(lines).toEqual(['{"collection":"airports","key":"a\\"b","value":{"n":1152921504606846976,"x":1e+300}}', '{"collection":"routes","key":"gone","absent":true}'])
    expect(await rowsOf(await dumpOf(lines.slice(0, 1)), 'airports')).toEqual({ 'a"b': { n: 2n ** 60n, x: 1e300 } })
  })

  test('ends when it is aborted', async () => {
    const abort = new AbortController()
    const lines = async function* (): AsyncGenerator<string> { for (let i = 0; ; i++) yield `{"key":"k${i}","value":1}` }
    const side = (await ndjsonDump({ name: 'endless', lines }).open({ projection: ONE, signal: abort.signal })) as RowSide
    await expect((async () => { for await (const _block of side.scan('airports')) abort.abort(new Error('enough')) })()).rejects.toThrow('enough')
  })
})

/** fast-check's numbers reach beyond what a state can hold. */
function isExact(value: unknown): boolean {
  try {
    encode(JSON.parse(stringifyJson(value as Value)) as Value)
    return !/__proto__|\d{16}/.test(JSON.stringify(value))
  } catch {
    return false
  }
}
