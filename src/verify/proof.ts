import { BUCKET_CAPACITY, formatHash, HASH_BYTES, hashKey, hashValue, parseHash, stateRoot } from '../digest/hash.js'
import { ENTRY_BYTES } from '../digest/pages.js'
import { provePath, rootOfPath } from '../digest/proof.js'
import { isRehydrateError, RehydrateError } from '../errors.js'
import { makeManifestHash } from '../store/checkpoint-codec.js'
import type { Manifest } from '../store/checkpoint.js'
import { decode, encode, type Value } from '../value/canonical.js'
import { parseJson, stringifyJson } from '../value/json.js'
import { isKey } from '../value/key.js'
import { Checks, type Checked, untrustedJson } from './checks.js'
import type { DigestSide } from './side.js'
import { readManifest, type Untrusted } from './untrusted.js'

/** That a key has this value, or is absent, in the state with this manifest: docs/proofs.md. */
export interface Proof {
  readonly v: 1
  readonly kind: 'inclusion' | 'absence'
  readonly collection: string
  readonly key: string
  /** Null: the key is absent. */
  readonly value: ProvenValue | null
  /** Null where the collection is empty, and so is not among the `collections`. */
  readonly path: ProofPath | null
  /** Roots of all that are not empty, `sh1:<hex>`. Not their counts: nothing here could show that those of the others are right. */
  readonly collections: Readonly<Record<string, string>>
  readonly manifest: Manifest
  readonly manifestHash: string
}

export interface ProvenValue {
  /** For people; it must be what the bytes say. */
  readonly json: Value
  /** Canonical bytes in base64: what is hashed. */
  readonly bytes: string
}

export interface ProofPath {
  /** Live keys of the collection. */
  readonly count: number
  /** kh ‖ vh of each entry in the key's bucket, 128 hexadecimal digits each, ascending. */
  readonly bucket: readonly string[]
  /** T of what lies beside the way, from the bucket up to the root, 64 hexadecimal digits each. */
  readonly siblings: readonly string[]
}

/**
 * Proves what a side holds under a key, from its digest alone. KEY_INVALID; STATE_CORRUPT where the row, the pages and the roots
 * do not give each other: no proof is made that does not hold.
 */
export async function proveKey(side: DigestSide, collection: string, key: string): Promise<Proof> {
  if (!isKey(key)) {
    throw new RehydrateError('KEY_INVALID', { message: 'No state has such a key.', collection, safe: 'Nothing was changed.' })
  }
  const { manifest, manifestHash, collections } = side.hello
  const path = Object.hasOwn(collections, collection) ? await provePath(collection, key, side.pages) : null
  const bytes = (await side.values(collection, [key])).get(key)
  const proof: Proof = {
    v: 1, kind: bytes === undefined ? 'absence' : 'inclusion', collection, key,
    value: bytes === undefined ? null : { json: decode(bytes), bytes: Buffer.from(bytes).toString('base64') },
    path: path === null ? null : {
      count: path.count, bucket: hexOf(path.entries, ENTRY_BYTES), siblings: path.siblings.map((hash) => Buffer.from(hash).toString('hex')),
    },
    collections: Object.fromEntries(Object.entries(collections).map(([name, { root }]) => [name, root])), manifest, manifestHash,
  }
  const failure = checkProof(proofText(proof)).failure
  if (failure === null) return proof
  throw new RehydrateError('STATE_CORRUPT', {
    message: `What ${side.name} holds of ${collection}/${key} does not fit its digest.`, collection, key, why: failure.message,
  })
}

function hexOf(bytes: Uint8Array, width: number): string[] {
  const hex = Buffer.from(bytes).toString('hex')
  return Array.from({ length: bytes.length / width }, (_, i) => hex.slice(2 * width * i, 2 * width * (i + 1)))
}

/** One line of JSON; integers are exact, also beyond 2^53. */
export function proofText(proof: Proof): string {
  return `${stringifyJson(proof as unknown as Value)}\n`
}

export type ProofStep = 'form' | 'value' | 'entry' | 'collection' | 'state' | 'manifest' | 'given'

/** Hashes that the checker has from elsewhere, `sh1:<hex>`. */
export interface GivenHashes {
  readonly root?: string
  readonly manifest?: string
}

/** Recomputes everything that a proof says, step by step, up to the first that fails. Needs nothing but the text. */
export function checkProof(text: string, given: GivenHashes = {}): Checked<ProofStep, Proof> {
  const checks = new Checks<ProofStep, Proof>('proof')
  return checks.run((step) => {
    const proof = step('form', () => {
      const read = readProof(text)
      return [`${read.kind} of ${read.collection}/${read.key}`, read]
    })
    checks.subject = proof
    const valueHash = step('value', () => checkValue(proof))
    step('entry', () => checkEntry(proof, valueHash))
    step('collection', () => checkCollection(proof, valueHash))
    step('state', () => {
      checks.same(proof.manifest.root, rootOfState(proof), 'The collection roots do not give the state root.')
      return [proof.manifest.root ?? '', null]
    })
    step('manifest', () => {
      checks.same(proof.manifestHash, makeManifestHash(proof.manifest), 'The manifest does not give its hash.')
      return [proof.manifestHash, null]
    })
    if (given.root !== undefined || given.manifest !== undefined) step('given', () => {
      if (given.root !== undefined) checks.same(given.root, proof.manifest.root, 'It is about a state with another root.')
      if (given.manifest !== undefined) checks.same(given.manifest, proof.manifestHash, 'It is about a state with another manifest.')
      return ['as given', null]
    })
  })
}

