import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fileLog } from '../../../adapters/file/index.js'
import type { RecordedEvent } from '../../../src/index.js'
import { batchesOf, lineOf, makeDirectory, readPartition, type Reading } from './log-directory.js'

async function readText(content: string | Buffer, name = 'a.ndjson'): Promise<Reading> {
  const directory = await makeDirectory(onTestFinished)
  await writeFile(join(directory, name), content)
  return readPartition(fileLog({ path: directory }), 'a')
}

const eventOf = async (line: string): Promise<RecordedEvent> => (await readText(`${line}\n`)).events[0]!
const GOOD = lineOf('T')

describe('a line', () => {
  test('gives its fields, and null, 1 and no headers for what it does not say', async () => {
    expect(await eventOf('{"type":"T"}')).toEqual({
      partition: 'a', offset: 0, type: 'T', schemaVersion: 1, key: null, data: null, bigIntegers: null,
      recordedAtMs: null, headers: {}, id: null,
    })
    const said = { type: 'T', key: 'k', data: [1], schemaVersion: 2, id: 'i', headers: { a: 'b' }, offset: 0 }
    expect(await eventOf(JSON.stringify({ ...said, recordedAt: '2026-01-02T03:04:05.678Z', more: 1 }))).toEqual({
      ...said, partition: 'a', bigIntegers: null, recordedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    })
  })

  test.each([
    ['"2026-01-31T23:59:59Z"', Date.UTC(2026, 0, 31, 23, 59, 59)], ['"2026-01-02"', Date.UTC(2026, 0, 2)],
    ['"2026-01-02T03:04:05,5+02:00"', Date.UTC(2026, 0, 2, 1, 4, 5, 500)],
    ['"2026-01-02T03:04:05.678901Z"', Date.UTC(2026, 0, 2, 3, 4, 5, 678)],
    ['"1970-01-01T00:00:00.007Z"', 7], ['"0099-12-31T23:59:59.999Z"', Date.parse('0099-12-31T23:59:59.999Z')],
    ['"2024-02-29T00:00:00Z"', Date.UTC(2024, 1, 29)], ['-5', -5], ['null', null],
  ])('takes the time %s', async (text, expected) => {
    expect((await eventOf(`{"type":"T","recordedAt":${text}}`)).recordedAtMs).toBe(expected)
  })

  test.each([
    '"2026-01-02T03:04:05"', '"2026-02-30T00:00:00Z"', '"2026-13-01T00:00:00Z"', '"yesterday"', '1.5', '{}',
    '"2026-01-02T03:04:0xZ"', '"2026-01-02T03:04:05.67xZ"', '"2026-01-02T25:00:00Z"', '"2026-01-02T03-04:05Z"',
  ])('refuses the time %s', async (text) => {
    await expect(eventOf(`{"type":"T","recordedAt":${text}}`)).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  })

  test.each([
    '{"key":"k"}', '{"type":""}', '{"type":7}', '{"type":null}', '{"type":"T","key":7}', '{"type":"T","id":7}',
    '{"type":"T","schemaVersion":0}', '{"type":"T","schemaVersion":"1"}', '{"type":"T","headers":{"a":1}}', '{"type":"T","headers":[]}',
    '{"type":"T","data":}',
    '{"type":"T"}{"type":"T"}', '{"type":"T","type":"U"}', '{"type":"T","key":"a","key":"b"}', '[1]', '7', '"text"', 'null',
  ])('%s is LOG_CORRUPT with its place', async (line) => {
    await expect(readText(`${GOOD}${line}\n${GOOD}`)).rejects.toMatchObject({
      code: 'LOG_CORRUPT', details: { partition: 'a', offset: 1, file: expect.stringMatching(/a\.ndjson$/), line: 2, byte: GOOD.length },
    })
  })

  test('that states another offset than its ordinal is LOG_CORRUPT', async () => {
    await expect(readText(`${GOOD}{"type":"T","offset":2}\n`))
      .rejects.toMatchObject({ code: 'LOG_CORRUPT', details: { expected: 1, actual: 2 } })
  })

  test('keeps integers beyond 2^53 exact, and says where they are', async () => {
    const data = '{"n":9007199254740993,"list":[1,{"x y":-9007199254740993}],"s":"9007199254740993"}'
    const event = await eventOf(`{"type":"T","key":"12345678901234567890","data":${data}}`)
    expect(event.data).toEqual({ n: 9007199254740993n, list: [1, { 'x y': -9007199254740993n }], s: '9007199254740993' })
    expect(event.bigIntegers).toEqual(['$.n', '$.list[1]["x y"]'])
    expect(event.key).toBe('12345678901234567890')
    expect((await eventOf('{"type":"T","data":9007199254740991}')).data).toBe(9007199254740991)
    await expect(eventOf('{"type":"T","data":[123456789012345678901234567890]}'))
      .rejects.toMatchObject({ code: 'NUMBER_INEXACT', details: { offset: 0, line: 1 } })
  })

  test('may have any layout; type and key are the same whether it was parsed or not', async () => {
    const lines = [
      '{"type":"T","key":"k"}', '{"type": "T", "key": "k"}', '{ "type":"T","key":"k"}', '{"key":"k","type":"T"}',
      '{"type":"T","data":{"key":"no"},"key":"k"}', '{"type":"\\u0054","key":"k"}', '{"type":"T","key":"\\u006b"}',
      '\t{"type":"T","key":"k"} ',
      '{"type":"T" ,"key":"k"}', '{"type" :"T","key":"k"}',
    ]
    const directory = await makeDirectory(onTestFinished)
    await writeFile(join(directory, 'a.ndjson'), `${lines.join('\n')}\n{"type":"ü","key":"ключ🔑"}\n{"type": "T", "key": null}`)
    const columns: unknown[] = []
    for await (const batch of batchesOf(fileLog({ path: directory }), 'a')) {
      for (let i = 0; i < batch.length; i++) columns.push([batch.typeAt(i), batch.keyAt(i), batch.event(i).type, batch.event(i).key])
    }
    const same = lines.map(() => ['T', 'k', 'T', 'k'])
    expect(columns).toEqual([...same, ['ü', 'ключ🔑', 'ü', 'ключ🔑'], ['T', null, 'T', null]])
  })

  test('over 16 MiB is refused, one of 16 MiB is not', async () => {
    const big = (length: number): string => `{"type":"T","data":"${'x'.repeat(length - 22)}"}`
    expect((await eventOf(big(16 * 1024 * 1024))).type).toBe('T')
    for (const length of [16 * 1024 * 1024 + 1, 40 * 1024 * 1024]) {
      await expect(readText(`${GOOD}${big(length)}\n${GOOD}`)).rejects.toMatchObject({ code: 'LOG_CORRUPT', details: { line: 2 } })
    }
  })
})

