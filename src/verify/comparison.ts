import { isRehydrateError, RehydrateError } from '../errors.js'
import { headOf } from '../log/bounds.js'
import { formatPosition, reaches, samePosition, type Position } from '../log/position.js'
import type { EventSource } from '../log/source.js'
import type { World } from '../replay/api.js'
import { checkOptions } from '../value/options.js'
import { requireProjection } from '../replay/settings.js'
import type { StateStore } from '../store/contract.js'
import type { CompareOptions } from './api.js'
import { FORMAT, openStoreSide, type StoreSide } from './open.js'
import { stateAt, statesAt } from './past.js'
import { rollForward } from './roll.js'
import type { Against, Side, Standing } from './side.js'

/** Both sides, pinned, and why they can not be compared (null: they can). */
export interface Comparison {
  readonly rebuilt: StoreSide
  readonly against: Side
  readonly standing: Standing | null
  readonly reason: RehydrateError | null
  close(): Promise<void>
}

const OPTIONS = [
  'rebuilt', 'against', 'againstSource', 'at', 'againstAt', 'waitMs', 'scrub', 'limit', 'signal', 'blame', 'maxFolds', 'index',
]
const POLL_MS = 250

/** Opens both sides and brings ours to where the other stands, as far as was asked for. CONFIG_INVALID and the errors of both stores. */
export async function openComparison(options: CompareOptions, world: World): Promise<Comparison> {
  check(options)
  const opened = new Opened()
  const close = (): Promise<void> => opened.close()
  try {
    const between = await betweenTimes(options, world, opened)
    if (between !== null) return { ...between, close }
    const own = opened.keep(await openRebuilt(options, world))
    const pair = await meet(options, own, againstOf(options, own, world), world, opened)
    return { ...pair, close }
  } catch (error) {
    await close()
    throw error
  }
}

function check(options: CompareOptions): void {
  checkOptions('verify()', options, OPTIONS)
  const { rebuilt, against, limit = 0, waitMs = 0 } = options
  checkOptions('rebuilt', rebuilt, ['store', 'projection', 'source', 'generation'])
  requireProjection(rebuilt.projection)
  if (typeof against !== 'object' || against === null) {
    throw invalid('against', 'a store, { generation }, { at }, or what an adapter offers to compare with', typeof against)
  }
  if (!Number.isSafeInteger(limit) || limit < 0) throw invalid('limit', 'a whole number', limit)
  if (!Number.isFinite(waitMs) || waitMs < 0) throw invalid('waitMs', 'a number of milliseconds', waitMs)
  if (!isDiffOfTimes(options)) return
  for (const name of ['againstAt', 'waitMs'] as const) {
    if (options[name] !== undefined) throw invalid(name, 'left out where a state is compared with what it was earlier', options[name])
  }
}

function invalid(path: string, expected: string, actual: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `verify(): ${path} must be ${expected}.`, path, expected, actual: String(actual),
  })
}

interface Closable {
  close(): Promise<void>
}

/** What was opened on the way, and is to be closed whatever comes. */
class Opened {
  readonly #sides = new Set<Closable>()

  keep<T extends Closable>(side: T): T {
    this.#sides.add(side)
    return side
  }

  async release(side: Closable): Promise<void> {
    this.#sides.delete(side)
    await side.close()
  }

