/** The state hash alone: a collection built in bulk, and brought up to date after some of it changed. */
import { EntryArena } from '../../src/digest/arena.js'
import { hashEntries, hashKeys, hashValues } from '../../src/digest/batch.js'
import { TrieBuilder } from '../../src/digest/builder.js'
import { formatHash, HASH_BYTES } from '../../src/digest/hash.js'
import type { TrieRoot } from '../../src/digest/pages.js'
import { updateTrie } from '../../src/digest/trie.js'
import { encode, type Value } from '../../src/index.js'
import { nextOrder } from '../fold.js'
import { COLLECTION } from '../projection.js'
import { measured, tellResult, trialInput, type Cost } from '../trial.js'

export interface HashInput {
  readonly keys: number
  /** 'stored': from canonical bytes. 'objects': from values. 'update': 1 % of the keys get another value. */
  readonly from: 'stored' | 'objects' | 'update'
}

export interface HashResult extends Cost {
  readonly keys: number
  readonly hashed: number
  readonly root: string
}

const BLOCK = 1_024
const UPDATE_EVERY = 100

const keyOf = (i: number): string => `order-${String(i).padStart(9, '0')}`

function valueOf(i: number, changes: number): Value {
  const data = { customerId: `customer-${(i * 31) % 250_000}`, status: 'paid', amountCents: 100 + ((i * 7_919) % 990_000), items: 3 }
  return { ...nextOrder(undefined, data, 1_760_000_000_000 + i * 3), changes }
}

type Pages = Map<string, Uint8Array>

function finish(arena: EntryArena, pages: Pages): TrieRoot {
  const builder = new TrieBuilder(COLLECTION, (key, page) => pages.set(key, page))
  for (const steps = arena.drain(builder); steps.next().done !== true;);
  return builder.finish()
}

/** As the seal does it, a block of stored entries at a time. */
function fromStored(keys: readonly string[], bytesOf: (i: number) => Uint8Array, pages: Pages): TrieRoot {
  const arena = new EntryArena(Number.POSITIVE_INFINITY, true)
  for (let from = 0; from < keys.length; from += BLOCK) {
    const block = keys.slice(from, from + BLOCK)
    arena.add(hashKeys(block), hashValues(block.map((_, i) => bytesOf(from + i))), block)
  }
  return finish(arena, pages)
}

/** As a checkpoint encodes and hashes, and a seal builds. */
function fromObjects(keys: readonly string[], values: readonly Value[], pages: Pages): TrieRoot {
  const arena = new EntryArena(Number.POSITIVE_INFINITY, true)
  for (let from = 0; from < keys.length; from += BLOCK) {
    const block = keys.slice(from, from + BLOCK)
    const hashes = new Uint8Array(block.length * HASH_BYTES)
    let at = 0
    for (const { hash } of hashEntries(block.map((key, i) => ({ collection: COLLECTION, key, value: values[from + i] as Value })))) {
      hashes.set(hash, at)
      at += HASH_BYTES
    }
    arena.add(hashKeys(block), hashes, block)
  }
  return finish(arena, pages)
}

/** Hashes the new values, loads the pages on their paths, makes the new ones. */
async function update(entries: readonly { collection: string; key: string; value: Value }[], pages: Pages): Promise<TrieRoot> {
  const keyHashes = hashKeys(entries.map(({ key }) => key))
  const changes = [...hashEntries(entries)].map(({ key, hash }, i) =>
    ({ key, keyHash: keyHashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES), valueHash: hash }))
  return await updateTrie(COLLECTION, changes, async (wanted) => found(pages, wanted))
}

function found(pages: Pages, wanted: readonly string[]): Pages {
  const some: Pages = new Map()
  for (const key of wanted) {
    const page = pages.get(key)
    if (page !== undefined) some.set(key, page)
  }
  return some
}

async function run({ keys: count, from }: HashInput): Promise<HashResult> {
  const keys = Array.from({ length: count }, (_, i) => keyOf(i))
  const pages: Pages = new Map()
  const told = (hashed: number, { value, cost }: { value: TrieRoot; cost: Cost }): HashResult =>
    ({ ...cost, keys: count, hashed, root: formatHash(value.trieHash) })
  if (from === 'objects') {
    const values = keys.map((_, i) => valueOf(i, 1))
    return told(count, await measured(async () => fromObjects(keys, values, pages)))
  }
  if (from === 'stored') {
    const stored = keys.map((_, i) => encode(valueOf(i, 1)))
    return told(count, await measured(async () => fromStored(keys, (i) => stored[i] as Uint8Array, pages)))
  }
  fromStored(keys, (i) => encode(valueOf(i, 1)), pages)
  const entries = keys.flatMap((key, i) => (i % UPDATE_EVERY === 0 ? [{ collection: COLLECTION, key, value: valueOf(i, 2) }] : []))
  return told(entries.length, await measured(() => update(entries, pages)))
}

tellResult(await run(trialInput<HashInput>()))
