import { describe, expect, test } from 'vitest'
import { memoryStore } from '../../../adapters/memory/index.js'
import { defineProjection, openState, plan, replay, type EventBatch, type EventSource, type Mark, type ReadRange } from '../../../src/index.js'
import { checkStart } from '../../../adapters/kafka/start.js'
import { failureOf } from '../../support/worlds.js'
import { PaperCluster } from './paper-cluster.js'

const latest = defineProjection({
  name: 'latest', version: 1, history: 'last', collections: { values: {} },
  on: { Set: (state, event) => state.values.put(event.key as string, event.data.n) },
})
const HOUR = 3_600_000

function ten(more: Partial<PaperCluster> = {}): PaperCluster {
  const cluster = Object.assign(new PaperCluster(), more)
  for (const base of [0, 2, 4, 6, 8]) cluster.put([base, base + 1])
  return cluster
}

/** A clock that stands until it is set. */
function clockAt(startMs: number): { nowMs: number; clock: () => number } {
  const clock = { nowMs: startMs, clock: () => clock.nowMs }
  return clock
}

async function read(source: EventSource, range: Partial<ReadRange> = {}, events = 100): Promise<EventBatch[]> {
  const { first, last } = (await source.bounds()).get('t/0')!
  const whole = { after: first - 1, upTo: last, mark: null, ...range }
  const batches: EventBatch[] = []
  for await (const batch of source.read('t/0', whole, { events, bytes: 1 << 20 }, new AbortController().signal)) batches.push(batch)
  return batches
}

const lastMark = (batches: readonly EventBatch[]): Mark => {
  const batch = batches.findLast(({ length }) => length > 0)!
  return batch.markAt(batch.length - 1)
}
const checkOf = async (source: EventSource, mark: Mark, at: number) => (await source.check(new Map([['t/0', { mark, at }]]))).get('t/0')
const throughs = (batches: readonly EventBatch[]): [number, boolean | undefined][] => batches.map(({ through, atEnd }) => [through, atEnd])

describe('a read to the end', () => {
  test('goes on behind upTo to the page of which nothing followed in that very fetch', async () => {
    const cluster = ten({ compacted: true, batchesPerFetch: 1 })
    const source = cluster.source()
    await source.bounds()
    let written = 10
    cluster.beforeFetch = () => { if (written < 16) cluster.put([written++]) }
    const batches = await read(source, { toEnd: true, upTo: 3 })
    expect(throughs(batches).filter(([, atEnd]) => atEnd)).toEqual([[15, true]])
    expect(batches.flatMap((batch) => Array.from({ length: batch.length }, (_, i) => batch.offsetAt(i)))).toEqual(Array.from({ length: 16 }, (_, i) => i))
  })

  test('that stands at the end already says so in a batch of nothing', async () => {
    const cluster = ten({ compacted: true })
    const source = cluster.source()
    const [batch, ...more] = await read(source, { after: 9, upTo: 9, toEnd: true })
    expect([batch?.length, batch?.through, batch?.atEnd, more]).toEqual([0, 9, true, []])
  })

  test('an end that a leader does not know of yet is none: it is waited for', async () => {
    const cluster = ten({ compacted: true, batchesPerFetch: 10 })
    const source = cluster.source()
    await source.bounds()
    // Bounds said 10; a leader that was just elected says 6 for a while.
    cluster.end = 6
    cluster.beforeFetch = () => { if (cluster.fetches > 3) cluster.end = null }
    const range = { after: -1, upTo: 9, mark: null, toEnd: true }
    const batches: EventBatch[] = []
    for await (const batch of source.read('t/0', range, { events: 100, bytes: 1 << 20 }, new AbortController().signal)) batches.push(batch)
    expect(throughs(batches)).toEqual([[5, false], [9, true]])
  })

  test('a last batch that compaction emptied is the end as well', async () => {
    const cluster = ten({ compacted: true, end: 14 })
    expect(throughs(await read(cluster.source(), { toEnd: true })).at(-1)).toEqual([13, true])
  })
})

