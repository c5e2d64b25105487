import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { memoryLog, memoryStore } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import type { EventSource, ReplayOptions, SealedRun, StateStore } from '../../src/index.js'
import { accountLog, accounts } from '../support/accounts.js'
import { failureOf, runIn, seeded, worldOf } from '../support/worlds.js'

const folder = mkdtempSync(join(tmpdir(), 'one-state-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const log = accountLog(7, 3, 700)
const source = (): EventSource => memoryLog({ partitions: log })
let files = 0
const newSqlite = (): StateStore => sqlite({ path: join(folder, `${files++}.db`) })

async function rebuilt(options: Partial<ReplayOptions> & { seed?: number } = {}): Promise<SealedRun> {
  const { seed = 1, ...rest } = options
  return await runIn(worldOf(seed), { source: source(), projection: accounts, store: memoryStore(), ...rest })
}

const undisturbed = await rebuilt()

function expectSame(sealed: SealedRun): void {
  expect(sealed.root).toBe(undisturbed.root)
  expect(sealed.seal.manifest).toEqual(undisturbed.seal.manifest)
  expect(sealed.seal.manifestHash).toBe(undisturbed.seal.manifestHash)
}

describe('one log, one projection, one state', () => {
  test('the state is not trivial: keys were deleted, and the owners are kept', () => {
    expect(undisturbed.collections['accounts']?.count).toBeGreaterThan(20)
    expect(undisturbed.collections['closed']?.count).toBeGreaterThan(10)
    expect(undisturbed.seal.manifest.control).not.toBe('sh1:e77b9a9ae9e30b0dbdb6f510a264ef9de781501d7b6b92ae89eb059c5ab743db')
  })

  test('memory and SQLite end in one root and one manifest', async () => {
    expectSame(await rebuilt({ store: newSqlite() }))
  })

  test.each([1, 2, 7, 64, 499, 2_000, 10_000])('batches of %i events do not change it', async (events) => {
    expectSame(await rebuilt({ batch: { events } }))
    expectSame(await rebuilt({ batch: { events }, store: newSqlite() }))
  })

  test('how often a checkpoint is written does not change it, nor how little memory there is', async () => {
    expectSame(await rebuilt({ checkpoint: { bytes: 1 }, batch: { events: 50 } }))
    expectSame(await rebuilt({ memoryBytes: 10_000, batch: { events: 20 }, store: newSqlite() }))
  })

  test('100 random interleavings of the partitions do not change it', async () => {
    for (let seed = 0; seed < 100; seed++) expectSame(await rebuilt({ seed, batch: { events: 1 + (seed % 37) } }))
  }, 120_000)

  test.each(['memory', 'sqlite'])('50 random restarts do not change it (%s)', async (kind) => {
    const random = seeded(11)
    const store = kind === 'memory' ? memoryStore() : newSqlite()
    let restarts = 0
    for (;;) {
      const left = restarts < 50 ? 1 + Math.floor(random() * 3) : Number.POSITIVE_INFINITY
      const options = {
        source: failingAfter(source(), left), projection: accounts, store, batch: { events: 13 }, checkpoint: { bytes: 1 },
      }
      const run = runIn(worldOf(restarts), options)
      if (left === Number.POSITIVE_INFINITY) {
        expectSame(await run)
        break
      }
      expect(await failureOf(run)).toMatchObject({ code: 'UNEXPECTED', message: 'the network went away' })
      restarts++
    }
    expect(restarts).toBe(50)
  })

  test('a stop by signal and a resume do not change it', async () => {
    const store = newSqlite()
    const stop = new AbortController()
    const stopping = failingAfter(source(), 20, () => stop.abort('SIGTERM'))
    const error = await failureOf(runIn(worldOf(3), {
      source: stopping, projection: accounts, store, batch: { events: 10 }, signal: stop.signal,
    }))
    expect(error.code).toBe('RUN_STOPPED')
    expect(error.message).toContain('moves/')
    expectSame(await rebuilt({ store }))
  })

  test('a log read in two halves ends in the state of the whole', async () => {
    const store = newSqlite()
    const first = await rebuilt({ store, until: 'moves/0@99,moves/1@400,moves/2@0' })
    expect(Object.fromEntries(first.position)).toEqual({ 'moves/0': 99, 'moves/1': 400, 'moves/2': 0 })
    const whole = await rebuilt({ store })
    expect(whole.root).toBe(undisturbed.root)
    expect(whole.seal.manifest.control).toBe(undisturbed.seal.manifest.control)
    expect(whole.grade).toEqual({ grade: 'maintained', sinceScrub: 2_100 - 502 })
    const again = await rebuilt({ until: 'moves/0@99,moves/1@400,moves/2@0' })
    expect(first.seal.manifestHash).toBe(again.seal.manifestHash)
  })

  test('a log that gets its second partition later ends in the owners and the state of one that had it from the start', async () => {
    const store = newSqlite()
    const growing = memoryLog({ partitions: { 'moves/0': log['moves/0'] ?? [] } })
    const first = await rebuilt({ store, source: growing })
    expect(first.seal.manifest.control).toBe('sh1:e77b9a9ae9e30b0dbdb6f510a264ef9de781501d7b6b92ae89eb059c5ab743db')
    const whole = await rebuilt({ store })
    expect(whole.root).toBe(undisturbed.root)
    expect(whole.seal.manifest.control).toBe(undisturbed.seal.manifest.control)
  })
})

/** A source that fails (or calls `then`) after some deliveries. */
function failingAfter(inner: EventSource, deliveries: number, then?: () => void): EventSource {
  let left = deliveries
  return {
    continuity: inner.continuity,
    check: (marks) => inner.check(marks),
    bounds: (options) => inner.bounds(options),
    close: () => inner.close(),
    async *read(partition, range, limits, signal) {
      for await (const batch of inner.read(partition, range, limits, signal)) {
        if (left-- === 0) {
          if (then === undefined) throw new Error('the network went away')
          then()
        }
        yield batch
      }
    },
  }
}
