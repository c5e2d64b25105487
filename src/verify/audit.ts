import { ERRORS, isRehydrateError, RehydrateError } from '../errors.js'
import { positionFromJson, type Position } from '../log/position.js'
import type { EventSource, Mark } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { RunEvent, World } from '../replay/api.js'
import { checkIdentity } from '../replay/log-check.js'
import { assertSameFold } from '../replay/same-fold.js'
import { MARKS, readEngineCollection } from '../replay/state.js'
import { decodedValue } from '../replay/working-set.js'
import type { Manifest } from '../store/checkpoint.js'
import type { Entry, StateStore, StoreSession } from '../store/contract.js'
import { overlayStore } from '../store/overlay.js'
import { decode, type Value } from '../value/canonical.js'
import { assertNotCompacted } from './compacted.js'
import { unlessStopped } from './comparison.js'
import { firstDifference, type FirstDifference } from './first-difference.js'
import { foldInto } from './fold.js'
import { compareInputs, inputsOf } from './inputs.js'
import { roundOf, type Round } from './interleaving.js'
import { firstKeyOf, searchOrder } from './order-search.js'
import { probeOrder } from './probe.js'
import type { OrderPair } from './reorder.js'

export interface AuditOptions {
  readonly source: EventSource
  readonly projection: Projection
  /** The sealed state, pinned: a session for reading. */
  readonly session: StoreSession
  /** How often the log is folded again, each time in another order. Default 3. */
  readonly rounds?: number
  /** As of a replay. The rebuilt state comes on top: it is kept in memory, twice for a moment where it differs. */
  readonly memoryBytes?: number
  /** Handler calls that the search for two events may take. Default 1,000,000. */
  readonly maxFolds?: number
  readonly world: World
  readonly signal: AbortSignal
  /** Told of the progress of each round, from 1. */
  readonly tell?: (event: RunEvent, round: number) => void
}

export interface Audit {
  readonly verdict: 'match' | 'mismatch'
  /** Where the seal stands, and every rebuild. */
  readonly position: Position
  /** Rebuilds compared; that of a mismatch is the last. */
  readonly rounds: number
  readonly sealed: AuditRoots
  /** Of the last round; null: a handler threw in it. */
  readonly rebuilt: AuditRoots | null
  /** Null where nothing differs. */
  readonly difference: AuditDifference | null
  /**
   * Of a mismatch. 'input': what was read is not what the seal was built from · 'not-deterministic': the value depends on more than
   * the events of the key · 'order': on the order of events between which there is none · 'state': no order tried gives what is
   * sealed: it was changed, built by other code, or by handlers that keep something outside of the state · 'unknown': the search met
   * its bound.
   */
  readonly cause: 'input' | 'not-deterministic' | 'order' | 'state' | 'unknown' | null
  /** The cause in one sentence. */
  readonly why: string | null
  /** Where the cause is 'order': two neighbours of different partitions; the value is another one where they change places. */
  readonly order: OrderPair | null
  /** Where the cause is 'input': what was read differs in [from, to] of these partitions, both inclusive. */
  readonly inputs: readonly AuditInput[]
}

/** State root and control root, `sh1:<hex>`. */
export interface AuditRoots {
  readonly root: string
  readonly control: string
}

/** The first key that differs, by collection and key in the order of their UTF-8 bytes; of the engine's collections the last. */
export interface AuditDifference {
  readonly collection: string
  readonly key: string
  /** Undefined: absent. */
  readonly sealed: Value | undefined
  /** Undefined also where a handler throws. */
  readonly rebuilt: Value | undefined
  /**
   * The round that found it, from 1, and how partitions interleaved in it. Null: the rounds agree, and a key of the beginning of the log
   * does not commute; then the values are those after its first events, as a plain replay folds them and in another order.
   */
  readonly round: number | null
  readonly interleaving: string
}

export interface AuditInput {
  readonly partition: string
  readonly from: number
  readonly to: number
}

const ROUNDS = 3
const MAX_FOLDS = 1_000_000
const GENERATION = 1
/** Of the errors of handlers. */
const HANDLER_EXIT = 8

/**
 * The determinism audit: folds the log again from its start to where the seal stands, several times, with other batches, checkpoints and
 * interleavings of the partitions, and compares the roots. Needs memory for the whole state. The source stays open.
 * STORE_GENERATION where the state is not sealed, PROJECTION_CHANGED where another projection built it, LOG_COMPACTED, the LOG_* codes
 * where the log is not the one it was built from, RUN_STOPPED; errors of handlers as of a replay, unless it is the order that makes one.
 */
export async function auditRebuild(options: AuditOptions): Promise<Audit> {
  return await unlessStopped(options.signal, () => audited(options))
}

