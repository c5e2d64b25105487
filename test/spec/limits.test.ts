import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { memoryLog, memoryStore } from '../../adapters/memory/index.js'
import { plan, type EventSource, type Limits, type ReadLimits, type ReplayOptions, type RunEvent } from '../../src/index.js'
import type { Clock } from '../../src/replay/api.js'
import { startRun } from '../../src/replay/run.js'
import { accountLog, accounts } from '../support/accounts.js'
import { failureOf, runIn, tampered, worldOf } from '../support/worlds.js'

/** Time passes only while everybody sleeps, and then at once: up to the first who wakes. */
class IdleClock implements Clock {
  #nowMs = 0
  #sleepers: { readonly atMs: number; readonly wake: () => void }[] = []
  #passing = false

  nowMs(): number { return 1_700_000_000_000 + this.#nowMs }
  monotonicMs(): number { return this.#nowMs }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms === 0 || signal?.aborted === true) return await turn()
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      this.#sleepers.push({ atMs: this.#nowMs + ms, wake })
      signal?.addEventListener('abort', wake)
      if (!this.#passing) void this.#pass()
    })
  }

  async #pass(): Promise<void> {
    this.#passing = true
    while (this.#sleepers.length > 0) {
      for (let i = 0; i < 20; i++) await turn()
      this.#sleepers.sort((a, b) => a.atMs - b.atMs)
      const first = this.#sleepers.shift()
      if (first === undefined) break
      this.#nowMs = Math.max(this.#nowMs, first.atMs)
      first.wake()
    }
    this.#passing = false
  }
}

const log = accountLog(4, 3, 60)
const unlimited = await runIn(worldOf(1), { source: memoryLog({ partitions: log }), projection: accounts, store: memoryStore() })

/** A run on idle time: what was read when, and what the source was told of limits. A delivery takes `deliveryMs`. */
function paced(limits: Limits, over: Partial<ReplayOptions> = {}, deliveryMs = 0) {
  const clock = new IdleClock()
  const read: { readonly atMs: number; readonly bytes: number }[] = []
  const given: ReadLimits[] = []
  const source = tampered(memoryLog({ partitions: log }), (batch) => {
    read.push({ atMs: clock.monotonicMs(), bytes: batch.bytes })
    return batch
  })
  const watched: EventSource = {
    ...source,
    async *read(partition, range, asked, signal) {
      given.push(asked)
      for await (const batch of source.read(partition, range, asked, signal)) {
        await clock.sleep(deliveryMs, signal)
        yield batch
      }
    },
  }
  const options = { source: watched, projection: accounts, store: memoryStore(), limits, ...over }
  return { clock, read, given, run: startRun(options, worldOf(1, { clock })) }
}

test('at no time more is read than the bytes per second allow, but for one batch; the state is the same', async () => {
  const { read, run } = paced({ bytesPerSecond: 700 })
  const sealed = await run.done
  expect(sealed.seal.manifestHash).toBe(unlimited.seal.manifestHash)
  let before = 0
  for (const { atMs, bytes } of read) {
    expect(before).toBeLessThanOrEqual((700 * atMs) / 1_000 + 800)
    before += bytes
  }
  // … and it does not read more slowly than it may.
  expect(before).toBeGreaterThan((700 * read.at(-1)!.atMs) / 1_000)
  expect(read.length).toBeGreaterThan(10)
})

test('a shard takes its part of the bytes per second', async () => {
  const timeOf = async (shard: NonNullable<ReplayOptions['shard']>): Promise<number> => {
    const { read, run } = paced({ bytesPerSecond: 600 }, { shard })
    await run.done
    return read.at(-1)!.atMs / read.reduce((sum, { bytes }) => sum + bytes, 0)
  }
  expect(await timeOf({ index: 0, of: 3 }) / await timeOf({ index: 0, of: 1 })).toBeCloseTo(3, 0)
})

test('a plan counts with the limit', async () => {
  const source = memoryLog({ partitions: log })
  const options = { source, projection: accounts, store: memoryStore() }
  const bytes = [...(await source.bounds()).values()].reduce((sum, bound) => sum + (bound.bytes ?? 0), 0)
  const planned = await plan({ ...options, limits: { bytesPerSecond: 100 } })
  expect(planned.estimate!.ms).toBeGreaterThan(bytes > 0 ? (bytes / 100) * 500 : 60_000)
  expect((await plan(options)).estimate!.ms).toBeLessThan(planned.estimate!.ms / 10)
})

test('a wait for the limit is no stall, however long it is, and a stop ends it with a checkpoint', async () => {
  const stop = new AbortController()
  const { clock, run } = paced({ bytesPerSecond: 10 }, { batch: { events: 1 }, signal: stop.signal }, 2_000)
  const events: RunEvent[] = []
  const failure = failureOf((async () => {
    for await (const event of run) {
      events.push(event)
      if (clock.monotonicMs() > 60_000) stop.abort('SIGTERM')
    }
  })())
  expect((await failure).code).toBe('RUN_STOPPED')
  expect(events.filter(({ kind }) => kind === 'stall')).toEqual([])
  expect(events.filter(({ kind }) => kind === 'checkpoint').length).toBeGreaterThan(0)
  expect(clock.monotonicMs()).toBeLessThan(120_000)
})

test('limits that change while a run goes on hold from the next turn, and at the next fetch of the source', async () => {
  const { clock, given, run } = paced({ bytesPerSecond: 1, inFlightBytes: 5_000 })
  let changed = false
  for await (const event of run) {
    if (event.kind !== 'progress' || changed) continue
    changed = true
    expect(given[0]?.inFlightBytes).toBe(5_000)
    expect(() => run.limit({ bytesPerSecond: 0 })).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
    expect(given[0]?.inFlightBytes).toBe(5_000)
    run.limit({ inFlightBytes: 9_000 })
    expect(given[0]?.inFlightBytes).toBe(9_000)
    run.limit({})
    expect(given[0]).not.toHaveProperty('inFlightBytes')
  }
  expect((await run.done).seal.manifestHash).toBe(unlimited.seal.manifestHash)
  // At one byte a second it would take hours.
  expect(clock.monotonicMs()).toBeLessThan(3_600_000)
})

test.each([[{ bytesPerSecond: -1 }, 'limits.bytesPerSecond'], [{ inFlightBytes: Number.NaN }, 'limits.inFlightBytes'],
  [{ bytesPerSecond: '10 MB' as unknown as number }, 'limits.bytesPerSecond'], [{ rate: 1 } as Limits, 'rate']])('%j is refused', async (limits, path) => {
  expect(await failureOf(paced(limits).run.done)).toMatchObject({ code: 'CONFIG_INVALID', details: { path } })
})
