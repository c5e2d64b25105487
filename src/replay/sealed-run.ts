import { collectionRoot, EMPTY_TRIE_HASH, formatHash } from '../digest/hash.js'
import { distance, positionFromJson } from '../log/position.js'
import type { Projection } from '../projection/define.js'
import type { Checkpoint } from '../store/checkpoint.js'
import type { RunTotals, SealedRun } from './api.js'

export interface SealedParts {
  readonly generation: number
  readonly live: boolean
  readonly checkpoint: Checkpoint
  readonly projection: Projection
  readonly run: RunTotals
}

/** What a run hands out with its seal. */
export function sealedRun({ generation, live, checkpoint, projection, run }: SealedParts): SealedRun {
  const { manifest, manifestHash, collections } = checkpoint
  const position = positionFromJson(manifest.position)
  const sinceScrub = manifest.scrubbedAt === null ? null : distance(positionFromJson(manifest.scrubbedAt), position)
  return {
    generation, live, seal: { manifest, manifestHash }, root: manifest.root as string, position,
    collections: userCollections(projection, collections),
    grade: { grade: sinceScrub === 0 ? 'scrubbed' : 'maintained', sinceScrub },
    complete: !manifest.accepted.some(({ code }) => LEFT_OUT.has(code)),
    accepted: manifest.accepted, idWindow: projection.idWindow, run,
  }
}

/** What was left out by `accept`, so that the state is not the fold of every event. */
const LEFT_OUT: ReadonlySet<string> = new Set(['HANDLER_FAILED', 'EVENT_INVALID', 'LOG_GAP', 'HISTORY_INCOMPLETE'])

const EMPTY_COLLECTION = { count: 0, root: formatHash(collectionRoot(0, EMPTY_TRIE_HASH)) }

/** Roots of the projection's collections; an empty one has a root too. */
function userCollections(projection: Projection, roots: Checkpoint['collections']): SealedRun['collections'] {
  const known = new Map(Object.entries(roots ?? {}))
  return Object.fromEntries(projection.collections.map(({ name }) => [name, known.get(name) ?? EMPTY_COLLECTION]))
}
