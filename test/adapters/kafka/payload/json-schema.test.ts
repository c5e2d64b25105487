import { describe, expect, test } from 'vitest'
import { stepsOf } from '../../../../adapters/kafka/payload/has-path.js'
import { JsonShape } from '../../../../adapters/kafka/payload/json-schema.js'
import { EventReader } from '../../../../adapters/kafka/event.js'
import { EventReaders } from '../../../../adapters/kafka/payload/readers.js'
import type { RegisteredSchema, SchemaStore } from '../../../../adapters/kafka/payload/registry.js'
import { failureOf } from '../../../support/worlds.js'

type Named = RegisteredSchema['references'][number]

const registered = (schema: unknown, references: readonly Named[] = []): RegisteredSchema =>
  ({ schemaType: 'JSON', schema: typeof schema === 'string' ? schema : JSON.stringify(schema), references })
const closed = (properties: object, more: object = {}): object => ({ type: 'object', properties, additionalProperties: false, ...more })
const has = (schema: unknown, path: string, references: readonly Named[] = []): boolean =>
  new JsonShape(registered(schema, references)).has(stepsOf(path))

const ANY = {}
const ORDER = closed({
  id: { type: 'string' }, city: { $ref: '#/$defs/city' }, lines: { type: 'array', items: closed({ sku: { type: 'string' } }) }, note: ANY,
}, { $defs: { city: closed({ name: { type: ['string', 'null'] } }) } })

describe('where a JSON Schema has fields', () => {
  test.each<[string, boolean]>([
    ['id', true], ['city.name', true], ['lines[].sku', true], ['note', true], ['note.anything[].at.all', true], ['lines', true], ['lines[]', true],
    ['total', false], ['city.zip', false], ['lines[].count', false], ['id.part', false], ['id[]', false], ['city[]', false], ['constructor', false],
  ])('closed objects have what they name, and nothing else: %s %s', (path, expected) => {
    expect(has(ORDER, path)).toBe(expected)
  })

  test.each<[string, unknown, string, boolean]>([
    ['an open object has any', { type: 'object', properties: { a: ANY } }, 'b', true],
    ['others of one schema are as that says', { additionalProperties: closed({ x: ANY }) }, 'any.y', false],
    ['others by a pattern may be any', closed({}, { patternProperties: { '^x': ANY } }), 'b', true],
    ['false has nothing', closed({ a: false }), 'a', false],
    ['true has all', true, 'a.b', true],
    ['allOf: each must have it', { allOf: [ANY, closed({ a: ANY })] }, 'b', false],
    ['anyOf: one must', { anyOf: [{ type: 'null' }, closed({ a: ANY })] }, 'a', true],
    ['oneOf: none has it', { oneOf: [{ type: 'null' }, closed({ a: ANY })] }, 'b', false],
    ['a tuple has what one of its places has', closed({ t: { type: 'array', items: [closed({ a: ANY }), closed({ b: ANY })], additionalItems: false } }), 't[].b', true],
    ['a tuple that ends', closed({ t: { type: 'array', prefixItems: [closed({ a: ANY })], items: false } }), 't[].b', false],
    ['a tuple that goes on', closed({ t: { type: 'array', prefixItems: [closed({ a: ANY })] } }), 't[].b', true],
    ['an object or an array is in doubt', { type: ['object', 'array'], additionalProperties: false }, 'a', true],
    ['what is not understood is in doubt', { not: {}, if: {}, dependentSchemas: {} }, 'a', true],
    ['a reference to nowhere is in doubt', { $ref: '#/$defs/none' }, 'a', true],
    ['a reference to elsewhere is in doubt', { $ref: 'https://example.com/x.json' }, 'a', true],
    ['a pointer that is none is in doubt', { $ref: '#%zz' }, 'a', true],
    ['a reference that leads to itself is in doubt', { $ref: '#' }, 'a', true],
    ['a tree of references that never ends is in doubt', { $defs: { t: { allOf: [{ $ref: '#/$defs/t' }, { $ref: '#/$defs/t' }] } }, $ref: '#/$defs/t' }, 'a', true],
    ['within an id of its own a reference is in doubt', closed({ a: { $id: 'x', $ref: '#/$defs/c' } }, { $defs: { c: closed({}) } }), 'a.b', true],
    ['so it is within an id of draft 4', closed({ a: { id: 'x', allOf: [{ $ref: '#/definitions/c' }] } }, { definitions: { c: closed({}) } }), 'a.b', true],
    ['and behind a pointer through such an id', closed({ a: { $ref: '#/$defs/o/properties/p' } }, {
      $defs: { c: closed({}), o: { $id: 'o', properties: { p: { $ref: '#/$defs/c' } }, $defs: { c: ANY } } },
    }), 'a.b', true],
    ['a property that is called id is none', closed({ a: { $ref: '#/properties/b' }, b: closed({ id: ANY }) }), 'a.c', false],
    ['text that is no JSON is in doubt', '{', 'a', true],
    ['an envelope has what its data has', closed({ type: ANY, data: closed({ a: ANY }) }), 'a', true],
    ['an envelope without it', closed({ type: ANY, data: closed({ a: ANY }) }), 'b', false],
  ])('%s', (_what, schema, path, expected) => {
    expect(has(schema, path)).toBe(expected)
  })

  test('goes through the schemas that it refers to by name', () => {
    const city = { ...registered(closed({ name: ANY }, { definitions: { 'a/b~c': closed({ x: ANY }) } })), name: 'city.json' }
    const order = closed({ city: { $ref: 'city.json' }, part: { $ref: 'city.json#/definitions/a~1b~0c' } })
    expect([has(order, 'city.name', [city]), has(order, 'city.zip', [city]), has(order, 'city.zip')]).toEqual([true, false, true])
    expect([has(order, 'part.x', [city]), has(order, 'part.y', [city])]).toEqual([true, false])
  })
})

