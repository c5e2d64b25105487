import { describe, expect, test } from 'vitest'
import { memoryStore } from '../../../adapters/memory/index.js'
import { defineProjection, replay, type EventBatch, type EventSource, type Mark, type ReadRange } from '../../../src/index.js'
import { failureOf } from '../../support/worlds.js'
import { PaperCluster } from './paper-cluster.js'

const latest = defineProjection({
  name: 'latest', version: 1, history: 'last', collections: { values: {} },
  on: { Set: (state, event) => state.values.put(event.key as string, event.data.n) },
})

async function batchesOf(source: EventSource, range: Partial<ReadRange> = {}, events = 100): Promise<EventBatch[]> {
  const { first, last } = (await source.bounds()).get('t/0')!
  const batches: EventBatch[] = []
  const whole = { after: first - 1, upTo: last, mark: null, ...range }
  for await (const batch of source.read('t/0', whole, { events, bytes: 1 << 20 }, new AbortController().signal)) batches.push(batch)
  return batches
}

const offsetsOf = (batches: readonly EventBatch[]): number[] =>
  batches.flatMap((batch) => Array.from({ length: batch.length }, (_, i) => batch.offsetAt(i)))
const holesOf = (batches: readonly EventBatch[]): number[] =>
  (['control', 'aborted', 'filtered', 'compactedOrLost'] as const).map((reason) => batches.reduce((sum, { holes }) => sum + holes[reason], 0))

async function markAt(cluster: PaperCluster, offset: number): Promise<Mark> {
  const batches = await batchesOf(cluster.source(), { upTo: offset })
  const last = batches.findLast(({ length }) => length > 0)!
  return last.markAt(last.length - 1)
}

const checkOf = async (cluster: PaperCluster, mark: Mark, at: number) => (await cluster.source().check(new Map([['t/0', { mark, at }]]))).get('t/0')

/** Ten records in batches of two. */
function ten(): PaperCluster {
  const cluster = new PaperCluster()
  for (const base of [0, 2, 4, 6, 8]) cluster.put([base, base + 1])
  return cluster
}

describe('holes, judged by batches', () => {
  test('markers and aborted transactions are no gaps; a transaction that began before the read is known by the list of the fetch', async () => {
    const cluster = new PaperCluster()
    cluster.put([0, 1])
    cluster.put([2, 3], { producerId: 9 })
    cluster.put([4], { producerId: 8 })
    cluster.put([5], { producerId: 9 })
    cluster.putMarker(6, 9, 'abort')
    cluster.putMarker(7, 8, 'commit')
    cluster.put([8], { producerId: 9 })
    cluster.putMarker(9, 9, 'commit')
    cluster.aborted = [{ producerId: 9n, firstOffset: 2 }]
    for (const batchesPerFetch of [1, 3, 10]) {
      // A broker names in each answer the aborted transactions that it overlaps.
      Object.assign(cluster, { batchesPerFetch })
      const upTo = await batchesOf(cluster.source(), { upTo: 7 })
      expect([offsetsOf(upTo), holesOf(upTo)]).toEqual([[0, 1, 4], [2, 3, 0, 0]])
    }
    cluster.batchesPerFetch = 10
    for (const events of [1, 2, 100]) {
      const all = await batchesOf(cluster.source(), {}, events)
      expect([offsetsOf(all), holesOf(all), all.at(-1)?.through]).toEqual([[0, 1, 4, 8], [3, 3, 0, 0], 9])
    }
  })

  test('where compaction never was, a missing batch and a missing record are LOG_GAP, named exactly and acceptable', async () => {
    const cluster = new PaperCluster()
    cluster.put([0, 1])
    cluster.put([5, 6])
    cluster.putMarker(7, 4, 'commit')
    cluster.put([8, 11])
    const run = { source: cluster.source(), projection: latest, store: memoryStore() }
    const error = await failureOf(replay(run).done)
    expect(error).toMatchObject({ code: 'LOG_GAP', details: { partition: 't/0', offset: 2, expected: 2, actual: 5 } })
    const sealed = await replay({ ...run, accept: ['LOG_GAP=t/0@2..4', 'LOG_GAP=t/0@9..10'] }).done
    expect([sealed.run.applied, sealed.seal.manifest.holes, sealed.complete]).toEqual([
      6, { control: 1, aborted: 0, filtered: 0, compactedOrLost: 5 }, false,
    ])
  })

  test.each([true, null])('where it is or may have been (%s), they are compactedOrLost, also an empty batch and an emptied end', async (compacted) => {
    const cluster = new PaperCluster()
    cluster.compacted = compacted
    cluster.put([3], { base: 2, last: 5 })
    cluster.put([], { base: 6, last: 9 })
    cluster.put([12])
    cluster.end = 20
    for (const [events, batchesPerFetch] of [[1, 10], [100, 10], [100, 1]] as const) {
      Object.assign(cluster, { batchesPerFetch, fetches: 0 })
      const batches = await batchesOf(cluster.source(), {}, events)
      expect([offsetsOf(batches), holesOf(batches), batches.at(-1)?.through]).toEqual([[3, 12], [0, 0, 0, 18], 19])
      // One for each batch, and few more until it is believed that nothing follows the last one.
      expect(cluster.fetches).toBeLessThan(20)
    }
    const sealed = await replay({ source: cluster.source(), projection: latest, store: memoryStore() }).done
    expect([sealed.position.get('t/0'), sealed.seal.manifest.holes.compactedOrLost]).toEqual([19, 18])
  })

  test('empty answers of a broker that throttles are no hole', async () => {
    const cluster = ten()
    cluster.compacted = true
    const source = cluster.source()
    await source.bounds()
    cluster.throttled = 9
    expect(offsetsOf(await batchesOf(source))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    cluster.throttled = 9
    expect(offsetsOf(await batchesOf(source, { after: 4 }))).toEqual([5, 6, 7, 8, 9])
    // A quota that every second answer exceeds.
    cluster.holdsBack = (fetch) => fetch % 2 === 0
    expect(offsetsOf(await batchesOf(source, { after: 4 }))).toEqual([5, 6, 7, 8, 9])
  })

  test('a range ends and begins inside of batches', async () => {
    const cluster = new PaperCluster()
    cluster.put([0, 1, 2, 3, 4, 5, 6, 7])
    cluster.putMarker(8, 1, 'commit')
    for (const [after, upTo] of [[-1, 0], [2, 5], [6, 7], [6, 8], [7, 8]] as const) {
      const batches = await batchesOf(cluster.source(), { after, upTo })
      expect(offsetsOf(batches)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].filter((offset) => offset > after && offset <= upTo))
      expect([holesOf(batches)[0], batches.at(-1)?.through]).toEqual([upTo === 8 ? 1 : 0, upTo])
    }
  })
})

