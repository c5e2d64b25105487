/** Offsets per block of an input chain; blocks are aligned: 0 to 1,023, 1,024 to 2,047 … */
export const INPUT_BLOCK = 1024

/**
 * What was read of a partition, so that two readers can find where their inputs part: the chain over everything, and the chain
 * as it was at some earlier ends of blocks.
 */
export interface Inputs {
  /** Chain over all that was read, hexadecimal; null where none is kept. */
  readonly chain: string | null
  /**
   * Chains before the offsets 1 · every, 2 · every, 3 · every …, hexadecimal. A function of log and position only: `every` is the
   * smallest power of two of whole blocks with which there are at most 64.
   */
  readonly every: number
  readonly earlier: readonly string[]
}
