import { RehydrateError } from '../errors.js'
import { parsePosition, type Position } from '../log/position.js'
import { isMerged } from '../log/domains.js'
import type { ReadLimits } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import { checkOptions } from '../value/options.js'
import { parseWaivers, type Waivers } from './accept.js'
import type { Shard } from '../store/checkpoint.js'
import type { ReplayOptions } from './api.js'
import { checkLimits, RunLimits } from './limits.js'
import { checkShard, shardPosition } from './shard.js'

export type Until =
  | { readonly kind: 'head' }
  | { readonly kind: 'follow' }
  | { readonly kind: 'position'; readonly position: Position }
  | { readonly kind: 'time'; readonly timeMs: number }

/** ReplayOptions, checked, with the defaults filled in. */
export interface Settings {
  readonly until: Until
  readonly waivers: Waivers
  readonly restart: boolean
  readonly takeover: boolean
  readonly switchAtFirstSeal: boolean
  readonly checkpointBytes: number
  readonly checkpointMs: number
  readonly memoryBytes: number
  readonly limits: RunLimits
  /** Null: the whole. */
  readonly shard: Shard | null
}

const MIB = 1024 * 1024
/** Of one batch, where nothing else is asked for. */
export const DEFAULT_LIMITS: ReadLimits = { events: 2_000, bytes: MIB }

const KNOWN = [
  'source', 'projection', 'store', 'until', 'restart', 'takeover', 'accept', 'switch', 'checkpoint', 'memoryBytes', 'batch', 'shard',
  'limits', 'signal',
]
const DEFERRED_OPTIONS: Readonly<Record<string, string>> = {
  fromSnapshot: 'Snapshots come later.',
  baseline: 'Baselines come later.',
  snapshots: 'Snapshots come later.',
}

/** USAGE, CONFIG_INVALID or OPTION_DEFERRED, naming the option. */
export function checkReplayOptions(options: ReplayOptions): Settings {
  checkOptions('replay()', options, KNOWN, DEFERRED_OPTIONS)
  requireShape('source', options.source, 'an event source such as fileLog({ path })', (source) => typeof source.read === 'function')
  requireShape('store', options.store, 'a store such as sqlite({ path })', (store) => typeof store.open === 'function')
  requireProjection(options.projection)
  if (options.checkpoint !== undefined) checkOptions('checkpoint', options.checkpoint, ['bytes', 'seconds'])
  if (options.batch !== undefined) checkOptions('batch', options.batch, ['events', 'bytes'])
  if (options.shard !== undefined) checkOptions('shard', options.shard, ['index', 'of'])
  const shard = options.shard === undefined ? null : checkShard(options.shard, options.projection.order)
  checkLimits(options.limits ?? {})
  const until = parseUntil(options.until ?? 'head')
  if (until.kind === 'follow') requireLateness(options.projection)
  const switching = options.switch ?? 'auto'
  if (switching !== 'auto' && switching !== 'manual') throw invalid('switch', "'auto' or 'manual'", switching)
  return {
    until: shard === null || until.kind !== 'position' ? until
      : { ...until, position: shardPosition(until.position, shard, options.projection) },
    waivers: parseWaivers(options.accept ?? []),
    restart: options.restart ?? false,
    takeover: options.takeover ?? false,
    switchAtFirstSeal: switching === 'auto',
    checkpointBytes: amount('checkpoint.bytes', options.checkpoint?.bytes, 256 * MIB),
    checkpointMs: 1_000 * amount('checkpoint.seconds', options.checkpoint?.seconds, 30),
    memoryBytes: amount('memoryBytes', options.memoryBytes, 512 * MIB),
    limits: new RunLimits({
      events: Math.ceil(amount('batch.events', options.batch?.events, DEFAULT_LIMITS.events)),
      bytes: amount('batch.bytes', options.batch?.bytes, DEFAULT_LIMITS.bytes),
    }, options.limits ?? {}, shard?.of ?? 1),
    shard,
  }
}

/** Where partitions are merged, whoever follows must know how long to wait for the others. */
function requireLateness({ order, latenessMs }: Projection): void {
  if (!isMerged(order) || latenessMs !== null) return
  throw new RehydrateError('CONFIG_INVALID', {
    message: `Following with order '${order}' needs time.latenessMs in the projection.`, path: 'time.latenessMs',
    why: 'An event is applied when no partition is likely to bring an earlier one: once the log has gone on for so long behind it.',
    fix: 'Add e.g. time: { latenessMs: 10_000 } to the projection, or run with --until head again and again.',
  })
}

/** CONFIG_INVALID where a projection was not made by defineProjection or defineReducer. */
export function requireProjection(projection: Projection): void {
  requireShape('projection', projection, 'what defineProjection() or defineReducer() returns', ({ kind }) => kind === 'projection')
}

/** `head`, `follow`, a POSITION, or a time: ISO 8601 with a zone, or a Date. USAGE otherwise. */
export function parseUntil(until: NonNullable<ReplayOptions['until']>): Until {
  if (until === 'head' || until === 'follow') return { kind: until }
  if (until instanceof Map) return { kind: 'position', position: checkPosition(until) }
  if (until instanceof Date) return { kind: 'time', timeMs: requireTime(until.getTime(), 'an invalid Date') }
  if (typeof until !== 'string') throw new RehydrateError('USAGE', { message: 'until must be a text, a Date or a position.' })
  if (until.includes('@')) return { kind: 'position', position: parsePosition(until) }
  if (/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/.test(until)) {
    return { kind: 'time', timeMs: requireTime(isCalendarDay(until.slice(0, 10)) ? Date.parse(until) : Number.NaN, until) }
  }
  throw new RehydrateError('USAGE', {
    message: `--until ${until}: this is neither head, follow, a position nor a time.`,
    expected: 'head, follow, PARTITION@OFFSET,… or a time such as 2026-11-21T10:00:00Z', actual: until,
  })
}

/** −1 says the same as no entry. */
function checkPosition(position: ReadonlyMap<unknown, unknown>): Position {
  const checked = new Map<string, number>()
  for (const [partition, offset] of position) {
    if (typeof partition !== 'string' || !Number.isSafeInteger(offset) || (offset as number) < -1) {
      throw new RehydrateError('USAGE', {
        message: `until: ${String(partition)}@${String(offset)} is not a position.`,
        expected: 'partition names, and whole numbers from −1', actual: `${String(partition)}@${String(offset)}`,
      })
    }
    if (offset !== -1) checked.set(partition, offset as number)
  }
  return checked
}

/** Date.parse makes March out of February 30. */
function isCalendarDay(day: string): boolean {
  const ms = Date.parse(day)
  return Number.isFinite(ms) && new Date(ms).toISOString().startsWith(day)
}

function requireTime(timeMs: number, shown: string): number {
  if (Number.isFinite(timeMs)) return timeMs
  throw new RehydrateError('USAGE', { message: `--until ${shown}: there is no such time.`, actual: shown })
}

function amount(path: string, given: number | undefined, fallback: number): number {
  if (given === undefined) return fallback
  if (typeof given !== 'number' || !Number.isFinite(given) || given <= 0) throw invalid(path, 'a number above 0', given)
  return given
}

function requireShape<T>(path: string, given: T, expected: string, fits: (given: T) => boolean): void {
  if (typeof given !== 'object' || given === null || !fits(given)) throw invalid(path, expected, typeof given)
}

function invalid(path: string, expected: string, actual: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `replay(): ${path} must be ${expected}.`, path, expected, actual: String(actual),
  })
}
