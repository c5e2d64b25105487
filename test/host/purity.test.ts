import { getRandomValues, randomBytes, randomFillSync, randomInt, randomUUID } from 'node:crypto'
import { performance as hooksPerformance } from 'node:perf_hooks'
import { hrtime } from 'node:process'
import { setTimeout as timersSetTimeout } from 'node:timers'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { isRehydrateError } from '../../src/errors.js'
import { hostPurity } from '../../src/host/purity.js'

const undo: (() => void)[] = []
const install = (): (() => void) => {
  const uninstall = hostPurity.install()
  undo.push(uninstall)
  return uninstall
}
afterEach(() => {
  while (undo.length > 0) undo.pop()?.()
})

/** What an impure call is refused with while handlers run; null where it went through. */
function refusalOf(call: () => unknown): string | null {
  hostPurity.enter()
  try {
    call()
    return null
  } catch (error) {
    if (isRehydrateError(error) && error.code === 'IMPURE_HANDLER') return String(error.details.actual)
    throw error
  } finally {
    hostPurity.leave()
  }
}

const IMPURE: Readonly<Record<string, () => unknown>> = {
  'new Date()': () => new Date(),
  'Date()': () => Date(),
  'Date.now()': () => Date.now(),
  'Math.random()': () => Math.random(),
  'performance.now()': () => hooksPerformance.now(),
  'performance.mark()': () => performance.mark('x'),
  'crypto.getRandomValues()': () => globalThis.crypto.getRandomValues(new Uint8Array(1)),
  'crypto.randomUUID()': () => globalThis.crypto.randomUUID(),
  'crypto.randomBytes()': () => randomBytes(1),
  'crypto.randomInt()': () => randomInt(2),
  'crypto.randomFillSync()': () => randomFillSync(new Uint8Array(1)),
  'setTimeout()': () => setTimeout(() => {}, 0),
  'setInterval()': () => setInterval(() => {}, 1),
  'setImmediate()': () => setImmediate(() => {}),
  'queueMicrotask()': () => queueMicrotask(() => {}),
  'timers.setTimeout()': () => timersSetTimeout(() => {}, 0),
  'timers/promises.setTimeout()': () => sleep(0),
  'fetch()': () => fetch('http://127.0.0.1:1'),
  'process.hrtime()': () => hrtime(),
  'process.hrtime.bigint()': () => process.hrtime.bigint(),
}

test.each(Object.entries(IMPURE))('%s is refused by name while handlers run', (name, call) => {
  install()
  expect(refusalOf(call)).toBe(name)
})

test('named imports of node:crypto are refused too', () => {
  install()
  expect(refusalOf(() => randomUUID())).toBe('crypto.randomUUID()')
  expect(refusalOf(() => getRandomValues(new Uint8Array(1)))).toBe('crypto.getRandomValues()')
})

test('what asks no clock goes through while handlers run', () => {
  install()
  expect(refusalOf(() => {
    expect(new Date(5).getTime()).toBe(5)
    expect(new Date('2026-01-02T03:04:05Z').toISOString()).toBe('2026-01-02T03:04:05.000Z')
    expect(new Date(2026, 0, 2).getDate()).toBe(2)
    expect(Date.UTC(1970, 0, 1)).toBe(0)
    expect(Date.parse('1970-01-01T00:00:01Z')).toBe(1000)
    expect(new Date(Number.NaN).getTime()).toBeNaN()
  })).toBe(null)
})

test('outside of enter and leave everything behaves as before', async () => {
  const before = new Date()
  install()
  const now = new Date()
  expect(now.getTime()).toBeGreaterThanOrEqual(before.getTime())
  expect(typeof Date()).toBe('string')
  expect(Math.abs(Date.now() - now.getTime())).toBeLessThan(5000)
  expect(Math.random()).toBeLessThan(1)
  expect(randomUUID()).toMatch(/^[0-9a-f-]{36}$/)
  expect(globalThis.crypto.getRandomValues(new Uint8Array(4))).toHaveLength(4)
  expect(performance.now()).toBeGreaterThan(0)
  expect(hrtime()).toHaveLength(2)
  expect(typeof process.hrtime.bigint()).toBe('bigint')
  await promisify(setTimeout)(1)
  await sleep(1)
})

test('Date keeps its identity: instanceof, subclasses, prototype and constructor', () => {
  const older = new Date(1)
  install()
  expect(older).toBeInstanceOf(Date)
  expect(older.constructor).toBe(Date)
  expect(Object.getPrototypeOf(new Date(2))).toBe(Date.prototype)
  expect([Date.name, Date.length]).toEqual(['Date', 7])
  class Day extends Date {
    get day(): number { return Math.floor(this.getTime() / 86_400_000) }
  }
  const day = new Day(86_400_000)
  expect(day).toBeInstanceOf(Day)
  expect(day).toBeInstanceOf(Date)
  expect(day.day).toBe(1)
  expect(refusalOf(() => new Day())).toBe('new Date()')
})

test('the last uninstall puts the originals back, and an uninstall counts once', () => {
  const originals = [Date, Date.now, Math.random, setTimeout, fetch, process.hrtime, randomBytes, Date.prototype.constructor]
  const ownNow = Object.getOwnPropertyDescriptor(performance, 'now')
  const first = install()
  const second = install()
  expect(Date).not.toBe(originals[0])
  first()
  first()
  expect(Date).not.toBe(originals[0])
  expect(refusalOf(() => Date.now())).toBe('Date.now()')
  second()
  expect([Date, Date.now, Math.random, setTimeout, fetch, process.hrtime, randomBytes, Date.prototype.constructor]).toEqual(originals)
  expect(Date).toBe(originals[0])
  expect(Object.getOwnPropertyDescriptor(performance, 'now')).toEqual(ownNow)
  expect(refusalOf(() => Date.now())).toBe(null)
})

test('what somebody else put in our place meanwhile stays', () => {
  const original = Math.random
  const uninstall = install()
  const theirs = (): number => 0.5
  Math.random = theirs
  uninstall()
  expect(Math.random).toBe(theirs)
  Math.random = original
})