describe('a file', () => {
  test('may begin with a BOM and end its lines in CR LF', async () => {
    const plain = lineOf('One', 'a', { ü: 1 }) + lineOf('Two')
    const expected = await readText(plain)
    const dos = plain.replaceAll('\n', '\r\n')
    const same = [`\uFEFF${plain}`, dos, `\uFEFF${dos}`, plain.trimEnd(), dos.trimEnd(), plain.replace('\n', '\r\n')]
    for (const text of same) {
      const { events, last } = await readText(text)
      expect(events).toEqual(expected.events)
      expect([last?.id, last?.input]).toEqual([expected.last?.id, expected.last?.input])
    }
    expect((await readText('\uFEFF')).events).toEqual([])
  })

  test.each([
    ['a blank line', '\n'], ['a blank last line', ' \n', ''], ['spaces only', ' \t\r\n'], ['a torn line', '{"type":"T","da\n'],
    ['a BOM in the middle', '\uFEFF{"type":"T"}\n'], ['text', 'hello\n'],
  ])('with %s is LOG_CORRUPT there, after the records before it', async (_what, text, rest = GOOD) => {
    const directory = await makeDirectory(onTestFinished)
    await writeFile(join(directory, 'a.ndjson'), GOOD + GOOD + text + rest)
    let through = -1
    const read = async (): Promise<void> => {
      for await (const batch of batchesOf(fileLog({ path: directory }), 'a')) through = batch.through
    }
    await expect(read()).rejects.toMatchObject({ code: 'LOG_CORRUPT', details: { offset: 2, line: 3, byte: GOOD.length * 2 } })
    expect(through).toBe(1)
  })

  test('with bytes that are not UTF-8 is LOG_CORRUPT, also where nobody asks for the event', async () => {
    const bad = Buffer.from('{"type":"T","data":"\xff"}\n', 'latin1')
    await expect(readText(Buffer.concat([Buffer.from(GOOD), bad]))).rejects.toMatchObject({ code: 'LOG_CORRUPT', details: { offset: 1 } })
    await expect(readText(Buffer.from('{"type":"T","data":"\xed\xa0\x80"}\n', 'latin1'))).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  })

  test('whose last line is a part of an object is LOG_TORN_TAIL with its place, and shorter by it while following', async () => {
    const directory = await makeDirectory(onTestFinished)
    for (const tail of ['{"type":"T"', '{', '{"type":"T","data":{}', ' ', '\uFEFF{', '\r']) {
      await writeFile(join(directory, 'a.ndjson'), `${GOOD}${tail}`)
      await expect(fileLog({ path: directory }).bounds(), tail).rejects.toMatchObject({
        code: 'LOG_TORN_TAIL', details: { partition: 'a', offset: 1, line: 2, byte: GOOD.length },
      })
      expect((await fileLog({ path: directory }).bounds({ following: true })).get('a')).toMatchObject({ first: 0, last: 0 })
    }
  })

  test('that is closed can not have a torn tail: it is LOG_CORRUPT, following or not', async () => {
    const directory = await makeDirectory(onTestFinished)
    await writeFile(join(directory, 'a.000001.ndjson'), `${GOOD}{"type"`)
    await writeFile(join(directory, 'a.000002.ndjson'), GOOD)
    await expect(fileLog({ path: directory }).bounds({ following: true })).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
    const zipped = await makeDirectory(onTestFinished)
    await writeFile(join(zipped, 'a.ndjson.gz'), gzipSync(`${GOOD}{"type"`))
    await expect(fileLog({ path: zipped }).bounds({ following: true })).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  })
})

