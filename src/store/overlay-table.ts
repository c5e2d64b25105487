import { HASH_BYTES } from '../digest/hash.js'
import { compareUtf8 } from '../log/position.js'
import type { Entry } from './contract.js'

/** One collection as it was changed. `pinned`: a reader holds it, so the next commit copies it before it changes it. */
export interface Table {
  /** Key → hash ‖ bytes; null: deleted from what the base shows. */
  readonly rows: Map<string, Buffer | null>
  /** Keys with a row, in order; null where they changed since. */
  sorted: readonly string[] | null
  pinned: boolean
}

/** Hash and bytes in one piece of Node's pool: two arrays of their own would cost more than they hold. */
export function rowOf(bytes: Uint8Array, hash: Uint8Array): Buffer {
  const row = Buffer.allocUnsafe(HASH_BYTES + bytes.length)
  row.set(hash)
  row.set(bytes, HASH_BYTES)
  return row
}

/** A copy: what a caller does to it does not reach the store. */
export function entryOf(collection: string, key: string, row: Buffer): Entry {
  return { collection, key, bytes: new Uint8Array(row.subarray(HASH_BYTES)), hash: new Uint8Array(row.subarray(0, HASH_BYTES)) }
}

export function sortedKeys(table: Table): readonly string[] {
  table.sorted ??= [...table.rows].flatMap(([key, row]) => (row === null ? [] : [key])).sort(compareUtf8)
  return table.sorted
}

/** Index of the first key > after. */
export function firstBeyond(sorted: readonly string[], after: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareUtf8(sorted[middle] as string, after) <= 0) low = middle + 1
    else high = middle
  }
  return low
}
