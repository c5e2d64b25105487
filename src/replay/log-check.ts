import { RehydrateError } from '../errors.js'
import { formatPartition, offsetIn, type Position } from '../log/position.js'
import type { Bounds, EventSource, Mark } from '../log/source.js'
import type { Accepted } from '../store/checkpoint.js'
import type { Settings } from './settings.js'

type Refuse = (error: RehydrateError) => void

/** Every partition reaches from its next event to its end, and a fresh one begins at its first. */
export function checkReach(
  position: Position, bounds: ReadonlyMap<string, Bounds>, settings: Settings, refuse: Refuse,
): Accepted[] {
  const accepted: Accepted[] = []
  for (const [partition, at] of position) {
    const bound = bounds.get(partition)
    if (bound === undefined) {
      refuse(new RehydrateError('LOG_TRUNCATED', {
        message: `${partition} is gone from the log; ${at + 1} of its offsets are applied.`, partition, offset: at,
      }))
    } else if (bound.last < at) {
      refuse(new RehydrateError('LOG_TRUNCATED', {
        message: `${partition} ends at ${bound.last}, yet ${at} is applied.`, partition, offset: at, expected: at, actual: bound.last,
      }))
    } else if (bound.first > at + 1) {
      refuse(new RehydrateError('LOG_TRUNCATED', {
        message: `${partition} starts at ${bound.first}, but ${at + 1} is needed next.`,
        partition, offset: at + 1, expected: at + 1, actual: bound.first,
      }))
    }
  }
  for (const [partition, { first }] of bounds) {
    if (position.has(partition) || first === 0) continue
    const waived = settings.waivers.historyBefore.get(partition)
    if (waived !== undefined && first <= waived) {
      accepted.push({ code: 'HISTORY_INCOMPLETE', partition, to: first - 1 })
      continue
    }
    refuse(new RehydrateError('HISTORY_INCOMPLETE', {
      message: `${partition} starts at ${first}: the events before it are missing.`, partition, offset: first, expected: 0, actual: first,
      fix: `Bring the earlier segments back, or go on without them: --accept HISTORY_INCOMPLETE=${formatPartition(partition)}@${first}.`,
    }))
  }
  return accepted
}

/** What the source says of the marks it was asked about. */
export interface Identity {
  /** The marks to go on with: where asking told something, in the place of the ones asked about. */
  readonly marks: ReadonlyMap<string, Mark>
  /** Partitions whose identity could not be proved. */
  readonly unproved: readonly string[]
}

/** A proved difference is refused. */
export async function checkIdentity(
  source: EventSource, marks: ReadonlyMap<string, Mark>, position: Position, refuse: Refuse,
): Promise<Identity> {
  const asked = new Map([...marks].map(([partition, mark]) => [partition, { mark, at: offsetIn(position, partition) }]))
  if (asked.size === 0) return { marks, unproved: [] }
  const kept = new Map(marks)
  const unproved: string[] = []
  for (const [partition, check] of await source.check(asked)) {
    if (check.is === 'unprovable') unproved.push(partition)
    if (check.is !== 'different') {
      if (check.mark !== undefined) kept.set(partition, check.mark)
      continue
    }
    const offset = offsetIn(position, partition)
    refuse(new RehydrateError(check.code, {
      message: `${partition} is not the log this state was built from: ${check.why}`, partition, offset,
    }))
  }
  return { marks: kept, unproved }
}

/** Reach and identity. That it is another log comes first: then it is no wonder that it has other bounds. */
export async function checkLog(
  source: EventSource, settings: Settings, position: Position, bounds: ReadonlyMap<string, Bounds>, marks: ReadonlyMap<string, Mark>,
  refuse: Refuse,
): Promise<Identity & { readonly accepted: readonly Accepted[] }> {
  const refused: RehydrateError[] = []
  const accepted = checkReach(position, bounds, settings, (error) => refused.push(error))
  const isOutOfReach = new Set(refused.map((error) => error.details.partition))
  const identity = await checkIdentity(source, marks, position, (error) => {
    if (error.code === 'LOG_RECREATED') refused.unshift(error)
    // Of what was truncated, the reach has said so with both offsets.
    else if (error.code !== 'LOG_TRUNCATED' || !isOutOfReach.has(error.details.partition)) refused.push(error)
  })
  for (const error of refused) refuse(error)
  return { ...identity, accepted }
}

/** As `checkLog`, for a log that has grown: it is asked what it is where it does not reach only. Gives what is missing and accepted. */
export async function checkGrowth(
  source: EventSource, settings: Settings, position: Position, bounds: ReadonlyMap<string, Bounds>, marks: ReadonlyMap<string, Mark>,
  refuse: Refuse,
): Promise<readonly Accepted[]> {
  let isReached = true
  const accepted = checkReach(position, bounds, settings, () => { isReached = false })
  return isReached ? accepted : (await checkLog(source, settings, position, bounds, marks, refuse)).accepted
}
