import { appendFile, readdir, readFile, rename, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, onTestFinished, test } from 'vitest'
import { fileLog } from '../../../adapters/file/index.js'
import type { EventSource, Mark } from '../../../src/index.js'
import { batchesOf, lineOf, makeDirectory } from './log-directory.js'

interface Log {
  readonly source: EventSource
  readonly path: (name: string) => string
}

async function makeLog(name: string, content: string): Promise<Log> {
  const directory = await makeDirectory(onTestFinished)
  await writeFile(join(directory, name), content)
  return { source: fileLog({ path: directory, readBytes: 1_000 }), path: (file) => join(directory, file) }
}

const linesOf = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => lineOf('T', `k${from + i}`, { n: from + i })).join('')

const following = async (source: EventSource): Promise<number | undefined> => (await source.bounds({ following: true })).get('a')?.last

async function follow(source: EventSource, after: number, mark: Mark | null): Promise<{ numbers: number[]; mark: Mark }> {
  const upTo = (await following(source))!
  const numbers: number[] = []
  let last = mark
  for await (const batch of batchesOf(source, 'a', { after, upTo, mark }, { events: 11 })) {
    for (let i = 0; i < batch.length; i++) numbers.push(batch.event(i).data.n)
    last = batch.markAt(batch.length - 1)
  }
  return { numbers, mark: last! }
}

const numbersOf = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

test('a line that is written in pieces is a record when it is whole, with its newline or before it', async () => {
  const { source, path } = await makeLog('a.ndjson', '')
  const line = '{"type":"T","data":{"n":0}}'
  const seen: (number | undefined)[] = [await following(source)]
  for (const piece of [line.slice(0, 9), line.slice(9, 26), line.slice(26), '\n', line.slice(0, 5)]) {
    await appendFile(path('a.ndjson'), piece)
    seen.push(await following(source))
  }
  expect(seen).toEqual([-1, -1, -1, 0, 0, 0])
})

test('reading goes on over growth, rotation and compression with the chain of an undisturbed read', async () => {
  const { source, path } = await makeLog('a.000001.ndjson', linesOf(0, 1_500))
  const first = await follow(source, -1, null)
  await appendFile(path('a.000001.ndjson'), linesOf(1_500, 1_600))
  const second = await follow(source, 1_499, first.mark)
  await writeFile(path('a.000002.ndjson'), linesOf(1_600, 1_700))
  const third = await follow(source, 1_599, second.mark)
  await writeFile(path('a.000001.ndjson.gz'), gzipSync(await readFile(path('a.000001.ndjson'))))
  await unlink(path('a.000001.ndjson'))
  await appendFile(path('a.000002.ndjson'), linesOf(1_700, 2_100))
  const fourth = await follow(source, 1_699, third.mark)
  expect([first, second, third, fourth].flatMap(({ numbers }) => numbers)).toEqual(numbersOf(0, 2_100))

  const { source: whole } = await makeLog('a.ndjson', linesOf(0, 2_100))
  const { mark } = await follow(whole, -1, null)
  expect([fourth.mark.id, fourth.mark.input]).toEqual([mark.id, mark.input])
  expect(await source.check(new Map([['a', { mark: first.mark, at: 1_499 }]]))).toEqual(new Map([['a', { is: 'same' }]]))
})

test('a file that is not larger, but another, is counted anew', async () => {
  const { source, path } = await makeLog('a.ndjson', linesOf(0, 10))
  expect(await following(source)).toBe(9)
  await writeFile(path('b.tmp'), `${lineOf('Long', 'x'.repeat(100))}${linesOf(0, 30)}`)
  await rename(path('b.tmp'), path('a.ndjson'))
  expect(await following(source)).toBe(30)
  await truncate(path('a.ndjson'), 0)
  expect(await following(source)).toBe(-1)
  await writeFile(path('a.ndjson'), lineOf('T').repeat(50))
  expect(await following(source)).toBe(49)
})

test('a file that is cut short under a reader is LOG_TRUNCATED, not an end', async () => {
  const { source, path } = await makeLog('a.ndjson', linesOf(0, 500))
  const read = async (): Promise<void> => {
    for await (const batch of batchesOf(source, 'a')) {
      if (batch.offsetAt(0) === 0) await truncate(path('a.ndjson'), 6_000)
    }
  }
  await expect(read()).rejects.toMatchObject({ code: expect.stringMatching(/^LOG_(TRUNCATED|CORRUPT)$/) })
})

test('a file that is overwritten in place under a reader is LOG_REWRITTEN', async () => {
  const { source, path } = await makeLog('a.ndjson', linesOf(0, 500))
  const read = async (): Promise<void> => {
    for await (const batch of batchesOf(source, 'a', {}, { events: 500 })) {
      if (batch.offsetAt(0) === 0) await writeFile(path('a.ndjson'), linesOf(0, 501).replaceAll('"n"', '"N"'))
    }
  }
  await expect(read()).rejects.toMatchObject({ code: 'LOG_REWRITTEN' })
})

test('a log that changed between two polls stops the read that goes on', async () => {
  const changes: [string, (path: string) => Promise<void>][] = [
    ['LOG_REWRITTEN', (path) => writeFile(path, linesOf(0, 150).replace('"n":90}', '"n":91}'))],
    ['LOG_RECREATED', (path) => writeFile(path, linesOf(7, 157))],
    ['LOG_REWRITTEN', (path) => writeFile(path, linesOf(0, 150).replace('"n":0}', '"n":5}'))],
  ]
  for (const [code, change] of changes) {
    const { source, path } = await makeLog('a.ndjson', linesOf(0, 100))
    const { mark } = await follow(source, -1, null)
    await change(path('a.ndjson'))
    await expect(follow(source, 99, mark)).rejects.toMatchObject({ code, details: { partition: 'a', offset: 99 } })
  }
})

test('a hint that points to a wrong place costs time, not correctness', async () => {
  const { source, path } = await makeLog('a.000001.ndjson', linesOf(0, 1_100))
  const { mark } = await follow(source, -1, null)
  const proof = mark.proof as { hint: { byte: number; segment: string } }
  await appendFile(path('a.000001.ndjson'), linesOf(1_100, 1_200))
  const segment = 'a.000001.ndjson'
  for (const hint of [{ segment, byte: 7 }, { segment, byte: 10 ** 9 }, { segment: 'b', byte: 0 }, null]) {
    const moved = { ...mark, proof: { ...proof, hint } } as unknown as Mark
    expect((await follow(source, 1_099, moved)).numbers).toEqual(numbersOf(1_100, 1_200))
  }
})

test('a mark of another kind of source is unprovable, one of a partition that is gone is LOG_TRUNCATED', async () => {
  const { source } = await makeLog('a.ndjson', linesOf(0, 10))
  const { mark } = await follow(source, -1, null)
  const answers = await source.check(new Map([
    ['a', { mark: { id: 'x', input: null, proof: 'kafka' }, at: 9 }], ['gone', { mark, at: 9 }],
  ]))
  expect(answers.get('a')).toMatchObject({ is: 'unprovable' })
  expect(answers.get('gone')).toMatchObject({ is: 'different', code: 'LOG_TRUNCATED' })
})

test('a read ends where it is left, and leaves no file open', async () => {
  const { source } = await makeLog('a.ndjson', linesOf(0, 1_000))
  const openFiles = async (): Promise<number> => (await readdir('/proc/self/fd')).length
  const before = await openFiles()
  for (let round = 0; round < 20; round++) {
    for await (const _batch of batchesOf(source, 'a')) break
  }
  expect(await openFiles()).toBeLessThan(before + 5)
})
