import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EventReader, type EventMapping, type RawRecord } from '../../../adapters/kafka/event.js'
import { compileReads, type RecordedEvent } from '../../../src/index.js'
import { pickReads } from '../../../src/value/reads.js'

type Headers = Readonly<Record<string, string>>

/** As the columns of a batch give it: key and value lie in bytes with others around them. */
function recordOf(key: string | null, value: Buffer | null, headers: Headers): RawRecord {
  const keyBytes = key === null ? null : Buffer.from(key)
  const before = Buffer.from('{"1')
  const bytes = Buffer.concat([before, keyBytes ?? Buffer.alloc(0), value ?? Buffer.alloc(0), Buffer.from('9"}]')])
  const keyTo = before.length + (keyBytes?.length ?? 0)
  return {
    offset: 41, timestampMs: 1_700_000_000_000, key: keyBytes, value,
    headers: Object.entries(headers).map(([name, text]) => ({ name, value: Buffer.from(text) })),
    within: { bytes, keyFrom: key === null ? -1 : before.length, keyTo, valueFrom: value === null ? -1 : keyTo, valueTo: keyTo + (value?.length ?? 0) },
  }
}

const plain = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(plain)
  return typeof value === 'object' && value !== null ? Object.entries(value).map(([name, item]) => [name, plain(item)]) : value
}

const PATHS = ['amount', 'customer.id', 'items[].sku', 'type', 'data', 'data.amount', 'payload.amount', 'kind']
const MAPPINGS: readonly EventMapping[] = [
  {}, { type: { header: 'kind' } }, { type: { field: 'kind' } }, { type: { field: 'meta.kind' }, key: { field: 'customer.id' }, data: { field: 'payload' } },
  { key: { field: 'type' }, id: { field: 'data.id' } }, { type: { field: 'kind' }, key: { field: 'type' }, id: { field: 'data.id' } },
  { type: () => 'Moved' }, { type: { topic: true } }, { type: { topic: true }, data: (record) => record.value }, { type: { topic: true }, id: { field: 'a[0]' } },
  { type: { topic: true }, data: { field: 'payload' }, key: { field: 'payload.key' } },
]
const part = fc.oneof(
  fc.constantFrom<unknown>(1, 'text', 'naïve 😀', null, true, [1, 2], { amount: 5, id: 'i', sku: 's', key: 'inner', note: [1] }, [{ sku: 1, price: 2 }, 3], 'Moved', ''),
  // Integers that no type holds are refused only where they are read: test/value/json-scan.test.ts.
  fc.jsonValue({ maxDepth: 2 }).filter((given) => !/\d{17}/.test(JSON.stringify(given))),
)
const NAMES = ['type', 'data', 'kind', 'meta', 'amount', 'customer', 'items', 'payload', 'key', 'id', 'note', 'schemaVersion', 'headers']
const value = fc.dictionary(fc.constantFrom(...NAMES), part, { noNullPrototype: true })
const ODD = ['', '{', '{"type":"Moved","data":{"amount":1}', '{"data":{"amount":1},"type":"Moved","type":"Other"}', '{"type":"A","type":"B","data":1}', '\u00ff']
const text = fc.oneof({ weight: 6, arbitrary: value.map((given) => JSON.stringify(given)) }, { weight: 1, arbitrary: part.map((given) => JSON.stringify(given)) },
  { weight: 1, arbitrary: fc.constantFrom(...ODD) })
const bytes = fc.oneof({ weight: 8, arbitrary: text.map((given) => Buffer.from(given)) },
  { weight: 1, arbitrary: fc.constantFrom(null, Buffer.from('{"amount":"\xff"}', 'latin1')) })

function outcomeOf(read: () => RecordedEvent, pick: (data: unknown) => unknown): unknown {
  try {
    const event = read()
    return { ...event, data: plain(pick(event.data)), bigIntegers: null }
  } catch (error) {
    return [(error as { code: string }).code, (error as Error).message]
  }
}

describe('a record read for its declared fields', () => {
  test('is the event that all of it is, with those fields; or the same refusal', () => {
    let scanned = 0
    fc.assert(fc.property(
      fc.constantFrom(...MAPPINGS), bytes, fc.constantFrom<Headers>({}, {}, { type: 'Moved' }, { ce_type: 'Moved', kind: 'Moved' }, { kind: 'Moved' }),
      fc.constantFrom('k', 'ключ', null), fc.uniqueArray(fc.constantFrom(...PATHS), { maxLength: 3 }),
      (mapping, given, headers, key, paths) => {
        const reads = compileReads(paths, 'Moved')
        const reader = new EventReader('orders', 3, mapping, { value: 'json', key: 'utf8', schemas: null })
        const record = recordOf(key, given, headers)
        const pick = (data: unknown): unknown => pickReads(data, reads.root)
        const wanted = outcomeOf(() => reader.event(record), pick)
        const { within: _, ...views } = record
        expect(outcomeOf(() => reader.event(record, reads), pick)).toEqual(wanted)
        expect(outcomeOf(() => reader.event(views, reads), pick)).toEqual(wanted)
        expect(outcomeOf(() => reader.event(views), pick)).toEqual(wanted)
        if (!Array.isArray(wanted) && given !== null) scanned++
      },
    ), { numRuns: 2_000 })
    expect(scanned).toBeGreaterThan(300)
  })

  test('holds no more than those, where nothing takes all of the value', () => {
    const reads = compileReads(['amount'], 'Moved')
    const dataOf = (mapping: EventMapping, given: object, headers: Headers = {}): unknown => {
      const reader = new EventReader('orders', 3, mapping, { value: 'json', key: 'utf8', schemas: null })
      return plain(reader.event(recordOf('k', Buffer.from(JSON.stringify(given)), headers), reads).data)
    }
    expect(dataOf({}, { type: 'Moved', data: { amount: 1, note: 2 } })).toEqual([['amount', 1]])
    expect(dataOf({}, { amount: 1, note: 2 }, { type: 'Moved' })).toEqual([['amount', 1]])
    expect(dataOf({ type: { field: 'kind' }, data: { field: 'payload' } }, { kind: 'Moved', payload: { amount: 1, note: 2 } })).toEqual([['amount', 1]])
    expect(dataOf({ type: () => 'Moved' }, { amount: 1, note: 2 })).toEqual([['amount', 1], ['note', 2]])
  })
})
