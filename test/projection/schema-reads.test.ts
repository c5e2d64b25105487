import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore } from '../../adapters/memory/index.js'
import { defineProjection, openState, type RehydrateError } from '../../src/index.js'
import { compileReads } from '../../src/value/reads.js'
import { runIn, worldOf } from '../support/worlds.js'

type Told = StandardSchemaV1<any, any> & StandardJSONSchemaV1<any, any>

/** A schema that tells its fields as zod and arktype do. */
function told(json: object | (() => never), schema: StandardSchemaV1<any, any> = v.any()): Told {
  const input = (): Record<string, unknown> => (typeof json === 'function' ? json() : json as Record<string, unknown>)
  return { '~standard': { ...schema['~standard'], jsonSchema: { input, output: input } } } as Told
}

const projectionOf = (schema: StandardSchemaV1<any, any> | undefined, more: object = {}) => defineProjection({
  name: 'orders', version: 1, collections: { orders: {} }, reads: 'schema', events: schema === undefined ? {} : { Placed: { schema } },
  on: { Placed: (state: any, event: any) => state.orders.put(event.key, event.data) }, ...more,
} as any)

const readsOf = (json: object): readonly string[] | undefined => projectionOf(told(json)).types.get('Placed')?.reads?.paths
const text = { type: 'string' }

describe("reads: 'schema'", () => {
  test.each<[string, object, readonly string[]]>([
    ['fields', { type: 'object', properties: { amount: { type: 'number' }, note: text }, required: ['amount'] }, ['amount', 'note']],
    ['objects and arrays', {
      properties: { customer: { properties: { id: text } }, items: { type: 'array', items: { properties: { sku: text, tax: { type: 'array', items: text } } } } },
    }, ['customer.id', 'items[].sku', 'items[].tax']],
    ['what may be null', { properties: { customer: { anyOf: [{ properties: { id: text } }, { type: 'null' }] }, note: { type: ['string', 'null'] } } }, ['customer.id', 'note']],
    ['one of several', { oneOf: [{ properties: { a: { const: 1 }, b: text } }, { properties: { a: { const: 2 }, c: { properties: { d: {} } } } }] }, ['a', 'b', 'c.d']],
    ['all of several', { allOf: [{ properties: { a: text } }, { properties: { b: text } }] }, ['a', 'b']],
    ['what is referred to', { properties: { at: { $ref: '#/$defs/A~1B' } }, $defs: { 'A/B': { properties: { city: text } } } }, ['at.city']],
    ['whole what holds itself', { $ref: '#/$defs/Node', $defs: { Node: { properties: { n: text, next: { $ref: '#/$defs/Node' } } } } }, ['n', 'next']],
    ['whole what may have any names', {
      properties: { tags: { type: 'object', additionalProperties: text }, strict: { properties: { a: text }, additionalProperties: false } },
    }, ['strict', 'tags']],
    ['whole what is any value, a tuple or has odd names', {
      properties: { any: {}, pair: { prefixItems: [text] }, odd: { properties: { 'a.b': text } }, gone: { $ref: '#/no' } },
    }, ['any', 'gone', 'odd', 'pair']],
  ])('takes %s', (_, json, paths) => {
    expect(readsOf(json)).toEqual(paths)
    expect(compileReads(paths, 'Placed').paths).toEqual(paths)
  })

  test.each<[string, StandardSchemaV1<any, any> | undefined, object, RegExp]>([
    ['there is no schema', undefined, {}, /has no schema/],
    ['its library does not tell', v.object({ a: v.string() }), {}, /does not tell its fields/],
    ['it can not be told', told(() => { throw new Error('bigint') }), {}, /bigint/],
    ['it looks at all names', told({ properties: { a: text }, additionalProperties: false }), {}, /all of the data/],
    ['the data is no object', told({ type: 'array', items: { properties: { a: text } } }), {}, /all of the data/],
    ['upcasters see the data first', told({ properties: { a: text } }), { upcasters: { Placed: { 1: (data: unknown) => data } } }, /upcasters/],
  ])('is CONFIG_INVALID where %s', (_, schema, more, message) => {
    let error: Partial<RehydrateError> = {}
    try {
      projectionOf(schema, more)
    } catch (thrown) {
      error = thrown as RehydrateError
    }
    expect([error.code, error.message]).toEqual(['CONFIG_INVALID', expect.stringMatching(message)])
    expect(error.message).toContain('Placed')
  })

  test('reads what the schema reads, and names what it looks at besides', async () => {
    const json = { properties: { amount: { type: 'number' } } }
    const fold = async (schema: StandardSchemaV1<any, any>): Promise<unknown> => {
      const store = memoryStore()
      const projection = projectionOf(told(json, schema))
      await runIn(worldOf(1), { source: memoryLog({ partitions: { 'p/0': [{ type: 'Placed', key: 'k', data: { amount: 5, note: 'n' } }] } }), projection, store })
      const state = await openState(store, { projection })
      const value = await state.get('orders', 'k')
      await state.close()
      return value
    }
    expect(await fold(v.object({ amount: v.number() }))).toEqual({ amount: 5 })
    await expect(fold(v.object({ amount: v.number(), note: v.string() }))).rejects.toMatchObject({ code: 'FIELD_NOT_DECLARED', details: { path: '$.note' } })
  })
})