describe('declared fields that JSON Schemas do not have', () => {
  const AVRO: RegisteredSchema = { schemaType: 'AVRO', schema: '{"type":"record","name":"Paid","fields":[]}', references: [] }
  const one = registered(closed({ a: ANY }))
  const other = registered(closed({ b: ANY }))

  function lacking(bySubject: Readonly<Record<string, readonly RegisteredSchema[]>>, topics: readonly string[], more: object = {}) {
    const registry: SchemaStore = {
      schema: async () => null, close: () => {}, schemasOf: async (subjects) => subjects.flatMap((subject) => bySubject[subject] ?? []),
    }
    return new EventReaders({ event: {}, payload: 'json', registry, ...more }).lacking(topics, 'Ordered', ['a', 'b', 'c'])
  }

  test('are those that no version of any of them has, of whatever type it may be', async () => {
    expect(await lacking({ 'orders-value': [one, other] }, ['orders'])).toEqual(['c'])
    expect(await lacking({ 'orders-Ordered': [one] }, ['orders'])).toEqual(['b', 'c'])
    expect(await lacking({ Ordered: [one] }, ['orders', 'more'])).toEqual(['b', 'c'])
  })

  test('are not told where a topic has no schemas, or others too, nor of CloudEvents or mapped data', async () => {
    expect(await lacking({}, ['orders'])).toEqual([])
    expect(await lacking({ 'orders-value': [one] }, ['orders', 'more'])).toEqual([])
    expect(await lacking({ 'orders-value': [one, AVRO] }, ['orders'])).toEqual([])
    expect(await lacking({ 'orders-value': [one] }, ['orders'], { payload: 'cloudevents' })).toEqual([])
    expect(await lacking({ 'orders-value': [one] }, ['orders'], { event: { data: { field: 'x' } } })).toEqual([])
  })
})

test('a value of a JSON Schema that is no JSON is refused with its place; what the schema says of JSON is not judged', async () => {
  const schemas = new Map([[7, { id: 7, hash: '', kind: 'json' } as const]])
  const reader = new EventReader('orders', 3, { type: { topic: true } }, { value: 'json', key: 'utf8', schemas })
  const eventOf = (text: string | Buffer) =>
    reader.event({ offset: 41, timestampMs: 1, key: null, value: Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), Buffer.from(text)]), headers: [] })
  expect(eventOf('{"any":1}').data).toEqual({ any: 1 })
  for (const text of ['', '{"a":', 'nothing', '{"a":1} {}', Buffer.from([0x22, 0xff, 0x22])]) {
    const error = await failureOf((async () => eventOf(text))())
    expect([error.details.partition, error.details.offset, error.exitCode]).toEqual(['orders/3', 41, expect.any(Number)])
    expect(['EVENT_INVALID', 'EVENT_SHAPE_UNKNOWN']).toContain(error.code)
  }
})
