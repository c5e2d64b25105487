import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readBatches, type RecordBatch } from '../../../adapters/kafka/record-batch.js'
import { abortedBatches } from '../../../adapters/kafka/transactions.js'
import { isRehydrateError, type RehydrateError } from '../../../src/index.js'
import { BASE_TIMESTAMP, encodeBatch, encodeMarker, encodeRecords, MAX_TIMESTAMP, varint, withChecksum, type TestRecord } from './encode-batch.js'

const place = { partition: 'orders/0' }
const bytes = fc.option(fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)), { nil: null })
const headers = fc.array(fc.tuple(fc.string({ maxLength: 12 }), bytes), { maxLength: 3 })

/** Records at rising offsets with holes, as compaction leaves them. */
const records = fc.array(fc.record({ gap: fc.integer({ min: 1, max: 300 }), key: bytes, value: bytes, headers, timestampDelta: fc.integer() }), { maxLength: 40 })
  .map((list) => {
    let delta = -1
    return list.map(({ gap, ...record }): TestRecord => ({ ...record, delta: delta += gap }))
  })

const a = (delta: number, value = `v${delta}`): TestRecord => ({ delta, key: Buffer.from(`k${delta}`), value: Buffer.from(value) })

function failure(read: () => unknown): RehydrateError {
  try {
    read()
  } catch (error) {
    if (isRehydrateError(error)) return error
    throw error
  }
  throw new Error('It ended well, and should not have.')
}

function contentsOf(batch: RecordBatch): unknown[] {
  const read = batch.records()
  return Array.from({ length: read.count }, (_, index) => ({
    offset: read.offsetAt(index), timestamp: read.timestampAt(index), key: read.keyAt(index), value: read.valueAt(index),
    headers: read.headersAt(index).map(({ name, value }) => [name, value]),
  }))
}

