import { createHash, hash } from 'node:crypto'
import { RehydrateError } from '../errors.js'

/** One-byte domain tags, so that no hash of one kind can pass for another. VALUE and NODE are RFC 6962's leaf and node. */
export const TAG = { VALUE: 0, NODE: 1, KEY: 2, BUCKET: 3, COLLECTION: 4, STATE: 5, MANIFEST: 6 } as const

export const HASH_BYTES = 32

/** The version, algorithm (SHA-256) and bucket capacity of every collection root. */
export const DIGEST_VERSION = 1
export const ALGORITHM = 0x12
export const BUCKET_CAPACITY = 16

/** How values become bytes. */
export const CODEC = { RAW: 0, MESSAGEPACK: 1, DAG_CBOR: 2, JCS: 3 } as const

/** kh = H(02 ‖ UTF-8 of the key). */
export function hashKey(key: string): Uint8Array {
  return tagged(TAG.KEY, Buffer.from(key))
}

/** vh = H(00 ‖ canonical bytes of the value). */
export function hashValue(bytes: Uint8Array): Uint8Array {
  return tagged(TAG.VALUE, bytes)
}

/** H(06 ‖ canonical bytes of the manifest). */
export function manifestHash(bytes: Uint8Array): Uint8Array {
  return tagged(TAG.MANIFEST, bytes)
}

/** Rule 4: `count` live keys, `trieHash` = T of rule 3. */
export function collectionRoot(count: number, trieHash: Uint8Array, codec: number = CODEC.MESSAGEPACK): Uint8Array {
  const head = Buffer.from([DIGEST_VERSION, ALGORITHM, codec, BUCKET_CAPACITY, 0, 0, 0, 0, 0, 0, 0, 0])
  head.writeBigUInt64BE(BigInt(count), 4)
  return tagged(TAG.COLLECTION, head, trieHash)
}

/** Rule 5. `collections`: name → collection root and its count; empty ones do not count as there. */
export function stateRoot(collections: ReadonlyMap<string, { readonly count: number; readonly root: Uint8Array }>): Uint8Array {
  const named = [...collections]
    .filter(([, { count }]) => count > 0)
    .map(([name, { root }]) => ({ name: Buffer.from(name), root }))
    .sort((a, b) => a.name.compare(b.name))
  return tagged(TAG.STATE, ...named.flatMap(({ name, root }) => [lengthOf(name), name, root]))
}

function lengthOf(name: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(name.length)
  return length
}

/** `sh1:<64 lower-case hex digits>`: how every hash is printed. */
export function formatHash(bytes: Uint8Array): string {
  return `sh1:${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`
}

/** The 32 bytes of a printed hash. USAGE for anything else. */
export function parseHash(text: string): Uint8Array {
  if (!/^sh1:[0-9a-f]{64}$/.test(text)) {
    throw new RehydrateError('USAGE', {
      message: `${JSON.stringify(text)} is not a hash.`,
      expected: 'sh1: and 64 lower-case hexadecimal digits',
    })
  }
  return new Uint8Array(Buffer.from(text.slice(4), 'hex'))
}

/** SHA-256 of bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  const digest = new Uint8Array(HASH_BYTES)
  hashInto(digest, 0, bytes)
  return digest
}

/** Writes SHA-256 of the message to `out` at `at`. 'latin1' makes Node return one string, four times as fast as a Buffer. */
export function hashInto(out: Uint8Array, at: number, message: Uint8Array): void {
  const digest = hash('sha256', message, 'latin1' as 'hex')
  for (let i = 0; i < HASH_BYTES; i++) out[at + i] = digest.charCodeAt(i)
}

/** T of no entries: H(03). */
export const EMPTY_TRIE_HASH: Uint8Array = sha256(Uint8Array.of(TAG.BUCKET))

function tagged(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const digest = createHash('sha256').update(Uint8Array.of(tag))
  for (const part of parts) digest.update(part)
  return new Uint8Array(digest.digest())
}
