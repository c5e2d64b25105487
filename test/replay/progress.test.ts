import { describe, expect, test } from 'vitest'
import type { Clock } from '../../src/replay/api.js'
import { nextPhase } from '../../src/replay/phase.js'
import { ProgressMeter } from '../../src/replay/progress.js'

/** A clock that stands still until it is moved. */
function handClock(): Clock & { pass(ms: number): void } {
  let nowMs = 0
  return { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => {}, pass: (ms) => { nowMs += ms } }
}

const at = (offset: number): ReadonlyMap<string, number> => new Map([['p', offset]])

describe('the time that is left', () => {
  test('is told as a range that holds the truth, from the rate of the last seconds', () => {
    const clock = handClock()
    const meter = new ProgressMeter(clock)
    let done = 0
    for (let i = 0; i < 30; i++) {
      clock.pass(500)
      done += i % 2 === 0 ? 400 : 600
      meter.report(at(done - 1), at(99_999), true)
    }
    clock.pass(500)
    const { eta, eventsPerSecond, lag, total } = meter.report(at(done - 1 + 500), at(99_999), true) as any
    expect(total).toBe(100_000)
    expect(eventsPerSecond).toBeGreaterThan(950)
    expect(eventsPerSecond).toBeLessThan(1_050)
    expect(eta.lowMs).toBeLessThan(lag)
    expect(eta.highMs).toBeGreaterThan(lag)
    expect(eta.lowMs).toBeLessThanOrEqual(eta.midMs)
    expect(eta.midMs).toBeLessThanOrEqual(eta.highMs)
  })

  test('is "never" where the log grows as fast as it is read, and null while it is too early to say', () => {
    const clock = handClock()
    const meter = new ProgressMeter(clock)
    expect(meter.report(at(0), at(1_000), true)?.eta).toBeNull()
    let last
    for (let i = 1; i < 10; i++) {
      clock.pass(1_000)
      last = meter.report(at(i * 100), at(1_000 + i * 130), true)
    }
    expect(last?.eta).toBe('never')
    expect(meter.report(at(5_000), at(5_000), true)?.eta).toEqual({ lowMs: 0, midMs: 0, highMs: 0 })
  })

  test('is not told more than five times a second', () => {
    const clock = handClock()
    const meter = new ProgressMeter(clock)
    expect(meter.report(at(0), at(9))).not.toBeNull()
    clock.pass(199)
    expect(meter.report(at(1), at(9))).toBeNull()
    clock.pass(1)
    expect(meter.report(at(2), at(9))).not.toBeNull()
  })
})

describe('a stall', () => {
  test('is told once, after five seconds, with what is waited for; and again only after something moved', () => {
    const clock = handClock()
    const meter = new ProgressMeter(clock)
    meter.waiting('orders/0 to deliver what follows 41')
    clock.pass(4_999)
    expect(meter.stall()).toBeNull()
    clock.pass(1)
    expect(meter.stall()).toEqual({ kind: 'stall', waitingFor: 'orders/0 to deliver what follows 41', forMs: 5_000 })
    clock.pass(60_000)
    expect(meter.stall()).toBeNull()
    meter.moved(1)
    clock.pass(5_000)
    expect(meter.stall()).not.toBeNull()
  })

  test('is not told while the run works', () => {
    const clock = handClock()
    const meter = new ProgressMeter(clock)
    clock.pass(60_000)
    meter.waiting(null)
    expect(meter.stall()).toBeNull()
  })
})

describe('phases', () => {
  test('lead from plan to seal, and from any of them to a stop or a failure', () => {
    expect(nextPhase('planning', 'planned')).toBe('replaying')
    expect(nextPhase('replaying', 'reachedEnd')).toBe('sealing')
    expect(nextPhase('sealing', 'sealed')).toBe('sealed')
    expect(nextPhase('sealing', 'resumed')).toBe('following')
    expect(nextPhase('following', 'stop')).toBe('draining')
    expect(nextPhase('draining', 'drained')).toBe('stopped')
    expect(nextPhase('sealing', 'failed')).toBe('failed')
  })

  test('refuse what can not happen in them', () => {
    expect(() => nextPhase('planning', 'sealed')).toThrow('planning')
    expect(() => nextPhase('draining', 'planned')).toThrow('draining')
  })
})
