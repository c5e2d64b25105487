import { collectionRoot, EMPTY_TRIE_HASH, formatHash } from '../digest/hash.js'
import { distance, offsetIn, positionFromJson, type Position } from '../log/position.js'
import type { Bounds } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { Checkpoint, Manifest } from '../store/checkpoint.js'
import type { Grade, RunTotals, SealedRun } from './api.js'

export interface SealedParts {
  readonly generation: number
  readonly live: boolean
  readonly checkpoint: Checkpoint
  readonly projection: Projection
  /** Of the log, as they were when the end was settled. */
  readonly bounds: ReadonlyMap<string, Bounds>
  readonly run: RunTotals
}

/** What a run hands out with its seal. */
export function sealedRun({ generation, live, checkpoint, projection, bounds, run }: SealedParts): SealedRun {
  const { manifest, manifestHash, collections } = checkpoint
  const position = positionFromJson(manifest.position)
  return {
    generation, live, seal: { manifest, manifestHash }, root: manifest.root as string, position,
    collections: collectionsOf(projection.collections.map(({ name }) => name), collections ?? {}),
    grade: gradeOf(manifest), complete: isComplete(manifest),
    accepted: manifest.accepted, idWindow: projection.idWindow, behindOpenTransaction: heldBack(position, bounds), run,
  }
}

/** Partitions that would have been read further, had a transaction not been open. */
function heldBack(position: Position, bounds: ReadonlyMap<string, Bounds>): SealedRun['behindOpenTransaction'] {
  return [...bounds].flatMap(([partition, { last, behindOpenTransaction: open }]) => {
    const isHeldBack = open !== undefined && offsetIn(position, partition) >= last && offsetIn(position, partition) < open.written
    return isHeldBack ? [{ partition, last, ...open }] : []
  })
}

/** What was left out by `accept`, so that the state is not the fold of every event. */
const LEFT_OUT: ReadonlySet<string> = new Set(['HANDLER_FAILED', 'EVENT_INVALID', 'LOG_GAP', 'HISTORY_INCOMPLETE'])

const EMPTY_COLLECTION = { count: 0, root: formatHash(collectionRoot(0, EMPTY_TRIE_HASH)) }

/** Roots of these collections; an empty one has a root too. */
export function collectionsOf(names: readonly string[], roots: NonNullable<Checkpoint['collections']>): SealedRun['collections'] {
  const known = new Map(Object.entries(roots))
  return Object.fromEntries(names.map((name) => [name, known.get(name) ?? EMPTY_COLLECTION]))
}

/** How lately every stored byte was re-read. */
export function gradeOf({ position, scrubbedAt }: Manifest): Grade {
  const sinceScrub = scrubbedAt === null ? null : distance(positionFromJson(scrubbedAt), positionFromJson(position))
  return { grade: sinceScrub === 0 ? 'scrubbed' : 'maintained', sinceScrub }
}

/** The state is the fold of every event: none was left out. */
export function isComplete({ accepted }: Manifest): boolean {
  return !accepted.some(({ code }) => LEFT_OUT.has(code))
}
