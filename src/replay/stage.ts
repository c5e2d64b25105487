import { RehydrateError } from '../errors.js'
import { formatPosition, type Offset, type Position } from '../log/position.js'
import type { StoreSession } from '../store/contract.js'
import type { Committer } from './commit.js'
import type { Cut } from './cut.js'
import type { IdWindow } from './ids.js'
import type { Start } from './plan.js'
import type { ReplaySession } from './session.js'
import type { WorkingSet } from './working-set.js'

/** Everything that one fold needs, around the state as it is stored. */
export interface Stage {
  readonly start: Start
  readonly store: StoreSession
  readonly cut: Cut
  readonly committer: Committer
  readonly workingSet: WorkingSet
  readonly ids: IdWindow
  readonly before: Map<string, Offset>
  readonly end: Position
  readonly owners: boolean
  readonly session: ReplaySession
}

/** RUN_STOPPED, with where it stands. */
export function runStopped(position: Position, signal: AbortSignal): RehydrateError {
  const reason: unknown = signal.reason
  return new RehydrateError('RUN_STOPPED', {
    message: position.size === 0 ? 'Stopped before the first event.' : `Stopped; checkpoint at ${formatPosition(position)} written.`,
    actual: typeof reason === 'string' ? reason : undefined,
  })
}