describe('deletes that a compacted topic forgets', () => {
  const slow = (clock: { nowMs: number }, cluster: PaperCluster, perFetchMs: number): void => {
    cluster.beforeFetch = () => { clock.nowMs += perFetchMs }
  }

  test('a first pass that takes longer than 80 % of delete.retention.ms halts, and one that does not is sealed', async () => {
    for (const [perFetchMs, code] of [[3 * HOUR, null], [4 * HOUR, 'TOMBSTONES_EXPIRED']] as const) {
      const cluster = ten({ compacted: true, deleteRetentionMs: 24 * HOUR, batchesPerFetch: 1 })
      const clock = clockAt(1_000 * HOUR)
      slow(clock, cluster, perFetchMs)
      const run = replay({ source: cluster.source(clock), projection: latest, store: memoryStore() }).done
      if (code === null) expect((await run).position.get('t/0')).toBe(9)
      else expect(await failureOf(run)).toMatchObject({ code, exitCode: 7, details: { partition: 't/0', offset: 9 } })
    }
  })

  test('a pass begins where the last one ended at the end: many of them may take longer than one', async () => {
    const cluster = ten({ compacted: true, deleteRetentionMs: 24 * HOUR })
    const clock = clockAt(1_000 * HOUR)
    const store = memoryStore()
    for (let next = 10; next < 20; next++) {
      const sealed = await replay({ source: cluster.source(clock), projection: latest, store }).done
      expect(sealed.position.get('t/0')).toBe(next - 1)
      cluster.put([next])
      clock.nowMs += 19 * HOUR
    }
  })

  test('a rest that is too long is refused at plan time, at its end too late by one record', async () => {
    const cluster = ten({ compacted: true, deleteRetentionMs: 24 * HOUR })
    const clock = clockAt(1_000 * HOUR)
    const store = memoryStore()
    const run = () => ({ source: cluster.source(clock), projection: latest, store })
    await replay(run()).done
    clock.nowMs += 20 * HOUR
    // Nothing was written: nothing can have been missed.
    expect((await plan(run())).refusals).toEqual([])
    cluster.put([10])
    expect((await plan(run())).refusals).toMatchObject([{ code: 'TOMBSTONES_EXPIRED' }])
    expect(await failureOf(replay(run()).done)).toMatchObject({ code: 'TOMBSTONES_EXPIRED', exitCode: 7, message: expect.stringContaining('86400 s') })
    expect((await replay({ ...run(), restart: true }).done).position.get('t/0')).toBe(10)
  })

  test('runs that find nothing new keep the pass young, though no record gives a new mark', async () => {
    const cluster = ten({ compacted: true, deleteRetentionMs: 24 * HOUR })
    const clock = clockAt(1_000 * HOUR)
    const run = { source: cluster.source(clock), projection: latest, store: memoryStore() }
    for (let i = 0; i < 5; i++) {
      clock.nowMs += 15 * HOUR
      await replay(run).done
    }
    cluster.put([10])
    clock.nowMs += 15 * HOUR
    expect((await replay(run).done).run.applied).toBe(1)
  })

  test('a run that follows stands at the end at each look: days of silence are no pass', async () => {
    const cluster = ten({ compacted: true, deleteRetentionMs: 24 * HOUR })
    const clock = clockAt(1_000 * HOUR)
    const source = cluster.source(clock)
    await read(source, { toEnd: true })
    for (let hours = 0; hours < 72; hours += 6) {
      clock.nowMs += 6 * HOUR
      await source.bounds({ following: true })
    }
    cluster.put([10])
    const batches = await read(source, { after: 9, upTo: 10, toEnd: true })
    expect(throughs(batches)).toEqual([[10, true]])
    clock.nowMs += 20 * HOUR
    cluster.put([11])
    expect((await failureOf(read(source, { after: 10, upTo: 11, toEnd: true }))).code).toBe('TOMBSTONES_EXPIRED')
  })

  test('what is written right behind the end belongs to the pass that began there', async () => {
    const cluster = ten({ compacted: true, deleteRetentionMs: 24 * HOUR, batchesPerFetch: 3 })
    const clock = clockAt(1_000 * HOUR)
    let fetches = 0
    cluster.beforeFetch = () => { if (fetches++ === 0) clock.nowMs += 10 * HOUR }
    const source = cluster.source(clock)
    const mark = lastMark(await read(source, { toEnd: true }))
    cluster.put([10])
    clock.nowMs += 12 * HOUR
    expect((await checkOf(source, mark, 9))?.is).toBe('same')
    expect((await checkOf(cluster.source(clock), mark, 9))?.is).toBe('same')
  })

  test('a run that was broken off goes on in its pass: restarts do not begin another', async () => {
    const cluster = ten({ compacted: true, deleteRetentionMs: 24 * HOUR, batchesPerFetch: 1 })
    const clock = clockAt(1_000 * HOUR)
    const [first] = await read(cluster.source(clock), { toEnd: true })
    const mark = first!.markAt(1)
    const resumed = cluster.source(clock)
    expect(await checkOf(resumed, mark, 1)).toEqual({ is: 'same' })
    clock.nowMs += 19 * HOUR
    await read(resumed, { after: 1, mark, toEnd: true })
    clock.nowMs += HOUR
    expect(await checkOf(cluster.source(clock), mark, 1)).toMatchObject({ is: 'different', code: 'TOMBSTONES_EXPIRED' })
    await expect(read(cluster.source(clock), { after: 1, mark, toEnd: true })).rejects.toMatchObject({ code: 'TOMBSTONES_EXPIRED' })
  })

  test('a clock that was put back by more than the margin proves nothing', async () => {
    const cluster = ten({ compacted: true, deleteRetentionMs: 24 * HOUR, batchesPerFetch: 1 })
    const clock = clockAt(1_000 * HOUR)
    const mark = (await read(cluster.source(clock), { toEnd: true }))[0]!.markAt(1)
    clock.nowMs -= 4 * HOUR
    expect(await checkOf(cluster.source(clock), mark, 1)).toEqual({ is: 'same' })
    clock.nowMs -= HOUR
    expect(await checkOf(cluster.source(clock), mark, 1)).toMatchObject({ code: 'TOMBSTONES_EXPIRED' })
  })

  test.each([[false, 24 * HOUR], [null, null], [true, null]] as const)('where the policy is %s and its time %s there is none', async (compacted, deleteRetentionMs) => {
    const cluster = ten({ compacted, deleteRetentionMs, batchesPerFetch: 1 })
    const clock = clockAt(1_000 * HOUR)
    slow(clock, cluster, 1_000 * HOUR)
    const mark = lastMark(await read(cluster.source(clock), { toEnd: true }))
    expect((mark.proof as { pass?: unknown }).pass === undefined).toBe(compacted === false)
    clock.nowMs += 1_000 * HOUR
    cluster.put([10])
    expect(await checkOf(cluster.source(clock), mark, 9)).toEqual({ is: 'same' })
  })
})

