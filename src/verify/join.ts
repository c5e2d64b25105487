import { joinTries } from '../digest/join.js'
import { isRehydrateError, RehydrateError } from '../errors.js'
import { domainsOf } from '../log/domains.js'
import { positionFromJson, positionToJson, type Position } from '../log/position.js'
import type { EventSource, Mark } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import { changedParts } from '../projection/fingerprint.js'
import { mergeAccepted } from '../replay/accept.js'
import type { SealedRun } from '../replay/api.js'
import { CONTROL } from '../replay/commit.js'
import { sumOfHoles } from '../replay/cut.js'
import { pagesOf } from '../replay/listed.js'
import { checkIdentity } from '../replay/log-check.js'
import { keepsOwners, OWNERS } from '../replay/owners.js'
import { collectionsOf, gradeOf, isComplete } from '../replay/sealed-run.js'
import { formatShard } from '../replay/shard.js'
import { liveGeneration, MARKS, readEngineCollection } from '../replay/state.js'
import { decodedValue } from '../replay/working-set.js'
import { makeManifestHash, rootOfCollections } from '../store/checkpoint-codec.js'
import type { Checkpoint, CollectionRoot, Manifest, Shard } from '../store/checkpoint.js'
import type { Entry, StateStore, StoreSession } from '../store/contract.js'

export interface JoinOptions {
  /** One for each shard, in the order of their indexes: for a job divided in n, n stores. */
  readonly stores: readonly StateStore[]
  /** This generation of every store. Default: the live one of each. */
  readonly generation?: number
  /** So that collections without a key are listed as well; and needed where it declares a partitioner, for the manifest of one run. */
  readonly projection?: Projection
  /** The log of all shards: it is asked whether it is still the one that each was built from. Left out: that is not known. */
  readonly source?: EventSource
}

/** The seals of all shards as the one that a single run over all their partitions would have made at the same position. */
export interface JoinedSeal extends Pick<SealedRun, 'seal' | 'root' | 'position' | 'collections' | 'grade' | 'complete' | 'accepted'> {
  readonly shards: readonly JoinedShard[]
}

export interface JoinedShard {
  readonly shard: Shard
  readonly generation: number
  readonly position: Position
  /** State root of this shard alone, `sh1:<hex>`. */
  readonly root: string
  readonly manifestHash: string
}

/**
 * Joins the seals of shards from the pages of their digests; no row is read and nothing is written. SHARDS_APART names the shard that is
 * missing, not sealed, or of another fold, and the partition that is in two. KEY_CROSSES_PARTITIONS names a key that two shards touched.
 * LOG_RECREATED, LOG_REWRITTEN and LOG_DIVERGED name the partition that is another log by now.
 */
export async function joinSeals(options: JoinOptions): Promise<JoinedSeal> {
  const { stores, projection, source } = options
  if (stores.length === 0) throw new RehydrateError('CONFIG_INVALID', { message: 'joinSeals(): stores must not be empty.', path: 'stores' })
  const parts: Part[] = []
  try {
    for (const [index, store] of stores.entries()) parts.push(await openPart(store, { index, of: stores.length }, options.generation))
    assertOneFold(parts)
    const position = unitedPosition(parts)
    if (source !== undefined) await assertOneLog(source, parts, position)
    const roots = await joinedRoots(parts, position, projection)
    const manifest = joinedManifest(parts, position, roots)
    return {
      seal: { manifest, manifestHash: makeManifestHash(manifest) }, root: manifest.root as string, position,
      collections: collectionsOf(namesOf(projection, roots), roots),
      grade: gradeOf(manifest), complete: isComplete(manifest), accepted: manifest.accepted,
      shards: parts.map(({ shard, generation, checkpoint: { manifest: own, manifestHash } }) =>
        ({ shard, generation, position: positionFromJson(own.position), root: own.root as string, manifestHash })),
    }
  } finally {
    for (const { session } of parts) await session.close()
  }
}

interface Part {
  readonly shard: Shard
  readonly generation: number
  readonly session: StoreSession
  readonly checkpoint: Checkpoint
}

type Roots = Readonly<Record<string, CollectionRoot>>

async function openPart(store: StateStore, shard: Shard, wanted: number | undefined): Promise<Part> {
  const { generation, session } = await openSession(store, shard, wanted)
  const { checkpoint } = session
  const why = checkpoint === null ? 'has no checkpoint yet' : whyNot(checkpoint, shard)
  if (checkpoint !== null && why === null) return { shard, generation, session, checkpoint }
  await session.close()
  throw apart(shard, `${why}.`)
}

async function openSession(
  store: StateStore, shard: Shard, wanted: number | undefined,
): Promise<{ readonly generation: number; readonly session: StoreSession }> {
  try {
    const generation = wanted ?? (await liveGeneration(store))
    return { generation, session: await store.open({ generation, mode: 'read' }) }
  } catch (error) {
    if (!isRehydrateError(error) || error.code !== 'STORE_NOT_FOUND') throw error
    throw apart(shard, `is not sealed: ${error.message}`, error)
  }
}

/** Why a checkpoint is no seal of this shard; null where it is one. */
function whyNot({ manifest, shard: held }: Checkpoint, shard: Shard): string | null {
  if (held === undefined) return 'holds a state that is no shard'
  if (held.index !== shard.index || held.of !== shard.of) return `holds shard ${formatShard(held)}`
  return manifest.sealed ? null : 'stands at a checkpoint that is no seal: a replay goes on there, or was stopped'
}

