import { isRehydrateError, RehydrateError } from '../errors.js'
import { headOf } from '../log/bounds.js'
import { distance, positionFromJson, type Position } from '../log/position.js'
import { checkOptions } from '../value/options.js'
import type { ReplayOptions, RunEvent, SealedRun, World } from './api.js'
import {
  type Found, type GroupPartition, groupActive, groupOf, NOBODY, partitionsOf, setOffsets, targetOf, within,
} from './handover-group.js'
import { handedOver, HandoverWriter, type HandoverRecord } from './handover-record.js'
import { settle, type Start } from './plan.js'
import { startRun } from './run.js'
import { checkReplayOptions } from './settings.js'

type Kept = Pick<
  ReplayOptions, 'source' | 'projection' | 'store' | 'accept' | 'switch' | 'checkpoint' | 'memoryBytes' | 'batch' | 'limits' | 'signal'
>

export interface HandOverOptions extends Kept {
  /** The consumer group that is to go on. */
  readonly group: string
  /**
   * Replay again and again until, behind a seal, no more than `maxLag` offsets are left to read (default 1,000); WAIT_DEADLINE after
   * `deadlineMs` (default 60,000).
   */
  readonly wait?: { readonly maxLag?: number; readonly deadlineMs?: number }
  /** Do it. Without it nothing is changed: the result says what would be done. */
  readonly execute?: boolean
  /** Told of what the replay before the hand-over does. */
  readonly tell?: (event: RunEvent) => void
}

export interface TakeBackOptions extends Pick<ReplayOptions, 'source' | 'projection' | 'store'> {
  /** Refused where the state was handed over to another one. */
  readonly group?: string
  readonly execute?: boolean
}

export interface HandOver {
  /** Null: the state is nobody's but ours. */
  readonly group: string | null
  /** 'planned': nothing was changed. 'ours': taken back, or never handed over. */
  readonly outcome: 'planned' | 'handedOver' | 'ours'
  readonly generation: number
  /** Root and manifest of the seal that was handed over; of a plan, those of now; null: none yet. */
  readonly root: string | null
  readonly manifest: string | null
  /** How far the hand-over had come before this call. */
  readonly before: HandoverRecord['step'] | null
  /** The group as it was found. */
  readonly state: string | null
  readonly members: readonly string[]
  readonly partitions: readonly GroupPartition[]
  /** Partitions of other topics that the group has committed: they are left alone. */
  readonly others: readonly string[]
  /** What refuses it; of a plan only, else it is thrown. */
  readonly refusals: readonly RehydrateError[]
}

/**
 * Brings our state to a seal, stops writing it, and sets a consumer group's offsets to go on right behind it. From then on a replay is
 * HANDED_OVER, until `takeBack`. After a crash the same call finishes it; called again it changes nothing. GROUP_ACTIVE while the group has
 * members, or where somebody else moved its offsets meanwhile; WAIT_DEADLINE; CONFIG_INVALID for a log without groups; else as a replay.
 */
export async function handOver(options: HandOverOptions, world: World): Promise<HandOver> {
  checkHandOver(options)
  const { group, wait: _wait, execute = false, tell: _tell, ...kept } = options
  const look = await lookAt({ ...kept, takeover: true }, world)
  if (look.record !== null && look.record.group !== group) throw handedOver(look.record)
  const found = await groupOf(options.source, group).describe()
  const to = look.record?.to ?? targetOf(look.start.end, look.start.bounds)
  const planned = describe('planned', group, look, found, to)
  const isDone = look.record?.step === 'done'
  const refusals = [...look.refusals, ...(found.members.length === 0 ? [] : [groupActive(group, found.members)])]
  if (isDone) return { ...planned, outcome: 'handedOver' }
  if (!execute) return { ...planned, refusals }
  for (const refusal of refusals) throw refusal
  const sealed = look.record === null ? await sealedNear(options, world) : null
  return await give(options, look, sealed, world)
}

/**
 * Our state goes on from where it stands, with our own writer: the events that the group has read meanwhile are read again. What the
 * consumers wrote is theirs. GROUP_ACTIVE while the group has members; HANDED_OVER where another group was meant.
 */
export async function takeBack(options: TakeBackOptions, world: World): Promise<HandOver> {
  checkOptions('takeBack()', options, ['source', 'projection', 'store', 'group', 'execute'])
  const { source, projection, store, group, execute = false } = options
  const look = await lookAt({ source, projection, store, takeover: true }, world)
  const { record } = look
  if (record === null) {
    return { ...describe('ours', null, look, NOBODY, targetOf(look.start.position, look.start.bounds)), refusals: [] }
  }
  if (group !== undefined && record.group !== group) throw handedOver(record)
  const found = await groupOf(source, record.group).describe()
  const planned = describe('planned', record.group, look, found, record.to)
  const refusals = found.members.length === 0 ? [] : [groupActive(record.group, found.members)]
  if (!execute) return { ...planned, refusals }
  for (const refusal of refusals) throw refusal
  const writer = await HandoverWriter.open(store, look.start.generation, projection, world)
  try {
    await writer.keep(null)
  } finally {
    await writer.close()
  }
  return { ...planned, outcome: 'ours' }
}

const HAND_OVER_OPTIONS = [
  'source', 'projection', 'store', 'accept', 'switch', 'checkpoint', 'memoryBytes', 'batch', 'limits', 'signal', 'group', 'wait', 'execute',
  'tell',
]
const DEFAULT_MAX_LAG = 1_000
const DEFAULT_DEADLINE_MS = 60_000

