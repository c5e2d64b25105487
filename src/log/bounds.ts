import type { Position } from './position.js'
import type { Bounds } from './source.js'

/** The end of the log: the last offset of every partition that holds a record. */
export function headOf(bounds: ReadonlyMap<string, Bounds>): Position {
  return new Map([...bounds].filter(([, { first, last }]) => last >= first).map(([partition, { last }]) => [partition, last]))
}

/** Partitions that are compacted, or may be. */
export function perhapsCompacted(bounds: ReadonlyMap<string, Bounds>): ReadonlySet<string> {
  return new Set([...bounds].filter(([, { compacted = false }]) => compacted !== false).map(([partition]) => partition))
}

/**
 * A reader of a compacted partition may take so much of the time for which deletes are kept, from one instant at its end to the next. The
 * rest is for clocks: the reader's is not the log's, and another machine may have begun.
 */
export const TOMBSTONES_SHARE = 0.8

/** The offset before the first of every partition: −1, but where the beginning of the log is missing. */
export function beforeFirst(bounds: ReadonlyMap<string, Bounds>): Map<string, number> {
  return new Map([...bounds].map(([partition, { first }]) => [partition, first - 1]))
}
