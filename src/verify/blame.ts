import { isRehydrateError } from '../errors.js'
import { isMerged } from '../log/domains.js'
import type { Position } from '../log/position.js'
import type { EventSource } from '../log/source.js'
import { EventApplier } from '../projection/apply.js'
import type { Projection } from '../projection/define.js'
import { fingerprintOf, type Fingerprint } from '../projection/fingerprint.js'
import type { World } from '../replay/api.js'
import { compactedWithin } from '../replay/compacted.js'
import { assertSameFold } from '../replay/same-fold.js'
import type { Accepted, Manifest } from '../store/checkpoint.js'
import type { Value } from '../value/canonical.js'
import { Folder, touchingOf } from './blame-fold.js'
import { differences, searchGroup, type EventPlace, type Fit, type Fitting, type Suspect } from './blame-search.js'
import { gatherEvents, gatherIndexed, type Gathered, type GatherOptions, type KeyGroup } from './events.js'
import { offsetsIn, type OffsetsFile } from './key-offsets.js'

export interface BlameOptions {
  readonly source: EventSource
  readonly projection: Projection
  /** Where both sides stand, inclusive. */
  readonly upTo: Position
  /** What the rebuilt seal lists: events left out are left out here too. */
  readonly accepted: readonly Accepted[]
  /** What the state was built with: PROJECTION_CHANGED where `projection` is another. */
  readonly builtWith?: Fingerprint
  readonly keys: readonly BlamedKey[]
  /** Fields left out of the comparison, by collection. */
  readonly omitted?: ReadonlyMap<string, readonly string[]>
  /** Handler calls over all keys; one that makes great values counts as several. Default 1,000,000. */
  readonly maxFolds?: number
  /** Events held at a time. Default 1,000,000; of more, the keys with the most are given up. */
  readonly maxEvents?: number
  /** Candidates that are named, per hypothesis. Default 5. */
  readonly maxExamples?: number
  /** Where a key's events are, as far as that is known (null: not); other partitions are not read. Not asked under order 'time'. */
  readonly partitionsOf?: (collection: string, key: string) => readonly string[] | null
  /** Where it is kept which events touch which keys; `identity` is that of the log, as the rebuilt seal has it. */
  readonly index?: { readonly file: OffsetsFile; readonly identity: Manifest['identity'] }
  readonly signal?: AbortSignal
}

/** A key that differs. Undefined: absent. */
export interface BlamedKey {
  readonly collection: string
  readonly key: string
  readonly rebuilt: Value | undefined
  readonly against: Value | undefined
}

/**
 * What the other side's value of a key is consistent with; never more than that. Each hypothesis is one deviation from the log:
 * - 'lost': one event was not applied · 'repeated': one was applied twice in its place · 'reordered': one was applied after its
 *   neighbour, the next that shares a key with it · 'stopped': it was applied up to an event, and at least two more are missing;
 * - 'column': every field that differs is ours as another column type would keep it;
 * - 'foreign': nothing of this, and everything was tried · 'unknown': that can not be said; see `reason`.
 */
export interface Blame {
  readonly collection: string
  readonly key: string
  /** The one with the fewest candidates. */
  readonly hypothesis: Fitting | 'foreign' | 'unknown'
  /** The first candidate: the event concerned, the first of two reordered ones, the last one applied. */
  readonly partition: string | null
  /** Null also where it stopped before its first event. */
  readonly offset: number | null
  readonly type: string | null
  /** Paths that differ; none where one side lacks the key. */
  readonly fields: readonly string[]
  /** So many events explain it equally well; 0 for 'foreign' and 'unknown', 1 for 'column'. */
  readonly candidates: number
  /** The first of them, in the order of the fold. */
  readonly examples: readonly EventPlace[]
  /** "rounded to 2 decimals", "the delete was missed"; null: there is no more to say. */
  readonly detail: string | null
  /** Other hypotheses that fit as well. */
  readonly alternatives: readonly Fit[]
  /** Events that touch the key. */
  readonly events: number
  /** Handler calls spent on the key and those it is folded with. */
  readonly folds: number
  /** Every single deviation was tried. Where it is false, there may be more candidates. */
  readonly exhaustive: boolean
  /** Why it is 'unknown'. */
  readonly reason?: UnknownReason
}

/**
 * 'bound': too many events, or handler calls ran out · 'compacted', 'history incomplete': events are gone ·
 * 'rebuilt differs from the log': the events do not give our own value.
 */
export type UnknownReason = 'bound' | 'compacted' | 'history incomplete' | 'rebuilt differs from the log'

const MAX_FOLDS = 1_000_000
const MAX_EVENTS = 1_000_000
const MAX_EXAMPLES = 5

/**
 * For each key that differs: which single event, lost, repeated or out of order, is consistent with the other side's value. The log
 * is read once, or twice where keys are folded together; with an index, only where their events are. Handlers that throw under a
 * hypothesis speak against it. In the order of the keys. Errors of reading as in a replay, PROJECTION_CHANGED.
 */
