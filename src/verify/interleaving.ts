import type { ReadLimits } from '../log/source.js'
import type { ReplayOptions } from '../replay/api.js'
import { DEFAULT_LIMITS } from '../replay/settings.js'

/** Which of n partitions is read next, from 0. */
export type Pick = (n: number) => number

/** One way through a log: the same limits and a fresh `pick` give the same sequence of events again. */
export interface Interleaving {
  readonly limits: ReadLimits
  readonly pick: Pick
}

/** How one rebuild of an audit differs from a plain replay. */
export interface Round {
  /** From 1. */
  readonly number: number
  /** For people. */
  readonly name: string
  readonly limits: ReadLimits
  readonly checkpoint: NonNullable<ReplayOptions['checkpoint']>
  /** A fresh one each time. */
  readonly pick: () => Pick
}

const LARGE_LIMITS: ReadLimits = { events: 10_000, bytes: 8 * 1024 * 1024 }
const SMALL_CHECKPOINT = { bytes: 64 * 1024 }

/** Rounds as unlike each other, and a plain replay, as can be; from the third on at random, each with a seed of its own. */
export function roundOf(number: number): Round {
  switch (number) {
    case 1: return {
      number, name: 'event by event, the partitions in turn', limits: { ...DEFAULT_LIMITS, events: 1 }, checkpoint: {}, pick: inTurn,
    }
    case 2: return {
      number, name: 'partition by partition, the last one first', limits: LARGE_LIMITS, checkpoint: {}, pick: () => (n) => n - 1,
    }
    default: return {
      number, name: `at random, seed ${number}`, limits: { ...DEFAULT_LIMITS, events: 2 * seededPick(number)(40) + 3 },
      checkpoint: SMALL_CHECKPOINT, pick: () => seededPick(number),
    }
  }
}

function inTurn(): Pick {
  let turn = 0
  return (n) => turn++ % n
}

/** xorshift32: the same numbers for the same seed, everywhere. */
export function seededPick(seed: number): Pick {
  let state = (Math.imul(seed, 2_654_435_761) + 1) >>> 0 || 1
  return (n) => {
    state ^= state << 13
    state ^= state >>> 17
    state = (state ^ (state << 5)) >>> 0
    return state % n
  }
}
