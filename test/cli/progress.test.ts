import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { personReporter, progressText } from '../../src/cli/progress.js'
import type { Progress } from '../../src/replay/api.js'
import { fakeIo } from './harness.js'

const progress: Progress = {
  kind: 'progress', position: new Map(), end: new Map(), total: 50_000_000, done: 39_050_000, applied: 1, eventsPerSecond: 212_000,
  lag: 10_950_000, eta: { lowMs: 45_000, midMs: 52_000, highMs: 65_000 },
}

test('the progress line says percent, counts, rate, lag and the time as a range', () => {
  expect(progressText('orders', { ...progress, lag: 10_900_000 }))
    .toBe('orders  78.1 %  39.0/50.0 M  212 k/s  lag 10.9 M  eta 0:52 (0:45–1:05)')
  expect(progressText('orders', { ...progress, eta: null })).not.toContain('eta')
  expect(progressText('orders', { ...progress, eta: 'never' })).toContain('eta never: the log grows faster than it is read')
  expect(progressText('orders', { ...progress, lag: 0, done: progress.total }, true)).toBe('orders  following  50.0 M  212 k/s  lag 0')
})

test('on a terminal one line is redrawn at most ten times a second, the newest text last, and cleared at the end', async () => {
  const io = fakeIo('/', { tty: true })
  const reporter = personReporter(io, 'orders')
  for (let done = 0; done < 1000; done++) reporter.event({ ...progress, done: done * 50_000 })
  await sleep(150)
  reporter.end()
  const draws = io.text('stderr').split('\r\x1b[2K').slice(1)
  expect(draws).toHaveLength(3)
  expect(draws[0]).toContain('0.0 %')
  expect(draws[1]).toContain('99.9 %')
  expect(draws[2]).toBe('')
  expect(io.text('stderr')).not.toContain('\n')
})

test('the line never wraps', () => {
  const io = fakeIo('/', { tty: true })
  personReporter(io, 'a-job-with-quite-a-long-name-that-leaves-little-room-for-the-rest').event(progress)
  expect(io.text('stderr').replace('\r\x1b[2K', '')).toHaveLength(79)
})

test('a stall says what it waits for', () => {
  const io = fakeIo('/', { tty: true })
  personReporter(io, 'orders').event({ kind: 'stall', waitingFor: 'the log', forMs: 12_000 })
  expect(io.text('stderr')).toContain('orders  stalled 0:12, waiting for the log')
})

test.each([
  ['no terminal', { tty: false }], ['CI', { tty: true, env: { CI: 'true' } }], ['a dumb one', { tty: true, env: { TERM: 'dumb' } }],
])(
  'where stderr is %s, plain lines are printed per phase and checkpoint', (_, options) => {
    const io = fakeIo('/', options)
    const reporter = personReporter(io, 'orders')
    reporter.event({ kind: 'phase', phase: 'replaying', generation: 2 })
    for (let i = 0; i < 100; i++) reporter.event(progress)
    reporter.event({ kind: 'checkpoint', position: new Map(), keys: 1234, pauseMs: 5 })
    reporter.end()
    expect(io.text('stderr').trimEnd().split('\n')).toEqual([
      'orders  replaying, generation 2',
      'orders  checkpoint, 1,234 keys',
      'orders  78.1 %  39.0/50.0 M  212 k/s  lag 10.9 M  eta 0:52 (0:45–1:05)',
    ])
  },
)
