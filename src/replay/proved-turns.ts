import { unchanged } from '../log/order.js'
import type { Home, Placement } from '../log/partitioner.js'
import type { EventBatch } from '../log/source.js'
import type { Turn, Turns } from './turn.js'

/** Proves where each record lies, and leaves out those that are not to be applied now. PARTITIONER_UNPROVED, EVENT_KEY_MISSING. */
export function provedTurns(turns: Turns, placement: Placement, takes: (home: Home, turn: Turn, index: number) => boolean): Turns {
  return {
    async next() {
      const turn = await turns.next()
      if (turn === null) return null
      const { batch, from, to } = turn
      const taken: number[] = []
      for (let i = from; i < to; i++) {
        if (takes(placement.homeOf(batch.partition, batch.offsetAt(i), batch.keyAt(i)), turn, i)) taken.push(i)
      }
      return taken.length === to - from ? turn : { ...turn, batch: selected(batch, taken), from: 0, to: taken.length }
    },
    close: () => turns.close(),
  }
}

/** These records of a batch. */
function selected(batch: EventBatch, taken: readonly number[]): EventBatch {
  const at = (i: number): number => taken[i] as number
  return {
    ...unchanged(batch), length: taken.length,
    offsetAt: (i) => batch.offsetAt(at(i)),
    typeAt: (i) => batch.typeAt(at(i)),
    keyAt: (i) => batch.keyAt(at(i)),
    event: (i, reads) => batch.event(at(i), reads),
    markAt: (i) => batch.markAt(at(i)),
  }
}
