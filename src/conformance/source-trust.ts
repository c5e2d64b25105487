import { INPUT_BLOCK } from '../log/inputs.js'
import { MAX_MILESTONES } from '../log/milestones.js'
import type { Offset } from '../log/position.js'
import type { EventSource, Mark, MarkCheck } from '../log/source.js'
import { expectCode, expectSame, expectTrue, type ConformanceCase } from './kit.js'
import {
  boundsOf, endsOf, makeRecords, plain, readAll, withLog, type SourceEntry, type SourceHarness, type SourceLog,
} from './source-harness.js'

/** More than two blocks of the input chain. */
const MANY = makeRecords(2_500)
const RECORDS = makeRecords(40)
const OTHER = { type: 'Other', key: 'other', data: { other: true } }

/** The laws of marks, checks and growing logs. */
export function trustCases(harness: SourceHarness): readonly ConformanceCase[] {
  return [...markCases(harness), ...milestoneCases(harness), ...checkCases(harness), ...growthCases(harness)]
}

function markCases(harness: SourceHarness): ConformanceCase[] {
  return [
    {
      name: 'a mark does not depend on how the batches were cut, nor on where the read ended',
      needs: [],
      run: () => withLog(harness, { p: MANY }, async (_log, source) => {
        const wanted = await markOf(source, 1_499)
        for (const events of [1_000, 311, 64]) {
          const { marks, batches } = await readAll(source, 'p', { limits: { events, bytes: 1 << 20 } })
          const at = batches.findIndex(({ through }) => through >= 1_499)
          const mark = batches[at]?.markAt(1_499 - (batches[at]?.offsetAt(0) ?? 0))
          expectSame(`mark at 1499, ${events} records a batch`, mark, wanted)
          expectSame('last mark', marks.at(-1), await markOf(source, 2_499))
        }
      }),
    },
    {
      name: 'a read that goes on from a mark gives the marks of an undisturbed one',
      needs: [],
      run: () => withLog(harness, { p: MANY }, async (log, source) => {
        const wanted = await markOf(source, 2_499)
        for (const at of [0, 1_022, 1_023, 1_024, 2_000]) {
          const mark = await markOf(source, at)
          const resumed = log.open()
          const { events, marks } = await readAll(resumed, 'p', { after: at, mark, limits: { events: 500, bytes: 1 << 20 } })
          await resumed.close()
          expectSame(`first record after ${at}`, events[0]?.offset, at + 1)
          expectSame(`last mark, resumed at ${at}`, marks.at(-1), wanted)
        }
      }),
    },
    {
      name: 'marks survive JSON, and another source of the same log knows them',
      needs: [],
      run: () => withLog(harness, { p: RECORDS }, async (log, source) => {
        const mark = JSON.parse(JSON.stringify(await markOf(source, 39))) as Mark
        const other = log.open()
        expectSame('check', await checkOne(other, mark, 39), { is: 'same' })
        await other.close()
      }),
    },
    {
      name: 'the chain tells logs apart that differ in one early record only',
      needs: ['chain'],
      run: () => withLog(harness, { a: RECORDS, b: RECORDS.with(3, OTHER) }, async (_log, source) => {
        const [a, b] = await Promise.all(['a', 'b'].map(async (name) => (await readAll(source, name)).marks.at(-1)))
        expectTrue('the chains differ', a?.input !== b?.input)
      }),
    },
    {
      name: 'a read that begins in the middle without a mark claims no chain',
      needs: [],
      run: () => withLog(harness, { p: RECORDS }, async (_log, source) => {
        expectSame('input', (await readAll(source, 'p', { after: 10 })).marks.at(-1)?.input, null)
      }),
    },
  ]
}

/** The first offset at which there would be one milestone too many, and so only every second is kept. */
const THINNED = (MAX_MILESTONES + 1) * INPUT_BLOCK