async function audited(options: AuditOptions): Promise<Audit> {
  const { source, projection, session, rounds = ROUNDS, world } = options
  const manifest = sealedManifest(session)
  assertNotCompacted(manifest)
  await assertSameFold(manifest.projection.fingerprint, { source, projection }, world)
  const marks = await readEngineCollection<Mark>(session, MARKS, session.checkpoint)
  const position = positionFromJson(manifest.position)
  await checkIdentity(source, marks, position, (error) => { throw error })
  const sealed = rootsOf(manifest)
  for (let number = 1; ; number++) {
    const round = roundOf(number)
    const rebuilt = await rebuild(options, manifest, round).catch((error: unknown) => judgeThrow(options, manifest, round, error))
    const audit = { position, rounds: number, sealed, rebuilt: 'roots' in rebuilt ? rebuilt.roots : null }
    if (!('roots' in rebuilt)) return { ...audit, verdict: 'mismatch', ...rebuilt }
    if (!sameRoots(rebuilt.roots, sealed)) return { ...audit, verdict: 'mismatch', ...(await judge(options, manifest, round, rebuilt)) }
    if (number >= rounds) return { ...audit, ...((await probe(options, manifest)) ?? MATCH) }
  }
}

const ORDER_WHY = 'The value depends on the order of events of different partitions, and there is none between them.'
const UNSTABLE_WHY = 'The events of this key, folded twice in one order, gave two values.'
const MATCH = { verdict: 'match', difference: null, cause: null, why: null, order: null, inputs: [] } as const

/** Order 'any' is a claim about all orders, of which the rounds are a few: single keys show more. */
async function probe(options: AuditOptions, { accepted, position }: Manifest): Promise<Judged & { verdict: 'mismatch' } | null> {
  const { source, projection, world, signal, maxFolds = MAX_FOLDS } = options
  if (projection.order !== 'any') return null
  const found = await probeOrder({ source, projection, world, signal, maxFolds, accepted, upTo: positionFromJson(position) })
  if (found === null) return null
  const { collection, key } = found.slot
  const valueFrom = (bytes: Buffer | null): Value | undefined =>
    (bytes === null ? undefined : decode(bytes, collection.int64 === null ? undefined : { int64: collection.int64 }))
  const difference = {
    collection: collection.name, key, round: null, interleaving: 'the events of single keys, at the beginning of the log',
    sealed: valueFrom(found.plain), rebuilt: valueFrom(found.other),
  }
  const isOrder = found.pair !== null
  return {
    verdict: 'mismatch', difference, cause: isOrder ? 'order' : 'not-deterministic', why: isOrder ? ORDER_WHY : UNSTABLE_WHY,
    order: found.pair, inputs: [],
  }
}

function sealedManifest({ checkpoint }: StoreSession): Manifest {
  if (checkpoint?.manifest.sealed === true) return checkpoint.manifest
  throw new RehydrateError('STORE_GENERATION', {
    message: 'The state is not sealed where it stands, so that there is no root to compare with.',
    fix: 'Let the replay finish, or stop following; then audit.',
  })
}

/** A seal has both. */
function rootsOf({ root, control }: Manifest): AuditRoots {
  return { root: root as string, control: control as string }
}

function sameRoots(a: AuditRoots, b: AuditRoots): boolean {
  return a.root === b.root && a.control === b.control
}

interface Rebuilt {
  readonly roots: AuditRoots
  readonly store: StateStore
}

async function rebuild(options: AuditOptions, manifest: Manifest, round: Round): Promise<Rebuilt> {
  const { source, projection, world, signal, memoryBytes, tell } = options
  const store = overlayStore(null)
  const { seal } = await foldInto({
    source, projection, store, signal, accepted: manifest.accepted, to: positionFromJson(manifest.position),
    world: { ...world, pick: round.pick() },
    tell: tell === undefined ? undefined : (event) => tell(event, round.number),
    tuning: { batch: round.limits, checkpoint: round.checkpoint, ...(memoryBytes === undefined ? {} : { memoryBytes }) },
  })
  return { roots: rootsOf(seal.manifest), store }
}

type Judged = Pick<Audit, 'difference' | 'cause' | 'why' | 'order' | 'inputs'>

/** What differs, and what it depends on. */
async function judge(options: AuditOptions, manifest: Manifest, round: Round, rebuilt: Rebuilt): Promise<Judged> {
  const { found, inputs } = await compare(options, manifest, rebuilt.store)
  const { collection, key } = found
  const difference = {
    collection, key, round: round.number, interleaving: round.name,
    sealed: valueOf(found.sealed, options.projection), rebuilt: valueOf(found.rebuilt, options.projection),
  }
  if (inputs.length > 0) {
    const why = 'What was read is not what the seal was built from, so that the folds can not be compared.'
    return { difference, inputs, cause: 'input', why, order: null }
  }
  const again = await rebuild(options, manifest, round)
  if (sameRoots(again.roots, rebuilt.roots)) return { difference, inputs, ...(await causeOf(options, manifest, round, found)) }
  const why = 'Two rebuilds in one and the same order gave two states.'
  return { difference, inputs, cause: 'not-deterministic', why, order: null }
}

