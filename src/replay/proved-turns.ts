import { unchanged } from '../log/order.js'
import type { Home, Placement } from '../log/partitioner.js'
import type { EventBatch } from '../log/source.js'
import type { Turn, Turns } from './turn.js'

/**
 * Proves where each record lies, and leaves out those that are not to be applied now. PARTITIONER_UNPROVED and EVENT_KEY_MISSING come where
 * the record is read, so that an error of an earlier one is told first.
 */
export function provedTurns(turns: Turns, placement: Placement, takes: (home: Home, turn: Turn, index: number) => boolean): Turns {
  return {
    async next() {
      const turn = await turns.next()
      if (turn === null) return null
      const { batch, from, to } = turn
      const taken: number[] = []
      const unproved = new Map<number, unknown>()
      for (let i = from; i < to; i++) {
        try {
          if (!takes(placement.homeOf(batch.partition, batch.offsetAt(i), batch.keyAt(i)), turn, i)) continue
        } catch (error) {
          unproved.set(i, error)
        }
        taken.push(i)
      }
      const isWhole = taken.length === to - from && unproved.size === 0
      return isWhole ? turn : { ...turn, batch: selected(batch, taken, unproved), from: 0, to: taken.length }
    },
    close: () => turns.close(),
  }
}

/** These records of a batch; some of them throw when they are read. */
function selected(batch: EventBatch, taken: readonly number[], unproved: ReadonlyMap<number, unknown>): EventBatch {
  const at = (i: number): number => taken[i] as number
  const proved = (i: number): number => {
    if (unproved.has(at(i))) throw unproved.get(at(i))
    return at(i)
  }
  return {
    ...unchanged(batch), length: taken.length,
    offsetAt: (i) => batch.offsetAt(at(i)),
    typeAt: (i) => batch.typeAt(proved(i)),
    keyAt: (i) => batch.keyAt(proved(i)),
    event: (i, reads) => batch.event(proved(i), reads),
    markAt: (i) => batch.markAt(at(i)),
  }
}
