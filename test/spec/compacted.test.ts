import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStore } from '../../adapters/memory/index.js'
import { defineProjection, openState, plan, replay, type Projection, type ReplayOptions, type SealedRun, type StateStore } from '../../src/index.js'
import { assertFoldsAgain } from '../../src/verify/past.js'
import { CompactedLog } from '../support/compacted-log.js'
import { failureOf, runIn, seeded, worldOf } from '../support/worlds.js'

const latest = lastValues('latest')

function lastValues(name: string, more: { history?: 'all'; order?: 'time' } = {}): Projection {
  return defineProjection({
    name, version: 1, history: 'last', collections: { values: {} }, ...more,
    on: {
      Set: (state, event) => state.values.put(event.key as string, event.data),
      $tombstone: (state, event) => state.values.delete(event.key as string),
    },
  })
}

async function valuesOf(store: StateStore): Promise<Map<string, unknown>> {
  const state = await openState(store, { projection: latest })
  const entries = await state.scan('values', null, 1_000)
  await state.close()
  return new Map(entries.map(({ key, value }) => [key, value]))
}

/** The root of exactly these values. */
async function rootOf(values: ReadonlyMap<string, number>): Promise<string> {
  const events = [...values].map(([key, data]) => ({ type: 'Set', key, data }))
  return (await replay({ source: memoryLog({ partitions: { p: events } }), projection: latest, store: memoryStore() }).done).root
}

/** A writer and a cleaner that are at work all the time: something happens before each fetch, `writes` times in all. */
function busyLog(seed: number, partitions: readonly string[], { before = 60, writes = 400 } = {}): CompactedLog {
  const random = seeded(seed)
  const log = new CompactedLog()
  const write = (partition: string): void => {
    const value = random() < 0.15 ? null : Math.floor(random() * 1_000)
    log.write(partition, `${partition}-k${Math.floor(random() * 9)}`, value)
  }
  for (const partition of partitions) for (let i = 0; i < before; i++) write(partition)
  let left = writes
  log.beforeFetch = (partition) => {
    for (const other of partitions) {
      for (let i = Math.floor(random() * 6); i > 0 && left > 0; i--, left--) write(other)
      if (random() < 0.5) log.clean(other)
    }
    if (random() < 0.3) log.clean(partition)
  }
  return log
}

const small: Partial<ReplayOptions> = { batch: { events: 3 }, checkpoint: { bytes: 1, seconds: 0.01 } }