describe('record batches', () => {
  test('give back the records that were written, whatever they hold', () => {
    fc.assert(fc.property(records, fc.nat(2 ** 40), fc.constantFrom(0, 1), (list, base, codec) => {
      const lastDelta = (list.at(-1)?.delta ?? 0) + 5
      const { batches, needed } = readBatches(encodeBatch({ base, records: list, codec, lastDelta }), place)
      const [batch] = batches as [RecordBatch]
      expect({ needed, base: batch.baseOffset, last: batch.lastOffset, count: batch.count, epoch: batch.leaderEpoch })
        .toEqual({ needed: null, base, last: base + lastDelta, count: list.length, epoch: 7 })
      expect(contentsOf(batch)).toEqual(list.map(({ delta, key, value, headers: own = [], timestampDelta = 0 }) => ({
        offset: base + delta, timestamp: BASE_TIMESTAMP + timestampDelta, key, value, headers: own,
      })))
    }), { numRuns: 300 })
  })

  test('give back what kafkajs encodes', async () => {
    const require = createRequire(import.meta.url)
    const { RecordBatch: encode } = require('kafkajs/src/protocol/recordBatch/v0') as { RecordBatch(options: object): Promise<{ buffer: Buffer }> }
    const encodeRecord = require('kafkajs/src/protocol/recordBatch/record/v0') as (options: object) => unknown
    const written = [0, 1, 2].map((offsetDelta) => encodeRecord({
      offsetDelta, timestampDelta: offsetDelta * 1_000, key: `k${offsetDelta}`, value: 'v'.repeat(offsetDelta * 100), headers: { h: 'x' },
    }))
    const options = { records: written, firstTimestamp: BASE_TIMESTAMP, maxTimestamp: BASE_TIMESTAMP + 2_000, lastOffsetDelta: 2 }
    const { buffer } = await encode({ ...options, compression: 1 })
    const [batch] = readBatches(buffer, place).batches as [RecordBatch]
    expect([batch.compression, batch.producerId, batch.isTransactional, batch.timestampType]).toEqual(['gzip', -1n, false, 'create'])
    expect(contentsOf(batch)).toEqual([0, 1, 2].map((index) => ({
      offset: index, timestamp: BASE_TIMESTAMP + index * 1_000, key: Buffer.from(`k${index}`), value: Buffer.from('v'.repeat(index * 100)),
      headers: [['h', Buffer.from('x')]],
    })))
  })

  test('carry what a batch says of itself; the time of appending is that of all its records', () => {
    const options = { base: 5, records: [a(0), a(1)], producerId: 42, transactional: true, appendTime: true }
    const [batch] = readBatches(encodeBatch(options), place).batches as [RecordBatch]
    expect([batch.producerId, batch.producerEpoch, batch.baseSequence, batch.isTransactional, batch.isControl]).toEqual([42n, 3, 11, true, false])
    expect([batch.timestampType, batch.records().timestampAt(0), batch.records().timestampAt(1)]).toEqual(['append', MAX_TIMESTAMP, MAX_TIMESTAMP])
    expect(batch.byteLength).toBe(encodeBatch(options).length)
  })

  test('keep their bounds where compaction took the last records, or all', () => {
    const fetched = Buffer.concat([encodeBatch({ base: 0, records: [a(0)], lastDelta: 99 }), encodeBatch({ base: 100, records: [], lastDelta: 9 })])
    const { batches } = readBatches(fetched, { ...place, from: 40 })
    expect(batches.map(({ baseOffset, lastOffset, count }) => [baseOffset, lastOffset, count])).toEqual([[0, 99, 1], [100, 109, 0]])
    expect(contentsOf(batches[1] as RecordBatch)).toEqual([])
  })

  test('at the end of a fetch are passed over where they are cut off, at any byte; where nothing came whole, the size is said', () => {
    const [first, second] = [encodeBatch({ base: 0, records: [a(0)] }), encodeBatch({ base: 1, records: [a(0)] })]
    for (let cut = 0; cut < second.length; cut++) {
      const { batches, needed } = readBatches(Buffer.concat([first, second.subarray(0, cut)]), place)
      expect([batches.length, needed]).toEqual([1, null])
      const alone = readBatches(second.subarray(0, cut), place)
      expect(alone.batches).toHaveLength(0)
      if (cut >= 17) expect(alone.needed).toBe(second.length)
      else expect(alone.needed === null).toBe(cut === 0)
    }
  })

  test('are LOG_CORRUPT after a flip of any bit that matters, at once or as a batch that never comes whole', () => {
    const whole = encodeBatch({ base: 3, records: [a(0), a(1), a(4)], codec: 1 })
    for (let at = 0; at < whole.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Buffer.from(whole)
        flipped.writeUInt8((flipped[at] as number) ^ (1 << bit), at)
        const read = (): readonly RecordBatch[] => readBatches(flipped, { ...place, from: 3 }).batches
        // The broker's own fields: the base offset, which only its neighbours prove, and the leader epoch.
        if ((at >= 12 && at < 16) || (at < 8 && isLater(flipped))) continue
        if (at >= 8 && at < 12 && flipped.readInt32BE(8) > whole.length - 12) expect(read()).toHaveLength(0)
        else expect(failure(read), `byte ${at}, bit ${bit}`).toMatchObject({ code: 'LOG_CORRUPT', details: { partition: 'orders/0' } })
      }
    }
  })

  function isLater(batch: Buffer): boolean {
    const base = batch.readBigInt64BE(0)
    return base > 3n && base <= BigInt(Number.MAX_SAFE_INTEGER) - 4n || base >= 0n && base + 4n >= 3n && base < 3n
  }

  test('are LOG_CORRUPT where a damaged payload has the right checksum: never an error of another kind, never a read outside', () => {
    const list = [a(0), { ...a(1), headers: [['h', Buffer.from('x')], ['n', null]] as const }, a(4)]
    const whole = encodeBatch({ base: 3, records: list })
    fc.assert(fc.property(fc.integer({ min: 57, max: whole.length - 1 }), fc.nat(255), (at, byte) => {
      const damaged = Buffer.from(whole)
      damaged.writeUInt8(byte, at)
      try {
        const read = (readBatches(withChecksum(damaged), place).batches[0] as RecordBatch).records()
        for (let index = 0; index < read.count; index++) {
          read.headersAt(index)
          expect(Math.max(read.keyTo(index), read.valueTo(index))).toBeLessThanOrEqual(whole.length)
        }
      } catch (error) {
        expect(error).toMatchObject({ code: 'LOG_CORRUPT', details: { partition: 'orders/0', offset: 3 } })
      }
    }), { numRuns: 3_000 })
  })

  test.each([
    ['more records than fit', { count: 1_000_000 }, /1000000 records/],
    ['fewer records than there are', { count: 1 }, /bytes after its last record/],
    ['a record beyond the last offset', { lastDelta: 0 }, /out of order/],
    ['an unknown codec', { codec: 6 }, /codec 6/],
    ['a number without end', { payload: Buffer.concat([Buffer.alloc(20, 0xff)]), count: 1 }, /longer than 32 bits/],
    ['a record that is longer than its parts', { payload: Buffer.concat([varint(8), Buffer.from([0, 0, 0, 1, 1, 0, 0, 0])]), count: 1 }, /parts do not fit/],
    ['a record that is shorter than its parts', { payload: Buffer.concat([varint(6), Buffer.from([0, 0, 0, 4, 0x76, 0x76, 1, 0])]), count: 1 }, /parts do not fit/],
    ['an offset beyond 32 bits', { payload: Buffer.concat([varint(11), Buffer.from([0, 0, 0x80, 0x80, 0x80, 0x80, 0x10, 1, 1, 0, 0])]), count: 1 }, /32 bits/],
    ['a timestamp beyond 2^53', { payload: Buffer.concat([varint(17), Buffer.from([0]), Buffer.alloc(9, 0xff), Buffer.from([1, 0, 1, 1, 0, 0, 0])]), count: 1 }, /53 bits/],
  ])('with %s is LOG_CORRUPT', (_, wrong, message) => {
    const batch = encodeBatch({ base: 3, records: [a(0), a(1)], ...wrong })
    const found = failure(() => (readBatches(batch, place).batches[0] as RecordBatch).records())
    expect(found).toMatchObject({ code: 'LOG_CORRUPT', details: { offset: 3 } })
    expect(found.message).toMatch(message)
  })

  test('that overlap, or end before what was asked for, are LOG_CORRUPT', () => {
    const twice = Buffer.concat([encodeBatch({ base: 0, records: [a(0), a(1)] }), encodeBatch({ base: 1, records: [a(0), a(1)] })])
    expect(failure(() => readBatches(twice, place)).message).toMatch(/begins before 2/)
    expect(failure(() => readBatches(encodeBatch({ base: 0, records: [a(0)] }), { ...place, from: 1 })).message).toMatch(/ends at 0/)
  })

  test('of the old formats are refused by name', () => {
    const old = encodeBatch({ base: 3, records: [a(0)] })
    old.writeInt8(1, 16)
    const found = failure(() => readBatches(old, place))
    expect(found).toMatchObject({ code: 'LOG_CORRUPT', details: { offset: 3 } })
    expect(found.message).toMatch(/old message format v1/)
  })

  test('that take more than the limit are LOG_CORRUPT before the memory is taken', () => {
    const bomb = encodeBatch({ base: 0, codec: 1, records: [{ delta: 0, key: null, value: Buffer.alloc(8 << 20) }] })
    expect(bomb.length).toBeLessThan(16_384)
    const found = failure(() => (readBatches(bomb, { ...place, limit: 1 << 20 }).batches[0] as RecordBatch).records())
    expect(found).toMatchObject({ code: 'LOG_CORRUPT', details: { offset: 0 } })
    expect(found.message).toMatch(/more than 1048576 bytes/)
    expect((readBatches(bomb, place).batches[0] as RecordBatch).records().valueAt(0)).toHaveLength(8 << 20)
  })

  test('with nothing but records in them are views into the fetch, not copies', () => {
    const fetched = encodeBatch({ base: 0, records: [a(0)] })
    const value = (readBatches(fetched, place).batches[0] as RecordBatch).records().valueAt(0) as Buffer
    expect(value.buffer).toBe(fetched.buffer)
    expect(encodeRecords([a(0)]).length).toBe(fetched.length - 61)
  })
})

