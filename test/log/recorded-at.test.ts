import fc from 'fast-check'
import { expect, test } from 'vitest'
import { recordedAtOf } from '../../src/log/recorded-at.js'

test('a time is integer milliseconds, or ISO 8601 that no zone of the machine decides', () => {
  const cases: readonly (readonly [unknown, number])[] = [
    [0, 0], [-5, -5], [1_700_000_000_000, 1_700_000_000_000], ['2026-01-31', Date.UTC(2026, 0, 31)], ['2026-01-31T12:34Z', Date.UTC(2026, 0, 31, 12, 34)],
    ['2026-01-31T12:34:56Z', Date.UTC(2026, 0, 31, 12, 34, 56)], ['2026-01-31T12:34:56.789Z', Date.UTC(2026, 0, 31, 12, 34, 56, 789)],
    ['2026-01-31T12:34:56.789123456Z', Date.UTC(2026, 0, 31, 12, 34, 56, 789)], ['2026-01-31T12:34:56,5+01:00', Date.UTC(2026, 0, 31, 11, 34, 56, 500)],
    ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
  ]
  for (const [given, ms] of cases) expect(recordedAtOf(given)).toBe(ms)
})

test('anything else is none', () => {
  for (const given of [
    1.5, NaN, Infinity, 2 ** 53, null, undefined, {}, true, 5n, '', 'noon', '5', '2026-01-31T12:34:56', '2026-02-29T00:00:00Z', '2023-02-29', '2026-04-31T00:00:00Z',
    '2026-13-01T00:00:00Z', '2026-01-31T24:30:00Z', '2026-01-31T12:60:00Z', '2026-01-31T12:34:60Z', '2026-01-31T12:34:56z', '2026-01-31 12:34:56Z', ' 2026-01-31',
  ]) expect(recordedAtOf(given)).toBeNaN()
})

test('the quick way for the usual forms gives what Date.parse gives, in any order of days', () => {
  fc.assert(fc.property(fc.array(fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true }), { minLength: 1 }), (dates) => {
    for (const date of dates) {
      const text = date.toISOString()
      expect(recordedAtOf(text)).toBe(date.getTime())
      expect(recordedAtOf(`${text.slice(0, 19)}Z`)).toBe(Date.parse(`${text.slice(0, 19)}Z`))
    }
  }))
})