describe('lineage while reading', () => {
  /** Up to 5 in epoch 3, from 6 on in epoch 5. */
  function elected(end: number | null): PaperCluster {
    const cluster = new PaperCluster()
    for (const base of [0, 2, 4]) cluster.put([base, base + 1])
    for (const base of [6, 8]) cluster.put([base, base + 1], { leaderEpoch: 5 })
    cluster.epochEnd = end === null ? null : { leaderEpoch: 3, endOffset: end }
    return cluster
  }

  test('where a leader follows that did not keep what was read of the one before it, the log diverged', async () => {
    for (const batchesPerFetch of [1, 10]) {
      const cluster = Object.assign(elected(5), { batchesPerFetch })
      const error = await failureOf(read(cluster.source()))
      expect(error).toMatchObject({ code: 'LOG_DIVERGED', exitCode: 7, details: { partition: 't/0', offset: 5, actual: 5 } })
      expect(error.message).toMatch(/epoch 3.*epoch 5/)
    }
  })

  test.each([6, 8, null])('one that did, or that does not know (%s), is read on', async (end) => {
    expect((await read(elected(end).source())).at(-1)?.through).toBe(9)
  })

  test('it is asked across a restart as well', async () => {
    const cluster = elected(6)
    const mark = lastMark(await read(cluster.source(), { upTo: 5 }))
    cluster.epochEnd = { leaderEpoch: 3, endOffset: 4 }
    expect((await failureOf(read(cluster.source(), { after: 5, mark }))).code).toBe('LOG_DIVERGED')
  })
})

