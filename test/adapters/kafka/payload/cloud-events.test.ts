import { describe, expect, test } from 'vitest'
import { failureOf } from '../../../support/worlds.js'
import { eventWith, PaperRegistry, readerOf, wired, type Given } from './readings.js'

const reader = readerOf('cloudevents')
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const BINARY = { ce_specversion: '1.0', ce_type: 'OrderPlaced', ce_source: '/shop', ce_id: '7' }
const STRUCTURED = { 'content-type': 'application/cloudevents+json; charset=UTF-8' }
const EVENT = { specversion: '1.0', type: 'OrderPlaced', source: '/shop', id: '7' }
const refusal = (given: Given) => failureOf((async () => eventWith(reader, given))())

describe('a CloudEvent', () => {
  test('in binary form: attributes in headers, the value is the data', () => {
    const headers = { ...BINARY, ce_time: '2026-01-31T12:00:00Z', ce_subject: 's', ce_tenant: 't', 'content-type': 'application/json', trace: 'x' }
    expect(eventWith(reader, { key: null, value: json({ type: 'inner', data: 1 }), headers })).toEqual({
      partition: 'orders/3', offset: 41, type: 'OrderPlaced', key: 's', id: '["/shop","7"]', data: { type: 'inner', data: 1 }, bigIntegers: null,
      schemaVersion: 1, recordedAtMs: Date.UTC(2026, 0, 31, 12),
      headers: { source: '/shop', subject: 's', tenant: 't', 'content-type': 'application/json', trace: 'x' },
    })
  })

  test('in structured form, with or without its content type', () => {
    const value = json({ ...EVENT, subject: 's', data: { n: 1 }, partitionkey: 'p' })
    for (const headers of [STRUCTURED, {}]) {
      expect(eventWith(reader, { key: null, value, headers })).toMatchObject({ type: 'OrderPlaced', key: 'p', data: { n: 1 }, id: '["/shop","7"]' })
    }
    expect(eventWith(reader, { value: json({ ...EVENT, data_base64: 'AQ==' }), headers: STRUCTURED }).data).toEqual(new Uint8Array([1]))
  })

  test('is structured where its content type says so, in whatever letters and whatever headers are there', () => {
    const headers = { ...BINARY, ce_type: 'Forwarded', 'content-type': 'Application/CloudEvents+JSON; charset=UTF-8' }
    const event = eventWith(reader, { value: json({ ...EVENT, time: '2026-01-31t12:00:00z', data: 1 }), headers })
    expect(event).toMatchObject({ type: 'OrderPlaced', data: 1, recordedAtMs: Date.UTC(2026, 0, 31, 12) })
  })

  test('has the key of its record, or the one that is mapped', () => {
    expect(eventWith(reader, { key: 'own', value: json(1), headers: { ...BINARY, ce_subject: 's' } }).key).toBe('own')
    const mapped = readerOf('cloudevents', { key: { field: 'customer' }, type: { field: 'kind' } })
    expect(eventWith(mapped, { value: json({ customer: 'c', kind: 'Mapped' }), headers: { ...BINARY, ce_subject: 's' } })).toMatchObject({ key: 'c', type: 'Mapped' })
  })

  test('has data of its content type: JSON, text, bytes, or none', () => {
    const dataOf = (type: string | null, value: Buffer | null): unknown =>
      eventWith(reader, { value, headers: { ...BINARY, ...(type !== null && { 'content-type': type }) } }).data as unknown
    expect(dataOf(null, json({ n: 1 }))).toEqual({ n: 1 })
    expect(dataOf('application/vnd.x+json; v=1', json([1]))).toEqual([1])
    expect(dataOf('text/plain', Buffer.from('größe'))).toBe('größe')
    expect(dataOf('application/octet-stream', Buffer.from([255]))).toEqual(new Uint8Array([255]))
    expect(dataOf('application/json', null)).toBe(null)
  })

  test('in binary form may have data in the wire format of a registry', async () => {
    const registry = new PaperRegistry().add(7, 'AVRO', '{"type":"record","name":"shop.Order","fields":[{"name":"n","type":"int"}]}')
    const avro = await registry.reader([7], {}, 'utf8', 'cloudevents')
    expect(eventWith(avro, { value: wired(7, Buffer.from([4])), headers: BINARY })).toMatchObject({ type: 'OrderPlaced', data: { n: 2 } })
  })

  test('is a tombstone without attributes and value', () => {
    expect(eventWith(reader, { value: null })).toMatchObject({ type: '$tombstone', key: 'k', data: null })
  })

  test.each<[string, Given, string]>([
    ['without a source', { value: json({ ...EVENT, source: undefined }), headers: STRUCTURED }, 'no source'],
    ['without a source in binary form', { value: json(1), headers: { ...BINARY, ce_source: '' } }, 'source'],
    ['of another version', { value: json(1), headers: { ...BINARY, ce_specversion: '0.3' } }, 'version'],
    ['in a batch', { value: json([EVENT]), headers: { 'content-type': 'application/cloudevents-batch+json' } }, 'form that is not read'],
    ['in Avro', { value: json(EVENT), headers: { 'content-type': 'application/cloudevents+avro' } }, 'form that is not read'],
    ['that is an array', { value: json([1]) }, 'not an object'],
  ])('%s is EVENT_INVALID at its place', async (_what, given, what) => {
    const error = await refusal(given)
    expect([error.code, error.details.partition, error.details.offset]).toEqual(['EVENT_INVALID', 'orders/3', 41])
    expect(error.message).toContain(what)
  })
})
