import { RehydrateError } from '../errors.js'
import { headOf } from '../log/bounds.js'
import { distance, formatPosition, offsetIn, reaches, type Position } from '../log/position.js'
import { isMerged } from '../log/domains.js'
import type { AcceptedGap } from '../log/sequence.js'
import type { Bounds, EventSource, ReadLimits } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { Accepted } from '../store/checkpoint.js'
import { gapsOf } from './accept.js'
import { assertSettled } from './compacted.js'
import { cutBeforeTime, nearestMergePrefix } from './cut-search.js'
import { DEFAULT_LIMITS, type Settings } from './settings.js'

/**
 * Where a run ends, frozen at its start: inclusive, per partition. USAGE for an end the log or the state does not allow, LOG_COMPACTED
 * for one inside of a compacted partition. `settled`: where the last checkpoint was sealed.
 */
export async function frozenEnd(
  source: EventSource, projection: Projection, settings: Settings, position: Position, bounds: ReadonlyMap<string, Bounds>,
  kept: readonly Accepted[], settled: Position,
): Promise<Position> {
  const { until } = settings
  const head = headOf(bounds)
  if (until.kind !== 'time' && until.kind !== 'position') return head
  const end = until.kind === 'time' ? await cutBeforeTime(source, bounds, until.timeMs, settings.limits) : until.position
  assertWithin('--until', end, bounds, position)
  if (!reaches(end, position)) {
    throw new RehydrateError('USAGE', {
      message: `--until ${formatPosition(end)} lies before ${formatPosition(position)}, which is applied already.`,
      expected: `at or after ${formatPosition(position)}`, actual: formatPosition(end),
      fix: 'A state never goes back. `rehydrate inspect KEY --at POSITION` shows how a key was then.',
    })
  }
  assertSettled('--until', end, bounds, position, settled)
  if (until.kind === 'position' && isMerged(projection.order) && distance(end, head) > 0) {
    await assertMergePrefix('--until', source, projection, settings.limits, bounds, end, gapsOf(kept, settings.waivers.gaps))
  }
  return end
}

/** Where a state could stand: at a position (inclusive), or before a time. USAGE for an end that no run could have. */
export async function cutAt(
  source: EventSource, projection: Projection, at: Position | Date, accepted: readonly Accepted[] = [],
): Promise<Position> {
  const bounds = await source.bounds({ following: true })
  if (at instanceof Date) return await cutBeforeTime(source, bounds, at.getTime(), DEFAULT_LIMITS)
  assertWithin('--at', at, bounds, new Map())
  if (isMerged(projection.order)) {
    await assertMergePrefix('--at', source, projection, DEFAULT_LIMITS, bounds, at, gapsOf(accepted))
  }
  return at
}

/** USAGE where `end` names what the log does not have. `option`: what the person wrote. */
export function assertWithin(option: string, end: Position, bounds: ReadonlyMap<string, Bounds>, position: Position): void {
  for (const [partition, offset] of end) {
    const bound = bounds.get(partition)
    if (offset === offsetIn(position, partition) || (bound !== undefined && offset >= bound.first && offset <= bound.last)) continue
    const actual = `${partition}@${offset}`
    throw new RehydrateError('USAGE', {
      message: bound === undefined ? `${option} names the partition ${partition}, which the log does not have.`
        : offset < bound.first ? `${option} names ${actual}, and the log begins at ${bound.first}.`
        : `${option} names ${actual}, and the log ends at ${bound.last}.`,
      partition, offset, expected: formatPosition(headOf(bounds)), actual,
    })
  }
}

/** Where partitions are merged a cut must be one that the merge goes through, or a later run would find events before it. */
async function assertMergePrefix(
  option: string, source: EventSource, projection: Projection, limits: ReadLimits, bounds: ReadonlyMap<string, Bounds>, end: Position,
  gaps: ReadonlyMap<string, readonly AcceptedGap[]>,
): Promise<void> {
  const nearest = await nearestMergePrefix(source, projection, bounds, end, limits, gaps)
  if (reaches(nearest, end)) return
  const prefix = formatPosition(nearest)
  throw new RehydrateError('USAGE', {
    message: `${option} ${formatPosition(end)} is no prefix of the merge by time; the nearest before it is ${prefix || 'empty'}.`,
    expected: prefix, actual: formatPosition(end),
    fix: prefix === '' ? `Use ${option} with a time: that is always a prefix.` : `Use ${option} ${prefix}.`,
  })
}