describe('an open transaction at the end', () => {
  test('is said with its producer, in bounds and in the seal, and not in the manifest', async () => {
    const cluster = ten({ end: 6, written: 10, openProducer: { producerId: 77n, firstOffset: 6 } })
    expect((await cluster.source().bounds()).get('t/0')).toMatchObject({ last: 5, behindOpenTransaction: { written: 9, producerId: '77' } })
    const sealed = await replay({ source: cluster.source(), projection: latest, store: memoryStore() }).done
    expect(sealed.behindOpenTransaction).toEqual([{ partition: 't/0', last: 5, written: 9, producerId: '77' }])
    expect(JSON.stringify(sealed.seal)).not.toMatch(/producer|written/)
    const before = await replay({ source: cluster.source(), projection: latest, store: memoryStore(), until: new Map([['t/0', 3]]) }).done
    expect(before.behindOpenTransaction).toEqual([])
  })

  test('a broker that does not say whose it is, or names another one, leaves it open', async () => {
    for (const openProducer of [null, { producerId: 77n, firstOffset: 8 }]) {
      const cluster = ten({ end: 6, written: 10, openProducer })
      expect((await cluster.source().bounds()).get('t/0')?.behindOpenTransaction).toEqual({ written: 9, producerId: null })
    }
  })

  test('while following it is asked for where it still is at the second look', async () => {
    const cluster = ten({ end: 6, written: 10, openProducer: { producerId: 77n, firstOffset: 6 } })
    const source = cluster.source()
    const look = async () => (await source.bounds({ following: true })).get('t/0')?.behindOpenTransaction?.producerId
    expect([await look(), await look(), await look()]).toEqual([null, '77', '77'])
  })

  test('read_uncommitted is behind none', async () => {
    const cluster = ten({ end: 6, written: 10 })
    expect((await cluster.source({ isolation: 'read_uncommitted' }).bounds()).get('t/0')).toEqual({ first: 0, last: 9 })
  })
})

describe('a topic that is gone', () => {
  test('is LOG_TRUNCATED where it was read before, and CONFIG_INVALID for a fresh job', async () => {
    const cluster = ten()
    const run = { source: cluster.source(), projection: latest, store: memoryStore() }
    await replay(run).done
    cluster.gone = true
    const error = await failureOf(replay(run).done)
    expect([error.code, error.message]).toEqual(['LOG_TRUNCATED', expect.stringContaining('gone from the log')])
    expect((await plan(run)).refusals.map(({ code }) => code)).toEqual(['LOG_TRUNCATED'])
    expect((await failureOf(replay({ ...run, store: memoryStore() }).done)).code).toBe('CONFIG_INVALID')
    expect((await failureOf(replay({ ...run, source: cluster.source({ topics: ['t', 'typo'] }) }).done)).message).toContain('typo')
  })

  test('and while it is followed: LOG_TRUNCATED; one that was made again LOG_RECREATED, shorter too', async () => {
    for (const [change, code] of [
      [(cluster: PaperCluster) => { cluster.gone = true }, 'LOG_TRUNCATED'],
      [(cluster: PaperCluster) => { cluster.topicId = 'topic-2'; cluster.cut(4) }, 'LOG_RECREATED'],
    ] as const) {
      const cluster = ten()
      const run = replay({ source: cluster.source(), projection: latest, store: memoryStore(), until: 'follow' })
      run.done.catch(() => {})
      for await (const event of run) if (event.kind === 'phase' && event.phase === 'following') break
      change(cluster)
      expect((await failureOf(run.done)).code).toBe(code)
    }
  })

  test('one that was made again with fewer records is LOG_RECREATED for a run that goes on', async () => {
    const cluster = ten()
    const run = { source: cluster.source(), projection: latest, store: memoryStore() }
    await replay(run).done
    cluster.topicId = 'topic-2'
    cluster.cut(4)
    expect((await failureOf(replay(run).done)).code).toBe('LOG_RECREATED')
    expect((await plan(run)).refusals.map(({ code }) => code)).toEqual(['LOG_RECREATED', 'LOG_TRUNCATED'])
  })
})

