import { RehydrateError } from '../errors.js'
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
  checkOptions('verify()', options, OPTIONS)
  checkOptions('rebuilt', options.rebuilt, ['store', 'projection', 'source', 'generation'])
  requireProjection(options.rebuilt.projection)
  const opened: { close(): Promise<void> }[] = []
  const close = async (): Promise<void> => {
    for (const side of opened.splice(0).reverse()) await side.close()
  }
  const keep: Keep = (side) => {
    opened.push(side)
    return side
  }
  try {
    const between = await betweenTimes(options, world, keep)
    if (between !== null) return { ...between, close }
    const own = keep(await openRebuilt(options, world))
    const pair = await meet(options, own, againstOf(options, own, world), world, keep)
    return { ...pair, close }
  } catch (error) {
    await close()
    throw error
  }
}

type Keep = <T extends { close(): Promise<void> }>(side: T) => T

/** Two earlier positions: what both have in common is folded once. Null where something else is asked for. */
async function betweenTimes(options: CompareOptions, world: World, keep: Keep): Promise<Pair | null> {
  const { rebuilt: { store, projection, generation }, against, at } = options
  if (at === undefined || !isDiffOfTimes(options)) return null
  const own = await openStoreSide(store, 'rebuilt', generation)
  await own.close()
  const states = keep(await statesAt({
    source: requireSource(options), projection, manifest: own.checkpoint.manifest, world, signal: signalOf(options),
    from: (against as { readonly at: Position | Date }).at, to: at,
  }))
  const [from, to] = [keep(await openStoreSide(states.from, 'against')), keep(await openStoreSide(states.to, 'rebuilt'))]
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
  const { manifest } = own.checkpoint
  const store = await stateAt({
    source: requireSource(options), projection: options.rebuilt.projection, at, manifest, world, signal: signalOf(options),
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
  options: CompareOptions, own: StoreSide, open: Opener, world: World, keep: Keep,
): Promise<Pair> {
  const signal = signalOf(options)
  const untilMs = world.clock.monotonicMs() + (options.waitMs ?? 0)
  for (;;) {
    const against = await open(signal)
    const standing = standingOf(options, against)
    const reason = incomparable(own, against, standing)
    if (reason !== null || standing === null) return { rebuilt: own, against: keep(against), standing, reason }
    if (isDiffOfTimes(options) || samePosition(own.standing.position, standing.position)) {
      return { rebuilt: own, against: keep(against), standing, reason: null }
    }
    if (options.waitMs === undefined) {
      return { rebuilt: own, against: keep(against), standing, reason: apart(own.standing.position, standing.position) }
    }
    if (reaches(standing.position, own.standing.position)) {
      keep(against)
      return { rebuilt: keep(await rolled(options, own, standing.position, world)), against, standing, reason: null }
    }
    if (world.clock.monotonicMs() >= untilMs || signal.aborted) {
      return { rebuilt: own, against: keep(against), standing, reason: late(options.waitMs, own.standing.position, standing.position) }
    }
    await against.close()
    await world.clock.sleep(Math.min(POLL_MS, Math.max(1, untilMs - world.clock.monotonicMs())), signal)
  }
}

/** What is asked is how a state changed, not whether two are one. */
function isDiffOfTimes({ against }: CompareOptions): boolean {
  return 'at' in against && !('kind' in against)
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

/** Null: the two can be compared once they stand at one position. */
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

function late(waitMs: number, ours: Position, theirs: Position): RehydrateError {
  return new RehydrateError('WAIT_DEADLINE', {
    message: `After ${Math.round(waitMs / 1000)} s the other side stands at ${formatPosition(theirs) || 'the start'}, still behind ours.`,
    expected: formatPosition(ours), actual: formatPosition(theirs),
  })
}

function requireSource({ rebuilt }: CompareOptions): EventSource {
  if (rebuilt.source !== undefined) return rebuilt.source
  throw new RehydrateError('CONFIG_INVALID', {
    message: 'To bring a state to another position its log is needed.', path: 'rebuilt.source', expected: 'an event source',
  })
}

export function signalOf({ signal }: Pick<CompareOptions, 'signal'>): AbortSignal {
  return signal ?? new AbortController().signal
}
