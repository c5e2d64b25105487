import fc from 'fast-check'
import protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import { isRehydrateError } from '../../../../src/index.js'
import { failureOf } from '../../../support/worlds.js'
import { eventWith, PaperRegistry, wired } from './readings.js'

const ORDER = `
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "money.proto";

message First {
  message Inner { string text = 1; message Innermost { int32 n = 1; } }
  enum Ignored { NONE = 0; }
  message Second { bool yes = 1; }
}

message Order {
  enum State { STATE_NEW = 0; STATE_PAID = 1; }
  string order_id = 1;
  int64 total_cents = 2;
  uint64 big_count = 3;
  sint64 delta = 4;
  fixed64 hash_code = 5;
  sfixed64 signed_code = 6;
  int32 count = 7;
  uint32 small = 8;
  sint32 step = 9;
  fixed32 mask = 10;
  sfixed32 shift = 11;
  float ratio = 12;
  double weight = 13;
  bool is_open = 14;
  bytes raw_data = 15;
  State state = 16;
  repeated int32 packed_numbers = 17;
  repeated string tags = 18;
  map<string, int64> sums = 19;
  map<int32, Line> lines = 20;
  repeated Line list = 21;
  optional int32 maybe = 22;
  oneof payment { string card = 23; Line invoice = 24; }
  Line line = 25;
  string renamed = 26 [json_name = "other"];
  shop.money.Money price = 27;
}

message Line { string sku = 1; int64 amount = 2; }

message Times {
  google.protobuf.Timestamp at = 1;
  google.protobuf.Duration took = 2;
  google.protobuf.Int64Value wrapped = 3;
  google.protobuf.Struct free = 4;
  google.protobuf.Value any_value = 5;
}

message Tree { repeated Tree nodes = 1; Tree next = 2; }
`
const MONEY = 'syntax = "proto3"; package shop.money; message Money { int64 units = 1; string currency_code = 2; }'

const root = new protobuf.Root()
for (const name of ['timestamp', 'duration', 'wrappers', 'struct']) root.addJSON(protobuf.common.get(`google/protobuf/${name}.proto`)!.nested!)
protobuf.parse(MONEY, root, { keepCase: true })
protobuf.parse(ORDER, root, { keepCase: true })
root.resolveAll()

const registry = new PaperRegistry().add(5, 'PROTOBUF', ORDER, [{ name: 'money.proto', schemaType: 'PROTOBUF', schema: MONEY, references: [] }])
const reader = await registry.reader([5])

function encoded(name: string, fields: Record<string, unknown>): Uint8Array {
  return root.lookupType(name).encode(fields as object).finish()
}

/** The message's indexes as Confluent writes them. */
function wiredAt(indexes: readonly number[], bytes: Uint8Array): Buffer {
  const zigzags = indexes.length === 1 && indexes[0] === 0 ? [0] : [indexes.length * 2, ...indexes.map((index) => index * 2)]
  return wired(5, Uint8Array.from(zigzags), bytes)
}

const eventAt = (indexes: readonly number[], bytes: Uint8Array) => eventWith(reader, { value: wiredAt(indexes, bytes) })
const orderOf = (fields: Record<string, unknown>) => eventAt([1], encoded('shop.v1.Order', fields)).data as Record<string, unknown>
const plain = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value)
const longOf = (value: bigint) => new protobuf.util.Long(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)), value > 2n ** 63n - 1n)

const int64 = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.maxSafeInteger().map(BigInt))
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })

