import { hashEntries } from '../digest/batch.js'
import { RehydrateError } from '../errors.js'
import type { Projection } from '../projection/define.js'
import { tablesOf } from '../projection/tables.js'
import { makeManifestHash, rootOfCollections } from '../store/checkpoint-codec.js'
import type { Accepted, Checkpoint, Manifest } from '../store/checkpoint.js'
import type { EntryKey, StateStore } from '../store/contract.js'
import type { Value } from '../value/canonical.js'
import { mergeAccepted } from './accept.js'
import type { World } from './api.js'
import { updateDigest, type Roots } from './upkeep.js'

/** What one key is to hold; undefined: nothing. */
export interface Rewritten {
  readonly collection: string
  readonly key: string
  readonly value: Value | undefined
}

export interface RewriteOptions {
  readonly store: StateStore
  readonly generation: number
  readonly projection: Projection
  /** Each key once. */
  readonly keys: readonly Rewritten[]
  /** The checkpoint that the values belong to: FENCED where the store has moved on. */
  readonly manifestHash: string
  readonly world: World
}

/**
 * Puts single keys right, outside of any replay, in one commit with the digest. The checkpoint says so for good: REPAIRED stands among
 * what was waived. ALREADY_RUNNING while a writer lives, FENCED where another checkpoint is there by now.
 */
export async function rewriteKeys({ store, generation, projection, keys, manifestHash, world }: RewriteOptions): Promise<Checkpoint> {
  const session = await store.open({
    generation, mode: 'write', incarnation: world.token(), owner: world.owner, nowMs: world.clock.nowMs(), takeover: false,
    tables: tablesOf(projection),
  })
  try {
    const { checkpoint, writer } = session
    if (checkpoint === null || writer === null || checkpoint.collections === null || checkpoint.manifestHash !== manifestHash) {
      throw new RehydrateError('FENCED', {
        message: `Generation ${generation} has another checkpoint than the one that was compared.`,
        expected: manifestHash, actual: checkpoint?.manifestHash ?? null, fix: 'Run the same command again.',
      })
    }
    const puts = [...hashEntries(keys.flatMap(({ collection, key, value }) => (value === undefined ? [] : [{ collection, key, value }])))]
    const deletes: EntryKey[] = keys.filter(({ value }) => value === undefined).map(({ collection, key }) => ({ collection, key }))
    // Whatever the digest listed for these keys before: that may be what is wrong.
    const digest = await updateDigest(session, checkpoint.collections, { puts, deletes })
    const manifest = repaired(checkpoint.manifest, keys, digest.roots)
    const next: Checkpoint = {
      ...checkpoint, manifest, manifestHash: makeManifestHash(manifest), writer, collections: digest.roots,
      writtenAtMs: world.clock.nowMs(),
    }
    const changes = { puts: [...puts, ...digest.puts], deletes: [...deletes, ...digest.deletes] }
    await session.commit(changes, next, writer, { durable: true })
    return next
  } finally {
    await session.close()
  }
}

/** So many keys of a repair are named in the seal. */
const NAMED = 10
/** So many repairs are listed one by one; more are one. */
const LISTED = 100

function repaired(manifest: Manifest, keys: readonly Rewritten[], roots: Roots): Manifest {
  const names = keys.map(({ collection, key }) => `${collection}/${key}`).sort()
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : ''
  return {
    ...manifest,
    root: rootOfCollections(Object.entries(roots).filter(([name]) => !name.startsWith('$'))),
    // What was written just now has not been re-read.
    scrubbedAt: null,
    accepted: mergeAccepted(shortened(manifest.accepted), [{ code: 'REPAIRED', detail: `${names.slice(0, NAMED).join(', ')}${more}` }]),
  }
}

/** A store that is repaired again and again keeps a checkpoint of a bounded size. */
function shortened(accepted: readonly Accepted[]): readonly Accepted[] {
  const others = accepted.filter(({ code }) => code !== 'REPAIRED')
  return accepted.length - others.length < LISTED ? accepted : [...others, { code: 'REPAIRED', detail: `${LISTED} times or more before` }]
}