  /** The last one first: an overlay lies over what was opened before it. */
  async close(): Promise<void> {
    for (const side of [...this.#sides].reverse()) await this.release(side)
  }
}

/** Two earlier positions: what both have in common is folded once. Null where something else is asked for. */
async function betweenTimes(options: CompareOptions, world: World, opened: Opened): Promise<Pair | null> {
  const { rebuilt: { store, projection, generation }, against, at } = options
  if (at === undefined || !isDiffOfTimes(options)) return null
  const own = await openStoreSide(store, 'rebuilt', generation)
  await own.close()
  const states = opened.keep(await statesAt({
    source: requireSource(options), projection, manifest: own.checkpoint.manifest, marks: own.marks, world, signal: signalOf(options),
    from: (against as { readonly at: Position | Date }).at, to: at,
  }))
  const from = opened.keep(await openStoreSide(states.from, 'against'))
  const to = opened.keep(await openStoreSide(states.to, 'rebuilt'))
  return { rebuilt: to, against: from, standing: from.standing, reason: null }
}

async function openRebuilt(options: CompareOptions, world: World): Promise<StoreSide> {
  const { store, generation } = options.rebuilt
  const own = await openStoreSide(store, 'rebuilt', generation)
  if (options.at === undefined) return own
  return await pastSide(options, own, options.at, world).finally(() => own.close())
}

/** Our state at another position, folded from the log. */
async function pastSide(options: CompareOptions, own: StoreSide, at: Position | Date, world: World): Promise<StoreSide> {
  const { checkpoint: { manifest }, marks } = own
  const store = await stateAt({
    source: requireSource(options), projection: options.rebuilt.projection, at, manifest, marks, world, signal: signalOf(options),
  })
  return await openStoreSide(store, 'rebuilt')
}

type Opener = (signal: AbortSignal) => Promise<Side>

function againstOf(options: CompareOptions, own: StoreSide, world: World): Opener {
  const { against } = options
  const { store, projection } = options.rebuilt
  if ('kind' in against) return (signal) => (against as Against).open({ projection, signal })
  if ('generation' in against) return () => openStoreSide(store, `generation ${against.generation}`, against.generation)
  if ('at' in against) return () => pastSide(options, own, against.at, world)
  return () => openStoreSide(against as StateStore, 'against')
}

type Pair = Omit<Comparison, 'close'>

async function meet(
  options: CompareOptions, own: StoreSide, open: Opener, world: World, opened: Opened,
): Promise<Pair> {
  const signal = signalOf(options)
  const untilMs = world.clock.monotonicMs() + (options.waitMs ?? 0)
  for (;;) {
    assertGoing(signal)
    const against = opened.keep(await open(signal))
    const standing = standingOf(options, against)
    const pair = { rebuilt: own, against, standing, reason: incomparable(own, against, standing) }
    if (pair.reason !== null || standing === null || isDiffOfTimes(options)) return pair
    const [ours, theirs] = [own.standing.position, standing.position]
    if (samePosition(ours, theirs)) return pair
    if (options.waitMs === undefined) return { ...pair, reason: apart(ours, theirs) }
    const isAhead = reaches(theirs, ours)
    if (isAhead && reaches(headOf(await requireSource(options).bounds({ following: true })), theirs)) {
      return { ...pair, rebuilt: opened.keep(await rolled(options, own, theirs, world)) }
    }
    if (world.clock.monotonicMs() >= untilMs) {
      return { ...pair, reason: late(options.waitMs, isAhead ? 'beyond the end of our log' : 'still behind ours', ours, theirs) }
    }
    await opened.release(against)
    await world.clock.sleep(Math.min(POLL_MS, Math.max(1, untilMs - world.clock.monotonicMs())), signal)
  }
}

/** What is asked is how a state changed, not whether two are one. */
export function isDiffOfTimes({ against }: Pick<CompareOptions, 'against'>): boolean {
  return typeof against === 'object' && against !== null && 'at' in against && !('kind' in against)
}

/** A person's word counts where the side does not prove otherwise: `incomparable` sees to that. */
function standingOf({ againstAt }: CompareOptions, against: Side): Standing | null {
  if (againstAt === undefined || against.standing?.known === 'proved' && samePosition(against.standing.position, againstAt)) {
    return againstAt === undefined ? against.standing : { position: againstAt, known: 'asserted' }
  }
  if (against.standing === null || against.standing.known === 'asserted') return { position: againstAt, known: 'asserted' }
  throw new RehydrateError('USAGE', {
    message: `${against.name} stands at ${formatPosition(against.standing.position)}, as it proves, not at ${formatPosition(againstAt)}.`,
    expected: formatPosition(against.standing.position), actual: formatPosition(againstAt),
  })
}

async function rolled(options: CompareOptions, own: StoreSide, to: Position, world: World): Promise<StoreSide> {
  const { store, generation } = await rollForward({
    session: own.session, source: requireSource(options), projection: options.rebuilt.projection, to, world, signal: signalOf(options),
  })
  return await openStoreSide(store, 'rebuilt', generation)
}

/** Null: the two can be compared once they stand at one position. CONFIG_INVALID where nothing of them would be. */
function incomparable(own: StoreSide, against: Side, standing: Standing | null): RehydrateError | null {
  if (against.kind === 'digest') {
    const { format } = against.hello
    const names = ['version', 'algorithm', 'codec', 'capacity'] as const
    if (names.some((name) => format[name] !== FORMAT[name])) {
      return new RehydrateError('DIGESTS_INCOMPARABLE', {
        message: `${against.name} makes its roots by other rules.`, expected: { ...FORMAT }, actual: { ...format },
      })
    }
  }
  if (against.kind === 'rows' && against.collections.size === 0 && against.leftOut.length > 0) {
    throw new RehydrateError('CONFIG_INVALID', {
      message: `Every collection is left out of the comparison with ${against.name}: nothing would be compared.`,
    })
  }
  if (standing === null) {
    return new RehydrateError('AGAINST_POSITION_UNKNOWN', {
      message: `Nobody said up to which event ${against.name} was built.`,
      fix: `Say where it stands: position: { at: '${formatPosition(own.standing.position)}' } in the configuration, or `
        + `--against-at ${formatPosition(own.standing.position)}.`,
    })
  }
  return against.kind === 'digest' && standing.known === 'proved' ? otherLog(own, against) : null
}

/** Positions mean the same only in the same log. */
function otherLog(own: StoreSide, against: Extract<Side, { kind: 'digest' }>): RehydrateError | null {
  const theirs = new Map(Object.entries(against.hello.manifest.identity))
  for (const [partition, { id }] of Object.entries(own.hello.manifest.identity)) {
    const other = theirs.get(partition)
    if (other === undefined || other.id === id) continue
    return new RehydrateError('LOGS_DIFFER', {
      message: `${partition} of ${against.name} is not provably the log that ours was built from: its first record is another.`,
      partition, expected: id, actual: other.id,
    })
  }
  return null
}

function apart(ours: Position, theirs: Position): RehydrateError {
  return new RehydrateError('POSITIONS_DIFFER', {
    message: `Ours stands at ${formatPosition(ours) || 'the start'}, the other side at ${formatPosition(theirs) || 'the start'}.`,
    expected: formatPosition(ours), actual: formatPosition(theirs),
    fix: reaches(theirs, ours) ? 'Fold ours forward in memory to where the other one stands: --wait.'
      : reaches(ours, theirs) ? `Wait for the other side with --wait, or compare ours as it was there: --at ${formatPosition(theirs)}.`
      : 'Each is behind in some partition: wait until the other side has caught up, with --wait.',
  })
}

function late(waitMs: number, where: string, ours: Position, theirs: Position): RehydrateError {
  return new RehydrateError('WAIT_DEADLINE', {
    message: `After ${Math.round(waitMs / 1000)} s the other side stands at ${formatPosition(theirs) || 'the start'}, ${where}.`,
    expected: formatPosition(ours), actual: formatPosition(theirs),
  })
}

function requireSource({ rebuilt }: CompareOptions): EventSource {
  if (rebuilt.source !== undefined) return rebuilt.source
  throw new RehydrateError('CONFIG_INVALID', {
    message: 'To bring a state to another position its log is needed.', path: 'rebuilt.source', expected: 'an event source',
  })
}

/** RUN_STOPPED once the signal came. */
export function assertGoing(signal: AbortSignal): void {
  if (signal.aborted) throw stopped()
}

/** RUN_STOPPED for whatever the signal broke off. */
export async function unlessStopped<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw signal.aborted && !isRehydrateError(error) ? stopped(error) : error
  }
}

function stopped(cause?: unknown): RehydrateError {
  return new RehydrateError('RUN_STOPPED', {
    message: 'The comparison was stopped.', why: 'It was asked to stop.', safe: 'Nothing was changed.', fix: 'Run it again.', cause,
  })
}

export function signalOf({ signal }: Pick<CompareOptions, 'signal'>): AbortSignal {
  return signal ?? new AbortController().signal
}
