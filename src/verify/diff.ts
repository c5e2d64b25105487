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
import type { Found } from './compare.js'
import { signalOf, type Comparison } from './comparison.js'
import { fieldsOf, without } from './fields.js'
import type { Side } from './side.js'
import { compareStates } from './verdict.js'

export interface DiffOptions extends CompareOptions {
  /** Say for each key which event of the log is consistent with the difference. Needs `rebuilt.source`. */
  readonly blame?: boolean
  /** Handler calls that blame may make in all. Default 1,000,000. */
  readonly maxFolds?: number
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
  return { verdict, differences: await withBlame(options, { verdict, differences, owners, manifest }, world) }
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
  const [ours, theirs] = [await rebuilt.values(collection, names), await against.values(collection, names)]
  const omitted = against.kind === 'rows' ? against.collections.get(collection)?.omitted ?? [] : []
  const int64 = projection.collections.find(({ name }) => name === collection)?.int64 ?? null
  const valueOf = (bytes: Uint8Array | undefined): Value | undefined =>
    (bytes === undefined ? undefined : without(decode(bytes, int64 === null ? undefined : { int64 }), omitted))
  assertListed(against, collection, keys, theirs)
  return keys.map(({ key, rebuilt: mine, against: other }) => {
    assertThere(rebuilt.name, collection, key, mine, ours.get(key))
    assertThere(against.name, collection, key, other, theirs.get(key))
    const values = { rebuilt: valueOf(ours.get(key)), against: valueOf(theirs.get(key)) }
    if (values.rebuilt === undefined) return { collection, key, kind: 'only-against', ...values, fields: [] }
    if (values.against === undefined) return { collection, key, kind: 'only-rebuilt', ...values, fields: [] }
    return { collection, key, kind: 'value', ...values, fields: fieldsOf(values.rebuilt, values.against) }
  })
}

/** Values of the other side must be the ones whose hashes were compared. AGAINST_INVALID. */
function assertListed(
  { name }: Side, collection: string, keys: Found['keys'], values: ReadonlyMap<string, Uint8Array>,
): void {
  const given = keys.filter(({ key, against }) => against !== null && values.has(key))
  const hashes = hashValues(given.map(({ key }) => values.get(key) as Uint8Array))
  given.forEach(({ key, against }, i) => {
    if (Buffer.compare(hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES), against as Uint8Array) === 0) return
    throw new RehydrateError('AGAINST_INVALID', {
      message: `${name} gives another value for ${collection}/${key} than the one whose hash it gave before.`, collection, key,
    })
  })
}

/** A side that lists a key has its value, and the other way round. */
function assertThere(side: string, collection: string, key: string, listed: Uint8Array | null, bytes: Uint8Array | undefined): void {
  if ((listed === null) === (bytes === undefined)) return
  const why = listed === null ? 'There is a row that its digest does not list.' : 'Its digest lists a row that is not there.'
  throw stateCorrupt({ collection, key }, `${side}: ${why}`)
}

interface Unblamed extends Diff {
  readonly owners: ReadonlyMap<string, string>
  /** Of our side. */
  readonly manifest: Manifest
}

async function withBlame(options: DiffOptions, found: Unblamed, world: World): Promise<readonly Difference[]> {
  const { rebuilt: { source, projection }, maxFolds } = options
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
    ...(maxFolds === undefined ? {} : { maxFolds }), signal: signalOf(options),
  }, world)
  return differences.map((difference, i) => ({ ...difference, blame: blames[i] as Blame }))
}
