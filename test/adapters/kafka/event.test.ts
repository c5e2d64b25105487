import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EventReader, type EventMapping, type RawRecord } from '../../../adapters/kafka/event.js'
import { kafka, type KafkaOptions } from '../../../adapters/kafka/index.js'
import { env } from '../../../src/index.js'
import { failureOf } from '../../support/worlds.js'

interface Given {
  readonly key?: string | Buffer | null
  readonly value?: unknown
  readonly headers?: Readonly<Record<string, string | Buffer | null>>
  readonly timestampMs?: number | null
}

function recordOf({ key = 'k', value = null, headers = {}, timestampMs = 1_700_000_000_000 }: Given): RawRecord {
  const bytes = value === null ? null : Buffer.isBuffer(value) ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  const list = Object.entries(headers).map(([name, text]) => ({ name, value: text === null ? null : Buffer.from(text) }))
  return { offset: 41, timestampMs, key: key === null ? null : Buffer.from(key), value: bytes, headers: list }
}

function eventOf(given: Given, mapping: EventMapping = {}, payload: 'json' | 'raw' = 'json') {
  const reader = new EventReader('orders', 3, mapping, { value: payload, key: 'utf8', schemas: null })
  const record = recordOf(given)
  const event = reader.event(record)
  // What is told without parsing is what parsing gives.
  expect([event.type, null]).toContain(reader.plainType(record))
  expect([event.key, undefined]).toContain(reader.plainKey(record))
  return event
}

const refusalOf = async (given: Given, mapping: EventMapping = {}) => await failureOf((async () => eventOf(given, mapping))())

describe('the type of a record', () => {
  test('is its header type, or ce_type; then the value is the data, an envelope or not', () => {
    const value = { type: 'inner', data: 1 }
    expect(eventOf({ value, headers: { type: 'Moved' } })).toMatchObject({ type: 'Moved', data: value })
    expect(eventOf({ value, headers: { ce_type: 'Moved', type: '' } })).toMatchObject({ type: 'Moved', data: value })
    expect(eventOf({ value: [1, 2], headers: { ce_type: 'other', type: 'Moved' } })).toMatchObject({ type: 'Moved', data: [1, 2] })
  })

  test('else is that of the envelope of files, with all that an envelope says', () => {
    const value = { type: 'Moved', data: { n: 1 }, id: 'i', recordedAt: '2026-01-31T12:00:00+01:00', schemaVersion: 2, headers: { a: 'b' }, key: 'no' }
    expect(eventOf({ value, headers: { c: 'd' } })).toEqual({
      partition: 'orders/3', offset: 41, type: 'Moved', key: 'k', data: { n: 1 }, id: 'i', schemaVersion: 2, bigIntegers: null,
      recordedAtMs: Date.UTC(2026, 0, 31, 11), headers: { a: 'b', c: 'd' },
    })
    expect(eventOf({ value: { type: 'Moved', data: null }, key: null, timestampMs: null })).toMatchObject({
      key: null, data: null, id: null, schemaVersion: 1, recordedAtMs: null, headers: {},
    })
    expect(eventOf({ value: { type: 'Moved', key: 'inner', data: 1 }, key: null }).key).toBe('inner')
  })

  test('of a null value is $tombstone, unless a header or the mapping says another; JSON null is none', async () => {
    expect(eventOf({ value: null })).toMatchObject({ type: '$tombstone', key: 'k', data: null })
    expect(eventOf({ value: null, headers: { type: 'Gone' } })).toMatchObject({ type: 'Gone', data: null })
    expect(eventOf({ value: null }, { type: () => 'Deleted' })).toMatchObject({ type: 'Deleted', data: null })
    expect(eventOf({ value: null }, { type: { field: 'kind' } })).toMatchObject({ type: '$tombstone' })
    expect((await refusalOf({ value: 'null' })).code).toBe('EVENT_SHAPE_UNKNOWN')
  })

  test('is asked for where nothing says it, with the names of the fields that are there', async () => {
    // A field called type alone is no envelope: all other fields would be lost.
    for (const value of [{ amount: 3, currency: 'EUR' }, { type: 'credit', amount: 3, currency: 'EUR' }]) {
      const error = await refusalOf({ value })
      expect(error).toMatchObject({ code: 'EVENT_SHAPE_UNKNOWN', exitCode: 64, details: { partition: 'orders/3', offset: 41 } })
      expect(error.message).toContain('amount, currency')
      expect(error.fix).toContain('event: { type')
    }
    for (const value of ['[1]', '3', 'no json', Buffer.from([0, 0, 0, 0, 1, 2, 0xff])]) expect((await refusalOf({ value })).code).toBe('EVENT_SHAPE_UNKNOWN')
  })
})

