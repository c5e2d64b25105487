import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fileLog, type FileEnvelope } from '../../../adapters/file/index.js'
import { memoryStore } from '../../../adapters/memory/index.js'
import { defineReducer, replay } from '../../../src/index.js'
import { failureOf } from '../../support/worlds.js'
import { batchesOf, makeDirectory, readPartition } from './log-directory.js'

async function logOf(envelope: FileEnvelope | null, lines: readonly (object | string)[]) {
  const directory = await makeDirectory(onTestFinished)
  const path = join(directory, 'a.ndjson')
  await writeFile(path, lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''))
  return { path, source: fileLog({ path, ...(envelope !== null && { envelope }) }) }
}

const eventOf = async (envelope: FileEnvelope, line: object | string) => (await readPartition((await logOf(envelope, [line])).source, 'a')).events[0]!
const refusalOf = (envelope: FileEnvelope, line: object | string) => failureOf(eventOf(envelope, line))

const CLOUD = { specversion: '1.0', type: 'OrderPlaced', source: '/shop', id: '7' }

describe('CloudEvents in lines', () => {
  test('are events: key of partitionkey or subject, id of source and id, other attributes as headers', async () => {
    const line = { ...CLOUD, subject: 'order-1', time: '2026-01-31T12:00:00.25+01:00', dataschema: 's:1', myflag: true, mycount: 3, data: { n: 1 } }
    expect(await eventOf('cloudevents', line)).toEqual({
      partition: 'a', offset: 0, type: 'OrderPlaced', key: 'order-1', id: '["/shop","7"]', data: { n: 1 }, bigIntegers: null, schemaVersion: 1,
      recordedAtMs: Date.UTC(2026, 0, 31, 11, 0, 0, 250), headers: { source: '/shop', subject: 'order-1', dataschema: 's:1', myflag: 'true', mycount: '3' },
    })
    expect(await eventOf('cloudevents', { ...line, partitionkey: 'p' })).toMatchObject({ key: 'p' })
    expect(await eventOf('cloudevents', CLOUD)).toMatchObject({ key: null, data: null, recordedAtMs: null })
  })

  test('may hold bytes in Base64, and integers beyond 2^53', async () => {
    expect((await eventOf('cloudevents', { ...CLOUD, data_base64: 'AQL/' })).data).toEqual(new Uint8Array([1, 2, 255]))
    const text = JSON.stringify({ ...CLOUD, data: { n: 0 } }).replace('"n":0', '"n":9007199254740993')
    expect(await eventOf('cloudevents', text)).toMatchObject({ data: { n: 9_007_199_254_740_993n }, bigIntegers: ['$.n'] })
  })

  test.each([
    ['no source', { source: undefined }], ['an empty type', { type: '' }], ['a type that is a number', { type: 1 }], ['no id', { id: undefined }],
    ['another version', { specversion: '0.3' }], ['an attribute that is an object', { myobject: {} }], ['data twice', { data: 1, data_base64: 'AQ==' }],
    ['Base64 that is none', { data_base64: 'A' }], ['a time that is none', { time: 'noon' }], ['an empty subject', { subject: '' }],
  ])('with %s are LOG_CORRUPT', async (_what, more) => {
    const error = await refusalOf('cloudevents', { ...CLOUD, ...more })
    expect([error.code, error.details.partition, error.details.offset, error.details.line]).toEqual(['LOG_CORRUPT', 'a', 0, 1])
  })
})

