import type { EventBatch } from '../log/source.js'
import { expectSame, expectTrue, type ConformanceCase } from './kit.js'
import { endsOf, makeRecords, plain, readAll, WIDE, withLog, type SourceEntry, type SourceHarness } from './source-harness.js'

const RECORDS = makeRecords(60)

/** The laws of bounds, ranges, batches and holes. */
export function readingCases(harness: SourceHarness): readonly ConformanceCase[] {
  return [...boundsCases(harness), ...rangeCases(harness), ...batchCases(harness), ...holeCases(harness)]
}

function boundsCases(harness: SourceHarness): ConformanceCase[] {
  return [
    {
      name: 'bounds name every partition, both ends inclusive, and an empty one ends before it begins',
      needs: [],
      run: () => withLog(harness, { 'a/0': RECORDS, 'a/1': makeRecords(1), b: [] }, async (_log, source) => {
        const bounds = await endsOf(source)
        expectSame('bounds', bounds, new Map([
          ['a/0', { first: 0, last: 59 }], ['a/1', { first: 0, last: 0 }], ['b', { first: 0, last: -1 }],
        ]))
        expectSame('a second look', await endsOf(source, { following: true }), bounds)
      }),
    },
    {
      name: 'reading an empty partition gives no batch',
      needs: [],
      run: () => withLog(harness, { p: [], other: RECORDS }, async (_log, source) => {
        expectSame('events', (await readAll(source, 'p')).events, [])
      }),
    },
    {
      name: 'a source is inert until the first call, and close is idempotent, opened or not',
      needs: [],
      run: () => withLog(harness, { p: RECORDS }, async (log, source) => {
        const unopened = log.open()
        await unopened.close()
        await unopened.close()
        await source.bounds()
        await source.close()
        await source.close()
      }),
    },
  ]
}

function rangeCases(harness: SourceHarness): ConformanceCase[] {
  return [
    {
      name: 'every record comes once, in offset order, as it was written',
      needs: [],
      run: () => withLog(harness, { p: RECORDS }, async (_log, source) => {
        const { events } = await readAll(source, 'p')
        expectSame('records', events.map(plain), RECORDS.map(plain))
        expectSame('offsets', events.map(({ offset }) => offset), RECORDS.map((_, i) => i))
        expectSame('partitions', new Set(events.map(({ partition }) => partition)).size, 1)
      }),
    },
    {
      name: 'a range is (after, upTo]: the first is left out, the last is in',
      needs: [],
      run: () => withLog(harness, { p: RECORDS }, async (_log, source) => {
        for (const [after, upTo] of [[-1, 0], [-1, 59], [0, 1], [9, 20], [58, 59], [30, 30], [59, 59]] as const) {
          const { events } = await readAll(source, 'p', { after, upTo })
          const wanted = RECORDS.map((_, i) => i).slice(after + 1, upTo + 1)
          expectSame(`offsets of (${after}, ${upTo}]`, events.map(({ offset }) => offset), wanted)
        }
      }),
    },
    {
      name: 'two partitions are read at once without mixing',
      needs: [],
      run: () => withLog(harness, { a: makeRecords(50, 'a'), b: makeRecords(50, 'b') }, async (_log, source) => {
        const [a, b] = await Promise.all(['a', 'b'].map((name) => readAll(source, name, { limits: { events: 7, bytes: 1 << 20 } })))
        expectSame('records of a', a?.events.map(plain), makeRecords(50, 'a'))
        expectSame('records of b', b?.events.map(plain), makeRecords(50, 'b'))
      }),
    },
    {
      name: 'an aborted read ends without an error, and the source goes on working',
      needs: [],
      run: () => withLog(harness, { p: RECORDS }, async (_log, source) => {
        await source.bounds()
        const abort = new AbortController()
        let batches = 0
        const range = { after: -1, upTo: 59, mark: null }
        for await (const _batch of source.read('p', range, { events: 1, bytes: 1 << 20 }, abort.signal)) {
          if (++batches === 2) abort.abort()
        }
        expectTrue(`an abort is heard within a batch (${batches} came)`, batches <= 3)
        for await (const batch of source.read('p', range, WIDE, abort.signal)) {
          throw new Error(`A read that was aborted before gave a batch, through ${batch.through}`)
        }
        expectSame('records after it', (await readAll(source, 'p')).events.length, 60)
      }),
    },
  ]
}