describe('the event option', () => {
  const mapping: EventMapping = {
    type: { field: 'meta.kind' }, key: { field: 'order' }, data: { field: 'payload' }, id: { header: 'id' },
    recordedAt: ({ value }) => (value as { at: number }).at, schemaVersion: { header: 'version' },
  }

  test('says where each part is: a header, a path, a function', () => {
    const value = { meta: { kind: 'Placed' }, order: 'o-1', payload: { cents: 12n.toString() }, at: 5 }
    expect(eventOf({ value, headers: { id: 'x', version: '3' } }, mapping)).toMatchObject({
      type: 'Placed', key: 'o-1', data: { cents: '12' }, id: 'x', recordedAtMs: 5, schemaVersion: 3,
    })
  })

  test('gives a function the whole record, and takes inherited names for absent', async () => {
    const seen: unknown[] = []
    eventOf({ value: { a: 1 }, headers: { h: Buffer.from([0xff, 0xfe]), n: null } }, { type: (record) => (seen.push(record), 'T') })
    expect(seen[0]).toMatchObject({ topic: 'orders', partition: 3, offset: 41, value: { a: 1 }, headers: { h: '//4=', n: '' } })
    expect((await refusalOf({ value: { a: 1 } }, { type: { field: 'constructor.name' } })).code).toBe('EVENT_SHAPE_UNKNOWN')
  })

  test('refuses parts that are not what they must be', async () => {
    expect(eventOf({ value: { type: 'Moved', data: 1, recordedAt: '2026-01-31' } }).recordedAtMs).toBe(Date.UTC(2026, 0, 31))
    for (const [part, value] of [['type', 3], ['key', 3], ['id', {}], ['recordedAt', '2026-02-30T00:00:00Z'], ['recordedAt', 'noon'], ['schemaVersion', 0]]) {
      expect((await refusalOf({ value: { type: 'T', data: 1 } }, { [part as string]: () => value })).code).toBe('EVENT_SHAPE_UNKNOWN')
    }
  })
})

describe('what a record holds', () => {
  test('integers beyond 2^53 come exactly, with their paths', () => {
    expect(eventOf({ value: '{"type":"T","data":{"big":9007199254740993,"n":1}}' })).toMatchObject({
      data: { big: 9_007_199_254_740_993n, n: 1 }, bigIntegers: ['$.big'],
    })
  })

  test('texts of other scripts, headers of any name and the last of one name come as they were written', () => {
    expect(eventOf({ value: { type: 'Größe "x"\n', data: 'ключ-🔑' }, key: 'ключ' })).toMatchObject({ type: 'Größe "x"\n', data: 'ключ-🔑', key: 'ключ' })
    const record = recordOf({ value: 1 })
    const headers = [['type', 'A'], ['__proto__', 'p'], ['type', 'B']].map(([name, text]) => ({ name: name as string, value: Buffer.from(text as string) }))
    const event = new EventReader('t', 0, {}, { value: 'json', key: 'utf8', schemas: null }).event({ ...record, headers })
    expect([event.type, Object.entries(event.headers)]).toEqual(['B', [['type', 'B'], ['__proto__', 'p']]])
  })

  test('a key that is not UTF-8 is refused: two of them must not become one', async () => {
    expect((await refusalOf({ value: { type: 'T', data: 1 }, key: Buffer.from([0xff]) })).message).toContain('key that is not UTF-8')
    expect(eventOf({ value: { type: 'T', data: 1 }, key: Buffer.from([0xff]) }, { key: ({ key }) => Buffer.from(key!).toString('hex') }).key).toBe('ff')
  })

  test("with payload: 'raw' the data is a copy of the bytes", () => {
    const value = Buffer.from([1, 0xff])
    const { data } = eventOf({ value, headers: { type: 'T' } }, {}, 'raw')
    value[0] = 9
    expect(data).toEqual(new Uint8Array([1, 0xff]))
  })

  test('bytes that were handed out stay what they are, whoever reads on and whoever writes into others', () => {
    fc.assert(fc.property(fc.array(fc.oneof(fc.nat(300), fc.nat(5_000)), { minLength: 1, maxLength: 40 }), fc.nat(), (sizes, chosen) => {
      const values = sizes.map((size, i) => Buffer.alloc(size, i))
      const bytesOf = (value: Buffer): Uint8Array => eventOf({ value, headers: { type: 'T' } }, {}, 'raw').data as Uint8Array
      const all = values.map(bytesOf)
      const written = all[chosen % all.length]?.fill(255)
      for (const [i, value] of values.entries()) {
        if (all[i] !== written) expect(all[i]).toEqual(new Uint8Array(value))
        expect(bytesOf(value)).toEqual(new Uint8Array(value))
      }
    }), { numRuns: 50 })
  })
})

