import { inspect } from 'node:util'
import { afterEach, expect, test, vi } from 'vitest'
import { env } from '../../src/host/secrets.js'

afterEach(() => vi.unstubAllEnvs())

test('a secret prints *** everywhere and reveals itself only when asked', () => {
  vi.stubEnv('REHYDRATE_TEST_SECRET', 'hunter2')
  const secret = env('REHYDRATE_TEST_SECRET')
  const inspected = inspect({ secret }, { depth: 9, showHidden: true })
  const printed = [String(secret), `${secret}`, JSON.stringify({ secret }), inspected, `a${secret}b`]
  for (const text of printed) {
    expect(text).toContain('***')
    expect(text).not.toContain('hunter2')
  }
  expect(Object.keys(secret)).toEqual([])
  expect(secret.reveal()).toBe('hunter2')
})

test('a missing variable is CONFIG_INVALID naming it, and only when revealed', () => {
  const secret = env('REHYDRATE_TEST_MISSING')
  expect(() => secret.reveal()).toThrow(expect.objectContaining({
    code: 'CONFIG_INVALID', message: 'The environment variable REHYDRATE_TEST_MISSING is not set.',
  }))
})

test('a variable is read when it is revealed, not when it is named', () => {
  const secret = env('REHYDRATE_TEST_LATER')
  vi.stubEnv('REHYDRATE_TEST_LATER', 'now')
  expect(secret.reveal()).toBe('now')
})