function checkHandOver(options: HandOverOptions): void {
  checkOptions('handOver()', options, HAND_OVER_OPTIONS)
  const { group, wait } = options
  if (typeof group !== 'string' || group === '') throw invalid('group', 'the name of a consumer group', group)
  if (wait === undefined) return
  checkOptions('handOver(): wait', wait, ['maxLag', 'deadlineMs'])
  for (const name of ['maxLag', 'deadlineMs'] as const) {
    const given = wait[name]
    if (given !== undefined && !(Number.isFinite(given) && given >= 0)) throw invalid(`wait.${name}`, 'a number from 0', given)
  }
}

function invalid(path: string, expected: string, actual: unknown): RehydrateError {
  const message = `handOver(): ${path} must be ${expected}.`
  return new RehydrateError('CONFIG_INVALID', { message, path, expected, actual: String(actual) })
}

interface Look {
  readonly start: Start
  readonly record: HandoverRecord | null
  /** What a replay would be refused for, but for the hand-over itself. */
  readonly refusals: readonly RehydrateError[]
}

async function lookAt(options: ReplayOptions, world: World): Promise<Look> {
  const refusals: RehydrateError[] = []
  const start = await settle(options, checkReplayOptions(options), world, (error) => refusals.push(error))
  return { start, record: start.handover, refusals: refusals.filter(({ code }) => code !== 'HANDED_OVER') }
}

function describe(outcome: HandOver['outcome'], group: string | null, { start, record }: Look, found: Found, to: Position): HandOver {
  const manifest = start.checkpoint?.manifest ?? null
  return {
    group, outcome, generation: start.generation, root: manifest?.root ?? null, manifest: start.checkpoint?.manifestHash ?? null,
    before: record?.step ?? null, state: group === null ? null : found.state, members: found.members,
    partitions: partitionsOf(to, start.bounds, found.position, record?.step === 'done'),
    others: [...found.position.keys()].filter((partition) => !to.has(partition)),
    refusals: [],
  }
}

/** Replays to the head and seals, as often as it takes to be near the end. */
async function sealedNear(options: HandOverOptions, world: World): Promise<SealedRun> {
  const { group: _, wait, execute: _execute, tell, signal, ...kept } = options
  const end = new AbortController()
  const deadline = new AbortController()
  const deadlineMs = wait?.deadlineMs ?? DEFAULT_DEADLINE_MS
  if (wait !== undefined) void world.clock.sleep(deadlineMs, end.signal).then(() => deadline.abort())
  const signals = AbortSignal.any([deadline.signal, ...(signal === undefined ? [] : [signal])])
  let lag: number | null = null
  try {
    for (;;) {
      const run = startRun({ ...kept, until: 'head', takeover: true, signal: signals }, world)
      for await (const event of run) tell?.(event)
      const sealed = await run.done
      if (wait === undefined) return sealed
      lag = distance(sealed.position, headOf(await options.source.bounds({ following: true })))
      if (lag <= (wait.maxLag ?? DEFAULT_MAX_LAG)) return sealed
      await world.clock.sleep(0)
      if (deadline.signal.aborted) throw tooFarBehind(lag, deadlineMs)
    }
  } catch (error) {
    const isLate = deadline.signal.aborted && signal?.aborted !== true && isRehydrateError(error) && error.code === 'RUN_STOPPED'
    throw isLate ? tooFarBehind(lag, deadlineMs) : error
  } finally {
    end.abort()
  }
}

function tooFarBehind(lag: number | null, deadlineMs: number): RehydrateError {
  const stood = lag === null ? 'the replay had not reached the end of the log' : `${lag} offsets were left`
  return new RehydrateError('WAIT_DEADLINE', {
    message: `After ${deadlineMs} ms ${stood}: nothing was handed over.`, actual: lag,
    safe: 'What was replayed is kept; the state is ours, and the group is as it was.',
    fix: 'Run the same command again, which goes on from there; or allow more: --deadline SECONDS, --max-lag EVENTS.',
  })
}

/**
 * The intent is recorded first, then the offsets are set, then that is confirmed: between any two steps neither our writer nor a consumer
 * that was started after us goes on.
 */
async function give(options: HandOverOptions, look: Look, sealed: SealedRun | null, world: World): Promise<HandOver> {
  const { source, store, projection, group: name } = options
  const generation = sealed?.generation ?? look.start.generation
  const writer = await HandoverWriter.open(store, generation, projection, world)
  try {
    if (writer.record === null && writer.checkpoint.manifestHash !== sealed?.seal.manifestHash) throw movedOn(generation)
    if (writer.record !== null && writer.record.group !== name) throw handedOver(writer.record)
    const bounds = await source.bounds({ following: true })
    const group = groupOf(source, name)
    const found = await group.describe()
    const { manifest, manifestHash } = writer.checkpoint
    const to = writer.record?.to ?? targetOf(positionFromJson(manifest.position), bounds)
    const record = writer.record ?? { group: name, step: 'intended', before: within(found.position, to), to }
    await writer.keep(record)
    await setOffsets(group, record, found, writer)
    await writer.keep({ ...record, step: 'done' })
    return {
      ...describe('handedOver', name, look, found, to), generation, root: manifest.root, manifest: manifestHash,
      partitions: partitionsOf(to, bounds, found.position, false),
    }
  } finally {
    await writer.close()
  }
}

function movedOn(generation: number): RehydrateError {
  return new RehydrateError('FENCED', {
    message: `Generation ${generation} has another checkpoint by now than the seal that was to be handed over.`,
    fix: 'Run the same command again.',
  })
}