describe('messages of Protobuf', () => {
  test('that protobufjs wrote come as plain data, with exact integers', () => {
    const fields = fc.record({
      order_id: fc.string({ unit: 'grapheme' }), total_cents: int64, big_count: uint64, delta: int64, hash_code: uint64, signed_code: int64,
      count: fc.integer(), small: fc.nat({ max: 0xffff_ffff }), step: fc.integer(), mask: fc.nat({ max: 0xffff_ffff }), shift: fc.integer(),
      ratio: fc.float({ noNaN: true }), weight: fc.double({ noNaN: true }), is_open: fc.boolean(), raw_data: fc.uint8Array(),
      packed_numbers: fc.array(fc.integer()), tags: fc.array(fc.string()),
      sums: fc.dictionary(fc.string().filter((name) => name !== '__proto__'), int64), lines: fc.dictionary(fc.nat().map(String), fc.record({ sku: fc.string(), amount: int64 })),
      list: fc.array(fc.record({ sku: fc.string(), amount: int64 })),
    })
    const line = ({ sku, amount }: { sku: string; amount: bigint }) => ({ sku, amount: plain(amount) })
    const longs = (value: unknown): unknown => {
      if (typeof value === 'bigint') return longOf(value)
      if (Array.isArray(value)) return value.map(longs)
      if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, longs(item)]))
    }
    fc.assert(fc.property(fields, (given) => {
      expect(orderOf(longs(given) as Record<string, unknown>)).toEqual({
        orderId: given.order_id, totalCents: plain(given.total_cents), bigCount: plain(given.big_count), delta: plain(given.delta),
        hashCode: plain(given.hash_code), signedCode: plain(given.signed_code), count: given.count, small: given.small, step: given.step,
        mask: given.mask, shift: given.shift, ratio: given.ratio, weight: given.weight, isOpen: given.is_open, rawData: new Uint8Array(given.raw_data),
        state: 'STATE_NEW', packedNumbers: given.packed_numbers, tags: given.tags, other: '',
        sums: Object.fromEntries(Object.entries(given.sums).map(([name, sum]) => [name, plain(sum)])),
        lines: Object.fromEntries(Object.entries(given.lines).map(([name, item]) => [name, line(item)])), list: given.list.map(line),
      })
    }), { numRuns: 100 })
  })

  test('without fields have the defaults of what has no presence, and leave out what has', () => {
    expect(orderOf({})).toEqual({
      orderId: '', totalCents: 0, bigCount: 0, delta: 0, hashCode: 0, signedCode: 0, count: 0, small: 0, step: 0, mask: 0, shift: 0, ratio: 0,
      weight: 0, isOpen: false, rawData: new Uint8Array(0), state: 'STATE_NEW', packedNumbers: [], tags: [], sums: {}, lines: {}, list: [], other: '',
    })
    const given = { maybe: 0, card: '', renamed: 'x', price: { currency_code: 'EUR' } }
    expect(orderOf(given)).toMatchObject({ maybe: 0, card: '', other: 'x', price: { units: 0, currencyCode: 'EUR' } })
  })

  test('name their enums; a number without a name stays one', () => {
    expect([orderOf({ state: 1 })['state'], orderOf({ state: 9 })['state']]).toEqual(['STATE_PAID', 9])
  })

  test('keep the last of a oneof and of a scalar, and merge messages that come in parts', () => {
    const parts = [{ card: 'x', order_id: 'a', line: { sku: 's' } }, { invoice: { sku: 'i' }, order_id: 'b', line: { amount: 3 } }]
    const { card, invoice, orderId, line } = eventAt([1], Buffer.concat(parts.map((part) => encoded('shop.v1.Order', part)))).data as Record<string, unknown>
    expect([card, invoice, orderId, line]).toEqual([undefined, { sku: 'i', amount: 0 }, 'b', { sku: 's', amount: 3 }])
  })

  test('of google.protobuf come as their JSON form says', () => {
    const number = (value: number) => ({ numberValue: value })
    const given = {
      at: { seconds: 1_704_067_200, nanos: 5_000_000 }, took: { seconds: -1, nanos: -500_000_000 }, wrapped: { value: longOf(2n ** 60n) },
      free: { fields: { a: number(1), b: { listValue: { values: [{ stringValue: 'x' }, { nullValue: 0 }, { structValue: { fields: {} } }] } } } }, any_value: { boolValue: true },
    }
    const event = eventAt([3], encoded('shop.v1.Times', given))
    expect([event.type, event.data, event.bigIntegers]).toEqual(['shop.v1.Times', {
      at: '2024-01-01T00:00:00.005Z', took: '-1.500s', wrapped: 2n ** 60n, free: { a: 1, b: ['x', null, {}] }, anyValue: true,
    }, ['$.wrapped']])
  })

  test('are found by their indexes, which count messages only', async () => {
    expect(eventAt([0, 0], encoded('shop.v1.First.Inner', { text: 't' }))).toMatchObject({ type: 'shop.v1.First.Inner', data: { text: 't' } })
    expect(eventAt([0, 0, 0], encoded('shop.v1.First.Inner.Innermost', { n: 4 }))).toMatchObject({ data: { n: 4 } })
    expect(eventAt([0, 1], encoded('shop.v1.First.Second', { yes: true }))).toMatchObject({ type: 'shop.v1.First.Second', data: { yes: true } })
    expect(eventAt([0], new Uint8Array(0))).toMatchObject({ type: 'shop.v1.First', data: {} })
    expect((await failureOf((async () => eventAt([8], new Uint8Array(0)))())).message).toContain('no message 8')
  })

  test('behind groups are found where they can be but one, whether or not a writer counted the groups, and refused where they can be two', async () => {
    const text = `syntax = "proto2"; message Old { optional group Part = 1 { optional int32 n = 1; }
      message A { optional int32 a = 1; message Deep { optional int32 d = 1; } } message B { optional int32 b = 1; } repeated group Last = 2 { } }`
    const old = await new PaperRegistry().add(6, 'PROTOBUF', text).reader([6])
    const typeAt = (...indexes: readonly number[]) => eventWith(old, { value: wired(6, Buffer.from([indexes.length * 2, ...indexes.map((i) => i * 2)])) }).type
    expect([typeAt(0), typeAt(0, 0), typeAt(0, 0, 0), typeAt(0, 1, 0), typeAt(0, 2)]).toEqual(['Old', 'Old.A', 'Old.A.Deep', 'Old.A.Deep', 'Old.B'])
    for (const [index, why] of [[1, 'a group before message 0.1: it is Old.B, or Old.A'], [3, 'no message 0.3']] as const) {
      const error = await failureOf((async () => typeAt(0, index))())
      expect([error.code, error.details.offset, error.message]).toEqual(['EVENT_INVALID', 41, expect.stringContaining(why)])
    }
  })

  test('of proto2: declared defaults, required fields, groups; fields that the schema does not have are passed over', async () => {
    const text = `syntax = "proto2"; message Old {
      required string id = 1; optional int64 limit = 2 [default = 9007199254740991]; optional string name = 3; repeated int32 plain = 4;
      optional bool on = 5 [default = true]; repeated group Part = 6 { optional int32 n = 1; } }`
    const old = await new PaperRegistry().add(6, 'PROTOBUF', text).reader([6])
    const data = (bytes: readonly number[]) => eventWith(old, { value: wired(6, Uint8Array.from([0, ...bytes])) }).data as unknown
    const unknown = [0x98, 0x06, 1, 0x9a, 0x06, 1, 9, 0x9b, 0x06, 0x08, 1, 0x9c, 0x06, 0x9d, 0x06, 0, 0, 0, 0]
    expect(data([0x0a, 1, 0x61, 0x20, 3, 0x22, 2, 4, 5, 0x33, 0x08, 7, 0x34, ...unknown])).toEqual({
      id: 'a', limit: 9_007_199_254_740_991, plain: [3, 4, 5], on: true, part: [{ n: 7 }],
    })
    expect((await failureOf((async () => data([]))())).message).toContain('required field id')
  })

  test('whose bytes are hostile give data or EVENT_INVALID', async () => {
    fc.assert(fc.property(fc.constantFrom([1], [3], [4], [0, 0]), fc.uint8Array({ maxLength: 150 }), (indexes, bytes) => {
      try {
        eventAt(indexes, bytes)
      } catch (error) {
        if (!isRehydrateError(error) || error.code !== 'EVENT_INVALID' || error.details.offset !== 41) throw error
      }
    }), { numRuns: 1_500 })
    let deep: Buffer = Buffer.alloc(0)
    for (let i = 0; i < 70; i++) deep = Buffer.concat([Buffer.from([0x12]), lengthOf(deep.length), deep])
    expect((await failureOf((async () => eventAt([4], deep))())).message).toContain('deeper than 64')
    const bomb = Buffer.concat(Array.from({ length: 600_000 }, () => Buffer.from([0x0a, 0])))
    expect((await failureOf((async () => eventAt([4], Buffer.concat([bomb, bomb])))())).message).toContain('take no byte')
  })

  test('of a schema that can not be understood are EVENT_INVALID with its id', async () => {
    const rounded = 'syntax = "proto2"; message A { optional int64 b = 1 [default = 9007199254740993]; }'
    for (const text of [rounded, 'message {', 'syntax = "proto3"; message A { Unknown b = 1; }', '']) {
      const broken = await new PaperRegistry().add(8, 'PROTOBUF', text).reader([8])
      const error = await failureOf((async () => eventWith(broken, { value: wired(8, Uint8Array.from([0])) }))())
      expect([error.code, error.message]).toEqual(['EVENT_INVALID', expect.stringContaining('schema')])
    }
  })
})

function lengthOf(length: number): Buffer {
  return length < 128 ? Buffer.from([length]) : Buffer.from([(length & 127) | 128, length >> 7])
}
