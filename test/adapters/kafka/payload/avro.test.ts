import avro from 'avsc'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isRehydrateError } from '../../../../src/index.js'
import { failureOf } from '../../../support/worlds.js'
import { eventWith, PaperRegistry, wired } from './readings.js'

const MAPPING = { type: { topic: true } } as const

/** Longs as bigints, exactly. */
const long = avro.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(value)
    return bytes
  },
  fromJSON: BigInt, toJSON: Number, isValid: (value: unknown) => typeof value === 'bigint', compare: () => 0,
} as never)

function encoded(schema: unknown, value: unknown): Buffer {
  return avro.Type.forSchema(schema as avro.Schema, { registry: { long }, wrapUnions: 'never' } as never).toBuffer(value)
}

async function dataOf(schema: unknown, bytes: Uint8Array): Promise<unknown> {
  const reader = await new PaperRegistry().add(7, 'AVRO', JSON.stringify(schema)).reader([7], MAPPING)
  return eventWith(reader, { value: wired(7, bytes) }).data as unknown
}

const plain = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value)

/** A schema, a value for avsc and what our event has to hold. */
interface Sample {
  readonly schema: unknown
  readonly values: fc.Arbitrary<{ readonly given: unknown; readonly data: unknown }>
}

let names = 0
const same = (schema: unknown, values: fc.Arbitrary<unknown>): Sample => ({ schema, values: values.map((value) => ({ given: value, data: value })) })
const leaves: readonly (() => Sample)[] = [
  () => same('boolean', fc.boolean()),
  () => same('int', fc.integer()),
  () => ({ schema: 'long', values: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => ({ given: value, data: plain(value) })) }),
  () => ({ schema: 'long', values: fc.maxSafeInteger().map((value) => ({ given: BigInt(value), data: value })) }),
  () => same('double', fc.double({ noNaN: true })),
  () => same('string', fc.string({ unit: 'grapheme' })),
  () => ({ schema: 'bytes', values: fc.uint8Array().map((bytes) => ({ given: Buffer.from(bytes), data: new Uint8Array(bytes) })) }),
  () => same({ type: 'enum', name: `E${++names}`, symbols: ['A', 'B', 'C'] }, fc.constantFrom('A', 'B', 'C')),
  () => ({
    schema: { type: 'fixed', name: `F${++names}`, size: 3 },
    values: fc.uint8Array({ minLength: 3, maxLength: 3 }).map((bytes) => ({ given: Buffer.from(bytes), data: new Uint8Array(bytes) })),
  }),
  () => same(['null', 'string'], fc.option(fc.string())),
]

function listOf(item: Sample, isMap: boolean): Sample {
  if (!isMap) {
    const values = fc.array(item.values, { maxLength: 6 }).map((items) => ({ given: items.map(({ given }) => given), data: items.map(({ data }) => data) }))
    return { schema: { type: 'array', items: item.schema }, values }
  }
  const entries = fc.dictionary(fc.string().filter((name) => name !== '__proto__'), item.values, { maxKeys: 6 }).map((map) => ({
    given: Object.fromEntries(Object.entries(map).map(([name, { given }]) => [name, given])),
    data: Object.fromEntries(Object.entries(map).map(([name, { data }]) => [name, data])),
  }))
  return { schema: { type: 'map', values: item.schema }, values: entries }
}

function record(fields: readonly Sample[]): Sample {
  const schema = { type: 'record', name: `R${++names}`, fields: fields.map((field, i) => ({ name: `f${i}`, type: field.schema })) }
  const values = fc.tuple(...fields.map((field) => field.values)).map((items) => ({
    given: Object.fromEntries(items.map(({ given }, i) => [`f${i}`, given])), data: Object.fromEntries(items.map(({ data }, i) => [`f${i}`, data])),
  }))
  return { schema, values }
}

const samples = fc.letrec((tie) => ({
  sample: fc.oneof({ maxDepth: 4 },
    fc.constantFrom(...leaves).map((make) => make()),
    fc.tuple(tie('sample'), fc.boolean()).map(([item, isMap]) => listOf(item as Sample, isMap)),
    fc.array(tie('sample'), { maxLength: 4 }).map((fields) => record(fields as Sample[]))),
})).sample as fc.Arbitrary<Sample>

