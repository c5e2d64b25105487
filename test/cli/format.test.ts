import { expect, test } from 'vitest'
import { about, clock, compact, compactOf, duration, fit, grouped, megabytes, percent, rate, table } from '../../src/cli/format.js'

test('counts are grouped, or short with one digit', () => {
  expect(grouped(39_880_104)).toBe('39,880,104')
  expect([9_999, 10_000, 212_449, 10_900_000, 2.5e9].map(compact)).toEqual(['9,999', '10.0 k', '212.4 k', '10.9 M', '2.5 G'])
  expect(compactOf(39_000_000, 50_000_000)).toBe('39.0/50.0 M')
  expect(compactOf(400_000, 50_000_000)).toBe('0.4/50.0 M')
  expect(compactOf(812, 9_000)).toBe('812/9,000')
})

test('rates have three digits', () => {
  expect([0, 950, 21_234, 212_449, 2_124_490].map(rate)).toEqual(['0/s', '950/s', '21.2 k/s', '212 k/s', '2.12 M/s'])
})

test('percent is rounded down: 100 % means all', () => {
  expect(percent(781, 1000)).toBe('78.1 %')
  expect(percent(999_999, 1_000_000)).toBe('99.9 %')
  expect(percent(5, 5)).toBe('100.0 %')
  expect(percent(0, 0)).toBe('100.0 %')
})

test('times read like a clock', () => {
  expect([52_000, 65_400, 3_723_000].map(clock)).toEqual(['0:52', '1:05', '1:02:03'])
  expect([850, 5_100, 200_000].map(duration)).toEqual(['850 ms', '5.1 s', '3:20'])
})

test('what is judged is said in words, sizes in powers of ten', () => {
  expect([300, 45_000].map(about)).toEqual(['less than 1 s', 'about 45 s'])
  expect([0, 1_234, 12_300_000, 45e9].map(megabytes)).toEqual(['0.0 MB', '1.2 kB', '12.3 MB', '45.0 GB'])
})

test('text is cut to the columns there are, and tables align', () => {
  expect(fit('abcdef', 6)).toBe('abcdef')
  expect(fit('abcdef', 4)).toBe('abc…')
  expect(table([['a', 'x'], ['long', 'y']])).toEqual(['  a     x', '  long  y'])
})
