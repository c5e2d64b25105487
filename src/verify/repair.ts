import { isRehydrateError, RehydrateError } from '../errors.js'
import type { World } from '../replay/api.js'
import { rewriteKeys } from '../replay/rewrite.js'
import { encode, type Value } from '../value/canonical.js'
import { checkOptions } from '../value/options.js'
import type { CompareOptions, Difference, Verdict } from './api.js'
import { isDiffOfTimes, signalOf, unlessStopped } from './comparison.js'
import { findDifferences } from './diff.js'
import { without } from './fields.js'
import { foldKeys } from './fold-keys.js'
import { openStoreSide, type StoreSide } from './open.js'
import { damagedKeys, scrubState, type Scrubbed } from './scrub.js'
import type { Against, Mend } from './side.js'
import { decide } from './verdict.js'

export interface RepairOptions extends Pick<CompareOptions, 'rebuilt' | 'againstAt' | 'limit' | 'signal'> {
  /** Left out: only rows of ours that are damaged are looked for. */
  readonly against?: CompareOptions['against']
  /** Rewrite our store. Without it nothing is changed. */
  readonly execute?: boolean
}

interface Key {
  readonly collection: string
  readonly key: string
}

export interface Repair {
  /** Keys of our store whose rows are damaged, or are not what the log gives. */
  readonly ours: readonly Key[]
  /** They were rewritten. */
  readonly executed: boolean
  /** How many keys of the other side are not what the log gives. */
  readonly theirs: number
  /** Keys that differ and were not looked at, as there are more than `limit`; where `before` is truncated, at least so many. */
  readonly unjudged: number
  /** What would bring the other side there (SQL, or lines); never run by us. Empty where it can not be said here. */
  readonly statements: readonly string[]
  /** What was found before anything was compared again; null where nothing was compared. */
  readonly before: Verdict | null
  /** Every stored byte of ours was re-read after it was rewritten; null where nothing was rewritten. */
  readonly scrubbed: Scrubbed | null
  /** The proof after ours was rewritten; null where nothing was rewritten or compared. */
  readonly after: Verdict | null
}

/**
 * Finds which of two sides is not what the log gives, key by key. Ours is rewritten from the log, those keys only, and proved again; for
 * the other side it is said what would put it right. Errors as of diff and explain; ALREADY_RUNNING while a replay writes ours, FENCED
 * where it has moved on meanwhile, STATE_CORRUPT where more is damaged than rows of the projection's collections.
 */
export async function repairState(options: RepairOptions, world: World): Promise<Repair> {
  checkOptions('repair()', options, ['rebuilt', 'against', 'againstAt', 'limit', 'signal', 'execute'])
  const store = new Rewriter(options.rebuilt, world)
  return await unlessStopped(signalOf(options), () => repaired(options, store, world)).catch((error: unknown) => {
    throw store.rewritten > 0 && isRehydrateError(error) && error.code === 'RUN_STOPPED' ? unproved(store.rewritten, error) : error
  })
}

async function repaired({ against, execute = false, ...options }: RepairOptions, store: Rewriter, world: World): Promise<Repair> {
  if (against !== undefined && isDiffOfTimes({ against })) {
    throw new RehydrateError('USAGE', {
      message: 'What a state was earlier is not wrong: there is nothing to repair it by.', fix: '`rehydrate diff` shows what changed.',
    })
  }
  const damaged = await findDamage(options, world)
  const isHalted = damaged.length > 0 && !execute
  if (damaged.length > 0 && execute) await store.rewrite(await fromLog(options, damaged, world))
  // Damaged rows can not be compared.
  const compared = against === undefined || isHalted ? null : await compareWithLog({ ...options, against }, world)
  const wrong = compared?.judged.filter(({ ours }) => ours) ?? []
  if (compared !== null && wrong.length > 0 && execute) await store.rewrite({ ...compared, keys: wrong })
  const theirs = compared?.judged.filter(({ theirs: isWrong }) => isWrong) ?? []
  const ours = [...damaged, ...wrong.map(({ collection, key }) => ({ collection, key }))]
  const executed = execute && ours.length > 0
  return {
    ours, executed, theirs: theirs.length,
    unjudged: (compared?.before.differing ?? 0) - (compared?.judged.length ?? 0),
    statements: against === undefined || theirs.length === 0 ? [] : await statementsFor(against, options, theirs),
    before: compared?.before ?? null,
    scrubbed: executed ? await withOurs(options, ({ session }) => scrubState(session, signalOf(options), world.clock)) : null,
    after: executed && against !== undefined ? await decide({ ...options, against }, world) : null,
  }
}

type OwnOptions = Omit<RepairOptions, 'against' | 'execute'>

async function withOurs<T>({ rebuilt: { store, generation } }: OwnOptions, use: (side: StoreSide) => Promise<T>): Promise<T> {
  const side = await openStoreSide(store, 'rebuilt', generation)
  try {
    return await use(side)
  } finally {
    await side.close()
  }
}

/** Rows of the user's collections that are not what was written. STATE_CORRUPT where that is not all that is damaged. */
async function findDamage(options: OwnOptions, world: World): Promise<Key[]> {
  return await withOurs(options, async ({ session }) => {
    const damage = await scrubState(session, signalOf(options), world.clock).then(() => null, (error: unknown) => error)
    if (damage === null) return []
    if (!isRehydrateError(damage) || damage.code !== 'STATE_CORRUPT') throw damage
    const found: Key[] = []
    for (const { name: collection } of options.rebuilt.projection.collections) {
      for await (const { key } of damagedKeys(session, collection)) found.push({ collection, key })
    }
    if (found.length === 0) throw damage
    return found
  })
}

