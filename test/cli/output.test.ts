import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { errorScreen, exitOf, Output, toJson } from '../../src/cli/output.js'
import { RehydrateError } from '../../src/errors.js'
import { fakeIo } from './harness.js'

const error = new RehydrateError('LOG_TRUNCATED', {
  message: 'orders/3 starts at 9,114,202 but we need 8,000,000.', partition: 'orders/3', offset: 8_000_000,
  expected: 8_000_000, actual: 9_114_202, file: 'orders/3.ndjson', line: 7,
})

test('the error screen says what, where, expected, actual, why, safe, fix and where more is', () => {
  expect(errorScreen(error)).toEqual([
    'error LOG_TRUNCATED  orders/3 starts at 9,114,202 but we need 8,000,000.',
    '  at:       orders/3@8000000 · orders/3.ndjson:7',
    '  expected: 8000000',
    '  actual:   9114202',
    `  why:      ${error.why}`,
    `  safe:     ${error.safe}`,
    `  fix:      ${error.fix}`,
    '  more:     rehydrate help LOG_TRUNCATED',
  ])
})

test('colour only wraps the code and the labels', () => {
  const plain = errorScreen(error, true).join('\n').replaceAll(/\x1b\[\d+m/g, '')
  expect(plain).toBe(errorScreen(error).join('\n'))
})

test('a program gets the error as the document, a person gets the screen on stderr', async () => {
  const forProgram = fakeIo('/')
  expect(await new Output(forProgram, 'document').fail(error)).toBe(7)
  expect(JSON.parse(forProgram.text('stdout'))).toEqual({ error: error.toJSON() })
  expect(forProgram.text('stderr')).toBe('')
  const forPerson = fakeIo('/')
  expect(await new Output(forPerson, 'person').fail(error)).toBe(7)
  expect(forPerson.text('stdout')).toBe('')
  expect(forPerson.text('stderr')).toBe(`${errorScreen(error).join('\n')}\n`)
})

test('an error of somebody else is UNEXPECTED, with its message', async () => {
  const io = fakeIo('/')
  expect(await new Output(io, 'document').fail(new TypeError('x is not a function'))).toBe(2)
  expect(JSON.parse(io.text('stdout')).error).toMatchObject({ code: 'UNEXPECTED', message: 'x is not a function' })
})

test('logs carry the code and the place, never what events or values hold; the stack at debug only', async () => {
  const cause = new Error('secret payload 4711')
  const failed = new RehydrateError('HANDLER_FAILED', {
    message: 'The handler threw: secret payload 4711', partition: 'p', offset: 3, key: 'secret key', actual: 'secret payload 4711', cause,
  })
  const info = fakeIo('/')
  await new Output(info, 'person', 'info').fail(failed)
  expect(info.text('stderr')).not.toContain('secret')
  expect(info.text('stderr').trim().split('\n').map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({ level: 50, code: 'HANDLER_FAILED', partition: 'p', offset: 3, msg: 'A handler threw.' }),
  ])
  const debug = fakeIo('/')
  await new Output(debug, 'person', 'debug').fail(failed)
  expect(debug.text('stderr')).not.toContain('secret')
  expect(JSON.parse(debug.text('stderr').trim().split('\n')[1] as string).stack[0]).toMatch(/^ +at /)
  const silent = fakeIo('/')
  await new Output(silent, 'person', 'silent').fail(failed)
  expect(silent.text('stderr')).toBe('')
})

test('a reader that went away is no error, and nothing more is written', async () => {
  let writes = 0
  const stdout = new Writable({
    write(_chunk, _encoding, done) {
      writes += 1
      done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
    },
  })
  const output = new Output({ ...fakeIo('/'), stdout }, 'person')
  await output.write('a')
  await output.write('b')
  expect([output.closed, writes]).toEqual([true, 1])
})

test('a full disk under stdout is an error', async () => {
  const stdout = new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })) })
  await expect(new Output({ ...fakeIo('/'), stdout }, 'person').write('a')).rejects.toThrow('ENOSPC')
})

test('JSON takes bigints and positions, and codes have their exits', () => {
  expect(toJson({ a: 1n, position: new Map([['p', 1]]) })).toBe('{"a":"1","position":{"p":1}}')
  expect([exitOf('LOG_GAP'), exitOf('USAGE'), exitOf('NO_SUCH')]).toEqual([7, 64, 2])
})