describe('lines in an envelope', () => {
  test('by paths: without one for data the whole line is the data', async () => {
    const line = { meta: { kind: 'Moved', who: 'k', at: 5, v: 2, id: 'i' }, body: { n: 1 } }
    const paths = { type: { field: 'meta.kind' }, key: { field: 'meta.who' } }
    expect(await eventOf(paths, line)).toMatchObject({ type: 'Moved', key: 'k', data: line, recordedAtMs: null, schemaVersion: 1 })
    const all = { ...paths, data: { field: 'body' }, recordedAt: { field: 'meta.at' }, schemaVersion: { field: 'meta.v' }, id: { field: 'meta.id' } }
    expect(await eventOf(all, line)).toMatchObject({ data: { n: 1 }, recordedAtMs: 5, schemaVersion: 2, id: 'i' })
    expect((await refusalOf({ type: { field: 'meta.none' } }, line)).code).toBe('LOG_CORRUPT')
    expect((await refusalOf({ type: { field: 'toString.name' } }, line)).code).toBe('LOG_CORRUPT')
  })

  test('by a function of the line; what it throws is EVENT_INVALID at the place, what it gives is checked', async () => {
    const envelope: FileEnvelope = ({ kind, ...data }) => ({ type: kind.toUpperCase(), key: data.id, data, headers: { a: 'b' } })
    expect(await eventOf(envelope, { kind: 'moved', id: 'k' })).toMatchObject({ type: 'MOVED', key: 'k', data: { id: 'k' }, headers: { a: 'b' } })
    const error = await refusalOf(envelope, { id: 'k' })
    expect([error.code, error.details.partition, error.details.offset]).toEqual(['EVENT_INVALID', 'a', 0])
    expect((await refusalOf(() => ({ type: 'T', key: 5 }), {})).code).toBe('LOG_CORRUPT')
  })

  test('state no offset: a field of that name is the line\'s own', async () => {
    const { source } = await logOf({ type: { field: 'kind' } }, [{ kind: 'A', offset: 500 }, { kind: 'B', offset: 7 }])
    expect((await readPartition(source, 'a')).events).toMatchObject([{ type: 'A', offset: 0, data: { kind: 'A', offset: 500 } }, { type: 'B', offset: 1 }])
  })

  test('are one log with the bare lines: an envelope changes neither identity nor chain', async () => {
    const lines = Array.from({ length: 30 }, (_, i) => ({ type: `T${i % 3}`, key: 'k', data: { i } }))
    const bare = await logOf(null, lines)
    const mapped = await logOf({ type: { field: 'type' }, key: { field: 'key' }, data: { field: 'data' } }, lines)
    const [plain, enveloped] = [await readPartition(bare.source, 'a'), await readPartition(mapped.source, 'a')]
    expect(enveloped).toEqual(plain)
    const types: string[] = []
    for await (const batch of batchesOf(mapped.source, 'a')) for (let i = 0; i < batch.length; i++) types.push(`${batch.typeAt(i)} ${batch.keyAt(i)}`)
    expect(types).toEqual(lines.map(({ type, key }) => `${type} ${key}`))
  })

  test('that are appended are seen by the next look', async () => {
    const { path, source } = await logOf('cloudevents', [1, 2, 3].map((n) => ({ ...CLOUD, id: String(n), data: { n } })))
    expect((await source.bounds()).get('a')).toMatchObject({ first: 0, last: 2 })
    await appendFile(path, `${JSON.stringify({ ...CLOUD, id: '4', data: { n: 4 } })}\n`)
    expect((await readPartition(source, 'a')).events.map(({ data }) => data.n as number)).toEqual([1, 2, 3, 4])
  })

  test.each<[string, FileEnvelope | null, object | undefined]>([
    ['lines in the log format say nothing of it', null, undefined],
    ['CloudEvents by name', 'cloudevents', { envelope: 'cloudevents' }],
    ['fields by their paths', { type: { field: 'meta.kind' }, key: { field: 'who' } }, { 'envelope.type': 'field meta.kind', 'envelope.key': 'field who' }],
    ['a function by its text', ({ kind }) => ({ type: kind }), { envelope: expect.stringMatching(/^function sh1:[0-9a-f]{64}$/) }],
  ])('are what a state remembers of its log: %s', (_what, envelope, reading) => {
    expect(fileLog({ path: 'none', ...(envelope !== null && { envelope }) }).reading).toEqual(reading)
  })

  test('are what its state goes on under: another one halts by name, though the log is the same', async () => {
    const { path } = await logOf(null, [{ type: 'A', kind: 'B', key: 'k', data: { n: 1 } }])
    const store = memoryStore()
    const projection = defineReducer({ name: 'n', version: 1, collection: 'n', on: { A: (_state, event) => event.data, B: (_state, event) => event.data } })
    const run = (envelope?: FileEnvelope) => replay({ source: fileLog({ path, ...(envelope && { envelope }) }), projection, store }).done
    await run()
    const error = await failureOf(run({ type: { field: 'kind' }, key: { field: 'key' } }))
    expect([error.code, error.message]).toEqual(['PROJECTION_CHANGED', expect.stringContaining('envelope.type was not given, and is "field kind"')])
    expect((await run()).generation).toBe(1)
  })
})