/** Enough for the deepest place that two keys could share. */
const MAX_SIBLINGS = 256

function readProof(text: string): Proof {
  const at = untrustedJson(text).fields([
    'v', 'kind', 'collection', 'key', 'value', 'path', 'collections', 'manifest', 'manifestHash',
  ])
  const key = at('key').text()
  const collection = at('collection').text()
  if (!isKey(key)) throw at('key').refused('a key that a state can have')
  if (collection === '' || collection.startsWith('$')) throw at('collection').refused('the name of a collection')
  const kind = at('kind').oneOf('inclusion', 'absence')
  if ((kind === 'absence') !== at('value').isNull) throw at('value').refused(kind === 'absence' ? 'null' : 'a value')
  if (kind === 'inclusion' && at('path').isNull) throw at('path').refused('a path')
  return {
    v: at('v').oneOf(1), kind, collection, key,
    value: at('value').orNull(readValue), path: at('path').orNull(readPath),
    collections: readRoots(at('collections')), manifest: readManifest(at('manifest')), manifestHash: at('manifestHash').hash(),
  }
}

function readValue(given: Untrusted): ProvenValue {
  const at = given.fields(['json', 'bytes'])
  return { json: at('json').value as Value, bytes: at('bytes').base64().toString('base64') }
}

function readRoots(given: Untrusted): Record<string, string> {
  for (const [name] of given.entries()) {
    if (name === '' || name.startsWith('$')) throw given.refused('collections by their names')
  }
  return given.record((root) => root.hash())
}

function readPath(given: Untrusted): ProofPath {
  const at = given.fields(['count', 'bucket', 'siblings'])
  return {
    count: at('count').whole(1),
    bucket: at('bucket').items(BUCKET_CAPACITY).map((entry) => entry.text(/^[0-9a-f]{128}$/)),
    siblings: at('siblings').items(MAX_SIBLINGS).map((hash) => hash.text(/^[0-9a-f]{64}$/)),
  }
}

/** vh of the value; null where the key is absent. */
function checkValue({ value }: Proof): [string, string | null] {
  if (value === null) return ['absent', null]
  const bytes = Buffer.from(value.bytes, 'base64')
  let said: Uint8Array
  try {
    const held = decode(bytes)
    if (Buffer.compare(encode(held), bytes) !== 0) throw refused('The bytes are not the canonical form of a value.')
    // Through JSON and back, because JSON has no bytes: they are text there.
    said = encode(parseJson(stringifyJson(held), { int64: 'wide' }) as Value)
    if (Buffer.compare(said, encode(value.json)) !== 0) throw refused('The JSON form is not the value of the bytes.')
  } catch (error) {
    if (isRehydrateError(error) && error.code === 'PROOF_INVALID') throw error
    throw refused('The bytes, or the JSON form, are not one value that a state can have.')
  }
  const valueHash = Buffer.from(hashValue(bytes)).toString('hex')
  return [`${bytes.length} canonical bytes with vh ${valueHash}`, valueHash]
}

function checkEntry({ collection, key, path, collections }: Proof, valueHash: string | null): [string, null] {
  if (path === null) {
    if (Object.hasOwn(collections, collection)) throw refused(`${collection} is not empty, and so there must be a path.`)
    return [`${collection} is empty`, null]
  }
  const keyHash = Buffer.from(hashKey(key))
  const listed = path.bucket.find((entry) => entry.startsWith(keyHash.toString('hex'))) ?? null
  if (valueHash === null && listed !== null) throw refused('The bucket lists the key.')
  if (valueHash !== null && listed === null) throw refused('The bucket does not list the key.')
  if (valueHash !== null && listed?.slice(2 * HASH_BYTES) !== valueHash) throw refused('The bucket lists another value.')
  return [`kh ${keyHash.toString('hex')} ${listed === null ? 'not ' : ''}among the ${path.bucket.length} of its bucket`, null]
}

function checkCollection({ collection, key, path, collections }: Proof, valueHash: string | null): [string, null] {
  if (path === null) return [`${collection} has no root`, null]
  const { count, bucket, siblings } = path
  const keyPath = { count, entries: bytesOf(bucket.join('')), siblings: siblings.map(bytesOf) }
  const root = rootOfPath(keyPath, hashKey(key), valueHash === null ? null : bytesOf(valueHash))
  if (root === null) throw refused('The bucket, or the way to it, is not one that a state can have.')
  const said = Object.hasOwn(collections, collection) ? collections[collection] : undefined
  if (formatHash(root) !== said) throw refused('The path does not give the root of the collection.', said, formatHash(root))
  return [`${count} keys in ${collection}, ${said}`, null]
}

function rootOfState({ collections }: Proof): string {
  return formatHash(stateRoot(new Map(Object.entries(collections).map(([name, root]) => [name, { count: 1, root: parseHash(root) }]))))
}

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'))
}

function refused(message: string, expected?: unknown, actual?: unknown): RehydrateError {
  return new RehydrateError('PROOF_INVALID', { message, expected, actual })
}
