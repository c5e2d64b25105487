import { isRehydrateError, RehydrateError } from '../errors.js'
import { formatPosition, offsetIn, type Offset, type Position } from '../log/position.js'
import type { Bounds, ConsumerGroup, EventSource } from '../log/source.js'
import type { HandoverRecord, HandoverWriter } from './handover-record.js'

/** A partition, as the group has it. Offsets are the last ones read, inclusive; −1: it begins at offset 0. */
export interface GroupPartition {
  readonly partition: string
  /** What the group has committed; null: nothing. */
  readonly committed: Offset | null
  /** Where our state stands, which is what is set. */
  readonly position: Offset
  /** Offsets that the group has to read up to the end of the log, as far as it can be read now. */
  readonly behind: number
  /** The records after `position` belong to a transaction that is open: the group waits there for its end, and reads them then. */
  readonly atOpenTransaction: boolean
}

export function groupOf(source: EventSource, name: string): ConsumerGroup {
  const group = source.group?.(name)
  if (group !== undefined) return group
  throw new RehydrateError('CONFIG_INVALID', {
    message: 'This log has no consumer groups: a state can not be handed over to one.', path: 'source', expected: 'a log such as kafka()',
  })
}

/** The group as it was found. */
export type Found = Awaited<ReturnType<ConsumerGroup['describe']>>

export const NOBODY: Found = { state: '', members: [], position: new Map() }

/** `isDone`: the group has been set to `to`, and goes on by itself since. */
export function partitionsOf(to: Position, bounds: ReadonlyMap<string, Bounds>, committed: Position, isDone: boolean): GroupPartition[] {
  return [...to].map(([partition, position]) => {
    const bound = bounds.get(partition)
    const stands = (isDone ? committed.get(partition) : undefined) ?? position
    return {
      partition, position, committed: committed.get(partition) ?? null,
      behind: Math.max(0, (bound?.last ?? stands) - stands),
      atOpenTransaction: bound?.behindOpenTransaction !== undefined && bound.last <= stands,
    }
  })
}

/** A partition of which nothing is applied begins at its first record. */
export function targetOf(position: Position, bounds: ReadonlyMap<string, Bounds>): Position {
  return new Map([...bounds].map(([partition, { first }]) => [partition, position.get(partition) ?? first - 1]))
}

/** Sets the offsets, unless that was done before a crash, and reads them back. */
export async function setOffsets(group: ConsumerGroup, record: HandoverRecord, found: Found, writer: HandoverWriter): Promise<void> {
  const { group: name, before, to } = record
  const has = (position: Position, partition: string, offset: Offset | undefined): boolean => position.get(partition) === offset
  const isSet = (position: Position): boolean => [...to].every(([partition, offset]) => has(position, partition, offset))
  if (isSet(found.position)) return
  const isAsBefore = (position: Position): boolean => [...to.keys()].every((partition) => has(position, partition, before.get(partition)))
  const isUntouched = [...to].every(([partition, offset]) =>
    has(found.position, partition, before.get(partition)) || has(found.position, partition, offset))
  // Set before the crash, and the consumers were started without waiting for the confirmation: they have gone on from there.
  if (!isUntouched && [...to].every(([partition, offset]) => offsetIn(found.position, partition) >= offset)) return
  if (!isUntouched) throw movedBy(name, found.position, to)
  // Who was fenced meanwhile must not set back what consumers have gone on from.
  await writer.assertNewest()
  try {
    await group.commit(to)
  } catch (error) {
    const isRefused = isRehydrateError(error) && error.code === 'GROUP_ACTIVE' && isAsBefore((await group.describe()).position)
    if (isRefused) await writer.keep(null)
    throw error
  }
  const readBack = await group.describe()
  if (!isSet(readBack.position)) throw movedBy(name, readBack.position, to)
}

export function within(position: Position, partitions: Position): Position {
  return new Map([...position].filter(([partition]) => partitions.has(partition)))
}

export function groupActive(group: string, members: readonly string[]): RehydrateError {
  return new RehydrateError('GROUP_ACTIVE', {
    message: `The consumer group ${group} has members: ${members.join(', ')}.`, actual: members.join(', '),
  })
}

function movedBy(group: string, position: Position, to: Position): RehydrateError {
  return new RehydrateError('GROUP_ACTIVE', {
    message: `The offsets of the group ${group} are neither those of before nor those that were to be set: somebody else commits to it.`,
    expected: formatPosition(to), actual: formatPosition(position),
    safe: 'Our state stands where it was to be handed over, and no replay goes on from there.',
    fix: 'Stop whoever uses the group. Then take the state back with `rehydrate handover --back --execute`, and hand it over again.',
  })
}