describe('a compacted log', () => {
  test('is sealed where the reader stood at its end, however it is written and cleaned meanwhile: the last value of each key', async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 1_000_000 }), fc.integer({ min: 1, max: 3 }), async (seed, count) => {
      const log = busyLog(seed, ['a', 'b', 'c'].slice(0, count))
      const store = memoryStore()
      const sealed = await runIn(worldOf(seed), { source: log, projection: latest, store, ...small })
      expect(await valuesOf(store)).toEqual(log.valuesAt(sealed.position))
      for (const [partition, { last }] of await log.bounds()) expect(sealed.position.get(partition)).toBeLessThanOrEqual(last)
    }), { numRuns: 25 })
  })

  test('would not be, at an end that was frozen at the start', async () => {
    const log = new CompactedLog()
    for (let i = 0; i < 10; i++) log.write('p', `k${i}`, i)
    log.compacted = undefined
    log.beforeFetch = () => {
      log.write('p', 'k9', 99)
      log.clean('p')
    }
    const store = memoryStore()
    const { position } = await replay({ source: log, projection: latest, store, batch: { events: 3 } }).done
    expect(position).toEqual(new Map([['p', 9]]))
    expect((await valuesOf(store)).get('k9')).toBeUndefined()
    expect(log.valuesAt(position).get('k9')).toBe(9)
  })

  test('in pieces, broken off anywhere and gone on with, ends in the last value of each key', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const log = busyLog(seed, ['a', 'b'])
      const store = memoryStore()
      let sealed: SealedRun | null = null
      for (let restart = 0; sealed === null; restart++) {
        log.fetchesLeft = restart < 30 ? 1 + (seed * 7 + restart * 3) % 9 : Infinity
        sealed = await runIn(worldOf(seed + restart), { source: log, projection: latest, store, ...small }).catch((error: Error) => {
          expect(error.message).toContain('the network went away')
          return null
        })
      }
      expect(await valuesOf(store)).toEqual(log.valuesAt(sealed.position))
    }
  })

  test('of which a part was read, beyond the end of the start too, is not sealed when a signal comes', async () => {
    const log = busyLog(3, ['p'], { before: 10, writes: 0 })
    const store = memoryStore()
    await replay({ source: log, projection: latest, store }).done
    log.write('p', 'more', 0)
    const stop = new AbortController()
    let fetches = 0
    log.beforeFetch = (partition) => {
      // It never gets to the end.
      for (let i = 0; i < 9; i++) log.write(partition, 'more', i)
      if (++fetches === 12) stop.abort()
    }
    expect((await failureOf(replay({ source: log, projection: latest, store, ...small, signal: stop.signal }).done)).code).toBe('RUN_STOPPED')
    const [row] = await store.generations()
    expect(row?.checkpoint?.manifest).toMatchObject({ sealed: false })
    expect(row?.checkpoint?.manifest.position['p']).toBeGreaterThan(10)
  })

  test('is followed: each seal stands at an instant at the end', async () => {
    const log = busyLog(11, ['a', 'b'], { writes: 600 })
    const store = memoryStore()
    const stop = new AbortController()
    const run = replay({ source: log, projection: latest, store, until: 'follow', ...small, signal: stop.signal })
    const ended = failureOf(run.done)
    const sealed: SealedRun[] = []
    for (let i = 0; i < 5; i++) {
      sealed.push(await run.seal())
      for (let n = 0; n < 40; n++) log.write(n % 2 === 0 ? 'a' : 'b', `${n % 2 === 0 ? 'a' : 'b'}-k${n % 7}`, 1_000 * i + n)
      log.clean('a')
    }
    stop.abort()
    expect((await ended).code).toBe('RUN_STOPPED')
    for (const { position, root } of sealed) expect(root).toBe(await rootOf(log.valuesAt(position)))
    expect(log.reads.every(Boolean)).toBe(true)
  })

  test('in a silence keeps what its source learns of the marks, and stays sealed as it is', async () => {
    const log = busyLog(14, ['p'], { writes: 0 })
    log.tombstonesMs = 1_000
    const store = memoryStore()
    const run = replay({ source: log, projection: latest, store, until: 'follow' })
    run.done.catch(() => {})
    const { seal } = await run.seal()
    const markOf = async (): Promise<unknown> => {
      const state = await openState(store, { projection: latest })
      await state.close()
      return state.marks.get('p')?.proof
    }
    const before = await markOf()
    while (await markOf() === before) await new Promise((done) => setTimeout(done, 20))
    const [row] = await store.generations()
    expect([row?.checkpoint?.manifest, row?.checkpoint?.manifestHash]).toEqual([seal.manifest, seal.manifestHash])
    await run.close()
  })

  test('is sealed with what its source learned of the marks when it was asked for the seal', async () => {
    const log = busyLog(15, ['p'], { writes: 0 })
    const store = memoryStore()
    await replay({ source: log, projection: latest, store }).done
    const state = await openState(store, { projection: latest })
    await state.close()
    expect(log.looks).toBe(1)
    expect(state.marks.get('p')?.proof).toBe(log.looks)
  })

  test('that appears while following is read to its end as well', async () => {
    const log = busyLog(12, ['a'])
    const run = replay({ source: log, projection: latest, store: memoryStore(), until: 'follow', ...small })
    run.done.catch(() => {})
    for await (const event of run) if (event.kind === 'phase' && event.phase === 'following') break
    const appearing = busyLog(13, ['z'])
    for (const [key, value] of appearing.valuesAt(new Map([['z', 59]]))) log.write('z', key, value)
    let sealed = await run.seal()
    while (!sealed.position.has('z')) sealed = await run.seal()
    expect(sealed.root).toBe(await rootOf(log.valuesAt(sealed.position)))
    await run.close()
  })

  test('whose policy may not be read is sealed at its end too, for who needs the last record of each key only', async () => {
    const log = busyLog(5, ['p'])
    log.compacted = null
    const store = memoryStore()
    const sealed = await replay({ source: log, projection: latest, store, ...small }).done
    expect(await valuesOf(store)).toEqual(log.valuesAt(sealed.position))
    expect([log.reads.includes(true), sealed.seal.manifest.holes.compactedOrLost > 0]).toEqual([true, true])
  })

  test.each([['all', {}], ["last, by order 'time'", { history: 'last', order: 'time' }]] as const)(
    'whose policy may not be read is sealed as a whole for who needs all records (%s), and halts where one is missing', async (_what, more) => {
      const projection = lastValues('all', { history: 'all', ...more } as never)
      const log = new CompactedLog()
      log.compacted = null
      for (let i = 0; i < 20; i++) log.write('p', `k${i % 4}`, i)
      const store = memoryStore()
      const whole = await replay({ source: log, projection, store, ...small }).done
      expect([whole.position.get('p'), await valuesOf(store)]).toEqual([19, log.valuesAt(whole.position)])
      for (let i = 20; i < 40; i++) log.write('p', `k${i % 4}`, i)
      log.clean('p')
      expect((await plan({ source: log, projection, store })).refusals).toEqual([])
      const error = await failureOf(replay({ source: log, projection, store, ...small }).done)
      expect(error).toMatchObject({ code: 'COMPACTED_HISTORY', details: { partition: 'p', offset: 20 }, fix: expect.stringContaining('DescribeConfigs') })
      const [row] = await store.generations()
      expect([row?.checkpoint?.manifest.sealed, row?.checkpoint?.manifest.position]).toEqual([true, { p: 19 }])
    },
  )

  test('whose policy may not be read any more is held to it while it is followed, also in partitions that come to it', async () => {
    const log = new CompactedLog()
    log.compacted = null
    log.write('p', 'a', 1)
    log.write('r', 'b', 1)
    const run = replay({ source: log, projection: lastValues('all', { history: 'all' }), store: memoryStore(), until: 'follow', ...small })
    const failed = failureOf(run.done)
    for await (const event of run) if (event.kind === 'phase' && event.phase === 'following') break
    for (let i = 0; i < 9; i++) log.write('q', `k${i % 2}`, i)
    log.clean('q')
    log.write('q', 'k0', 9)
    expect(await failed).toMatchObject({ code: 'COMPACTED_HISTORY', details: { partition: 'q' } })
  })
})