describe('damage', () => {
  test('of a .gz is LOG_CORRUPT, whichever byte is flipped and wherever it is cut, or changes nothing', async () => {
    const text = Array.from({ length: 30 }, (_, i) => lineOf('T', `k${i}`, { i })).join('')
    const expected = (await readText(text)).events
    const half = text.indexOf('\n', 300) + 1
    const firstMember = gzipSync(text.slice(0, half))
    const whole = Buffer.concat([firstMember, gzipSync(text.slice(half))])
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole)
      flipped[at]! ^= 1 << at % 8
      // Cut between two members it is a whole file: only a .sha256 tells.
      const cut = at === firstMember.length ? Buffer.concat([firstMember, Buffer.from([0, 0x1f])]) : whole.subarray(0, at)
      for (const damaged of [flipped, cut]) {
        const outcome = await readText(damaged, 'a.ndjson.gz').then(({ events }) => events, (error: { code: string }) => error.code)
        if (outcome !== 'LOG_CORRUPT') expect(outcome, `byte ${at}`).toEqual(expected)
      }
    }
  })

  test('is found by a .sha256 file, bare or as sha256sum writes it, over the bytes on disk', async () => {
    const text = GOOD.repeat(3)
    for (const [name, content] of [['a.ndjson', Buffer.from(text)], ['a.ndjson.gz', gzipSync(text)]] as const) {
      const hash = createHash('sha256').update(content).digest('hex')
      for (const sidecar of [hash, `${hash.toUpperCase()}\n`, `${hash}  ${name}\n`]) {
        const directory = await makeDirectory(onTestFinished)
        await writeFile(join(directory, name), content)
        await writeFile(join(directory, `${name}.sha256`), sidecar)
        expect((await readPartition(fileLog({ path: directory }), 'a')).events).toHaveLength(3)
        await writeFile(join(directory, `${name}.sha256`), sidecar.replace(/^./, (digit) => (digit === '0' ? '1' : '0')))
        await expect(fileLog({ path: directory }).bounds()).rejects.toMatchObject({ code: 'LOG_CORRUPT', details: { actual: hash } })
      }
    }
  })

  test('a .sha256 that is none is LOG_CORRUPT; one of what is in a .gz is checked too', async () => {
    const directory = await makeDirectory(onTestFinished)
    await writeFile(join(directory, 'a.ndjson.gz'), gzipSync(GOOD))
    await writeFile(join(directory, 'a.ndjson.sha256'), createHash('sha256').update(GOOD).digest('hex'))
    expect((await fileLog({ path: directory }).bounds()).get('a')).toMatchObject({ first: 0, last: 0 })
    await writeFile(join(directory, 'a.ndjson.sha256'), 'nothing')
    await expect(fileLog({ path: directory }).bounds()).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  })
})
