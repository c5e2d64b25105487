import type { Position } from './position.js'
import type { Bounds } from './source.js'

/** The end of the log: the last offset of every partition that holds a record. */
export function headOf(bounds: ReadonlyMap<string, Bounds>): Position {
  return new Map([...bounds].filter(([, { first, last }]) => last >= first).map(([partition, { last }]) => [partition, last]))
}

/** The offset before the first of every partition: −1, but where the beginning of the log is missing. */
export function beforeFirst(bounds: ReadonlyMap<string, Bounds>): Map<string, number> {
  return new Map([...bounds].map(([partition, { first }]) => [partition, first - 1]))
}