/** SHARDS_APART where one was folded in another way than the first. */
function assertOneFold(parts: readonly Part[]): void {
  const [first, ...others] = parts as readonly [Part, ...Part[]]
  const { projection, order } = first.checkpoint.manifest
  for (const { shard, checkpoint: { manifest } } of others) {
    const other = manifest.projection
    const changed = [
      ...(other.name === projection.name ? [] : ['name']), ...(other.version === projection.version ? [] : ['version']),
      ...(manifest.order === order ? [] : ['order']), ...changedParts(projection.fingerprint, other.fingerprint),
    ]
    if (changed.length === 0) continue
    throw apart(shard, `was folded by another projection than shard ${formatShard(first.shard)}: ${[...new Set(changed)].join(', ')}.`)
  }
}

/** SHARDS_APART where a partition is in two. */
function unitedPosition(parts: readonly Part[]): Position {
  const position = new Map<string, number>()
  const holders = new Map<string, Shard>()
  for (const { shard, checkpoint: { manifest } } of parts) {
    for (const [partition, offset] of positionFromJson(manifest.position)) {
      const holder = holders.get(partition)
      if (holder !== undefined) throw apart(shard, `has read ${partition}, and so has shard ${formatShard(holder)}.`)
      holders.set(partition, shard)
      position.set(partition, offset)
    }
  }
  return position
}

/** Two shards may have been built from two incarnations of a topic. That a log does not reach back any more makes it no other one. */
async function assertOneLog(source: EventSource, parts: readonly Part[], position: Position): Promise<void> {
  const marks = new Map<string, Mark>()
  for (const { session, checkpoint } of parts) {
    for (const [partition, mark] of await readEngineCollection<Mark>(session, MARKS, checkpoint)) marks.set(partition, mark)
  }
  await checkIdentity(source, marks, position, (error) => {
    if (error.code !== 'LOG_TRUNCATED') throw error
  })
}

async function joinedRoots(parts: readonly Part[], position: Position, projection: Projection | undefined): Promise<Roots> {
  const names = new Set(parts.flatMap(({ checkpoint }) => Object.keys(checkpoint.collections ?? {})))
  // Owners first: who finds a key in two shards can say which domains touched it.
  const ordered = [...names].filter((name) => !name.startsWith('$') || CONTROL.has(name)).sort((a) => (a === OWNERS ? -1 : 1))
  const roots: Record<string, CollectionRoot> = {}
  for (const name of ordered) {
    const tries = parts.map(({ session, checkpoint }) => ({ load: pagesOf(session), root: checkpoint.collections?.[name]?.root ?? null }))
    const joined = await joinTries(name, tries, (key, a, b) => shared(name, key, parts[a] as Part, parts[b] as Part))
    if (joined.count > 0) roots[name] = joined
  }
  // Where one run would keep none, they have done their work.
  const { order } = (parts[0] as Part).checkpoint.manifest as { readonly order: Projection['order'] }
  const isKept = projection === undefined ? domainsOf(order, position.keys()).size > 1 : keepsOwners(projection, position.keys())
  if (!isKept) delete roots[OWNERS]
  return roots
}

function joinedManifest(parts: readonly Part[], position: Position, roots: Roots): Manifest {
  const manifests = parts.map(({ checkpoint }) => checkpoint.manifest)
  const { projection, order } = manifests[0] as Manifest
  const scrubs = manifests.map(({ scrubbedAt }) => scrubbedAt)
  return {
    v: 1, sealed: true, position: positionToJson(position), order, projection,
    root: rootOfCollections(Object.entries(roots).filter(([name]) => !name.startsWith('$'))),
    identity: Object.assign({}, ...manifests.map(({ identity }) => identity)) as Manifest['identity'],
    holes: manifests.map(({ holes }) => holes).reduce(sumOfHoles),
    accepted: mergeAccepted([], manifests.flatMap(({ accepted }) => accepted)),
    scrubbedAt: scrubs.includes(null) ? null : positionToJson(positionFromJson(Object.assign({}, ...scrubs) as Manifest['position'])),
    control: rootOfCollections(Object.entries(roots).filter(([name]) => CONTROL.has(name))),
  }
}

function namesOf(projection: Projection | undefined, roots: Roots): readonly string[] {
  return projection?.collections.map(({ name }) => name) ?? Object.keys(roots).filter((name) => !name.startsWith('$'))
}

/** The error for a key that two shards have. */
async function shared(collection: string, key: string, first: Part, second: Part): Promise<RehydrateError> {
  const where = async ({ shard, session }: Part): Promise<string> => {
    const [entry] = collection === OWNERS ? await session.load(OWNERS, [key]) : []
    const name = `shard ${formatShard(shard)}`
    return entry === undefined ? name : `${String(decodedValue(entry as Entry, null))} in ${name}`
  }
  const [one, other] = await Promise.all([where(first), where(second)])
  const colon = collection === OWNERS ? key.indexOf(':') : -1
  const place = colon < 0 ? { collection, key } : { collection: key.slice(0, colon), key: key.slice(colon + 1) }
  return new RehydrateError('KEY_CROSSES_PARTITIONS', {
    message: `${place.collection}/${place.key} is touched by ${one} and by ${other}.`, ...place,
    expected: `events of ${one} only`, actual: `events of ${other} too`,
  })
}

function apart(shard: Shard, what: string, cause?: RehydrateError): RehydrateError {
  return new RehydrateError('SHARDS_APART', { message: `Shard ${formatShard(shard)} ${what}`, ...(cause !== undefined && { cause }) })
}
