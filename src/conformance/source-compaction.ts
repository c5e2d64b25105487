import type { Offset } from '../log/position.js'
import type { EventBatch, EventSource } from '../log/source.js'
import { expectSame, expectTrue, type ConformanceCase } from './kit.js'
import { boundsOf, makeRecords, WIDE, withLog, type SourceHarness, type SourceRecord } from './source-harness.js'

/** A compacted log may refuse records without a key. */
const RECORDS: readonly SourceRecord[] = makeRecords(40).map((record, i) => ({ ...record, key: `k${i}` }))
const LATER: readonly SourceRecord[] = makeRecords(7).map((record, i) => ({ ...record, key: `later${i}` }))

/** The laws of compacted logs. */
export function compactionCases(harness: SourceHarness): readonly ConformanceCase[] {
  return [
    {
      name: 'a compacted partition says so, and is read on behind upTo to a batch behind which nothing was',
      needs: ['compact', 'append'],
      run: () => withLog(harness, { p: RECORDS }, async (log, source) => {
        await log.compact?.('p')
        const { compacted, last } = await boundsOf(source, 'p')
        expectSame('compacted', compacted, true)
        await log.append?.('p', LATER)
        for (const upTo of [last, 10]) {
          const batches = await readToEnd(source, -1, upTo)
          expectSame(`the end of a read to the end from ${upTo}`, batches.at(-1)?.through, last + LATER.length)
          for (const [i, { through, atEnd = false }] of batches.entries()) {
            expectSame(`at the end, of the batch through ${through}`, atEnd, i === batches.length - 1)
          }
          const offsets = batches.flatMap((batch) => Array.from({ length: batch.length }, (_, i) => batch.offsetAt(i)))
          expectTrue('offsets rise', offsets.every((offset, i) => i === 0 || offset > (offsets[i - 1] as Offset)))
          expectSame('the last records', offsets.slice(-LATER.length), LATER.map((_, i) => last + 1 + i))
        }
      }),
    },
    {
      name: 'a read to the end that begins there says so in one batch of nothing',
      needs: ['compact'],
      run: () => withLog(harness, { p: RECORDS }, async (log, source) => {
        await log.compact?.('p')
        const { last } = await boundsOf(source, 'p')
        const batches = await readToEnd(source, last, last)
        expectSame('batches', batches.map(({ length, through, atEnd }) => [length, through, atEnd]), [[0, last, true]])
      }),
    },
  ]
}

async function readToEnd(source: EventSource, after: Offset, upTo: Offset): Promise<EventBatch[]> {
  const batches: EventBatch[] = []
  const range = { after, upTo, mark: null, toEnd: true }
  for await (const batch of source.read('p', range, { ...WIDE, events: 9 }, new AbortController().signal)) batches.push(batch)
  return batches
}
