import { RehydrateError, type RehydrateError as Refusal } from '../errors.js'
import { distance, offsetIn, positionFromJson, samePosition } from '../log/position.js'
import type { World } from '../replay/api.js'
import type { Manifest } from '../store/checkpoint.js'
import type { CompareOptions, ComparedSide, InputComparison, Verdict } from './api.js'
import { compareSides, type Compared, type Found } from './compare.js'
import { assertGoing, isDiffOfTimes, openComparison, signalOf, unlessStopped, type Comparison } from './comparison.js'
import { compareInputs, firstDifference } from './inputs.js'
import { scrubState } from './scrub.js'
import type { Side } from './side.js'

export const DEFAULT_LIMIT = 10_000

/**
 * Compares two states at one position. Throws what keeps it from looking (AGAINST_*, STATE_CORRUPT, STORE_*, LOG_* while it folds
 * forward); what keeps it from knowing is the verdict 'inconclusive', with its reason.
 */
export async function decide(options: CompareOptions, world: World): Promise<Verdict> {
  if (isDiffOfTimes(options)) {
    throw new RehydrateError('USAGE', {
      message: 'A state and what it was earlier stand at different positions: there is no verdict on them.',
      fix: '`rehydrate diff` shows what changed between two positions.',
    })
  }
  return await compareStates(options, world, async () => {})
}

/** The verdict, with each finding handed to `take` on the way, both sides still open. */
export async function compareStates(
  options: CompareOptions, world: World, take: (found: Found, comparison: Comparison) => Promise<void>,
): Promise<Verdict> {
  return await unlessStopped(signalOf(options), async () => await narrowed(options, await decided(options, world, take)))
}

async function decided(
  options: CompareOptions, world: World, take: (found: Found, comparison: Comparison) => Promise<void>,
): Promise<Verdict> {
  const startedMs = world.clock.monotonicMs()
  const comparison = await openComparison(options, world)
  try {
    if (comparison.reason !== null) return await inconclusive(comparison, comparison.reason, startedMs, world)
    if (options.scrub === true) await scrubSides(comparison, signalOf(options), world)
    const limit = options.limit ?? DEFAULT_LIMIT
    let differing = 0
    // One more than the limit is looked for: whether there are more is known then.
    const found = compareSides(comparison.rebuilt, comparison.against, options.rebuilt.projection, () => differing > limit)
    for (;;) {
      assertGoing(signalOf(options))
      const { done, value } = await found.next()
      if (done === true) {
        return await verdictOf(comparison, value, { differing, limit, scrubbed: options.scrub === true, startedMs }, world)
      }
      const room = Math.max(0, limit - differing)
      differing += value.keys.length
      if (room > 0) await take(value.keys.length <= room ? value : { ...value, keys: value.keys.slice(0, room) }, comparison)
    }
  } finally {
    await comparison.close()
  }
}

/** Where both logs are at hand, the range in which they part becomes the first record that differs. */
async function narrowed({ rebuilt, againstSource }: CompareOptions, verdict: Verdict): Promise<Verdict> {
  const { input } = verdict
  if (input?.is !== 'different' || rebuilt.source === undefined || againstSource === undefined) return verdict
  const { partition = '', from = 0, to = from } = input
  const offset = await firstDifference(rebuilt.source, againstSource, partition, { from, to })
  return offset === null ? verdict : { ...verdict, input: { ...input, from: offset, to: offset } }
}

/** Where a side is a store at hand, its bytes are re-read; rows are read in any case. */
async function scrubSides({ rebuilt, against }: Comparison, signal: AbortSignal, world: World): Promise<void> {
  await scrubState(rebuilt.session, signal, world.clock)
  if ('session' in against) await scrubState((against as typeof rebuilt).session, signal, world.clock)
}

interface Counted {
  /** Keys that were found to differ. */
  readonly differing: number
  readonly limit: number
  readonly scrubbed: boolean
  readonly startedMs: number
}