/** What the log gives for keys of ours, as it stands at one checkpoint. */
interface Right<K extends Key> {
  readonly generation: number
  readonly manifestHash: string
  readonly keys: readonly (K & { readonly value: Value | undefined })[]
}

async function fromLog<K extends Key>(options: OwnOptions, keys: readonly K[], world: World): Promise<Right<K>> {
  const { source, projection } = options.rebuilt
  if (source === undefined) {
    throw new RehydrateError('CONFIG_INVALID', {
      message: 'A repair takes its values from the log: it needs rebuilt.source.', path: 'rebuilt.source', expected: 'an event source',
    })
  }
  return await withOurs(options, async ({ generation, marks, hello: { manifest, manifestHash } }) => {
    const values = await foldKeys({ source, projection, keys, manifest, marks, signal: signalOf(options) }, world)
    return { generation, manifestHash, keys: keys.map((key, i) => ({ ...key, value: values[i] })) }
  })
}

/** Our store, as it is put right. */
class Rewriter {
  /** Keys so far. */
  rewritten = 0
  readonly #rebuilt: OwnOptions['rebuilt']
  readonly #world: World

  constructor(rebuilt: OwnOptions['rebuilt'], world: World) {
    this.#rebuilt = rebuilt
    this.#world = world
  }

  async rewrite(right: Right<Key>): Promise<void> {
    const { store, projection } = this.#rebuilt
    await rewriteKeys({ store, projection, ...right, world: this.#world })
    this.rewritten += right.keys.length
  }
}

function unproved(rewritten: number, cause: unknown): RehydrateError {
  return new RehydrateError('RUN_STOPPED', {
    message: `The repair was stopped after ${rewritten} keys of ours were rewritten, and before that was proved.`,
    safe: 'What was rewritten is committed, and the seal says REPAIRED.', fix: 'Run the same command again.', cause,
  })
}

interface Judged extends Difference {
  /** What the log gives. */
  readonly value: Value | undefined
  /** The same without the fields that the other side does not have. */
  readonly shown: Value | undefined
  /** Ours is not that. */
  readonly ours: boolean
  readonly theirs: boolean
}

interface ComparedWithLog extends Omit<Right<Key>, 'keys'> {
  readonly before: Verdict
  readonly judged: readonly Judged[]
}

/** The keys in which two sides differ, and which of them is not what the log gives. The reason of an inconclusive comparison is thrown. */
async function compareWithLog(options: CompareOptions, world: World): Promise<ComparedWithLog> {
  const { verdict: before, differences } = await findDifferences(options, world)
  if (before.reason !== null) throw new RehydrateError(before.reason.code, { message: before.reason.message, fix: before.reason.fix })
  if (differences.length === 0) return { before, judged: [], generation: 0, manifestHash: '' }
  const { generation, manifestHash, keys } = await fromLog(options, differences, world)
  if (manifestHash !== before.rebuilt.manifest) throw movedOn(before.rebuilt.manifest, manifestHash)
  const stored = await storedValues(options, differences)
  const judged = keys.map((difference, i): Judged => {
    const { collection, value, against } = difference
    const shown = value === undefined ? undefined : without(value, before.collections[collection]?.omitted ?? [])
    return {
      ...difference, shown, ours: !sameBytes(bytesOf(value), stored[i] ?? null), theirs: !sameBytes(bytesOf(shown), bytesOf(against)),
    }
  })
  return { before, judged, generation, manifestHash }
}

/** As they are kept, whole: fields that are left out of the comparison may be wrong as well. */
async function storedValues(options: CompareOptions, keys: readonly Key[]): Promise<(Uint8Array | undefined)[]> {
  return await withOurs(options, async (side) => {
    const stored = new Map<string, ReadonlyMap<string, Uint8Array>>()
    for (const name of new Set(keys.map(({ collection }) => collection))) {
      stored.set(name, await side.values(name, keys.filter(({ collection }) => collection === name).map(({ key }) => key)))
    }
    return keys.map(({ collection, key }) => stored.get(collection)?.get(key))
  })
}

function movedOn(expected: string | null, actual: string): RehydrateError {
  return new RehydrateError('FENCED', {
    message: 'Ours has another checkpoint by now than the one that was compared.', expected, actual, fix: 'Run the same command again.',
  })
}

function bytesOf(value: Value | undefined): Uint8Array | null {
  return value === undefined ? null : encode(value)
}

function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : Buffer.compare(a, b) === 0
}

async function statementsFor(
  against: NonNullable<RepairOptions['against']>, options: OwnOptions, wrong: readonly Judged[],
): Promise<readonly string[]> {
  if (!('kind' in against)) return []
  const side = await (against as Against).open({ projection: options.rebuilt.projection, signal: signalOf(options) })
  try {
    if (side.kind !== 'rows' || side.mend === null) return []
    return side.mend(wrong.map(({ collection, key, shown, against: is }): Mend =>
      ({ collection, key, should: bytesOf(shown), is: bytesOf(is) })))
  } finally {
    await side.close()
  }
}
