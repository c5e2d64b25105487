import { RehydrateError } from '../errors.js'
import { beforeFirst, headOf } from '../log/bounds.js'
import { offsetIn, type Offset, type Position } from '../log/position.js'
import type { Bounds, EventSource, ReadLimits } from '../log/source.js'
import { DEFAULT_LIMITS } from './settings.js'
import { domainsOf } from '../log/domains.js'
import type { Projection } from '../projection/define.js'
import { mergedTurns } from './merged-turns.js'
import type { TurnOptions } from './turn.js'

/** The cut of a log at a time: each partition up to before its first record at or after it. Reads the log; RECORDED_AT_MISSING. */
export async function positionAt(source: EventSource, time: Date): Promise<Position> {
  return await cutBeforeTime(source, await source.bounds({ following: true }), time.getTime(), DEFAULT_LIMITS)
}

/** Per partition, the prefix before its first record at or after `timeMs`. Reads the log; RECORDED_AT_MISSING. */
export async function cutBeforeTime(
  source: EventSource, bounds: ReadonlyMap<string, Bounds>, timeMs: number, limits: ReadLimits,
): Promise<Position> {
  const cut = new Map<string, Offset>()
  for (const [partition, { first, last }] of bounds) {
    const found = await lastBefore(source, partition, { first, last }, timeMs, limits)
    const end = found ?? last
    if (end >= first) cut.set(partition, end)
  }
  return cut
}

/** Null: no record is at or after `timeMs`. A dense log ends a prefix with a record, so that it never ends inside a gap. */
async function lastBefore(
  source: EventSource, partition: string, { first, last }: Bounds, timeMs: number, limits: ReadLimits,
): Promise<Offset | null> {
  if (last < first) return null
  // What an index points to may be no event: a marker, a record of an aborted transaction. From there it is read.
  const indexed = await source.offsetAt?.(partition, timeMs)
  if (indexed === null || (indexed ?? first) > last) return null
  const stop = new AbortController()
  let previous = Math.max(first, indexed ?? first) - 1
  for await (const batch of source.read(partition, { after: previous, upTo: last, mark: null }, limits, stop.signal)) {
    for (let i = 0; i < batch.length; i++) {
      const { offset, recordedAtMs } = batch.event(i)
      if (recordedAtMs === null) throw untimed(partition, offset)
      if (recordedAtMs >= timeMs) {
        stop.abort()
        return source.continuity === 'dense' ? previous : offset - 1
      }
      previous = offset
    }
  }
  return null
}

function untimed(partition: string, offset: Offset): RehydrateError {
  return new RehydrateError('RECORDED_AT_MISSING', {
    message: `${partition}@${offset} has no recordedAt.`, partition, offset,
    why: 'A cut at a time needs the recordedAt of each event before it.',
    safe: 'Nothing was changed.',
    fix: 'Write recordedAt into the log, or name a position: PARTITION@OFFSET,….',
  })
}

/** The longest prefix of the merge of each whole domain that lies within `cut`. Equal to it where the merges go through it. */
export async function nearestMergePrefix(
  source: EventSource, projection: Projection, bounds: ReadonlyMap<string, Bounds>, cut: Position, limits: ReadLimits,
  gaps: TurnOptions['gaps'],
): Promise<Position> {
  const head = headOf(bounds)
  const prefix = new Map<string, Offset>()
  for (const members of domainsOf(projection.order, head.keys()).values()) {
    const upTo = new Map(members.map((partition) => [partition, offsetIn(head, partition)]))
    const options = { source, from: beforeFirst(bounds), upTo, limits, gaps }
    for (const [partition, offset] of await prefixOfDomain(options, projection, cut)) prefix.set(partition, offset)
  }
  return prefix
}

async function prefixOfDomain(
  options: Pick<TurnOptions, 'source' | 'from' | 'upTo' | 'limits' | 'gaps'>, { order, futureMs }: Projection, cut: Position,
): Promise<Position> {
  const stop = new AbortController()
  const prefix = new Map<string, Offset>()
  const reading = { ...options, marks: new Map(), signal: stop.signal, pick: () => 0, waiting: () => {} }
  const turns = mergedTurns(reading, order, { merge: new Map(), isAgain: false, futureMs, readsOf: () => undefined })
  try {
    for (let turn = await turns.next(); turn !== null; turn = await turns.next()) {
      const { batch, batch: { partition }, through, from, to } = turn
      const limit = offsetIn(cut, partition)
      if (Math.min(through, limit) > offsetIn(prefix, partition)) prefix.set(partition, Math.min(through, limit))
      if (to > from && batch.offsetAt(to - 1) > limit) break
    }
  } finally {
    stop.abort()
    await turns.close()
  }
  for (const partition of options.upTo.keys()) {
    const at = Math.max(offsetIn(prefix, partition), offsetIn(options.from, partition))
    const upTo = offsetIn(cut, partition)
    if (at < upTo && !(await hasRecords(options, partition, at, upTo))) prefix.set(partition, upTo)
  }
  return prefix
}

/** A prefix may end behind holes as well as before them. */
async function hasRecords(
  { source, limits }: Pick<TurnOptions, 'source' | 'limits'>, partition: string, after: Offset, upTo: Offset,
): Promise<boolean> {
  const { signal } = new AbortController()
  for await (const { length } of source.read(partition, { after, upTo, mark: null }, limits, signal)) if (length > 0) return true
  return false
}
