import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { FetchBudget } from '../../../adapters/kafka/budget.js'
import { readPages, type PartitionLog } from '../../../adapters/kafka/pages.js'
import type { FetchedPartition, FetchLimits, FetchRequest, KafkaPort } from '../../../adapters/kafka/port.js'
import { encodeBatch } from './encode-batch.js'

const MIB = 1 << 20
const BATCHES = 4

/** Every partition holds four batches of one record each; answers come in turns of the event loop, as those of a broker do. */
class Wide {
  readonly batchBytes: number
  /** Bytes of answers that were given, less those of pages that were handed out. */
  held = 0
  largest = 0
  asked: number[] = []
  readonly #batch: Buffer

  constructor(valueBytes: number) {
    this.#batch = encodeBatch({ base: 0, records: [{ delta: 0, key: null, value: Buffer.alloc(valueBytes, 'x') }] })
    this.batchBytes = this.#batch.length
  }

  async fetch({ topic, partition, offset }: FetchRequest, limits: FetchLimits, signal: AbortSignal): Promise<FetchedPartition | null> {
    this.asked.push(limits.bytesPerPartition)
    await sleep(1)
    if (signal.aborted) return null
    // The first batch comes whole; more of them where they fit.
    const count = Math.min(BATCHES - offset, Math.max(1, Math.floor(limits.bytesPerPartition / this.#batch.length)))
    const batches = Array.from({ length: count }, (_, index) => {
      const bytes = Buffer.from(this.#batch)
      bytes.writeBigInt64BE(BigInt(offset + index))
      return bytes
    })
    this.held += count * this.#batch.length
    this.largest = Math.max(this.largest, this.held)
    return { topic, partition, records: Buffer.concat(batches), startOffset: 0, highWatermark: BATCHES, lastStableOffset: BATCHES, aborted: [] }
  }

  open(partition: number, budget: FetchBudget, inFlightBytes: number, signal = new AbortController().signal) {
    const log: PartitionLog = {
      topic: 't', partition, name: `t/${partition}`, isolation: 'read_committed', compacted: false, stallMs: 30_000, clock: () => 0,
    }
    const share = budget.join({ events: 500, bytes: MIB, inFlightBytes })
    return readPages(this as unknown as KafkaPort, log, { from: 0, upTo: BATCHES - 1 }, signal, share)
  }
}

describe('pages of many partitions', () => {
  test.each([[100, 4 * MIB, MIB / 4], [100, 16 * MIB, 1_000], [20, MIB, MIB / 4], [3, 1, MIB]])(
    '%i readers, %i bytes in flight, batches of %i: all is read, and never much more is held', async (readers, limit, valueBytes) => {
      const wide = new Wide(valueBytes)
      const budget = new FetchBudget()
      const live = new Map(Array.from({ length: readers }, (_, partition) => [partition, wide.open(partition, budget, limit)]))
      let batches = 0
      // One reader after the other is awaited, while the rest reads ahead.
      while (live.size > 0) {
        for (const [partition, pages] of live) {
          const { value: page, done } = await pages.next()
          if (done === true) {
            live.delete(partition)
            continue
          }
          batches += page.count
          wide.held -= page.count * wide.batchBytes
          await sleep(0)
        }
      }
      expect(batches).toBe(readers * BATCHES)
      expect(wide.largest).toBeLessThanOrEqual(Math.max(limit, wide.batchBytes))
      expect(budget.aheadBytes).toBe(0)
    })

  test('all may be awaited at once, whatever the budget is', async () => {
    const wide = new Wide(MIB)
    const budget = new FetchBudget()
    const firsts = await Promise.all(Array.from({ length: 30 }, (_, partition) => wide.open(partition, budget, 1).next()))
    expect(firsts.every(({ value }) => value?.count === 1)).toBe(true)
  })

  test('who is aborted, or stops early, frees what he had', async () => {
    const wide = new Wide(1_000)
    const budget = new FetchBudget()
    const stop = new AbortController()
    const [aborted, closed] = [wide.open(0, budget, MIB, stop.signal), wide.open(1, budget, MIB)]
    await Promise.all([aborted.next(), closed.next()])
    stop.abort()
    expect(await aborted.next()).toEqual({ value: undefined, done: true })
    await closed.return()
    expect([budget.aheadBytes, budget.shareOf(2 * MIB)]).toEqual([0, MIB])
  })
})