/** Under order 'any' a handler that throws in one order and not in another refutes the claim as well. Other errors are thrown again. */
async function judgeThrow(options: AuditOptions, { accepted, position }: Manifest, round: Round, error: unknown): Promise<Judged> {
  const { source, projection, session, world, signal, maxFolds = MAX_FOLDS } = options
  if (projection.order !== 'any' || !isRehydrateError(error) || ERRORS[error.code].exit !== HANDLER_EXIT) throw error
  const { partition, offset } = error.details
  if (partition === undefined || offset === undefined) throw error
  const reading = { source, projection, signal, accepted, upTo: positionFromJson(position) }
  const key = await firstKeyOf(reading, partition, offset, world)
  if (key === null) throw error
  const interleaving = { limits: round.limits, pick: round.pick() }
  const search = await searchOrder({ ...reading, ...key, world, maxFolds, interleaving })
  if (search.found !== 'pair') throw error
  const [sealed] = await session.load(key.collection, [key.key])
  return {
    difference: { ...key, round: round.number, interleaving: round.name, sealed: valueOf(sealed ?? null, projection), rebuilt: undefined },
    cause: 'order', order: search.pair, inputs: [],
    why: `${ORDER_WHY} Here it made a handler throw: ${error.message}`,
  }
}

async function causeOf(
  options: AuditOptions, manifest: Manifest, round: Round, { collection, key, rebuilt }: FirstDifference,
): Promise<Pick<Audit, 'cause' | 'why' | 'order'>> {
  const { source, projection, world, signal, maxFolds = MAX_FOLDS } = options
  if (collection.startsWith('$')) {
    return { cause: 'state', order: null, why: `What differs is kept by the engine itself, in ${collection}, and no handler makes it.` }
  }
  const search = await searchOrder({
    source, projection, collection, key, world, signal, maxFolds, accepted: manifest.accepted,
    upTo: positionFromJson(manifest.position), interleaving: { limits: round.limits, pick: round.pick() },
  })
  switch (search.found) {
    case 'pair': return { cause: 'order', order: search.pair, why: ORDER_WHY }
    case 'unstable': return { cause: 'not-deterministic', order: null, why: UNSTABLE_WHY }
    case 'bound': {
      const why = `The key depends on ${search.events} events or more; to try their orders takes more than ${maxFolds} handler calls.`
      return { cause: 'unknown', order: null, why }
    }
    case 'nothing': {
      const { bytes, events, interleavings } = search
      const isRebuilt = bytes === null ? rebuilt === null : rebuilt !== null && bytes.equals(rebuilt.bytes)
      if (isRebuilt) return { cause: 'state', order: null, why: stateWhy(manifest, events, interleavings) }
      return { cause: 'not-deterministic', order: null, why: `The ${events} events of this key give another value when folded alone.` }
    }
  }
}

function stateWhy({ accepted }: Manifest, events: number, interleavings: number): string {
  const tried = `None of ${interleavings} orders of the ${events} events of this key gives what is sealed`
  if (accepted.some(({ code }) => code === 'PROJECTION_CHANGED')) {
    return `${tried}; a part of it was folded by other code, or read in another way, as was accepted.`
  }
  if (accepted.some(({ code }) => code === 'REPAIRED')) return `${tried}; keys of it were repaired.`
  return `${tried}: it was changed, other code built it, or a handler keeps something outside of the state.`
}

async function compare(
  { session, projection }: AuditOptions, manifest: Manifest, store: StateStore,
): Promise<{ found: FirstDifference; inputs: AuditInput[] }> {
  const other = await store.open({ generation: GENERATION, mode: 'read' })
  try {
    const found = await firstDifference(session, other)
    if (found !== null) return { found, inputs: await differingInputs(session, other, manifest) }
    throw new RehydrateError('STATE_CORRUPT', {
      message: `The stored entries of ${projection.name} are those of the rebuild, and its seal has another root.`,
    })
  } finally {
    await other.close()
  }
}

/** Partitions of which something else was read, as the chains of their marks say. */
async function differingInputs(sealed: StoreSession, rebuilt: StoreSession, manifest: Manifest): Promise<AuditInput[]> {
  const position = positionFromJson(manifest.position)
  const [ours, theirs] = await Promise.all([sealed, rebuilt].map(async (session) =>
    inputsOf(await readEngineCollection<Mark>(session, MARKS, session.checkpoint), position)))
  return [...position].flatMap(([partition, upTo]) => {
    const [a, b] = [ours?.[partition], theirs?.[partition]]
    const compared = a === undefined || b === undefined ? null : compareInputs(a, b, upTo)
    return compared?.is === 'different' ? [{ partition, from: compared.from, to: compared.to }] : []
  })
}

function valueOf(entry: Entry | null, { collections }: Projection): Value | undefined {
  return entry === null ? undefined : decodedValue(entry, collections.find(({ name }) => name === entry.collection) ?? null)
}