describe('the transactional filter', () => {
  interface Step { readonly producer: number; readonly act: 'send' | 'commit' | 'abort' | 'plain' }

  /** Interleaved transactions of three producers, and what a broker says of them. */
  function world(steps: readonly Step[]): { batches: Buffer[]; kept: boolean[]; aborted: { producerId: bigint; firstOffset: number; last: number }[] } {
    const batches: Buffer[] = []
    const kept: boolean[] = []
    const aborted: { producerId: bigint; firstOffset: number; last: number }[] = []
    const open = new Map<number, number[]>()
    for (const { producer, act } of steps) {
      const base = batches.length
      const mine = open.get(producer) ?? []
      kept.push(act === 'send' || act === 'plain')
      if (act === 'plain') batches.push(encodeBatch({ base, producerId: producer, records: [a(0)] }))
      else if (act === 'send') {
        // A key like that of an abort marker.
        batches.push(encodeBatch({ base, producerId: producer, transactional: true, records: [{ delta: 0, key: Buffer.alloc(4), value: null }] }))
        open.set(producer, [...mine, base])
      } else {
        batches.push(encodeMarker(base, producer, act))
        if (act === 'abort') {
          for (const offset of mine) kept[offset] = false
          if (mine.length > 0) aborted.push({ producerId: BigInt(producer), firstOffset: mine[0] as number, last: base })
        }
        open.delete(producer)
      }
    }
    return { batches, kept, aborted }
  }

  const steps = fc.array(fc.record({
    producer: fc.integer({ min: 0, max: 2 }),
    act: fc.constantFrom<Step['act'][]>('send', 'send', 'send', 'abort', 'abort', 'commit', 'plain'),
  }), { maxLength: 30, size: 'max' })

  test('keeps what was committed, wherever a read starts, also inside overlapping aborted transactions', () => {
    fc.assert(fc.property(steps, fc.nat(30), fc.array(fc.nat()), (script, start, disorder) => {
      const { batches, kept, aborted } = world(script)
      const from = Math.min(start, batches.length)
      // What a broker lists: every aborted transaction that reaches into what is fetched, in any order.
      const listed = aborted.filter(({ last }) => last >= from).map(({ last: _last, ...entry }, index) => ({ entry, by: disorder[index] ?? index }))
        .toSorted((x, y) => x.by - y.by).map(({ entry }) => entry)
      const read = readBatches(Buffer.concat(batches.slice(from)), { ...place, from }).batches
      const dropped = abortedBatches(read, listed)
      const open = new Set(script.flatMap(({ act }, index) => act === 'send' && !isEnded(script, index) ? [index] : []))
      expect(read.map((batch, index) => !batch.isControl && !(dropped[index] as boolean)))
        .toEqual(kept.slice(from).map((keep, index) => keep || open.has(from + index)))
    }), { numRuns: 500 })
  })

  function isEnded(script: readonly Step[], index: number): boolean {
    return script.slice(index).some(({ producer, act }) => producer === (script[index] as Step).producer && (act === 'commit' || act === 'abort'))
  }

  test('leaves records of other producers and records without a transaction alone', () => {
    const batches = readBatches(Buffer.concat([
      encodeBatch({ base: 0, producerId: 1, transactional: true, records: [a(0)] }),
      encodeBatch({ base: 1, producerId: 2, transactional: true, records: [a(0)] }),
      encodeBatch({ base: 2, producerId: 1, records: [a(0)] }),
      encodeMarker(3, 1, 'abort'),
      encodeBatch({ base: 4, producerId: 1, transactional: true, records: [a(0)] }),
    ]), place).batches
    expect(abortedBatches(batches, [{ producerId: 1n, firstOffset: 0 }])).toEqual([true, false, false, false, false])
    expect(batches.map((batch) => batch.marker())).toEqual([null, null, null, 'abort', null])
  })
})