describe('values of Avro', () => {
  test('that avsc wrote come as plain data, equal to what it was given', async () => {
    await fc.assert(fc.asyncProperty(samples.chain(({ schema, values }) => fc.tuple(fc.constant(schema), values)), async ([schema, { given, data }]) => {
      expect(await dataOf(schema, encoded(schema, given))).toEqual(data)
    }), { numRuns: 200 })
  })

  test('of logical types come in canonical forms; dates and times stay the integers that they are', async () => {
    const bytes = (hex: string) => Buffer.from(hex, 'hex')
    const cases: readonly (readonly [unknown, unknown, unknown])[] = [
      [{ type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 }, bytes('00bc614e'), '123456.78'],
      [{ type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 }, bytes('ff'), '-0.01'],
      [{ type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 }, bytes('04b0'), '12'],
      [{ type: 'bytes', logicalType: 'decimal', precision: 9 }, bytes(''), '0'],
      [{ type: 'fixed', name: 'D', size: 2, logicalType: 'decimal', precision: 4, scale: 1 }, bytes('fff5'), '-1.1'],
      [{ type: 'string', logicalType: 'uuid' }, '2FE1E4A0-0000-4000-8000-000000000001', '2fe1e4a0-0000-4000-8000-000000000001'],
      [{ type: 'fixed', name: 'U', size: 16, logicalType: 'uuid' }, bytes('2fe1e4a0000040008000000000000001'), '2fe1e4a0-0000-4000-8000-000000000001'],
      // Not as the specification wants them: bytes, as every reader takes them.
      [{ type: 'bytes', logicalType: 'decimal', precision: 1, scale: 2 }, bytes('04b0'), new Uint8Array(bytes('04b0'))],
      [{ type: 'bytes', logicalType: 'decimal', scale: 2 }, bytes('04b0'), new Uint8Array(bytes('04b0'))],
      [{ type: 'long', logicalType: 'timestamp-micros' }, 1_700_000_000_000_001, 1_700_000_000_000_001],
      [{ type: 'int', logicalType: 'date' }, 19_723, 19_723],
    ]
    for (const [schema, given, data] of cases) expect(await dataOf(schema, encoded(schema, given))).toEqual(data)
  })

  test('in blocks that state their bytes, as other writers make them, are read; a block that states a wrong count is not', async () => {
    const longs = { type: 'array', items: 'long' }
    expect(await dataOf(longs, Buffer.from([3, 4, 2, 4, 2, 6, 0]))).toEqual([1, 2, 3])
    expect(await dataOf({ type: 'map', values: 'long' }, Buffer.from([1, 6, 2, 0x61, 8, 0]))).toEqual({ a: 4 })
    for (const bytes of [[3, 4, 2, 4], [6, 2, 0], [0, 0]]) expect((await failureOf(dataOf(longs, Buffer.from(bytes)))).code).toBe('EVENT_INVALID')
    expect((await failureOf(dataOf({ type: 'map', values: 'long' }, Buffer.from([4, 2, 0x61, 8, 2, 0x61, 8, 0])))).message).toContain('twice')
  })

  test('of types that hold themselves, and of those that references define, are read', async () => {
    const address = JSON.stringify({ type: 'record', name: 'Address', namespace: 'com.shop', fields: [{ name: 'city', type: 'string' }] })
    const person = {
      type: 'record', name: 'com.shop.Person', fields: [
        { name: 'at', type: 'Address' }, { name: 'boss', type: ['null', 'Person'] }, { name: 'home', type: 'com.shop.Address' },
      ],
    }
    const whole = { ...person, fields: [{ name: 'at', type: JSON.parse(address) as unknown }, ...person.fields.slice(1)] }
    const given = { at: { city: 'A' }, home: { city: 'B' }, boss: { at: { city: 'C' }, boss: null, home: { city: 'D' } } }
    const registry = new PaperRegistry().add(9, 'AVRO', JSON.stringify(person), [{ name: 'com.shop.Address', schemaType: 'AVRO', schema: address, references: [] }])
    const event = eventWith(await registry.reader([9]), { value: wired(9, encoded(whole, given)) })
    expect([event.type, event.data]).toEqual(['com.shop.Person', given])
    const bare = await new PaperRegistry().add(3, 'AVRO', '{"type":"record","name":"Bare","fields":[]}').reader([3])
    expect(eventWith(bare, { value: wired(3) })).toMatchObject({ type: 'Bare', data: {} })
  })

  test('of enormous counts of what takes no byte are refused before they take memory', async () => {
    const before = process.memoryUsage().heapUsed
    const count = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x1f])
    for (const items of ['null', { type: 'record', name: 'Empty', fields: [] }, { type: 'fixed', name: 'Zero', size: 0 },
      { type: 'fixed', name: 'None', size: 0, logicalType: 'decimal', precision: 1 }]) {
      const error = await failureOf(dataOf({ type: 'array', items }, count))
      expect([error.code, error.details.partition, error.details.offset]).toEqual(['EVENT_INVALID', 'orders/3', 41])
    }
    const rows = { type: 'array', items: { type: 'array', items: 'null' } }
    const many = Buffer.concat([Buffer.from([0x80, 0x80, 0x04]), ...Array.from({ length: 32_768 }, () => Buffer.from([0xfe, 0xff, 0x07, 0]))])
    expect((await failureOf(dataOf(rows, many))).message).toContain('take no byte')
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(300e6)
  })

  test('that no schema made, or another one, are EVENT_INVALID or other data: hostile bytes do nothing else', async () => {
    const schema = {
      type: 'record', name: 'Node', fields: [
        { name: 'next', type: ['null', 'Node'] }, { name: 'map', type: { type: 'map', values: ['long', 'string', 'Node'] } },
        { name: 'amount', type: { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 } }, { name: 'ok', type: 'boolean' },
        { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['A'] } }, { name: 'id', type: { type: 'string', logicalType: 'uuid' } },
      ],
    }
    const reader = await new PaperRegistry().add(7, 'AVRO', JSON.stringify(schema)).reader([7], MAPPING)
    fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      try {
        eventWith(reader, { value: wired(7, bytes) })
      } catch (error) {
        if (!isRehydrateError(error) || error.code !== 'EVENT_INVALID' || error.details.offset !== 41) throw error
      }
    }), { numRuns: 1_500 })
    expect((await failureOf(dataOf(schema, Buffer.alloc(200, 2)))).message).toContain('deeper than 64')
    const loop = { type: 'record', name: 'Loop', fields: [{ name: 'self', type: 'Loop' }] }
    expect((await failureOf(dataOf(loop, Buffer.alloc(0)))).message).toContain('deeper than 64')
  })

  test('whose schema is named in a header are refused by its name, also where their first bytes look like an id; keys as well', async () => {
    const registry = new PaperRegistry().add(5, 'AVRO', '{"type":"record","name":"Order","fields":[{"name":"id","type":"string"}]}')
    const reader = await registry.reader([5], {}, 'registry')
    const order = wired(5, Buffer.from([2, 0x61]))
    expect(eventWith(reader, { key: null, value: order, headers: { other: 'x' } })).toMatchObject({ type: 'Order', data: { id: 'a' } })
    const refusalOf = (given: Parameters<typeof eventWith>[1]) => failureOf((async () => eventWith(reader, given))())
    for (const value of [order, Buffer.from([2, 0x61])]) {
      const error = await refusalOf({ key: null, value, headers: { __value_schema_id: '\x01guid' } })
      expect([error.code, error.details.offset, error.message]).toEqual(['EVENT_INVALID', 41, expect.stringContaining('__value_schema_id')])
    }
    const withKey = await refusalOf({ key: order, value: order, headers: { __key_schema_id: '\x01guid' } })
    expect([withKey.code, withKey.message]).toEqual(['EVENT_INVALID', expect.stringContaining('__key_schema_id')])
    expect(eventWith(reader, { key: order, value: order })).toMatchObject({ key: 'a' })
  })

  test('of a schema that can not be understood are EVENT_INVALID with its id', async () => {
    const broken: readonly unknown[] = ['Unknown', { type: 'record', name: 'R' }, { type: 'array' }, 5, { type: 'fixed', name: 'F', size: -1 }, { type: 'enum', symbols: [] }]
    for (const schema of broken) {
      const error = await failureOf(dataOf(schema, Buffer.from([0])))
      expect([error.code, error.message]).toEqual(['EVENT_INVALID', expect.stringContaining('schema 7')])
    }
    let deep: unknown = 'int'
    for (let i = 0; i < 300; i++) deep = { type: 'array', items: deep }
    expect((await failureOf(dataOf(deep, Buffer.from([0])))).message).toContain('nested deeper')
  })
})
