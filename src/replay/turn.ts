import type { MergePoint } from '../log/order.js'
import type { Offset } from '../log/position.js'
import type { AcceptedGap } from '../log/sequence.js'
import type { EventBatch, Holes } from '../log/source.js'
import type { HeldChange, HeldState } from './held.js'
import type { ReaderOptions } from './partition-reader.js'

/** Records [from, to) of a batch, to be applied in this order. `through`: what is accounted for after them, inclusive. */
export interface Turn {
  readonly batch: EventBatch
  readonly from: number
  readonly to: number
  readonly through: Offset
  /** The last record up to `through`, whose mark is that of the turn; null: there is none in it. */
  readonly last: { readonly batch: EventBatch; readonly index: number } | null
  readonly duplicates: number
  readonly holes: Holes | null
  readonly gaps: readonly AcceptedGap[]
  /** The place of the last record of the turn, where partitions are merged. */
  readonly merge: MergePoint | null
  /** Events of keys that moved: what is held back by this turn, or released with it. Null: neither. */
  readonly held: HeldChange | null
}

/**
 * Hands out what is to be applied next; null at the end of the range, or where nothing more is settled. The one place where partitions
 * interleave.
 */
export interface Turns {
  next(): Promise<Turn | null>
  close(): Promise<void>
}

/** So many events are parsed before they are applied: few enough to be dead before the garbage collector looks. Measured. */
export const RUN_EVENTS = 256

export interface TurnOptions extends ReaderOptions {
  /** Which of n partitions, or domains, is read next. */
  readonly pick: (n: number) => number
  /** While following by time: what may be applied. Left out: the range is fixed, and all of it is. */
  readonly settling?: Settling
}

/** What a fold keeps, besides its state, of the order in which it came here. */
export interface KeptOrder {
  readonly merge: MergeState
  readonly held: HeldState
}

/** The last record that was merged, per partition: kept in `$merge`. */
export type MergeState = ReadonlyMap<string, MergePoint>

/** What may be applied while the log is followed: no partition is likely to bring an earlier event. */
export interface Settling {
  /** Every partition of the log, also those without records. */
  readonly partitions: readonly string[]
  /** The log's own time: the highest recordedAt that is to be believed. −Infinity: not known yet. */
  readonly logTimeMs: number
  readonly latenessMs: number
  /** Only by the log's time, also where every partition has a later event. */
  readonly byTimeOnly: boolean
  /** The last record of each partition in the range. */
  readonly tails: ReadonlyMap<string, { readonly offset: Offset; readonly timeMs: number }>
}

export const FROM_THE_START: KeptOrder = { merge: new Map(), held: new Map() }

/** One after the other; the next is made when the one before is at its end. */
export function turnsInSequence(parts: Iterable<() => Turns>): Turns {
  const left = parts[Symbol.iterator]()
  let current: Turns | null = null
  return {
    async next() {
      for (;;) {
        if (current === null) {
          const { done, value } = left.next()
          if (done === true) return null
          current = value()
        }
        const turn = await current.next()
        if (turn !== null) return turn
        await current.close()
        current = null
      }
    },
    async close() {
      await current?.close()
    },
  }
}