function milestoneCases(harness: SourceHarness): ConformanceCase[] {
  return [
    {
      name: 'a mark holds the chain as it was before whole blocks, unless it has no chain',
      needs: ['chain'],
      run: () => withLog(harness, { p: MANY }, async (_log, source) => {
        const chainBefore = async (offset: Offset): Promise<string | null> => (await markOf(source, offset - 1)).input
        const [first, second] = [await chainBefore(1_024), await chainBefore(2_048)]
        for (const [at, chains] of [[0, []], [1_023, []], [1_024, [first]], [2_047, [first]], [2_048, [first, second]]] as const) {
          expectSame(`milestones at ${at}`, (await markOf(source, at)).earlier, { every: 1_024, chains })
        }
        const unchained = (await readAll(source, 'p', { after: 10 })).marks.at(-1)
        expectSame('milestones of a read from the middle', unchained?.earlier, undefined)
      }),
    },
    {
      name: 'of more than 64 milestones every second is kept, wherever the read was cut or went on',
      needs: ['chain'],
      run: () => withLog(harness, { p: shortRecords(THINNED + 10) }, async (log, source) => {
        const [full, thinned] = await marksAt(source, [THINNED - 1, THINNED], null, 1_000) as [Mark, Mark]
        expectSame('the milestones before', [full.earlier?.every, full.earlier?.chains.length], [INPUT_BLOCK, MAX_MILESTONES])
        const chains = full.earlier?.chains.filter((_, i) => i % 2 === 1)
        expectSame('the milestones after', thinned.earlier, { every: 2 * INPUT_BLOCK, chains })
        for (const events of [7_777, 100_000]) {
          expectSame(`with ${events} records a batch`, await marksAt(source, [THINNED - 1, THINNED], null, events), [full, thinned])
        }
        const resumed = log.open()
        expectSame('from a mark before', await marksAt(resumed, [THINNED], { mark: full, at: THINNED - 1 }, 3), [thinned])
        await resumed.close()
      }),
    },
  ]
}

function shortRecords(count: number): SourceEntry[] {
  return Array.from({ length: count }, (_, i) => ({ type: 'T', key: null, data: i }))
}

/** Marks of one read, which ends at the last of the offsets. */
async function marksAt(
  source: EventSource, offsets: readonly Offset[], from: { readonly mark: Mark; readonly at: Offset } | null, events: number,
): Promise<Mark[]> {
  await source.bounds()
  const range = { after: from?.at ?? -1, upTo: Math.max(...offsets), mark: from?.mark ?? null }
  const marks: Mark[] = []
  for await (const batch of source.read('p', range, { events, bytes: 1 << 30 }, new AbortController().signal)) {
    if (batch.length === 0) continue
    const first = batch.offsetAt(0)
    for (const offset of offsets) {
      if (offset >= first && offset < first + batch.length) marks.push(batch.markAt(offset - first))
    }
  }
  return marks
}

