import type { Entry, EntryBlock, PutEntry, StoreSession } from '../store/contract.js'
import { ODD_KEYS } from './store-entries.js'
import { all, check, commit, put, rawPut, same, shown } from './store-scene.js'
import type { CaseBody } from './store-scene.js'

const HASH_BYTES = 32
const SIZES = [0, 1, 15, 16, 17, 31, 32, 33, 255, 4_096, 70_000]

/** What stores promise about `scanBlock`; kept by those that leave it out. */
export const blockCases: readonly CaseBody[] = [
  {
    name: 'a block holds the entries of the scan, byte for byte, whatever is in them',
    async body(scene) {
      const session = await scene.write()
      const puts = ODD_KEYS.map((key, i) => rawPut('orders', key, bytesOf(SIZES[i % SIZES.length] as number, i)))
      await commit(session, { puts: [...puts, rawPut('$digest', 'large', bytesOf(1_048_576, 3)), put('customers', 'a', 1)] })
      for (const limit of [1, 2, 7, puts.length, 1_000]) {
        for (const collection of ['orders', '$digest', 'customers', 'nowhere']) await sameAsScan(session, collection, limit)
      }
    },
  },
  {
    name: 'a block of thousands of entries holds all of them, of no bytes too',
    async body(scene) {
      const session = await scene.write()
      const puts = Array.from({ length: 3_000 }, (_, i): PutEntry => rawPut('orders', `order-${i}`, bytesOf(i % 40, i)))
      await commit(session, { puts: [...puts, ...['a', 'b', 'c'].map((key) => rawPut('customers', key, new Uint8Array(0)))] })
      for (const limit of [999, 3_000, 5_000]) await sameAsScan(session, 'orders', limit)
      await sameAsScan(session, 'customers', 10)
      await commit(session, { deletes: puts.slice(0, 2_999) })
      await sameAsScan(session, 'orders', 10)
    },
  },
]

function bytesOf(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i % 3 === 0 ? 0 : (i * 31 + seed) & 255))
}

/** From the first, after each page, and after the last. */
async function sameAsScan(session: StoreSession, collection: string, limit: number): Promise<void> {
  const entries = await all(session, collection)
  for (let from = 0; from <= entries.length; from += limit) {
    const after = from === 0 ? null : (entries[from - 1] as Entry).key
    const block = await session.scanBlock?.(collection, after, limit) ?? null
    if (block === null) continue
    check(block.keyEnds.length === block.count && block.ends.length === block.count, 'each entry of a block has two ends', block.count)
    check(block.hashes.length === block.count * HASH_BYTES, 'each entry of a block has 32 bytes of hash', block.hashes.length)
    same(shown(entriesOf(collection, block)), shown(entries.slice(from, from + limit)), 'a block holds what the scan gives')
  }
}

function entriesOf(collection: string, { count, keys, keyEnds, bytes, ends, hashes }: EntryBlock): readonly Entry[] {
  const texts = Buffer.from(keys.buffer, keys.byteOffset, keys.length)
  return Array.from({ length: count }, (_, i): Entry => ({
    collection,
    key: texts.toString('utf8', keyEnds[i - 1] ?? 0, keyEnds[i]),
    bytes: bytes.subarray(ends[i - 1] ?? 0, ends[i]),
    hash: hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
  }))
}
