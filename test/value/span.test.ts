import fc from 'fast-check'
import { expect, test } from 'vitest'
import { span } from '../../src/value/span.js'

const [SECOND, MINUTE, HOUR, DAY] = [1_000, 60_000, 3_600_000, 86_400_000]

test('lengths of time are said in at most two units, rounded once', () => {
  expect([45 * SECOND, 6 * MINUTE, 2 * HOUR + 10 * MINUTE, 3 * HOUR, 3 * DAY + 4 * HOUR, 9 * DAY].map(span))
    .toEqual(['45 s', '6 min', '2 h 10 min', '3 h', '3 d 4 h', '9 d'])
  expect([0, 300, 119 * SECOND, 120 * SECOND].map(span)).toEqual(['1 s', '1 s', '119 s', '2 min'])
  expect([3 * DAY - 20 * MINUTE, 2 * DAY - 20 * SECOND, HOUR - 20 * SECOND].map(span)).toEqual(['3 d', '2 d', '1 h'])
})

test('no unit is ever as large as the next one, and what is said is off by half of the smaller one at most', () => {
  const sizes: Record<string, number> = { s: SECOND, min: MINUTE, h: HOUR, d: DAY }
  fc.assert(fc.property(fc.integer({ min: SECOND, max: 400 * DAY }), (ms) => {
    const parts = [...span(ms).matchAll(/(\d+) (s|min|h|d)/g)].map(([, count, unit]) => ({ count: Number(count), size: sizes[unit!]! }))
    const said = parts.reduce((sum, { count, size }) => sum + count * size, 0)
    const smallest = ms < 120 * SECOND ? SECOND : ms < 48 * HOUR ? MINUTE : HOUR
    expect(Math.abs(said - ms)).toBeLessThanOrEqual(smallest / 2)
    const [first, second] = parts
    if (second !== undefined) expect(second.count * second.size).toBeLessThan(first!.size)
  }), { numRuns: 2_000 })
})
