import { INPUT_BLOCK } from './inputs.js'
import type { Offset } from './position.js'

/** Chains over what stands before earlier offsets, so that two readers of different logs find where those part. */
export interface Milestones {
  /** Offsets between two of them: the smallest power of two of whole blocks with which there are at most MAX_MILESTONES. */
  readonly every: number
  /** chains[i]: the chain before offset (i + 1) · every, hexadecimal. Those at or below the offset of the mark. */
  readonly chains: readonly string[]
}

export const MAX_MILESTONES = 64

/** The chain before the first record, hexadecimal. */
const NOTHING_READ = '00'.repeat(32)

/** Of a chain that begins at `first`, because no earlier record is there. */
export function milestonesFrom(first: Offset): Milestones {
  return milestonesAt(first, () => NOTHING_READ)
}

/** Of a mark at `at`, where the chain before every offset can be told. */
export function milestonesAt(at: Offset, chainBefore: (offset: Offset) => string): Milestones {
  const every = everyAt(at)
  return { every, chains: Array.from({ length: Math.floor(at / every) }, (_, i) => chainBefore((i + 1) * every)) }
}

/** With the block that begins at `offset`, which follows the last one taken; `chain` is the one before it. */
export function nextMilestone(earlier: Milestones, offset: Offset, chain: () => string): Milestones {
  if (offset % earlier.every !== 0) return earlier
  const chains = [...earlier.chains, chain()]
  if (chains.length <= MAX_MILESTONES) return { every: earlier.every, chains }
  return { every: earlier.every * 2, chains: chains.filter((_, i) => i % 2 === 1) }
}

/** What a mark at `at` says of earlier chains; null where it says nothing, or nothing that could be of this offset. */
export function milestonesOf(earlier: Milestones | undefined, at: Offset): Milestones | null {
  if (earlier === undefined || earlier.every !== everyAt(at) || !Array.isArray(earlier.chains)) return null
  const isWhole = earlier.chains.length === Math.floor(at / earlier.every) && earlier.chains.every((chain) => typeof chain === 'string')
  return isWhole ? { every: earlier.every, chains: earlier.chains } : null
}

function everyAt(at: Offset): number {
  let every = INPUT_BLOCK
  while (Math.floor(at / every) > MAX_MILESTONES) every *= 2
  return every
}
