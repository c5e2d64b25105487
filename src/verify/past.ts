import { offsetIn, positionFromJson, samePosition, type Position } from '../log/position.js'
import type { EventSource, Mark } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { RunEvent, World } from '../replay/api.js'
import { assertReadsAgain } from '../replay/compacted.js'
import { positionAt } from '../replay/cut-search.js'
import { checkIdentity } from '../replay/log-check.js'
import { assertSameFold } from '../replay/same-fold.js'
import type { Manifest } from '../store/checkpoint.js'
import type { StateStore } from '../store/contract.js'
import { overlayStore } from '../store/overlay.js'
import { assertNotCompacted } from './compacted.js'
import { foldInto } from './fold.js'
import { rollForward } from './roll.js'

export interface PastOptions {
  readonly source: EventSource
  readonly projection: Projection
  /**
   * Of the state whose past is asked for: what was waived for it stays waived, `projection` must be the one it was built with, and its
   * log not compacted. Left out: nothing is waived, and nothing is known.
   */
  readonly manifest?: Manifest
  /** Of the same state: the log must still be the one that was read. Left out: that is not asked. */
  readonly marks?: ReadonlyMap<string, Mark>
  readonly world: World
  readonly signal: AbortSignal
  readonly tell?: (event: RunEvent) => void
}

/**
 * The state at a position (inclusive) or before a time: the log is folded again from its start, in memory, and sealed there; the store's
 * one generation is live. PROJECTION_CHANGED where another projection built the state of `manifest`, LOG_COMPACTED where its log, or what
 * is read of it, was compacted, USAGE for a position that the log does not have or the merge of order 'time' does not go through, LOG_*
 * where it is another log than the one of `marks`; else errors as of a replay. The source stays open.
 */
export async function stateAt(options: PastOptions & { readonly at: Position | Date }): Promise<StateStore> {
  const { source, projection, at, manifest, marks, world, signal, tell } = options
  if (manifest !== undefined) await assertFoldsAgain({ source, projection, manifest, marks }, world)
  const store = overlayStore(null)
  const sealed = await foldInto({ source, projection, store, to: at, accepted: manifest?.accepted ?? [], world, signal, tell })
  assertNotCompacted(sealed.seal.manifest)
  return store
}

export interface States {
  readonly from: StateStore
  readonly to: StateStore
  /** Ends the sessions between them. The states can not be read after it. */
  close(): Promise<void>
}

/** The states at two positions. What both have in common is read once: the later one is folded over the earlier one. As `stateAt`. */
export async function statesAt(
  options: PastOptions & { readonly from: Position | Date; readonly to: Position | Date },
): Promise<States> {
  const { source } = options
  const [from, to] = [await asPosition(source, options.from), await asPosition(source, options.to)]
  const common = commonOf(from, to)
  const base = await stateAt({ ...options, at: common })
  const session = await base.open({ generation: 1, mode: 'read' })
  const close = (): Promise<void> => base.close()
  const { manifest, ...rest } = options
  const at = async (position: Position): Promise<StateStore> => {
    if (samePosition(position, common)) return base
    const { store, sealed } = await rollForward({ ...rest, session, to: position, accepted: manifest?.accepted ?? [] })
    assertNotCompacted(sealed.seal.manifest)
    return store
  }
  try {
    return { from: await at(from), to: await at(to), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function asPosition(source: EventSource, at: Position | Date): Promise<Position> {
  return at instanceof Date ? await positionAt(source, at) : at
}

/** As far as both go. */
function commonOf(a: Position, b: Position): Position {
  return new Map([...a.keys()]
    .map((partition): [string, number] => [partition, Math.min(offsetIn(a, partition), offsetIn(b, partition))])
    .filter(([, offset]) => offset >= 0))
}

/**
 * That a state can be folded again from its log: LOG_COMPACTED and PROJECTION_CHANGED as of `stateAt`; LOG_TRUNCATED, LOG_RECREATED and
 * LOG_REWRITTEN where the log is not the one of its marks.
 */
export async function assertFoldsAgain(
  { source, projection, manifest, marks }: Pick<PastOptions, 'source' | 'projection'>
    & { readonly manifest: Manifest; readonly marks: PastOptions['marks'] | undefined },
  world: World,
): Promise<void> {
  assertNotCompacted(manifest)
  const position = positionFromJson(manifest.position)
  assertReadsAgain(await source.bounds({ following: true, known: new Set(position.keys()) }), position)
  await assertSameFold(manifest.projection.fingerprint, { source, projection }, world)
  if (marks !== undefined) await checkIdentity(source, marks, position, (error) => { throw error })
}
