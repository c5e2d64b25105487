import { RehydrateError } from '../errors.js'
import type { Offset, Position } from '../log/position.js'
import type { EventSource, Holes, Mark } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { Fingerprint } from '../projection/fingerprint.js'
import type { Accepted } from '../store/checkpoint.js'
import type { Value } from '../value/canonical.js'
import type { World } from './api.js'
import { ownerKey } from './owners.js'
import { checkIdentity } from './log-check.js'
import { folded, nameOf, relatedTo } from './refold.js'
import { assertSameFold } from './same-fold.js'

export interface ExplainOptions {
  readonly source: EventSource
  readonly projection: Projection
  readonly collection: string
  readonly key: string
  /** The last offsets to look at, inclusive: where a state stood, or `cutAt` says that one could. */
  readonly upTo: Position
  /** What the seal's manifest lists: events left out are left out here too. */
  readonly accepted?: readonly Accepted[]
  /** What the state was built with: PROJECTION_CHANGED where `projection` is another. */
  readonly builtWith?: Fingerprint
  /** Marks of the state and where they were taken: LOG_RECREATED, LOG_REWRITTEN or LOG_TRUNCATED where the log is another by now. */
  readonly readFrom?: { readonly marks: ReadonlyMap<string, Mark>; readonly position: Position }
}

/** One event that touched the key, and the value after it (null: none, or deleted). */
export interface ExplainedEvent {
  readonly partition: string
  readonly offset: Offset
  readonly type: string
  readonly value: Value | null
}

/**
 * The events that made a key, in the order they apply, each with the value after it. The log is folded again, but only for this key
 * and the keys its events read and write with it. LOG_COMPACTED where events are gone without a known reason; other errors of reading
 * and folding as in a replay.
 */
export async function* explainKey(options: ExplainOptions, world: World): AsyncGenerator<ExplainedEvent> {
  const { source, projection, builtWith, readFrom } = options
  if (builtWith !== undefined) await assertSameFold(builtWith, { source, projection }, world)
  if (readFrom !== undefined) await checkIdentity(source, readFrom.marks, readFrom.position, (error) => { throw error })
  const uninstall = world.purity.install()
  try {
    const wanted = ownerKey(options.collection, options.key)
    const related = await relatedTo([wanted], options, world)
    for await (const { event, slots } of folded(options, related, assertWhole, world)) {
      const touched = slots.find((slot) => nameOf(slot) === wanted)
      if (touched === undefined) continue
      const { partition, offset, type } = event
      yield { partition, offset, type, value: touched.value ?? null }
    }
  } finally {
    uninstall()
  }
}

/** LOG_COMPACTED: what is missing was a part of the earlier states. */
function assertWhole({ compactedOrLost }: Holes, partition: string): void {
  if (compactedOrLost === 0) return
  throw new RehydrateError('LOG_COMPACTED', {
    message: `${partition} lacks offsets without a known reason, so that what a key held at an earlier event can not be told.`,
    partition, expected: 0, actual: compactedOrLost,
  })
}
