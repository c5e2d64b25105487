import { RehydrateError } from '../errors.js'
import { INPUT_BLOCK, type Inputs } from '../log/inputs.js'
import type { Offset, Position } from '../log/position.js'
import type { EventSource, Mark, ReadLimits, RecordedEvent } from '../log/source.js'
import { encode } from '../value/canonical.js'

/** Did two readers of a partition read the same? `from` and `to` are inclusive offsets: the first difference lies among them. */
export type InputComparison =
  | { readonly is: 'same' }
  /** One of them keeps no chain, or was not read from the start. */
  | { readonly is: 'unknown' }
  | { readonly is: 'different'; readonly from: Offset; readonly to: Offset }

/** What was read of each partition up to a position, as the marks of that position say. */
export function inputsOf(marks: ReadonlyMap<string, Mark>, position: Position): Record<string, Inputs> {
  const inputs = [...position.keys()].map((partition): [string, Inputs] => {
    const { input = null, earlier } = marks.get(partition) ?? {}
    const { every, chains } = (input === null ? null : earlier) ?? { every: INPUT_BLOCK, chains: [] }
    return [partition, { chain: input, every, earlier: chains }]
  })
  return Object.fromEntries(inputs)
}

/** Compares what was read of one partition up to an offset, inclusive, at which both stand. The range is the narrowest that can be told. */
export function compareInputs(rebuilt: Inputs, against: Inputs, upTo: Offset): InputComparison {
  if (rebuilt.chain === null || against.chain === null) return { is: 'unknown' }
  if (rebuilt.chain === against.chain) return { is: 'same' }
  // Both are powers of two of blocks, so that the coarser milestones are also among the finer ones.
  const every = Math.max(rebuilt.every, against.every)
  const before = (inputs: Inputs, offset: Offset): string | undefined => inputs.earlier[offset / inputs.every - 1]
  let from = 0
  for (let offset = every; offset <= upTo; offset += every) {
    const [ours, theirs] = [before(rebuilt, offset), before(against, offset)]
    if (ours === undefined || theirs === undefined) break
    if (ours !== theirs) return { is: 'different', from, to: offset - 1 }
    from = offset
  }
  return { is: 'different', from, to: upTo }
}

/** Where to look: inclusive offsets, as `compareInputs` gives them. */
export interface InputRange {
  readonly from: Offset
  readonly to: Offset
}

const LIMITS: ReadLimits = { events: 500, bytes: 1 << 20 }

/**
 * The first offset in a range at which two logs do not hold the same record: other content, or a record in one of them only. Null where
 * they hold the same. Errors of the sources.
 */
export async function firstDifference(
  ours: EventSource, theirs: EventSource, partition: string, range: InputRange,
): Promise<Offset | null> {
  const abort = new AbortController()
  const readers = await Promise.all([ours, theirs].map((source) => recordsOf(source, partition, range, abort.signal)))
  const [left, right] = readers as [AsyncGenerator<RecordedEvent>, AsyncGenerator<RecordedEvent>]
  try {
    for (;;) {
      const [a, b] = await Promise.all([left.next(), right.next()])
      if (a.done === true && b.done === true) return null
      if (a.done === true) return b.done === true ? null : b.value.offset
      if (b.done === true) return a.value.offset
      if (a.value.offset !== b.value.offset) return Math.min(a.value.offset, b.value.offset)
      if (contentOf(a.value).compare(contentOf(b.value)) !== 0) return a.value.offset
    }
  } finally {
    abort.abort()
    await Promise.all([left.return(undefined), right.return(undefined)])
  }
}

/** The records of a range that a source has; none where it has no such partition. */
async function recordsOf(
  source: EventSource, partition: string, { from, to }: InputRange, signal: AbortSignal,
): Promise<AsyncGenerator<RecordedEvent, void, void>> {
  const bounds = (await source.bounds({ following: true })).get(partition)
  return (async function* () {
    if (bounds === undefined) return
    const after = Math.max(from, bounds.first) - 1
    const upTo = Math.min(to, bounds.last)
    if (upTo <= after) return
    for await (const batch of source.read(partition, { after, upTo, mark: null }, LIMITS, signal)) {
      for (let i = 0; i < batch.length; i++) yield batch.event(i)
    }
  })()
}

/** What makes a record the same. Data that has no canonical form is refused by the fold too, and named there. */
function contentOf({ type, key, data, recordedAtMs, id, headers, schemaVersion, partition, offset }: RecordedEvent): Buffer {
  try {
    return Buffer.from(encode([type, key, data, recordedAtMs, id, headers, schemaVersion]))
  } catch (cause) {
    throw new RehydrateError('EVENT_INVALID', {
      message: `The record at ${partition}@${offset} has no canonical form, so that it can not be compared.`, partition, offset, cause,
    })
  }
}
