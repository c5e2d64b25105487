import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, onTestFinished, test } from 'vitest'
import { fileLog } from '../../../adapters/file/index.js'
import { lineOf, makeDirectory, readPartition } from './log-directory.js'

async function makeLog(files: Record<string, string | Buffer>): Promise<string> {
  const directory = await makeDirectory(onTestFinished)
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true })
    await writeFile(join(directory, name), content)
  }
  return directory
}

const boundsOf = async (path: string): Promise<Record<string, [number, number]>> =>
  Object.fromEntries([...(await fileLog({ path }).bounds())].map(([name, { first, last }]) => [name, [first, last]]))

const LINE = lineOf('T')

test('the partition is the path below the root without suffixes', async () => {
  const log = await makeLog({
    'a.ndjson': LINE, 'orders/0.ndjson.gz': gzipSync(LINE + LINE), 'orders/1.jsonl': '', 'v1.2.ndjson': LINE,
    'notes.txt': 'no', '.hidden.ndjson': LINE, '.git/x.ndjson': LINE, 'a.ndjson.sha256.bak': 'no',
  })
  expect(await boundsOf(log)).toEqual({ a: [0, 0], 'orders/0': [0, 1], 'orders/1': [0, -1], 'v1.2': [0, 0] })
  expect(await boundsOf(join(log, 'orders/0.ndjson.gz'))).toEqual({ 0: [0, 1] })
  expect(await boundsOf(join(log, 'notes.txt')).catch((error: { code: string }) => error.code)).toBe('LOG_TORN_TAIL')
})

test('a glob takes the partitions below its first wildcard', async () => {
  const log = await makeLog({ 'x/a.ndjson': LINE, 'x/b.ndjson': LINE, 'x/deep/c.ndjson': LINE, 'y/a.ndjson': LINE, 'y/ab.ndjson': LINE })
  const names = async (glob: string): Promise<string[]> => Object.keys(await boundsOf(join(log, glob))).sort()
  expect(await names('x/*.ndjson')).toEqual(['a', 'b'])
  expect(await names('**/*.ndjson')).toEqual(['x/a', 'x/b', 'x/deep/c', 'y/a', 'y/ab'])
  expect(await names('{x,y}/a.ndjson')).toEqual(['x/a', 'y/a'])
  expect(await names('y/a?.ndjson')).toEqual(['ab'])
  await expect(names('z/*.ndjson')).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE' })
  await expect(names('{x,y/*.ndjson')).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
})

test('numbered segments are one partition, in order, also where some are compressed', async () => {
  const log = await makeLog({
    'a.000001.ndjson.gz': gzipSync(lineOf('One') + lineOf('Two')), 'a.000002.ndjson': lineOf('Three'), 'a.000003.ndjson': '',
    'a.000010.ndjson.part': 'no', 'b.20240101.ndjson': LINE,
  })
  expect(await boundsOf(log)).toEqual({ a: [0, 2], 'b.20240101': [0, 0] })
  const { events } = await readPartition(fileLog({ path: log }), 'a')
  expect(events.map(({ type, offset }) => [type, offset])).toEqual([['One', 0], ['Two', 1], ['Three', 2]])
})

test('two files with one name are CONFIG_AMBIGUOUS', async () => {
  for (const pair of [
    ['a.ndjson', 'a.ndjson.gz'], ['a.000001.ndjson', 'a.000001.ndjson.gz'], ['a.ndjson', 'a.000001.ndjson'], ['a.ndjson', 'a.jsonl'],
  ]) {
    const log = await makeLog(Object.fromEntries(pair.map((name) => [name, LINE])))
    await expect(boundsOf(log), pair.join()).rejects.toMatchObject({ code: 'CONFIG_AMBIGUOUS' })
  }
})

test('the first present line may state its offset; without it missing leading segments are LOG_TRUNCATED', async () => {
  const stated = `${JSON.stringify({ type: 'T', offset: 100 })}\n`
  expect(await boundsOf(await makeLog({ 'a.000003.ndjson': stated + LINE, 'b.ndjson': stated }))).toEqual({ a: [100, 101], b: [100, 100] })
  await expect(boundsOf(await makeLog({ 'a.000002.ndjson': LINE })))
    .rejects.toMatchObject({ code: 'LOG_TRUNCATED', details: { partition: 'a' } })
})

test('a missing segment between two is LOG_GAP, unless the next one states its offset, which leaves the gap to be seen', async () => {
  await expect(boundsOf(await makeLog({ 'a.000001.ndjson': LINE, 'a.000003.ndjson': LINE })))
    .rejects.toMatchObject({ code: 'LOG_GAP', details: { partition: 'a', offset: 1 } })
  const log = await makeLog({ 'a.000001.ndjson': LINE, 'a.000003.ndjson': `${JSON.stringify({ type: 'T', offset: 5 })}\n` })
  expect(await boundsOf(log)).toEqual({ a: [0, 5] })
  const { events } = await readPartition(fileLog({ path: log }), 'a')
  expect(events.map(({ offset }) => offset)).toEqual([0, 5])
})

test('a segment that states an offset that is taken already is LOG_CORRUPT', async () => {
  const log = await makeLog({ 'a.000001.ndjson': LINE + LINE, 'a.000002.ndjson': `${JSON.stringify({ type: 'T', offset: 1 })}\n` })
  await expect(boundsOf(log)).rejects.toMatchObject({ code: 'LOG_CORRUPT', details: { expected: 2, actual: 1 } })
})

test('a path without any log is SOURCE_UNREACHABLE, and says what was looked for', async () => {
  const empty = await makeLog({ 'readme.md': 'no log' })
  for (const path of [empty, join(empty, 'none.ndjson'), join(empty, 'readme.md/x.ndjson')]) {
    await expect(boundsOf(path))
      .rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE', details: { expected: expect.stringContaining('NAME.ndjson') } })
  }
})

test('a file that can not be opened is SOURCE_UNREACHABLE with its path', async () => {
  const log = await makeLog({ 'a.ndjson': LINE })
  await symlink(join(log, 'gone.ndjson'), join(log, 'b.ndjson'))
  await expect(boundsOf(log)).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE', details: { file: join(log, 'b.ndjson') } })
})

test('wrong options are refused by the factory', () => {
  const refusal = (options: unknown): string => {
    try {
      fileLog(options as { path: string })
      return 'accepted'
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  for (const envelope of ['cloudevent', 5, {}, { type: 'kind' }, { type: { field: '' } }, { type: { header: 'kind' } }, { type: { field: 'a' }, when: { field: 'b' } }]) {
    expect(refusal({ path: 'x', envelope })).toBe('CONFIG_INVALID')
  }
  for (const options of [{}, { path: '' }, { path: 7 }, { paht: 'x' }, { path: 'x', readBytes: 0 }, { path: 'x', readBytes: 1.5 }]) {
    expect(refusal(options), JSON.stringify(options)).toBe('CONFIG_INVALID')
  }
})
