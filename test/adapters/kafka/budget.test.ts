import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FetchBudget, IN_FLIGHT_BYTES, type FetchShare } from '../../../adapters/kafka/budget.js'

const KIB = 1 << 10
const MIB = 1 << 20
const limitsOf = (inFlightBytes?: number) => ({ events: 500, bytes: MIB, ...(inFlightBytes !== undefined && { inFlightBytes }) })

async function isTaken(take: Promise<number>): Promise<boolean> {
  return await Promise.race([take.then(() => true), new Promise<false>((done) => { setImmediate(done, false) })])
}

describe('the budget of bytes in flight', () => {
  test('one reader has a page of 1 MiB, and one ahead', async () => {
    const budget = new FetchBudget()
    const share = budget.join(limitsOf())
    const first = share.take()
    share.await()
    expect(await first).toBe(MIB)
    share.came(MIB)
    share.release()
    expect(await isTaken(share.take())).toBe(true)
    expect(budget.aheadBytes).toBe(MIB)
  })

  test('a hundred readers with 16 MiB never read more than 8 MiB ahead, and each that is awaited goes on at once', async () => {
    const budget = new FetchBudget()
    const shares = Array.from({ length: 100 }, () => budget.join(limitsOf(16 * MIB)))
    for (const share of shares) void share.take()
    expect(budget.aheadBytes).toBeLessThanOrEqual(8 * MIB)
    expect(budget.shareOf(16 * MIB)).toBe(Math.floor((8 * MIB) / 100))
    // Batches of 1 MiB come whole, whatever was asked for: then fewer pages are ahead.
    for (const share of shares) {
      share.await()
      share.came(MIB)
      share.release()
    }
    const takes = shares.map((share) => share.take())
    const taken = await Promise.all(takes.map(isTaken))
    expect(taken.filter(Boolean)).toHaveLength(8)
    const waiting = taken.indexOf(false)
    shares[waiting]?.await()
    expect(await isTaken(takes[waiting]!)).toBe(true)
  })

  test('a budget that is smaller than a page still lets an awaited one through', async () => {
    const budget = new FetchBudget()
    const share = budget.join(limitsOf(1))
    const take = share.take()
    expect(await isTaken(take)).toBe(false)
    share.await()
    expect(await take).toBe(16 * KIB)
  })

  test('it is looked at before each fetch, so that it may change', async () => {
    const budget = new FetchBudget()
    const limits: { events: number; bytes: number; inFlightBytes?: number } = limitsOf(16 * KIB)
    const share = budget.join(limits)
    const take = share.take()
    expect(await isTaken(take)).toBe(false)
    limits.inFlightBytes = 4 * MIB
    budget.changed()
    expect(await isTaken(take)).toBe(true)
    delete limits.inFlightBytes
    share.release()
    expect(await isTaken(share.take())).toBe(true)
    expect(budget.aheadBytes).toBeLessThanOrEqual(IN_FLIGHT_BYTES / 2)
  })

  test('who leaves gives back what he had, also while he waits', async () => {
    const budget = new FetchBudget()
    const [a, b] = [budget.join(limitsOf(64 * KIB)), budget.join(limitsOf(64 * KIB))]
    const takes = [a, b].map((share) => share.take())
    a.came(32 * KIB)
    const third = budget.join(limitsOf(64 * KIB))
    const waiting = third.take()
    expect(await isTaken(waiting)).toBe(false)
    a.leave()
    b.leave()
    expect(await isTaken(waiting)).toBe(true)
    expect(takes).toHaveLength(2)
  })

  test('whatever readers do, nobody who is awaited waits, and nothing is lost when all have left', async () => {
    const step = fc.record({ reader: fc.nat(9), does: fc.constantFrom('take', 'came', 'await', 'release', 'leave'), bytes: fc.integer({ min: 1, max: 4 * MIB }) })
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 120 }), fc.integer({ min: 1, max: 64 * MIB }), async (steps, limit) => {
      const budget = new FetchBudget()
      const readers = new Map<number, { share: FetchShare; take: Promise<number> | null; isAwaited: boolean }>()
      for (const { reader, does, bytes } of steps) {
        const known = readers.get(reader) ?? { share: budget.join(limitsOf(limit)), take: null, isAwaited: false }
        readers.set(reader, known)
        if (does === 'take' && known.take === null) known.take = known.share.take()
        if (does === 'came' && known.take !== null && await isTaken(known.take)) known.share.came(bytes)
        if (does === 'await') { known.share.await(); known.isAwaited = true }
        if (does === 'release') { known.share.release(); Object.assign(known, { take: null, isAwaited: false }) }
        if (does === 'leave') { known.share.leave(); readers.delete(reader) }
        for (const { take, isAwaited } of readers.values()) if (take !== null && isAwaited) expect(await isTaken(take)).toBe(true)
      }
      for (const { share } of readers.values()) share.leave()
      expect(budget.aheadBytes).toBe(0)
    }), { numRuns: 40 })
  })
})