describe('refused at plan time', () => {
  const runOf = (projection: Projection, more: Partial<ReplayOptions> = {}): ReplayOptions =>
    ({ source: busyLog(1, ['p', 'q']), projection, store: memoryStore(), ...more })

  test('a fold of all records is COMPACTED_HISTORY', async () => {
    const all = lastValues('sums', { history: 'all' })
    const error = await failureOf(replay(runOf(all)).done)
    expect([error.code, error.exitCode, error.details.partition]).toEqual(['COMPACTED_HISTORY', 8, 'p'])
    expect((await plan(runOf(all))).refusals.map(({ code }) => code)).toEqual(['COMPACTED_HISTORY'])
  })

  test("order 'time' is COMPACTED_HISTORY, and says why", async () => {
    const error = await failureOf(replay(runOf(lastValues('merged', { order: 'time' }))).done)
    expect([error.code, error.why]).toEqual(['COMPACTED_HISTORY', expect.stringContaining('fixed offset')])
  })

  test('a topic that becomes compacted while it is followed halts a fold of all records', async () => {
    const log = busyLog(2, ['p'], { writes: 0 })
    log.compacted = undefined
    const run = replay({ source: log, projection: lastValues('latest', { history: 'all' }), store: memoryStore(), until: 'follow' })
    run.done.catch(() => {})
    for await (const event of run) if (event.kind === 'phase' && event.phase === 'following') break
    log.compacted = true
    log.write('p', 'k', 1)
    expect((await failureOf(run.done)).code).toBe('COMPACTED_HISTORY')
  })

  test('an end inside of it is LOG_COMPACTED, by position and by time, before it, at its end and in what was read', async () => {
    const untils = [new Map([['p', 10]]), new Map([['p', 59], ['q', 59]]), new Date(20)]
    for (const until of untils) {
      expect(await failureOf(replay(runOf(latest, { until })).done)).toMatchObject({ code: 'LOG_COMPACTED', exitCode: 2, details: { partition: 'p' } })
    }
    const log = busyLog(4, ['p'], { writes: 40 })
    const store = memoryStore()
    log.fetchesLeft = 3
    await failureOf(replay({ source: log, projection: latest, store, ...small }).done)
    const at = (await store.generations())[0]!.checkpoint!.manifest.position['p']!
    expect(at).toBeGreaterThan(0)
    expect((await failureOf(replay({ source: log, projection: latest, store, until: new Map([['p', at]]) }).done)).code).toBe('LOG_COMPACTED')
  })

  test('nothing is refused where nothing is to be read: at its end, or where the last seal stands', async () => {
    const log = busyLog(6, ['p'], { writes: 30 })
    const store = memoryStore()
    const { position } = await replay({ source: log, projection: latest, store }).done
    log.write('p', 'later', 1)
    expect((await replay({ source: log, projection: latest, store, until: position }).done).position).toEqual(position)
  })

  test('an estimate that exceeds what tombstones are kept for is TOMBSTONES_EXPIRED in a plan', async () => {
    const log = busyLog(7, ['p'], { before: 5_000, writes: 0 })
    log.tombstonesMs = 1e9
    const run = { source: log, projection: latest, store: memoryStore() }
    expect((await plan(run)).refusals).toEqual([])
    log.tombstonesMs = 1e-9
    expect((await plan(run)).refusals).toMatchObject([{ code: 'TOMBSTONES_EXPIRED', message: expect.stringContaining('keeps deletes') }])
  })
})

test('time travel, blame and audit of a log that is known to be compacted are inconclusive, with no hole too', async () => {
  const log = new CompactedLog()
  log.write('p', 'a', 1)
  const store = memoryStore()
  const { seal } = await replay({ source: log, projection: latest, store }).done
  expect(seal.manifest.holes.compactedOrLost).toBe(0)
  const error = await failureOf(assertFoldsAgain({ source: log, projection: latest, manifest: seal.manifest, marks: undefined }, worldOf(1)))
  expect([error.code, error.exitCode]).toEqual(['LOG_COMPACTED', 2])
})

