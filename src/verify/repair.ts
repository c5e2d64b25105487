import { RehydrateError } from '../errors.js'
import type { World } from '../replay/api.js'
import { rewriteKeys } from '../replay/rewrite.js'
import type { Manifest } from '../store/checkpoint.js'
import { encode, type Value } from '../value/canonical.js'
import type { CompareOptions, Difference, Verdict } from './api.js'
import { signalOf } from './comparison.js'
import { findDifferences } from './diff.js'
import { without } from './fields.js'
import { foldKeys } from './fold-keys.js'
import { openStoreSide, type StoreSide } from './open.js'
import { damagedKeys } from './scrub.js'
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
  /** What would bring the other side there (SQL, or lines); never run by us. Empty where it can not be said here. */
  readonly statements: readonly string[]
  /** What was found before anything was compared again; null where nothing was compared. */
  readonly before: Verdict | null
  /** The proof after ours was rewritten; null where nothing was rewritten or compared. */
  readonly after: Verdict | null
}

/**
 * Finds which of two sides is not what the log gives, key by key. Ours is rewritten from the log, those keys only, and proved again; for
 * the other side it is said what would put it right. Errors as of diff and explain; ALREADY_RUNNING while a replay writes ours.
 */
export async function repairState(options: RepairOptions, world: World): Promise<Repair> {
  const { against, execute = false } = options
  const damaged = await findDamage(options)
  if (damaged.length > 0 && execute) await rewrite(options, damaged, world)
  // Damaged rows can not be compared.
  if (against === undefined || (damaged.length > 0 && !execute)) {
    return { ours: damaged, executed: execute && damaged.length > 0, theirs: 0, statements: [], before: null, after: null }
  }
  const compared = { rebuilt: options.rebuilt, against, ...pick(options) }
  const { verdict: before, differences } = await findDifferences(compared, world)
  if (before.reason !== null) throw new RehydrateError(before.reason.code, { message: before.reason.message, fix: before.reason.fix })
  const judged = differences.length === 0 ? [] : await judge(options, differences, before, world)
  const wrong = judged.filter(({ ours }) => ours)
  if (wrong.length > 0 && execute) await rewrite(options, wrong, world)
  const theirs = judged.filter(({ theirs: isWrong }) => isWrong)
  return {
    ours: [...damaged, ...wrong.map(({ collection, key }) => ({ collection, key }))],
    executed: execute && damaged.length + wrong.length > 0,
    theirs: theirs.length,
    statements: theirs.length === 0 ? [] : await statementsFor(against, options, theirs, before),
    before,
    after: execute && damaged.length + wrong.length > 0 ? await decide(compared, world) : null,
  }
}

function pick({ againstAt, limit, signal }: RepairOptions): Pick<CompareOptions, 'againstAt' | 'limit' | 'signal'> {
  return {
    ...(againstAt === undefined ? {} : { againstAt }), ...(limit === undefined ? {} : { limit }),
    ...(signal === undefined ? {} : { signal }),
  }
}

async function withOurs<T>({ rebuilt: { store, generation } }: RepairOptions, use: (side: StoreSide) => Promise<T>): Promise<T> {
  const side = await openStoreSide(store, 'rebuilt', generation)
  try {
    return await use(side)
  } finally {
    await side.close()
  }
}

async function findDamage(options: RepairOptions): Promise<Key[]> {
  return await withOurs(options, async (side) => {
    const found: Key[] = []
    for (const { name: collection } of options.rebuilt.projection.collections) {
      for await (const { key } of damagedKeys(side.session, collection)) found.push({ collection, key })
    }
    return found
  })
}

/** Folds the keys from the log and puts them into our store. */
async function rewrite(options: RepairOptions, keys: readonly Key[], world: World): Promise<void> {
  const { store, projection } = options.rebuilt
  const { generation, manifest, manifestHash } = await withOurs(options, async (side) =>
    ({ generation: side.generation, manifest: side.hello.manifest, manifestHash: side.hello.manifestHash }))
  const values = await rightValues(options, keys, manifest, world)
  const rewritten = keys.map(({ collection, key }, i) => ({ collection, key, value: values[i] }))
  await rewriteKeys({ store, generation, projection, keys: rewritten, manifestHash, world })
}

async function rightValues(options: RepairOptions, keys: readonly Key[], manifest: Manifest, world: World): Promise<(Value | undefined)[]> {
  const { source, projection } = options.rebuilt
  if (source === undefined) {
    throw new RehydrateError('CONFIG_INVALID', {
      message: 'A repair takes its values from the log: it needs rebuilt.source.', path: 'rebuilt.source', expected: 'an event source',
    })
  }
  const upTo = new Map(Object.entries(manifest.position))
  return await foldKeys({ source, projection, keys, upTo, manifest, signal: signalOf(options) }, world)
}

interface Judged extends Key {
  /** What the log gives. */
  readonly right: Value | undefined
  readonly difference: Difference
  /** Ours is not that. */
  readonly ours: boolean
  readonly theirs: boolean
}

async function judge(options: RepairOptions, differences: readonly Difference[], verdict: Verdict, world: World): Promise<Judged[]> {
  return await withOurs(options, async (side) => {
    const right = await rightValues(options, differences, side.hello.manifest, world)
    const stored = new Map<string, ReadonlyMap<string, Uint8Array>>()
    for (const collection of new Set(differences.map((difference) => difference.collection))) {
      const keys = differences.filter((difference) => difference.collection === collection).map(({ key }) => key)
      stored.set(collection, await side.values(collection, keys))
    }
    return differences.map((difference, i): Judged => {
      const { collection, key, against } = difference
      const whole = right[i]
      const shown = whole === undefined ? undefined : without(whole, verdict.collections[collection]?.omitted ?? [])
      return {
        collection, key, right: shown, difference,
        ours: !sameBytes(bytesOf(whole), stored.get(collection)?.get(key) ?? null),
        theirs: !sameBytes(bytesOf(shown), bytesOf(against)),
      }
    })
  })
}

function bytesOf(value: Value | undefined): Uint8Array | null {
  return value === undefined ? null : encode(value)
}

function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : Buffer.compare(a, b) === 0
}

async function statementsFor(
  against: CompareOptions['against'], options: RepairOptions, wrong: readonly Judged[], verdict: Verdict,
): Promise<readonly string[]> {
  if (!('kind' in against) || verdict.verdict !== 'mismatch') return []
  const side = await (against as Against).open({ projection: options.rebuilt.projection, signal: signalOf(options) })
  try {
    if (side.kind !== 'rows' || side.mend === null) return []
    return side.mend(wrong.map(({ collection, key, right, difference }): Mend =>
      ({ collection, key, should: bytesOf(right), is: bytesOf(difference.against) })))
  } finally {
    await side.close()
  }
}