describe('kafka()', () => {
  const good: KafkaOptions = { brokers: 'a:9092, b:9092', topics: ['orders'] }

  test('is inert, and takes brokers as a list, a text or a secret', async () => {
    for (const brokers of [['a:9092'], 'a:9092,[::1]:9092', env('NO_SUCH_VARIABLE')]) await kafka({ ...good, brokers }).close()
    expect(await failureOf(kafka({ ...good, brokers: env('NO_SUCH_VARIABLE') }).bounds() as Promise<unknown>)).toMatchObject({ code: 'CONFIG_INVALID' })
  })

  test.each<[string, object, string]>([
    ['no brokers', { brokers: [] }, 'CONFIG_INVALID'],
    ['a broker without a port', { brokers: 'a' }, 'CONFIG_INVALID'],
    ['no topics', { topics: [] }, 'CONFIG_INVALID'],
    ['a topic twice', { topics: ['a', 'a'] }, 'CONFIG_INVALID'],
    ['a typo', { topic: ['a'] }, 'CONFIG_INVALID'],
    ['another isolation', { isolation: 'serializable' }, 'CONFIG_INVALID'],
    ['a partition of another topic', { partitions: ['other/0'] }, 'CONFIG_INVALID'],
    ['a mapping that is neither header, field nor function', { event: { type: 'kind' } }, 'CONFIG_INVALID'],
    ['a mapping with a typo', { event: { types: { header: 'kind' } } }, 'CONFIG_INVALID'],
    ['an unknown mechanism', { sasl: { mechanism: 'gssapi', username: 'u', password: 'p' } }, 'CONFIG_INVALID'],
    ['another payload', { payload: 'xml' }, 'CONFIG_INVALID'],
    ['a registry that is no object', { registry: 'http://r' }, 'CONFIG_INVALID'],
    ['a registry without an address', { registry: {} }, 'CONFIG_INVALID'],
    ['a registry with credentials in its address', { registry: { url: 'http://u:p@r' } }, 'CONFIG_INVALID'],
    ['a registry with half of its credentials', { registry: { url: 'http://r', auth: { username: 'u' } } }, 'CONFIG_INVALID'],
    ['a registry with a password that is none', { registry: { url: 'http://r', auth: { username: 'u', password: undefined } } }, 'CONFIG_INVALID'],
    ['a registry and a bundle', { registry: { url: 'http://r', bundle: 'b.json' } }, 'CONFIG_INVALID'],
    ['a registry for bytes', { registry: { url: 'http://r' }, payload: 'raw' }, 'CONFIG_INVALID'],
    ['keys of a registry without one', { key: 'registry' }, 'CONFIG_INVALID'],
    ['another form of keys', { key: 'json' }, 'CONFIG_INVALID'],
    ['a selector that selects nothing', { event: { type: { topic: false } } }, 'CONFIG_INVALID'],
    ['limits, which are those of the job', { limits: { inFlightBytes: 1 } }, 'CONFIG_INVALID'],
    ['a group', { group: 'g' }, 'OPTION_DEFERRED'],
  ])('refuses %s', async (_what, more, code) => {
    expect((await failureOf((async () => kafka({ ...good, ...more } as KafkaOptions))())).code).toBe(code)
  })
})

describe('what a state remembers of how its records were read', () => {
  const readingOf = (more: Partial<KafkaOptions>) => kafka({ brokers: ['broker:9092'], topics: ['orders'], ...more }).reading
  const registry = { url: 'http://registry:8081', auth: { username: 'u', password: 'secret' } }

  test('is nothing where records are read as they are without options; of where, who and how fast it is nothing ever', () => {
    expect(readingOf({})).toEqual({})
    expect(readingOf({ payload: 'json', key: 'utf8', event: {} })).toEqual({})
    expect(readingOf({ partitions: ['orders/1'], from: { timestamp: 0 }, isolation: 'read_uncommitted', clientId: 'c', rack: 'r', ssl: true })).toEqual({})
    expect(JSON.stringify(readingOf({ registry }))).toBe('{"registry":"given"}')
  })

  test('is the payload, the form of keys and each part that is mapped; a function by its text', () => {
    expect(readingOf({ payload: 'cloudevents', registry, key: 'registry' })).toEqual({ payload: 'cloudevents', registry: 'given', key: 'registry' })
    const type = { header: 'kind' }
    const event: EventMapping = { type, key: { field: 'meta.id' }, data: { topic: true }, id: { schema: true }, recordedAt: ({ offset }) => offset }
    expect(readingOf({ payload: 'msgpack', event })).toEqual({
      payload: 'msgpack', 'event.type': 'header kind', 'event.key': 'field meta.id', 'event.data': 'topic', 'event.id': 'schema',
      'event.recordedAt': expect.stringMatching(/^function sh1:[0-9a-f]{64}$/),
    })
  })
})
