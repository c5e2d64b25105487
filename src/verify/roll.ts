import { RehydrateError } from '../errors.js'
import { formatPosition, positionFromJson, reaches, type Position } from '../log/position.js'
import type { EventSource } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { RunEvent, SealedRun, World } from '../replay/api.js'
import { HandoverWriter, isHandedOver } from '../replay/handover-record.js'
import type { Accepted } from '../store/checkpoint.js'
import type { StateStore, StoreSession } from '../store/contract.js'
import { overlayStore } from '../store/overlay.js'
import { foldInto } from './fold.js'

export interface RollOptions {
  /** Our state, pinned: a session for reading. It must stay open as long as the result is read. */
  readonly session: StoreSession
  readonly source: EventSource
  readonly projection: Projection
  /** Where to stand, inclusive; nowhere before the session's position. */
  readonly to: Position
  /** What is waived besides what the session's manifest lists. */
  readonly accepted?: readonly Accepted[]
  readonly world: World
  readonly signal: AbortSignal
  readonly tell?: (event: RunEvent) => void
}

export interface Rolled {
  /** In memory, over the session; its one generation is live. The source stays open, the session too. */
  readonly store: StateStore
  readonly generation: number
  readonly sealed: SealedRun
}

const GENERATION = 1

/**
 * Our state at a later position: the log from where the pinned session stands to `to` is folded over it, in memory, and sealed. The store
 * of the session is not written, and its writer may go on meanwhile. POSITIONS_DIFFER where `to` lies before it in some partition,
 * STORE_GENERATION where there is no checkpoint, RUN_STOPPED by the signal; else errors as of a replay.
 */
export async function rollForward(options: RollOptions): Promise<Rolled> {
  const { session, source, projection, to, accepted = [], world, signal, tell } = options
  const manifest = session.checkpoint?.manifest
  if (manifest === undefined) {
    throw new RehydrateError('STORE_GENERATION', { message: 'The generation has no checkpoint yet to be rolled forward from.' })
  }
  const position = positionFromJson(manifest.position)
  if (!reaches(to, position)) {
    throw new RehydrateError('POSITIONS_DIFFER', {
      message: `Ours stands at ${formatPosition(position)}, and can not be rolled back to ${formatPosition(to) || 'the start'}.`,
      expected: `at or after ${formatPosition(position)}`, actual: formatPosition(to),
      fix: 'Fold the log from its start to that position: --at POSITION.',
    })
  }
  const store = overlayStore(session, GENERATION)
  // In memory nobody goes on beside us.
  if (isHandedOver(session.checkpoint)) await takeFromGroup(store, projection, world)
  const waived = [...manifest.accepted, ...accepted]
  const sealed = await foldInto({ source, projection, store, to, accepted: waived, world, signal, tell })
  return { store, generation: GENERATION, sealed }
}

async function takeFromGroup(store: StateStore, projection: Projection, world: World): Promise<void> {
  const writer = await HandoverWriter.open(store, GENERATION, projection, world)
  try {
    await writer.keep(null)
  } finally {
    await writer.close()
  }
}