export async function blame(options: BlameOptions, world: World): Promise<readonly Blame[]> {
  const { projection, accepted, builtWith, keys } = options
  if (builtWith !== undefined) await assertSameFold(builtWith, options, world)
  if (keys.length === 0) return []
  if (accepted.some(({ code }) => code === 'HISTORY_INCOMPLETE')) return keys.map((key) => unknown(options, key, 'history incomplete'))
  const uninstall = world.purity.install()
  try {
    const { source, maxEvents = MAX_EVENTS, signal } = options
    const upTo = withinPartitions(options)
    if (compactedWithin(await source.bounds({ following: true }), upTo) !== undefined) {
      return keys.map((key) => unknown(options, key, 'compacted'))
    }
    const gathering = { source, projection, upTo, accepted, keys, maxEvents, ...(signal === undefined ? {} : { signal }) }
    const found = await gathered(options, gathering, world).catch((error: unknown) => {
      if (isRehydrateError(error) && error.code === 'LOG_TRUNCATED') return null
      throw error
    })
    if (found === null) return keys.map((key) => unknown(options, key, 'history incomplete'))
    const { groups, isCompacted } = found
    if (isCompacted) return keys.map((key) => unknown(options, key, 'compacted'))
    return await blameGroups(options, groups, world)
  } finally {
    uninstall()
  }
}

async function gathered(blaming: BlameOptions, options: GatherOptions, world: World): Promise<Gathered> {
  const { index, source, projection, upTo, accepted, builtWith } = blaming
  // Where keys move, records are folded in another order than they lie in.
  if (index === undefined || projection.placement?.moves === true) return await gatherEvents(options, world)
  const fingerprint = builtWith ?? fingerprintOf(projection, await world.codeOf(projection), source.reading)
  const scope = { position: upTo, identity: index.identity, fingerprint, accepted }
  return await gatherIndexed(options, await offsetsIn(index.file, scope, options, world), world)
}

/** The position, in the partitions where the keys are. */
function withinPartitions({ projection, keys, upTo, partitionsOf }: BlameOptions): Position {
  // Elsewhere the events of a key may lie in several partitions.
  if (partitionsOf === undefined || isMerged(projection.order) || projection.placement?.moves === true) return upTo
  const wanted = new Set<string>()
  for (const { collection, key } of keys) {
    const partitions = partitionsOf(collection, key)
    if (partitions === null) return upTo
    for (const partition of partitions) wanted.add(partition)
  }
  return new Map([...upTo].filter(([partition]) => wanted.has(partition)))
}

/** Small groups come first; each may spend its keys' share of what is left, and leaves the rest to the others. */
async function blameGroups(options: BlameOptions, groups: readonly KeyGroup[], world: World): Promise<Blame[]> {
  const places = new Map<KeyGroup, number[]>()
  groups.forEach((group, i) => places.set(group, [...places.get(group) ?? [], i]))
  const lengthOf = ({ events }: KeyGroup): number => events?.length ?? Number.MAX_SAFE_INTEGER
  const inOrder = [...places].sort(([a], [b]) => lengthOf(a) - lengthOf(b))
  const applier = new EventApplier(options.projection)
  const blames: Blame[] = []
  let [left, waiting] = [options.maxFolds ?? MAX_FOLDS, groups.length]
  for (const [group, keys] of inOrder) {
    const share = Math.floor(left * keys.length / waiting)
    const folder = new Folder(applier, share, world, options.signal)
    const found = await blameGroup(options, group, keys.map((i) => options.keys[i] as BlamedKey), folder)
    keys.forEach((place, i) => { blames[place] = found[i] as Blame })
    left -= folder.spent
    waiting -= keys.length
  }
  return blames
}

async function blameGroup(options: BlameOptions, group: KeyGroup, keys: readonly BlamedKey[], folder: Folder): Promise<Blame[]> {
  const suspects = keys.map(({ collection, key, rebuilt, against }): Suspect => ({
    place: placeIn(group, collection, key), rebuilt, against, omitted: options.omitted?.get(collection) ?? [],
  }))
  const touching = touchingOf(group)
  const { order, placement } = options.projection
  const isSequence = isMerged(order) || placement?.moves === true
  const search = await searchGroup(group, suspects, isSequence, folder, options.maxExamples ?? MAX_EXAMPLES)
  return keys.map((key, i) => {
    const spent = { events: touching[(suspects[i] as Suspect).place]?.length ?? 0, folds: folder.folds }
    if (search === 'bound') return unknown(options, key, 'bound', spent)
    if (search === null || search.untrue[i] === true) return unknown(options, key, 'rebuilt differs from the log', spent)
    const [best, ...alternatives] = search.fits[i] as readonly Fit[]
    const { isExhaustive: exhaustive } = search
    if (best === undefined && !exhaustive) return unknown(options, key, 'bound', spent)
    const common = { ...unblamed(options, key), ...spent, exhaustive }
    if (best === undefined) return { ...common, hypothesis: 'foreign' as const }
    const { partition, offset, type } = best.examples[0] ?? { partition: null, offset: null, type: null }
    return { ...common, ...best, partition, offset, type, alternatives }
  })
}

function unknown(
  options: BlameOptions, key: BlamedKey, reason: UnknownReason, spent: Pick<Blame, 'events' | 'folds'> = { events: 0, folds: 0 },
): Blame {
  return { ...unblamed(options, key), ...spent, hypothesis: 'unknown', reason }
}

function unblamed({ omitted }: BlameOptions, { collection, key, rebuilt, against }: BlamedKey) {
  return {
    collection, key, partition: null, offset: null, type: null, candidates: 0, examples: [], detail: null, alternatives: [],
    fields: differences(rebuilt, against, omitted?.get(collection) ?? []).map(({ path }) => path),
    exhaustive: false,
  }
}

function placeIn({ slots }: KeyGroup, collection: string, key: string): number {
  return slots.findIndex((slot) => slot.key === key && slot.collection.name === collection)
}