describe('from', () => {
  const valuesOf = async (store: ReturnType<typeof memoryStore>): Promise<unknown[]> => {
    const state = await openState(store, { projection: latest })
    const entries = await state.scan('values', null, 10)
    await state.close()
    return entries.map(({ value }) => value)
  }

  test.each([
    [{ offsets: { 't/0': 8 } }, 8], [{ timestamp: '2026-01-01T00:00:00Z' }, 8], [{ timestamp: 1_767_225_600_000 }, 8],
  ] as const)('%j begins a fresh log there: HISTORY_INCOMPLETE unless accepted, and then it stands in the seal', async (from, first) => {
    const cluster = ten({ offsetOf: (timeMs) => (timeMs === 1_767_225_600_000 ? first : null) })
    const store = memoryStore()
    const run = { source: cluster.source({ from }), projection: latest, store }
    expect(await failureOf(replay(run).done)).toMatchObject({ code: 'HISTORY_INCOMPLETE', exitCode: 7, details: { offset: first } })
    const sealed = await replay({ ...run, accept: [`HISTORY_INCOMPLETE=t/0@${first}`] }).done
    expect([sealed.run.applied, sealed.complete, sealed.accepted]).toEqual([2, false, [{ code: 'HISTORY_INCOMPLETE', partition: 't/0', to: 7 }]])
    expect(await valuesOf(store)).toEqual([9, 8])
    cluster.put([10])
    expect((await replay(run).done).run.applied).toBe(1)
  })

  test('changes nothing for a run that goes on', async () => {
    const cluster = ten()
    const store = memoryStore()
    await replay({ source: cluster.source(), projection: latest, store, until: new Map([['t/0', 3]]) }).done
    const sealed = await replay({ source: cluster.source({ from: { offsets: { 't/0': 8 } } }), projection: latest, store }).done
    expect([sealed.run.applied, sealed.complete]).toEqual([6, true])
  })

  test('a time of which there is nothing yet begins at the end, and what retention took is not brought back', async () => {
    const cluster = ten()
    expect((await cluster.source({ from: { timestamp: 5 } }).bounds()).get('t/0')).toEqual({ first: 10, last: 9 })
    Object.assign(cluster, { startOffset: 4, offsetOf: () => 2 })
    expect((await cluster.source({ from: { timestamp: 5 } }).bounds()).get('t/0')).toEqual({ first: 4, last: 9 })
    expect((await cluster.source({ from: { offsets: { 't/0': 2 } } }).bounds()).get('t/0')).toEqual({ first: 4, last: 9 })
  })

  test('an offset behind the end, and a partition that is not there, are CONFIG_INVALID', async () => {
    expect((await failureOf(ten().source({ from: { offsets: { 't/0': 11 } } }).bounds())).code).toBe('CONFIG_INVALID')
    expect((await failureOf(ten().source({ from: { offsets: { 't/7': 1 } } }).bounds())).message).toContain('t/7')
  })

  test('what says neither a time nor offsets is CONFIG_INVALID', () => {
    checkStart({ timestamp: '2026-01-01T00:00:00+01:00' })
    for (const from of [{}, { timestamp: '2026-01-01' }, { timestamp: -1 }, { timestamp: 1, offsets: {} }, { offsets: { 't/0': -1 } }, { at: 1 }]) {
      expect(() => checkStart(from as never)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
    }
  })
})

describe('what the broker knows', () => {
  test('its bytes are in the plan', async () => {
    const cluster = ten({ bytes: 12_345 })
    expect((await plan({ source: cluster.source(), projection: latest, store: memoryStore() })).bytes).toBe(12_345)
    cluster.bytes = null
    expect((await plan({ source: cluster.source(), projection: latest, store: memoryStore() })).bytes).toBeNull()
  })

  test('its index of times is used where a record has no other time than its own', async () => {
    const asked: number[] = []
    const cluster = ten({ offsetOf: (timeMs) => { asked.push(timeMs); return 5 } })
    const type = () => 'Set'
    expect(await cluster.source({ payload: 'raw', event: { type } }).offsetAt('t/0', 7)).toBe(5)
    expect(await cluster.source({ payload: 'raw', event: { type, recordedAt: { header: 'at' } } }).offsetAt('t/0', 7)).toBeUndefined()
    expect(await cluster.source().offsetAt('t/0', 7)).toBeUndefined()
    expect(asked).toEqual([7])
    const raw = defineProjection({ ...rawCount })
    const until = new Date(1_700_000_000_007)
    cluster.offsetOf = () => 5
    const indexed = await replay({ source: cluster.source({ payload: 'raw', event: { type } }), projection: raw, store: memoryStore(), until }).done
    const readThrough = await replay({
      source: cluster.source({ payload: 'raw', event: { type, recordedAt: (record) => record.timestampMs } }), projection: raw,
      store: memoryStore(), until,
    }).done
    expect([indexed.position, indexed.root]).toEqual([readThrough.position, readThrough.root])
  })
})

const rawCount = {
  name: 'count', version: 1, collections: { counts: {} },
  on: { Set: (state: any) => state.counts.put('all', ((state.counts.get('all') as number | undefined) ?? 0) + 1) },
  keys: { Set: () => [{ collection: 'counts', key: 'all' }] },
}