function batchCases(harness: SourceHarness): ConformanceCase[] {
  return [
    {
      name: 'limits of events and bytes are kept, and change nothing of what is read',
      needs: [],
      run: () => withLog(harness, { p: RECORDS }, async (_log, source) => {
        for (const [maxEvents, maxBytes] of [[1, 1 << 20], [7, 1 << 20], [1_000, 1], [1_000, 700]] as const) {
          const limits = { events: maxEvents, bytes: maxBytes }
          const { events, batches } = await readAll(source, 'p', { limits })
          expectSame(`records with ${JSON.stringify(limits)}`, events.map(plain), RECORDS.map(plain))
          if (limits.bytes === 1) expectTrue(`one byte a batch is one record a batch (${batches.length} batches)`, batches.length >= 60)
        }
      }),
    },
    {
      name: 'a batch stays as it was after the next ones came, and its accessors may be asked in any order and again',
      needs: [],
      run: () => withLog(harness, { p: RECORDS }, async (_log, source) => {
        await source.bounds()
        const kept: EventBatch[] = []
        const range = { after: -1, upTo: 59, mark: null }
        const limits = { events: 9, bytes: 1 << 20 }
        for await (const batch of source.read('p', range, limits, new AbortController().signal)) kept.push(batch)
        const backwards = kept.reverse().flatMap((batch) =>
          Array.from({ length: batch.length }, (_, i) => {
            const at = batch.length - 1 - i
            const key = batch.keyAt(at)
            const type = batch.typeAt(at)
            const first = plain(batch.event(at))
            expectSame(`columns of ${batch.offsetAt(at)}`, [type, key], [first.type, first.key])
            expectSame(`the event ${batch.offsetAt(at)} asked again`, plain(batch.event(at)), first)
            return first
          }))
        expectSame('records, from the last to the first', backwards.reverse(), RECORDS.map(plain))
      }),
    },
    {
      name: 'what a log does not say is null, version 1 and no headers',
      needs: [],
      run: () => withLog(harness, { p: [{ type: 'T', key: null, data: null }] }, async (_log, source) => {
        const [event] = (await readAll(source, 'p')).events
        expectSame('key, data, version', [event?.key, event?.data, event?.schemaVersion], [null, null, 1])
        expectTrue('recordedAtMs is null or an integer', event?.recordedAtMs === null || Number.isSafeInteger(event?.recordedAtMs))
        expectTrue('headers is an object', typeof event?.headers === 'object' && event.headers !== null)
      }),
    },
  ]
}

function holeCases(harness: SourceHarness): ConformanceCase[] {
  const [a, b] = makeRecords(2) as [SourceEntry, SourceEntry]
  const entries: SourceEntry[] = [
    { hole: 'control' }, a, { hole: 'aborted' }, { hole: 'aborted' }, { hole: 'filtered' }, b,
    { hole: 'compactedOrLost' }, { hole: 'control' },
  ]
  return [
    {
      name: 'holes are counted by reason, through covers them, also where no record comes any more',
      needs: ['holes'],
      run: () => withLog(harness, { p: entries }, async (_log, source) => {
        for (const events of [1, 2, 1_000]) {
          const { events: read, batches } = await readAll(source, 'p', { limits: { events, bytes: 1 << 20 } })
          expectSame('offsets', read.map(({ offset }) => offset), [1, 5])
          const sum = (reason: keyof EventBatch['holes']): number => batches.reduce((total, { holes }) => total + holes[reason], 0)
          expectSame('holes', [sum('control'), sum('aborted'), sum('filtered'), sum('compactedOrLost')], [2, 2, 1, 1])
        }
        expectSame('a range of holes only', (await readAll(source, 'p', { after: 5, upTo: 7 })).events.length, 0)
      }),
    },
  ]
}