function checkCases(harness: SourceHarness): ConformanceCase[] {
  const changed = (
    name: string, need: keyof SourceLog, codes: readonly string[], change: (log: SourceLog) => Promise<void> | undefined, at = 30,
  ): ConformanceCase => ({
    name,
    needs: [need],
    run: () => withLog(harness, { p: RECORDS }, async (log, source) => {
      const mark = await markOf(source, at)
      await change(log)
      for (const [who, asked] of [['the same source', source], ['another source', log.open()]] as const) {
        const check = await checkOne(asked, mark, at)
        const isNamed = check.is === 'different' && codes.includes(check.code)
        expectTrue(`${who} says ${codes.join(' or ')} (it says ${JSON.stringify(check)})`, isNamed)
        if (asked !== source) await asked.close()
      }
    }),
  })
  return [
    {
      name: 'an unchanged log is the same at every mark',
      needs: [],
      run: () => withLog(harness, { p: RECORDS, q: makeRecords(3) }, async (_log, source) => {
        for (const at of [0, 7, 39]) expectSame(`check at ${at}`, await checkOne(source, await markOf(source, at), at), { is: 'same' })
        expectSame('no marks, no answers', (await source.check(new Map())).size, 0)
      }),
    },
    changed('a log that ends before the mark is LOG_TRUNCATED', 'truncate', ['LOG_TRUNCATED'], (log) => log.truncate?.('p', 20)),
    changed('a log that begins well after the mark is LOG_TRUNCATED', 'expire', ['LOG_TRUNCATED'], (log) => log.expire?.('p', 36)),
    changed('other content at the mark is LOG_REWRITTEN', 'rewrite', ['LOG_REWRITTEN'], (log) => log.rewrite?.('p', 30, OTHER)),
    changed(
      'another log in its place is LOG_RECREATED, shorter or longer', 'recreate', ['LOG_RECREATED'],
      (log) => log.recreate?.('p', makeRecords(60, 'again')),
    ),
    changed('… also where it is shorter', 'recreate', ['LOG_RECREATED'], (log) => log.recreate?.('p', makeRecords(5, 'again'))),
    {
      name: 'a log that lost older records only is the same, keeps its identity and its chain',
      needs: ['expire'],
      run: () => withLog(harness, { p: MANY }, async (log, source) => {
        const [mark, wanted] = [await markOf(source, 1_500), await markOf(source, 2_499)]
        await log.expire?.('p', 1_000)
        expectSame('first offset', (await boundsOf(source, 'p')).first, 1_000)
        expectSame('check', await checkOne(source, mark, 1_500), { is: 'same' })
        const resumed = (await readAll(source, 'p', { after: 1_500, mark })).marks.at(-1)
        expectSame('id and input', [resumed?.id, resumed?.input], [wanted.id, wanted.input])
      }),
    },
    {
      name: 'a read that goes on from a mark of a rewritten log refuses, it does not read on',
      needs: ['rewrite'],
      run: () => withLog(harness, { p: RECORDS }, async (log, source) => {
        const mark = await markOf(source, 30)
        await log.rewrite?.('p', 30, OTHER)
        await source.bounds()
        await expectCode('a read after the rewritten record', ['LOG_REWRITTEN'], () => readAll(source, 'p', { after: 30, mark }))
      }),
    },
  ]
}

function growthCases(harness: SourceHarness): ConformanceCase[] {
  return [
    {
      name: 'records added later are seen by the next bounds, and by nothing before it',
      needs: ['append'],
      run: () => withLog(harness, { p: RECORDS }, async (log, source) => {
        const mark = await markOf(source, 39)
        await log.append?.('p', makeRecords(5, 'later'))
        expectSame('bounds', await endsOf(source, { following: true }), new Map([['p', { first: 0, last: 44 }]]))
        const { events } = await readAll(source, 'p', { after: 39, mark })
        expectSame('records', events.map(plain), makeRecords(5, 'later'))
        expectSame('the old mark', await checkOne(source, mark, 39), { is: 'same' })
      }),
    },
    {
      name: 'a partition that is new is seen by the next bounds',
      needs: ['append'],
      run: () => withLog(harness, { p: RECORDS }, async (log, source) => {
        await source.bounds({ following: true })
        await log.append?.('q', makeRecords(2))
        expectSame('bounds of q', (await endsOf(source, { following: true })).get('q'), { first: 0, last: 1 })
      }),
    },
    {
      name: 'an incomplete last record is LOG_TORN_TAIL, and not yet there while following',
      needs: ['tear'],
      run: () => withLog(harness, { p: RECORDS }, async (log, source) => {
        await log.tear?.('p')
        await expectCode('bounds', ['LOG_TORN_TAIL'], () => source.bounds())
        expectSame('bounds while following', (await endsOf(source, { following: true })).get('p'), { first: 0, last: 39 })
      }),
    },
  ]
}

/** The mark after a record, of a read from the start that ends there. */
async function markOf(source: EventSource, at: Offset): Promise<Mark> {
  const mark = (await readAll(source, 'p', { after: -1, upTo: at })).marks.at(-1)
  if (mark === undefined) throw new Error(`Expected a mark at ${at}`)
  return mark
}

async function checkOne(source: EventSource, mark: Mark, at: Offset): Promise<MarkCheck> {
  const check = (await source.check(new Map([['p', { mark, at }]]))).get('p')
  if (check === undefined) throw new Error('Expected an answer for every mark')
  return check
}
