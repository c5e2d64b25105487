import { isRehydrateError, RehydrateError } from '../errors.js'
import type { MergePoint } from '../log/order.js'
import { offsetIn, positionFromJson, type Position } from '../log/position.js'
import type { Bounds, Mark } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import { fingerprintOf, type Fingerprint } from '../projection/fingerprint.js'
import type { Accepted, Checkpoint } from '../store/checkpoint.js'
import type { GenerationRow, StateStore } from '../store/contract.js'
import type { Plan, PlannedPartition, ReplayOptions, World } from './api.js'
import { findPlacement } from './placement.js'
import { boundsInOrder, checkPlacement } from './bounds-in-order.js'
import { refuseCompacted, refuseSlow } from './compacted.js'
import { frozenEnd } from './end.js'
import { estimate } from './estimate.js'
import { handedOver, readHandover, type HandoverRecord } from './handover-record.js'
import { refuseLacking } from './lacking.js'
import { checkLog } from './log-check.js'
import { checkSameFold } from './same-fold.js'
import { checkReplayOptions, type Settings } from './settings.js'
import { checkSameShard, shardOptions } from './shard.js'
import { MARKS, MERGE, readEngineCollection } from './state.js'
import { HELD, type HeldRange, type HeldState } from './held.js'
import type { MergeState } from './turn.js'
import { stateCorrupt } from './working-set.js'

/** All that is settled before the first event. */
export interface Start {
  readonly generation: number
  readonly kind: Plan['start']
  readonly checkpoint: Checkpoint | null
  /** A checkpoint of this generation was sealed once. */
  readonly everSealed: boolean
  /** The live generation, if any. */
  readonly live: number | null
  readonly marks: ReadonlyMap<string, Mark>
  readonly merge: MergeState
  readonly held: HeldState
  readonly position: Position
  readonly bounds: ReadonlyMap<string, Bounds>
  /** The frozen end: inclusive, for every partition that has records in the range. */
  readonly end: Position
  readonly fingerprint: Fingerprint
  /** Partitions whose identity the source could not prove. */
  readonly unproved: readonly string[]
  /** What the waivers waived before the first event. */
  readonly accepted: readonly Accepted[]
  /** To whom the state was handed over; then a replay is refused. */
  readonly handover: HandoverRecord | null
}

/** What a replay would do. Refusals are listed, not thrown; errors that hide the rest (no such log, no such store) are thrown. */
export async function planRun(given: ReplayOptions, world: World): Promise<Plan> {
  const settings = checkReplayOptions(given)
  const options = settings.shard === null ? given : shardOptions(given, settings.shard)
  const refusals: RehydrateError[] = []
  const start = await settle(options, settings, world, (error) => refusals.push(error))
  const partitions = [...start.bounds].map(([partition, bound]) => plannedPartition(partition, bound, start))
  const events = partitions.reduce((sum, { from, upTo }) => sum + Math.max(0, upTo - from + 1), 0)
  // What is wrong in the piece that is read to judge the time would halt the run as well.
  const time = await estimate(options.source, partitions, events, settings.limits, world.clock).catch((error: unknown) => {
    if (!isRehydrateError(error)) throw error
    refusals.push(error)
    return null
  })
  refuseSlow(partitions, start.bounds, time?.ms ?? 0, (error) => refusals.push(error))
  return {
    generation: start.generation, start: start.kind, partitions, events,
    bytes: partitions.reduce<number | null>((sum, { bytes }) => (sum === null || bytes === null ? null : sum + bytes), 0),
    estimate: time,
    placement: await placementOf(options, start, settings),
    refusals: refusals.map(({ code, message, fix }) => ({ code, message, fix })),
  }
}

/** What keeps it from being read keeps the run from starting, and is told with the estimate. */
async function placementOf({ source, projection }: ReplayOptions, { bounds }: Start, { limits }: Settings): Promise<Plan['placement']> {
  return await findPlacement(source, projection, bounds, limits).catch((error: unknown) => {
    if (!isRehydrateError(error)) throw error
    return null
  })
}

/** Its bytes by the share of its offsets that is to be read. */
function plannedPartition(partition: string, bounds: Bounds, { position, end }: Start): PlannedPartition {
  const { first, last, bytes, compacted = false } = bounds
  const from = Math.max(first, offsetIn(position, partition) + 1)
  const upTo = offsetIn(end, partition)
  const share = upTo < from ? 0 : (upTo - from + 1) / (last - first + 1)
  return { partition, first, from, upTo, bytes: bytes === undefined ? null : Math.round(bytes * share), compacted }
}

