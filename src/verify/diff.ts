import { hashValues } from '../digest/batch.js'
import { HASH_BYTES } from '../digest/hash.js'
import { RehydrateError } from '../errors.js'
import type { Projection } from '../projection/define.js'
import type { World } from '../replay/api.js'
import { OWNERS, ownerKey } from '../replay/owners.js'
import { checkedValue, stateCorrupt } from '../replay/working-set.js'
import type { Manifest } from '../store/checkpoint.js'
import { decode, type Value } from '../value/canonical.js'
import type { CompareOptions, Difference, Verdict } from './api.js'
import { blame, type Blame } from './blame.js'
import { asTheirs, type Found } from './compare.js'
import { signalOf, unlessStopped, type Comparison } from './comparison.js'
import { fieldsOf, without } from './fields.js'
import type { OffsetsFile } from './key-offsets.js'
import type { Side } from './side.js'
import { compareStates } from './verdict.js'

export interface DiffOptions extends CompareOptions {
  /** Say for each key which event of the log is consistent with the difference. Needs `rebuilt.source`. */
  readonly blame?: boolean
  /** Handler calls that blame may make in all. Default 1,000,000. */
  readonly maxFolds?: number
  /** For blame: where it is kept which events touch which keys. Built and written where there is none for this position. */
  readonly index?: OffsetsFile
}

/** The verdict, and the keys that differ: up to `limit`, or as far as the verdict says. */
export interface Diff {
  readonly verdict: Verdict
  readonly differences: readonly Difference[]
}

/** Compares two states and names each key that differs, with both values and the places in them. */
export async function findDifferences(options: DiffOptions, world: World): Promise<Diff> {
  const differences: Difference[] = []
  const owners = new Map<string, string>()
  let manifest: Manifest | null = null
  const verdict = await compareStates(options, world, async (found, comparison) => {
    differences.push(...await valuesOf(found, comparison, options.rebuilt.projection))
    manifest = comparison.rebuilt.hello.manifest
    if (options.blame === true) await addOwners(owners, found, comparison)
  })
  if (options.blame !== true || manifest === null) return { verdict, differences }
  const found = { verdict, differences, owners, manifest }
  return { verdict, differences: await unlessStopped(signalOf(options), () => withBlame(options, found, world)) }
}

/** Which partition a key belongs to, where that is kept: the others need not be read for it. */
async function addOwners(owners: Map<string, string>, { collection, keys }: Found, { rebuilt }: Comparison): Promise<void> {
  const entries = await rebuilt.session.load(OWNERS, keys.map(({ key }) => ownerKey(collection, key)))
  for (const entry of entries) owners.set(entry.key, checkedValue(entry, null) as string)
}

/** The same, key by key. The reason of an inconclusive comparison is thrown. */
export async function* differencesOf(options: DiffOptions, world: World): AsyncGenerator<Difference, void> {
  const { verdict, differences } = await findDifferences(options, world)
  if (verdict.reason !== null) throw new RehydrateError(verdict.reason.code, { message: verdict.reason.message, fix: verdict.reason.fix })
  yield* differences
}

async function valuesOf({ collection, keys }: Found, { rebuilt, against }: Comparison, projection: Projection): Promise<Difference[]> {
  const names = keys.map(({ key }) => key)
  const ours = await rebuilt.values(collection, names)
  const theirs = await against.values(collection, names).catch((error: unknown) => { throw asTheirs(against, error) })
  const omitted = against.kind === 'rows' ? against.collections.get(collection)?.omitted ?? [] : []
  const int64 = projection.collections.find(({ name }) => name === collection)?.int64 ?? null
  const valueOf = (bytes: Uint8Array | undefined): Value | undefined =>
    (bytes === undefined ? undefined : without(decode(bytes, int64 === null ? undefined : { int64 }), omitted))
  // Without some of its fields a value of ours has another hash than the one that is kept; it was checked when it was read for that.
  if (omitted.length === 0) assertCompared(rebuilt, collection, names, keys.map((found) => found.rebuilt), ours)
  assertCompared(against, collection, names, keys.map((found) => found.against), theirs)
  return keys.map(({ key }) => {
    const values = { rebuilt: valueOf(ours.get(key)), against: valueOf(theirs.get(key)) }
    if (values.rebuilt === undefined) return { collection, key, kind: 'only-against', ...values, fields: [] }
    if (values.against === undefined) return { collection, key, kind: 'only-rebuilt', ...values, fields: [] }
    return { collection, key, kind: 'value', ...values, fields: fieldsOf(values.rebuilt, values.against) }
  })
}

/**
 * The values of a side must be the ones whose hashes were compared (null: absent). STATE_CORRUPT where it is a store at hand, else
 * AGAINST_INVALID.
 */
function assertCompared(
  side: Side, collection: string, keys: readonly string[], compared: readonly (Uint8Array | null)[],
  values: ReadonlyMap<string, Uint8Array>,
): void {
  const given = keys.filter((key) => values.has(key))
  const hashes = hashValues(given.map((key) => values.get(key) as Uint8Array))
  const actual = new Map(given.map((key, i) => [key, hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)]))
  keys.forEach((key, i) => {
    const [expected, found] = [compared[i] ?? null, actual.get(key) ?? null]
    if (expected === null ? found === null : found !== null && Buffer.compare(expected, found) === 0) return
    const why = expected === null ? 'It has a row now that was not there when it was compared, or that its digest does not list.'
      : found === null ? 'It lists a row that is not there.' : 'It gives another value than the one whose hash it gave before.'
    if ('session' in side) throw stateCorrupt({ collection, key }, `${side.name}: ${why}`)
    throw new RehydrateError('AGAINST_INVALID', { message: `${side.name}, ${collection}/${key}: ${why}`, collection, key })
  })
}

interface Unblamed extends Diff {
  readonly owners: ReadonlyMap<string, string>
  /** Of our side. */
  readonly manifest: Manifest
}

async function withBlame(options: DiffOptions, found: Unblamed, world: World): Promise<readonly Difference[]> {
  const { rebuilt: { source, projection }, maxFolds, index } = options
  const { verdict, differences, owners, manifest } = found
  if (source === undefined) {
    throw new RehydrateError('CONFIG_INVALID', {
      message: 'Blame reads the log again: it needs rebuilt.source.', path: 'rebuilt.source', expected: 'an event source',
    })
  }
  const blames = await blame({
    source, projection, upTo: verdict.position, accepted: manifest.accepted, builtWith: manifest.projection.fingerprint, keys: differences,
    omitted: new Map(Object.entries(verdict.collections).map(([name, { omitted }]) => [name, omitted])),
    partitionsOf: (collection, key) => {
      const owner = owners.get(ownerKey(collection, key))
      return owner === undefined ? null : [owner]
    },
    ...(index === undefined ? {} : { index: { file: index, identity: manifest.identity } }),
    ...(maxFolds === undefined ? {} : { maxFolds }), signal: signalOf(options),
  }, world)
  return differences.map((difference, i) => ({ ...difference, blame: blames[i] as Blame }))
}
