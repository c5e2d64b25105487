import { hashKeys, hashRuns } from '../digest/batch.js'
import { TAG } from '../digest/hash.js'
import type { KeyBytes } from '../digest/key-arena.js'
import type { EntryBlock, StoreSession } from '../store/contract.js'
import { SCAN_PAGE } from './state.js'
import { assertIntact } from './working-set.js'

/** Entries whose bytes fit their hashes. */
export interface IntactPage {
  readonly count: number
  /** Bytes of their values. */
  readonly bytes: number
  readonly keys: readonly string[] | KeyBytes
  /** kh and vh of each, 32 bytes each, as recomputed. */
  readonly keyHashes: Uint8Array
  readonly valueHashes: Uint8Array
}

/** Every entry of a collection, page by page, each checked against its hash. STATE_CORRUPT names the first that does not fit. */
export async function* scanIntact(session: StoreSession, collection: string): AsyncGenerator<IntactPage> {
  for (let after: string | null = null; ;) {
    const block: EntryBlock | null = await session.scanBlock?.(collection, after, SCAN_PAGE) ?? null
    const { page, last }: Scanned = (block === null ? null : pageOfBlock(block)) ?? await pageOfScan(session, collection, after)
    if (page.count > 0) yield page
    if (page.count < SCAN_PAGE) return
    after = last
  }
}

interface Scanned {
  readonly page: IntactPage
  readonly last: string
}

/** Null where some entry does not fit: a scan of them has its key. */
function pageOfBlock({ count, keys, keyEnds, bytes, ends, hashes }: EntryBlock): Scanned | null {
  const valueHashes = hashRuns(bytes, ends)
  if (Buffer.compare(valueHashes, hashes) !== 0) return null
  const keyHashes = hashRuns(keys, keyEnds, TAG.KEY)
  const last = Buffer.from(keys.buffer, keys.byteOffset, keys.length).toString('utf8', keyEnds[count - 2] ?? 0)
  return { page: { count, bytes: bytes.length, keys: { bytes: keys, ends: keyEnds }, keyHashes, valueHashes }, last }
}

async function pageOfScan(session: StoreSession, collection: string, after: string | null): Promise<Scanned> {
  const entries = await session.scan(collection, after, SCAN_PAGE)
  const valueHashes = assertIntact(entries)
  const keys = entries.map(({ key }) => key)
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes.length, 0)
  return { page: { count: keys.length, bytes, keys, keyHashes: hashKeys(keys), valueHashes }, last: keys.at(-1) ?? '' }
}