/** Settles where a run starts and ends. `refuse` gets every refusal; a run throws the first, a plan lists them. */
export async function settle(
  options: ReplayOptions, settings: Settings, world: World, refuse: (error: RehydrateError) => void,
): Promise<Start> {
  const { source, projection, store } = options
  const fingerprint = fingerprintOf(projection, await world.codeOf(projection), source.reading)
  refuseAsyncSchemas(projection, refuse)
  const rows = await store.generations()
  const row = settings.restart ? null : generationOf(rows, projection, settings)
  const goesOn = row?.checkpoint ? row.generation : 0
  // One that is live or newer would be passed over without a word; an older one may rest.
  const damaged = rows.find(({ corrupt, live, generation: other }) => corrupt !== null && (live || other > goesOn))
  if (damaged?.corrupt && !settings.restart) refuse(damaged.corrupt)
  const generation = row?.generation ?? Math.max(0, ...rows.map((other) => other.generation)) + 1
  const checkpoint = row?.checkpoint ?? null
  const accepted: Accepted[] = []
  if (row?.writer?.alive === true && !settings.takeover) refuse(alreadyRunning(row))
  if (checkpoint !== null) {
    checkSameShard(checkpoint, settings.shard, refuse)
    accepted.push(...checkSameFold(checkpoint.manifest.projection.fingerprint, fingerprint, settings.waivers, refuse))
  }
  const kept = checkpoint === null ? NOTHING_KEPT : await readKept(store, generation)
  if (kept.handover !== null) refuse(handedOver(kept.handover))
  const position: Position = checkpoint === null ? new Map() : positionFromJson(checkpoint.manifest.position)
  const bounds = await boundsInOrder(source, projection, { following: settings.until.kind === 'follow', known: new Set(position.keys()) })
  checkPlacement(projection, bounds.keys(), settings.shard === null, refuse)
  refuseCompacted(projection, bounds, refuse)
  await refuseLacking(source, projection, refuse)
  const { marks, unproved, accepted: missing } = await checkLog(source, settings, position, bounds, kept.marks, refuse)
  accepted.push(...missing)
  const settled = checkpoint?.manifest.sealed === true ? position : new Map<string, number>()
  const start = {
    generation, checkpoint, position, bounds, fingerprint, unproved, accepted, ...kept, marks,
    kind: checkpoint === null ? 'new' : checkpoint.manifest.sealed ? 'extend' : 'resume',
    everSealed: row?.everSealed ?? false,
    live: rows.find((other) => other.live)?.generation ?? null,
  } as const
  try {
    const waived = checkpoint?.manifest.accepted ?? []
    return { ...start, end: await frozenEnd(source, projection, settings, position, bounds, waived, settled) }
  } catch (error) {
    if (!isRehydrateError(error)) throw error
    refuse(error as RehydrateError)
    return { ...start, end: position }
  }
}

/**
 * The generation to go on with: the one being built, else the live one, else the newest; of this version of the projection.
 * Another version, or --restart, begins a new one.
 */
function generationOf(rows: readonly GenerationRow[], projection: Projection, settings: Settings): GenerationRow | null {
  const own = rows.filter(({ checkpoint }) =>
    checkpoint !== null && checkpoint.manifest.projection.version === projection.version)
  const newest = rows.find((row) => row.live)?.generation ?? 0
  const building = own.filter(({ everSealed, generation }) => !everSealed && generation > newest)
  // With a switch by hand, the sealed one that waits for it is the one to go on with.
  const live = settings.switchAtFirstSeal ? own.find((row) => row.live) : undefined
  const untouched = rows.filter(({ checkpoint, corrupt }) => checkpoint === null && corrupt === null)
  return building.at(-1) ?? live ?? own.at(-1) ?? untouched.at(-1) ?? null
}

type KeptAside = Pick<Start, 'marks' | 'merge' | 'held' | 'handover'>

const NOTHING_KEPT: KeptAside = { marks: new Map(), merge: new Map(), held: new Map(), handover: null }

async function readKept(store: StateStore, generation: number): Promise<KeptAside> {
  const session = await store.open({ generation, mode: 'read' })
  try {
    const { checkpoint } = session
    const marks = await readEngineCollection<Mark>(session, MARKS, checkpoint)
    for (const [partition, { id }] of Object.entries(checkpoint?.manifest.identity ?? {})) {
      if (marks.get(partition)?.id !== id) throw stateCorrupt({ collection: MARKS, key: partition }, 'The manifest names another log.')
    }
    const merge = await readEngineCollection<MergePoint>(session, MERGE, checkpoint)
    const held = await readEngineCollection<HeldRange>(session, HELD, checkpoint)
    return { marks, merge, held, handover: await readHandover(session) }
  } finally {
    await session.close()
  }
}

/** Asks each schema once: what a validator answers for nothing shows whether it is synchronous. */
function refuseAsyncSchemas(projection: Projection, refuse: (error: RehydrateError) => void): void {
  const schemas = [
    ...[...projection.types.values()].map(({ name, schema }) => ({ where: `events.${name}.schema`, schema })),
    ...projection.collections.map(({ name, schema }) => ({ where: `collections.${name}.schema`, schema })),
  ]
  for (const { where, schema } of schemas) {
    if (schema === null || !isAsync(schema)) continue
    refuse(new RehydrateError('CONFIG_INVALID', { message: `${where} validates asynchronously. Handlers are synchronous.`, path: where }))
  }
}

function isAsync(schema: NonNullable<Projection['collections'][number]['schema']>): boolean {
  try {
    const result = schema['~standard'].validate(undefined)
    if (!(result instanceof Promise)) return false
    result.catch(() => {})
    return true
  } catch {
    return false
  }
}

function alreadyRunning(row: GenerationRow): RehydrateError {
  const { writer } = row
  return new RehydrateError('ALREADY_RUNNING', {
    message: `${writer?.owner ?? 'Another process'} writes generation ${row.generation}`
      + `${writer === null ? '' : ` since ${new Date(writer.sinceMs).toISOString()}`}.`,
  })
}
