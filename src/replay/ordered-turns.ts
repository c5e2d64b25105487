import { isMerged } from '../log/domains.js'
import type { Projection } from '../projection/define.js'
import type { Reads } from '../value/reads.js'
import { mergedTurns } from './merged-turns.js'
import { readersOf, type PartitionReader } from './partition-reader.js'
import type { MergeState, TurnOptions, Turns } from './turn.js'

/** In the order of the projection, without regard to how keys are placed. `isAgain`: what is read was merged before, so nothing is late. */
export function orderedTurns(options: TurnOptions, projection: Projection, merge: MergeState, isAgain = false): Turns {
  const { order, futureMs, types, anyType } = projection
  if (!isMerged(order)) return partitionTurns(options)
  const readsOf = (type: string): Reads | undefined => (types.get(type) ?? anyType)?.reads ?? undefined
  return mergedTurns(options, order, { merge, isAgain, futureMs, readsOf })
}

/** Each partition alone; which one is next is open, and must not matter. */
export function partitionTurns(options: TurnOptions): Turns {
  let readers = readersOf(options)
  return {
    async next() {
      while (readers.length > 0 && !options.signal.aborted) {
        const reader = readers[options.pick(readers.length)] as PartitionReader
        const admitted = await reader.next()
        if (admitted !== null) {
          const { batch, from } = admitted
          const last = batch.length > from ? { batch, index: batch.length - 1 } : null
          return { ...admitted, to: batch.length, through: batch.through, last, merge: null, held: null }
        }
        readers = readers.filter((other) => other !== reader)
      }
      return null
    },
    async close() {
      await Promise.all(readers.map((reader) => reader.close()))
    },
  }
}
