import { formatHash, HASH_BYTES, hashValue, manifestHash, parseHash, stateRoot } from '../digest/hash.js'
import { RehydrateError } from '../errors.js'
import { decode, encode } from '../value/canonical.js'
import type { Value } from '../value/canonical.js'
import type { Checkpoint, CollectionRoot, Manifest } from './checkpoint.js'

/** Rule 6 of the state hash: H(06 ‖ canonical(manifest)), `sh1:<hex>`. */
export function makeManifestHash(manifest: Manifest): string {
  return formatHash(manifestHash(encode(manifest as unknown as Value)))
}

/** State root (rule 5) over named collection roots, `sh1:<hex>`. */
export function rootOfCollections(roots: Iterable<readonly [string, CollectionRoot]>): string {
  return formatHash(stateRoot(new Map([...roots].map(([name, { count, root }]) => [name, { count, root: parseHash(root) }]))))
}

/**
 * What a store keeps of a checkpoint, opaque to it: H(00 ‖ body) ‖ body, where body = canonical(checkpoint). The manifest
 * has its own hash; this one also covers writer, collection roots and time, so that no flipped bit in the row passes.
 */
export function checkpointBytes(checkpoint: Checkpoint): Uint8Array {
  const body = encode(checkpoint as unknown as Value)
  const bytes = new Uint8Array(HASH_BYTES + body.length)
  bytes.set(hashValue(body))
  bytes.set(body, HASH_BYTES)
  return bytes
}

/** Reads what checkpointBytes wrote. Throws STATE_CORRUPT where a hash, the manifest's included, does not fit. */
export function checkpointFromBytes(bytes: Uint8Array): Checkpoint {
  const body = bytes.subarray(HASH_BYTES)
  const stored = bytes.subarray(0, HASH_BYTES)
  const actual = hashValue(body)
  if (stored.length < HASH_BYTES || !actual.every((byte, i) => byte === stored[i])) {
    throw corrupt('The stored checkpoint does not fit its hash.', Buffer.from(stored).toString('hex'), Buffer.from(actual).toString('hex'))
  }
  const checkpoint = decode(body) as unknown as Checkpoint
  const hash = makeManifestHash(checkpoint.manifest)
  if (hash !== checkpoint.manifestHash) {
    throw corrupt('The manifest of the stored checkpoint does not fit its hash.', checkpoint.manifestHash, hash)
  }
  return checkpoint
}

function corrupt(message: string, expected: string, actual: string): RehydrateError {
  return new RehydrateError('STATE_CORRUPT', { message, expected, actual })
}