describe('a mark', () => {
  test('does not depend on how the broker batches', async () => {
    const one = new PaperCluster()
    one.put([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    for (const offset of [0, 5, 9]) expect(await markAt(one, offset)).toEqual(await markAt(ten(), offset))
  })

  test('is the same while its record stands, LOG_REWRITTEN when that, or one of its block before it, is another one', async () => {
    const cluster = ten()
    const mark = await markAt(cluster, 9)
    expect(await checkOf(cluster, mark, 9)).toEqual({ is: 'same' })
    for (const base of [8, 2]) {
      const other = ten()
      other.batches.splice(base / 2, 1)
      other.put([base, base + 1], { text: 'another' })
      expect(await checkOf(other, mark, 9)).toMatchObject({ is: 'different', code: 'LOG_REWRITTEN' })
      expect(await failureOf(batchesOf(other.source(), { after: 8, mark: await markAt(cluster, 8) }))).toMatchObject(
        base === 8 ? { code: 'LOG_REWRITTEN' } : { code: 'LOG_REWRITTEN', details: { partition: 't/0', offset: 8 } },
      )
    }
  })

  test('on a compacted topic its block may get thinner: then it is the same, and the chain is given up', async () => {
    const cluster = ten()
    cluster.compacted = true
    const mark = await markAt(cluster, 9)
    cluster.batches.splice(1, 1)
    expect(await checkOf(cluster, mark, 9)).toMatchObject({ is: 'same' })
    cluster.put([10, 11])
    const [batch] = await batchesOf(cluster.source(), { after: 9, mark })
    expect(batch?.markAt(1)).toMatchObject({ id: mark.id, input: null })
    expect(batch?.markAt(1)).not.toHaveProperty('earlier')
  })

  test('whose last record is compacted away is proved by older ones, and by none left unprovable', async () => {
    const cluster = ten()
    cluster.compacted = true
    cluster.put([10])
    const mark = await markAt(cluster, 9)
    cluster.batches.splice(4, 1)
    expect(await checkOf(cluster, mark, 9)).toMatchObject({ is: 'same' })
    cluster.batches.splice(3, 1)
    expect(await checkOf(cluster, mark, 9)).toMatchObject({ is: 'unprovable' })
  })

  test('whose record an unclean election took away is found by the lineage of leaders', async () => {
    const cluster = ten()
    const mark = await markAt(cluster, 9)
    cluster.cut(8)
    cluster.putMarker(8, 1, 'commit')
    cluster.putMarker(9, 1, 'commit')
    cluster.epochEnd = { leaderEpoch: 3, endOffset: 8 }
    expect(await checkOf(cluster, mark, 9)).toMatchObject({ is: 'different', code: 'LOG_DIVERGED', why: expect.stringContaining('epoch 3') })
    cluster.epochEnd = { leaderEpoch: 3, endOffset: 12 }
    expect(await checkOf(cluster, mark, 9)).toEqual({ is: 'same' })
  })

  test('of a log that ends before it, begins behind it, or has another id is named', async () => {
    const cluster = ten()
    const mark = await markAt(cluster, 9)
    Object.assign(cluster, { startOffset: 10, end: 10 })
    expect(await checkOf(cluster, mark, 9)).toMatchObject({ is: 'unprovable' })
    Object.assign(cluster, { startOffset: 11, end: 12 })
    expect(await checkOf(cluster, mark, 9)).toMatchObject({ code: 'LOG_TRUNCATED' })
    Object.assign(cluster, { startOffset: 0, end: 9 })
    expect(await checkOf(cluster, mark, 9)).toMatchObject({ code: 'LOG_TRUNCATED' })
    Object.assign(cluster, { end: null, topicId: 'topic-2' })
    expect(await checkOf(cluster, mark, 9)).toMatchObject({ code: 'LOG_RECREATED', why: expect.stringContaining('topic-2') })
  })

  test('goes on behind markers: the position may lie beyond its record', async () => {
    const cluster = ten()
    cluster.putMarker(10, 1, 'commit')
    const mark = await markAt(cluster, 10)
    expect(await checkOf(cluster, mark, 10)).toEqual({ is: 'same' })
    cluster.put([11, 12])
    const resumed = await batchesOf(cluster.source(), { after: 10, mark })
    const straight = await batchesOf(cluster.source())
    expect(resumed.at(-1)?.markAt(1)).toEqual(straight.at(-1)?.markAt(straight.at(-1)!.length - 1))
  })
})

describe('reading', () => {
  test('who asks for an event again gets data of his own', async () => {
    const [batch] = await batchesOf(ten().source())
    expect(batch?.event(0).data).not.toBe(batch?.event(0).data)
    expect(batch?.event(0)).toEqual(batch?.event(0))
  })

  test('one fetch is made ahead, and not more', async () => {
    const cluster = ten()
    const source = cluster.source()
    await source.bounds()
    const range = { after: -1, upTo: 9, mark: null }
    const iterator = source.read('t/0', range, { events: 100, bytes: 1 << 20 }, new AbortController().signal)
    await iterator.next()
    expect(cluster.fetches).toBe(2)
    await iterator.return()
  })

  test('a broker that says there is more and sends nothing is SOURCE_UNREACHABLE, one whose log ends earlier now LOG_TRUNCATED', async () => {
    const cluster = ten()
    cluster.end = 20
    const source = cluster.source({ stallMs: 50 })
    expect(await failureOf(batchesOf(source))).toMatchObject({ code: 'SOURCE_UNREACHABLE', exitCode: 2, details: { partition: 't/0', offset: 10 } })
    await source.bounds()
    cluster.end = 10
    const range = { after: 9, upTo: 15, mark: null }
    const reading = source.read('t/0', range, { events: 10, bytes: 1 << 20 }, new AbortController().signal)
    expect(await failureOf(reading.next())).toMatchObject({ code: 'LOG_TRUNCATED', exitCode: 7, details: { partition: 't/0', offset: 10 } })
  })

  test('an outage that the port waits out is no time without an answer', async () => {
    const cluster = ten()
    const source = cluster.source({ stallMs: 50 })
    await source.bounds()
    Object.assign(cluster, { answerMs: 100, throttled: 1, batchesPerFetch: 10 })
    expect(offsetsOf(await batchesOf(source))).toHaveLength(10)
  })

  test('a flipped bit is LOG_CORRUPT, with the place', async () => {
    const cluster = ten()
    const { bytes } = cluster.batches[3]!
    bytes[bytes.length - 3]! ^= 1
    expect(await failureOf(batchesOf(cluster.source()))).toMatchObject({ code: 'LOG_CORRUPT', details: { partition: 't/0', offset: 6 } })
  })
})
