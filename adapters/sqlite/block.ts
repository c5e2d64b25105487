import type { EntryBlock } from '../../src/index.js'
import type { Connection } from './client.js'

const HASH_BYTES = 32
/** Larger values are read row by row, so that a block stays small. */
const LARGE_BYTES = 16_384
const DIGIT_0 = 48
const COMMA = 44

/** Of no rows, and where every value of a column is NULL, all but the count is null. */
type Row = readonly [
  count: number, first: unknown, last: unknown, keys: Uint8Array | null, keySizes: string | null,
  bytes: Uint8Array | null, sizes: string | null, hashes: Uint8Array | null, wholeHashes: number | null,
]

export type ReadBlock = (after: string | null, limit: number) => EntryBlock | null

/**
 * Reads entries of a table of `key, bytes, hash` as one row, put together by SQLite: a third of the time of as many rows. Null where there
 * is a large value, or anything that was not written so. group_concat appends the bytes of texts and blobs as they are, zeros too, and
 * leaves out NULL only; their sizes tell whether it did.
 */
export function blockReader(connection: Connection, table: string): ReadBlock {
  const select = (where: string): string => `
    SELECT count(*), min(key), max(key), CAST(group_concat(key, '') AS BLOB), group_concat(octet_length(key)),
      CAST(group_concat(bytes, '') FILTER (WHERE octet_length(bytes) <= ${LARGE_BYTES}) AS BLOB), group_concat(octet_length(bytes)),
      CAST(group_concat(hash, '') AS BLOB), sum(octet_length(hash) = ${HASH_BYTES})
    FROM (SELECT key, bytes, hash FROM ${table} ${where} ORDER BY key LIMIT ?)`
  const first = connection.prepare(select('')).raw()
  const next = connection.prepare(select('WHERE key > ?')).raw()
  return (after, limit) => blockOf((after === null ? first.get(limit) : next.get(after, limit)) as Row)
}

function blockOf([count, first, last, keys, keySizes, bytes, sizes, hashes, wholeHashes]: Row): EntryBlock | null {
  if (count === 0) return NO_BLOCK
  // What lies between two texts in SQLite's order are texts.
  if (typeof first !== 'string' || typeof last !== 'string' || wholeHashes !== count) return null
  if (keys === null || keySizes === null || bytes === null || sizes === null || hashes === null) return null
  const keyEnds = endsOf(keySizes, count, keys.length)
  const ends = endsOf(sizes, count, bytes.length)
  return keyEnds === null || ends === null ? null : { count, keys, keyEnds, bytes, ends, hashes }
}

const NOTHING = new Uint8Array(0)
const NO_BLOCK: EntryBlock = { count: 0, keys: NOTHING, keyEnds: [], bytes: NOTHING, ends: [], hashes: NOTHING }

/** Where each of so many sizes, "130,128,…", ends. Null where they are not so many, or not `length` together. */
function endsOf(sizes: string, count: number, length: number): Uint32Array | null {
  const ends = new Uint32Array(count)
  let found = 0
  let end = 0
  let size = 0
  for (let i = 0; i <= sizes.length; i++) {
    const unit = i < sizes.length ? sizes.charCodeAt(i) : COMMA
    if (unit === COMMA) {
      end += size
      size = 0
      ends[found++] = end
    } else {
      size = size * 10 + unit - DIGIT_0
    }
  }
  return found === count && end === length ? ends : null
}
