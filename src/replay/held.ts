import type { Offset } from '../log/position.js'

/** Events of moved keys that were passed and not applied yet: partition → HeldRange. Empty at a seal. */
export const HELD = '$held'

/**
 * Where in a partition events are held: they stay in the log, and are read again when the partitions that their keys came from stand at
 * their end. Of a key that moved more than once, the events of its second home are released before those of its third.
 */
export interface HeldRange {
  /** They lie in (after, upTo]. */
  readonly after: Offset
  readonly upTo: Offset
  /** The clock of the partition at `after`, where partitions are merged. */
  readonly highMs: number | null
  /** Those of keys that have moved so many times are released next, from 1 … */
  readonly moves: number
  /** … and are, up to here, inclusive. */
  readonly released: Offset
}

export type HeldState = ReadonlyMap<string, HeldRange>

export interface HeldChange {
  /** Null: nothing is held any more. */
  readonly range: HeldRange | null
  /** These events were passed before: the position stays. */
  readonly isRelease: boolean
}