async function verdictOf(comparison: Comparison, compared: Compared, counted: Counted, world: World): Promise<Verdict> {
  const { rebuilt, against } = comparison
  const isEqual = Object.values(compared.collections).every(({ equal }) => equal !== false)
  if (isEqual !== (counted.differing === 0)) {
    const roots = isEqual ? 'are equal' : 'differ'
    throw new RehydrateError('UNEXPECTED', { message: `The roots ${roots}, and ${counted.differing} keys differ.` })
  }
  return {
    ...await common(comparison, counted.startedMs, world),
    verdict: isEqual ? 'match' : 'mismatch', reason: null, grade: gradeOf(comparison, counted.scrubbed),
    rebuilt: { ...sideOf('rebuilt', rebuilt), root: compared.rebuilt },
    against: { ...sideOf(against.name, against), root: compared.against },
    collections: compared.collections,
    differing: counted.differing, truncated: against.kind === 'digest' && counted.differing > counted.limit,
  }
}

async function inconclusive(comparison: Comparison, reason: Refusal, startedMs: number, world: World): Promise<Verdict> {
  const { rebuilt, against } = comparison
  const { code, message, fix } = reason
  return {
    ...await common(comparison, startedMs, world),
    verdict: 'inconclusive', reason: { code, message, fix }, grade: null,
    rebuilt: sideOf('rebuilt', rebuilt), against: sideOf(against.name, against), collections: {}, differing: null, truncated: false,
  }
}

async function common({ rebuilt, against, standing }: Comparison, startedMs: number, world: World): Promise<Pick<
  Verdict, 'projection' | 'position' | 'againstPosition' | 'asserted' | 'input' | 'traffic' | 'durationMs'
>> {
  const input = await inputOf(rebuilt, against)
  return {
    projection: rebuilt.hello.manifest.projection,
    position: rebuilt.standing.position,
    againstPosition: standing?.position ?? null,
    asserted: standing?.known === 'asserted',
    input,
    traffic: against.kind === 'digest' ? against.traffic() : null,
    durationMs: Math.round(world.clock.monotonicMs() - startedMs),
  }
}

function sideOf(name: string, side: Side): ComparedSide {
  if (side.kind === 'rows') return { name, root: null, manifest: null, accepted: [], identity: {} }
  const { manifest, manifestHash } = side.hello
  return { name, root: manifest.root, manifest: manifestHash, accepted: manifest.accepted, identity: manifest.identity }
}

function gradeOf({ rebuilt, against }: Comparison, scrubbed: boolean): 'scrubbed' | 'maintained' {
  const isScrubbed = (side: Side): boolean =>
    side.kind === 'rows' || (scrubbed && 'session' in side) || isFresh(side.hello.manifest)
  return isScrubbed(rebuilt) && isScrubbed(against) ? 'scrubbed' : 'maintained'
}

/** Every stored byte was re-read where it stands. */
function isFresh({ scrubbedAt, position }: Manifest): boolean {
  return scrubbedAt !== null && distance(positionFromJson(scrubbedAt), positionFromJson(position)) === 0
}

/** The first partition whose input differs; null where the other side says nothing of what it read. */
async function inputOf(rebuilt: Side, against: Side): Promise<InputComparison | null> {
  if (rebuilt.kind === 'rows' || against.kind === 'rows') return null
  const ours = positionFromJson(rebuilt.hello.manifest.position)
  const theirs = positionFromJson(against.hello.manifest.position)
  const chains = [rebuilt.hello.chains, against.hello.chains] as const
  if (samePosition(ours, theirs) && [...ours.keys()].every((partition) => isSameChain(partition, ...chains))) return { is: 'same' }
  const [mine, others] = [await rebuilt.inputs(), await against.inputs()]
  let is: InputComparison['is'] = 'same'
  for (const partition of new Set([...ours.keys(), ...theirs.keys()])) {
    const upTo = Math.min(offsetIn(ours, partition), offsetIn(theirs, partition))
    const [own, other] = [mine[partition], others[partition]]
    // Where one of them has read nothing there is nothing to compare.
    const compared = own === undefined || other === undefined ? { is: 'unknown' } as const : compareInputs(own, other, upTo)
    const isApart = ours.get(partition) !== theirs.get(partition)
    // Chains of two positions differ in any case; only what they were earlier can be compared.
    if (compared.is === 'different' && isApart && compared.to === upTo) is = 'unknown'
    else if (compared.is === 'different') return { is: 'different', partition, from: compared.from, to: compared.to }
    else if (compared.is === 'unknown') is = 'unknown'
  }
  return { is }
}

type Chains = Readonly<Record<string, string | null>>

function isSameChain(partition: string, ours: Chains, theirs: Chains): boolean {
  const chain = ours[partition] ?? null
  return chain !== null && chain === theirs[partition]
}
