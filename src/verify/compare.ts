import { EntryArena } from '../digest/arena.js'
import { hashKeys } from '../digest/batch.js'
import { diffTries, type KeyDifference } from '../digest/diff.js'
import { collectionRoot, EMPTY_TRIE_HASH, formatHash } from '../digest/hash.js'
import { diffRows, pagesOfRows } from '../digest/rows.js'
import type { LoadPages } from '../digest/trie.js'
import { ERRORS, isRehydrateError, RehydrateError } from '../errors.js'
import { compareUtf8 } from '../log/position.js'
import type { Projection } from '../projection/define.js'
import { rootOf, scanPages } from '../replay/state.js'
import { assertIntact, decodedValue } from '../replay/working-set.js'
import { rootOfCollections } from '../store/checkpoint-codec.js'
import type { CollectionRoot } from '../store/checkpoint.js'
import { CanonicalWriter } from '../value/canonical.js'
import type { ComparedCollection } from './api.js'
import { without } from './fields.js'
import type { StoreSide } from './open.js'
import type { DigestSide, RowBlock, RowSide, Side } from './side.js'

/** Differences of one collection, as they are found. */
export interface Found {
  readonly collection: string
  readonly keys: readonly KeyDifference[]
}

/** What is known once everything was compared. */
export interface Compared {
  readonly collections: Readonly<Record<string, ComparedCollection>>
  /** State roots over what was compared, `sh1:<hex>`. */
  readonly rebuilt: string
  readonly against: string
}

/** Memory for sorting the hashes of rows; more rows are read in several passes. */
const ROWS_MEMORY_BYTES = 256 * 1024 * 1024

/**
 * Compares two sides that stand at one position, collection by collection in the order of their names. Equal digests cost one look;
 * of rows each is read. `enough` is asked between findings: where it says so, digests are not searched on (their roots are known
 * already), rows are read to their end for the root.
 */
export async function* compareSides(
  rebuilt: StoreSide, against: Side, projection: Projection, enough: () => boolean,
): AsyncGenerator<Found, Compared> {
  const collections: Record<string, ComparedCollection> = {}
  for (const name of namesOf(rebuilt, against, projection)) {
    collections[name] = against.kind === 'digest'
      ? yield* compareDigests(name, rebuilt, against, enough)
      : yield* compareRows(name, rebuilt, against, projection)
  }
  const compared = Object.entries(collections).filter(([, { equal }]) => equal !== null)
  const stateRoot = (side: 'rebuilt' | 'against'): string =>
    rootOfCollections(compared.flatMap(([name, collection]) => (collection[side] === null ? [] : [[name, collection[side]] as const])))
  return { collections, rebuilt: stateRoot('rebuilt'), against: stateRoot('against') }
}

function namesOf(rebuilt: DigestSide, against: Side, projection: Projection): string[] {
  const names = new Set([...projection.collections.map(({ name }) => name), ...Object.keys(rebuilt.hello.collections)])
  if (against.kind === 'digest') for (const name of Object.keys(against.hello.collections)) names.add(name)
  else for (const name of against.collections.keys()) names.add(name)
  return [...names].sort(compareUtf8)
}

async function* compareDigests(
  name: string, rebuilt: StoreSide, against: DigestSide, enough: () => boolean,
): AsyncGenerator<Found, ComparedCollection> {
  const ours = rebuilt.hello.collections[name] ?? null
  const theirs = against.hello.collections[name] ?? null
  const equal = (ours?.root ?? null) === (theirs?.root ?? null)
  if (!equal && !enough()) {
    for await (const keys of diffTries(name, trieOf(rebuilt, name), trieOf(against, name))) {
      yield { collection: name, keys }
      if (enough()) break
    }
  }
  // A root covers its count; what a hello says of it is checked only where pages are read.
  return { rebuilt: ours, against: equal ? ours : theirs, equal, omitted: [] }
}

function trieOf(side: DigestSide, collection: string): { load: LoadPages; root: string } {
  return { load: side.pages, root: side.hello.collections[collection]?.root ?? EMPTY_ROOT }
}

const EMPTY_ROOT = formatHash(collectionRoot(0, EMPTY_TRIE_HASH))

async function* compareRows(
  name: string, rebuilt: StoreSide, against: RowSide, projection: Projection,
): AsyncGenerator<Found, ComparedCollection> {
  const own = rebuilt.hello.collections[name] ?? null
  if (against.leftOut.includes(name)) return { rebuilt: own, against: null, equal: null, omitted: [] }
  const omitted = against.collections.get(name)?.omitted ?? []
  const scan = (): AsyncIterable<RowBlock> => (against.collections.has(name) ? against.scan(name) : noRows())
  const ours = omitted.length === 0 ? { load: rebuilt.pages, root: own } : await withoutFields(rebuilt, name, omitted, projection)
  const rows = diffRows(name, ours.load, scan, { memoryBytes: ROWS_MEMORY_BYTES, root: ours.root?.root ?? EMPTY_ROOT })
  for (;;) {
    const { done, value } = await rows.next().catch((error: unknown) => { throw asTheirs(against, error) })
    if (done !== true) {
      yield { collection: name, keys: value }
      continue
    }
    const theirs = value.count === 0 ? null : { count: value.count, root: formatHash(value.root) }
    return { rebuilt: ours.root, against: theirs, equal: (ours.root?.root ?? null) === (theirs?.root ?? null), omitted }
  }
}

/** A row that can not be read, or comes twice, is a fault of the other side, not of our projection: AGAINST_INVALID. */
export function asTheirs(against: Side, error: unknown): unknown {
  if (!isRehydrateError(error) || error.exitCode !== ERRORS.VALUE_INVALID.exit) return error
  const { message, fix } = error
  return new RehydrateError('AGAINST_INVALID', { ...error.details, message, why: `${error.code} in ${against.name}.`, fix, cause: error })
}

async function* noRows(): AsyncGenerator<RowBlock> {}

/** Our values without some fields have other hashes than the ones that are kept: all are read, checked, and hashed again. */
async function withoutFields(
  rebuilt: StoreSide, name: string, omitted: readonly string[], projection: Projection,
): Promise<{ load: LoadPages; root: CollectionRoot | null }> {
  const collection = projection.collections.find((candidate) => candidate.name === name) ?? null
  const writer = new CanonicalWriter()
  const whole = new EntryArena(Infinity)
  const scan = async function* (): AsyncGenerator<RowBlock> {
    for await (const entries of scanPages(rebuilt.session, name)) {
      const keys = entries.map(({ key }) => key)
      whole.add(hashKeys(keys), assertIntact(entries))
      writer.reset()
      const ends: number[] = []
      for (const entry of entries) {
        writer.write(without(decodedValue(entry, collection), omitted))
        ends.push(writer.length)
      }
      yield { keys, bytes: writer.bytes, ends }
    }
  }
  const { load, count, root } = await pagesOfRows(name, scan)
  const [expected, actual] = [rebuilt.hello.collections[name]?.root ?? EMPTY_ROOT, rootOf(name, whole)]
  if (actual !== expected) {
    throw new RehydrateError('STATE_CORRUPT', {
      message: `The stored entries of ${name} are not the ones that its digest lists.`, collection: name, expected, actual,
    })
  }
  return { load, root: count === 0 ? null : { count, root: formatHash(root) } }
}
