import { hashKeys } from './batch.js'
import { HASH_BYTES } from './hash.js'

/** A set of keys: how many, and the XOR of their kh as 64 hexadecimal digits. */
export interface KeySum {
  readonly count: number
  readonly sum: string
}

/**
 * What vouches for the keys of a collection before its digest is built: cheap to keep while keys come and go, in any order. It
 * finds faults, such as a lost row or a damaged key; against forgery there is the digest. (vh covers a row's value, not its key.)
 */
export class KeySet {
  #count: number
  readonly #sum: Uint8Array

  constructor(from: KeySum | undefined) {
    this.#count = from?.count ?? 0
    this.#sum = from === undefined ? new Uint8Array(HASH_BYTES) : new Uint8Array(Buffer.from(from.sum, 'hex'))
  }

  get value(): KeySum { return { count: this.#count, sum: Buffer.from(this.#sum).toString('hex') } }

  add(keys: readonly string[]): void { this.#change(hashKeys(keys), 1) }

  remove(keys: readonly string[]): void { this.#change(hashKeys(keys), -1) }

  /** Adds keys of which the kh are known: 32 bytes each, from a multiple of 4 bytes on. */
  addHashes(hashes: Uint8Array): void { this.#change(hashes, 1) }

  #change(hashes: Uint8Array, step: 1 | -1): void {
    const sum = new Int32Array(this.#sum.buffer)
    const words = new Int32Array(hashes.buffer, hashes.byteOffset, hashes.length / 4)
    for (let i = 0; i < words.length; i += sum.length) for (let word = 0; word < sum.length; word++) sum[word]! ^= words[i + word]!
    this.#count += (step * hashes.length) / HASH_BYTES
  }
}
