import type { EventSource } from '../log/source.js'
import type { Position } from '../log/position.js'
import type { Projection } from '../projection/define.js'
import { waiverTexts } from '../replay/accept.js'
import type { ReplayOptions, RunEvent, SealedRun, World } from '../replay/api.js'
import { startRun } from '../replay/run.js'
import type { Accepted } from '../store/checkpoint.js'
import type { StateStore } from '../store/contract.js'

export interface FoldOptions {
  readonly source: EventSource
  readonly projection: Projection
  /** Where the state is kept: an overlay. */
  readonly store: StateStore
  /** Where the fold ends, inclusive, or the time before which it ends. */
  readonly to: Position | Date
  /** What a person waived: as a manifest lists it. */
  readonly accepted: readonly Accepted[]
  readonly world: World
  readonly signal: AbortSignal
  /** Told of the progress. */
  readonly tell?: ((event: RunEvent) => void) | undefined
  readonly tuning?: Pick<ReplayOptions, 'batch' | 'checkpoint' | 'memoryBytes'>
}

/** The ordinary run, from where the store stands to `to`, sealed there. Errors as of a replay; the source stays open. */
export async function foldInto(options: FoldOptions): Promise<SealedRun> {
  const { source, projection, store, to, accepted, world, signal, tell, tuning } = options
  const run = startRun({ source: keptOpen(source), projection, store, until: to, accept: waiverTexts(accepted), signal, ...tuning }, world)
  if (tell !== undefined) for await (const event of run) tell(event)
  return await run.done
}

/** A run closes its source when it ends; whoever asks for several runs closes it after the last. */
function keptOpen(source: EventSource): EventSource {
  return {
    continuity: source.continuity,
    ...(source.reading !== undefined && { reading: source.reading }),
    check: (marks) => source.check(marks),
    bounds: (options) => source.bounds(options),
    read: (partition, range, limits, signal) => source.read(partition, range, limits, signal),
    ...(source.offsetAt !== undefined && { offsetAt: (partition: string, timeMs: number) => source.offsetAt!(partition, timeMs) }),
    close: async () => {},
  }
}
