import { RehydrateError } from '../errors.js'
import { perhapsCompacted, TOMBSTONES_SHARE } from '../log/bounds.js'
import { formatPosition, offsetIn, type Position } from '../log/position.js'
import type { Bounds } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { Plan } from './api.js'
import type { Until } from './settings.js'

const NONE: ReadonlySet<string> = new Set()

/**
 * Where a log is compacted, earlier records of a key go at any time, so that the state after an offset depends on when it was read; but
 * one who stands at the end has met the last record of every key. So these partitions are read on to such an instant before a seal.
 */
export function partitionsToEnd(projection: Projection, until: Until, bounds: ReadonlyMap<string, Bounds>): ReadonlySet<string> {
  const isOpen = until.kind === 'head' || until.kind === 'follow'
  return isOpen && readsPartitionsAlone(projection) ? perhapsCompacted(bounds) : NONE
}

/** The end of a range once it was read: of partitions that were read on to their ends, where that was. */
export function whereRead(end: Position, toEnd: ReadonlySet<string>, position: Position): Position {
  return new Map([...end].map(([partition, offset]) =>
    [partition, toEnd.has(partition) ? Math.max(offset, offsetIn(position, partition)) : offset]))
}

/** COMPACTED_HISTORY where a projection needs more of a compacted log than the last record of each key. */
export function refuseCompacted(
  projection: Projection, bounds: ReadonlyMap<string, Bounds>, refuse: (error: RehydrateError) => void,
): void {
  const compacted = compactedIn(bounds)
  const [partition] = compacted
  if (partition === undefined) return
  const others = compacted.length - 1
  const where = others === 0 ? `${partition} is compacted` : `${partition} and ${others} more partitions are compacted`
  if (projection.history !== 'last') {
    refuse(new RehydrateError('COMPACTED_HISTORY', {
      message: `${where}: earlier records of a key may be gone, and ${projection.name} folds all of them.`, partition,
    }))
  }
  if (!readsPartitionsAlone(projection)) {
    refuse(new RehydrateError('COMPACTED_HISTORY', {
      message: `${where}, and ${projection.name} merges partitions (order '${projection.order}').`, partition,
      why: 'A merge ends at a fixed offset of each partition; a compacted one is settled only where the reader stood at its end.',
      fix: "Use order: 'partition', with history: 'last'.",
    }))
  }
}

/**
 * Partitions of which it is not known whether they are compacted, where every record is needed: one that is missing without a reason was
 * lost, or compacted, and neither makes a state.
 */
export function partitionsToHaveWhole(projection: Projection, bounds: ReadonlyMap<string, Bounds>): ReadonlySet<string> {
  if (projection.history === 'last' && readsPartitionsAlone(projection)) return NONE
  return new Set([...bounds].filter(([, { compacted }]) => compacted === null).map(([partition]) => partition))
}

/** For how long all compacted partitions keep deletes at least; Infinity where none of them says. */
export function passMs(bounds: ReadonlyMap<string, Bounds>): number {
  return Math.min(...[...bounds.values()].map(({ tombstonesMs = Infinity }) => tombstonesMs))
}

/** TOMBSTONES_EXPIRED where a compacted partition is likely to forget deletes before they are read. */
export function refuseSlow(
  partitions: Plan['partitions'], bounds: ReadonlyMap<string, Bounds>, estimateMs: number, refuse: (error: RehydrateError) => void,
): void {
  for (const { partition, from, upTo } of partitions) {
    const { tombstonesMs } = bounds.get(partition) as Bounds
    if (upTo < from || tombstonesMs === undefined || estimateMs <= TOMBSTONES_SHARE * tombstonesMs) continue
    refuse(new RehydrateError('TOMBSTONES_EXPIRED', {
      message: `${partition} keeps deletes for ${tombstonesMs / 1_000} s, and the replay needs about ${Math.ceil(estimateMs / 1_000)} s.`,
      partition, expected: `at most ${TOMBSTONES_SHARE * tombstonesMs} ms`, actual: estimateMs,
      fix: 'Raise delete.retention.ms of the topic, or give the replay more speed.',
    }))
    return
  }
}

/**
 * LOG_COMPACTED where a run would end inside of a compacted partition: which records were still there would depend on when it was read.
 * `settled`: a position of which a seal has said that it is none of these.
 */
export function assertSettled(
  option: string, end: Position, bounds: ReadonlyMap<string, Bounds>, position: Position, settled: Position,
): void {
  for (const partition of compactedIn(bounds)) {
    const [to, from] = [offsetIn(end, partition), offsetIn(position, partition)]
    // Nothing of it is read: not now, or not at all.
    const isSettled = to === from && (to < 0 || to === offsetIn(settled, partition) || to === bounds.get(partition)?.last)
    if (isSettled) continue
    throw new RehydrateError('LOG_COMPACTED', {
      message: `${option} ${formatPosition(end)} ends inside of ${partition}, which is compacted: no state is settled before its end.`,
      partition, offset: to,
      fix: 'Run with --until head: then the seal stands where the reader stood at the end.',
    })
  }
}

/** A compacted partition of which a state at `position` has read something: that can not be read again as it was. */
export function compactedWithin(bounds: ReadonlyMap<string, Bounds>, position: Position): string | undefined {
  return compactedIn(bounds).find((partition) => position.has(partition))
}

/** LOG_COMPACTED where what was read up to `position` can not be read again. */
export function assertReadsAgain(bounds: ReadonlyMap<string, Bounds>, position: Position): void {
  const partition = compactedWithin(bounds, position)
  if (partition === undefined) return
  throw new RehydrateError('LOG_COMPACTED', { message: `${partition} is compacted: what was read of it may be gone.`, partition })
}

function compactedIn(bounds: ReadonlyMap<string, Bounds>): readonly string[] {
  return [...bounds].filter(([, { compacted }]) => compacted === true).map(([partition]) => partition)
}

function readsPartitionsAlone({ order, placement }: Projection): boolean {
  return (order === 'partition' || order === 'any') && placement?.moves !== true
}
