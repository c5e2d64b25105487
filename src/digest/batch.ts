import { getFips, hash as hashOnce } from 'node:crypto'
import { type Value, CanonicalWriter } from '../value/canonical.js'
import { RehydrateError, isRehydrateError } from '../errors.js'
import { HASH_BYTES, TAG } from './hash.js'
import { type FourLanes, fourLanes } from './sha256.js'

/** Beyond this many blocks OpenSSL, with the processor's own SHA instructions, is faster than four lanes of SIMD. */
const MAX_BLOCKS = 4
/** Digests that stay in the memory of WebAssembly before they are copied out. */
const WINDOW = 1024

/** lanes[b] is where the four messages of b blocks are staged; the digests stand behind them. */
const LANES_FROM = [0, 1, 2, 3, 4].map((blocks) => 64 * 4 * ((blocks * (blocks - 1)) / 2))
const WINDOW_FROM = 64 * 4 * 10
const SCRAP = WINDOW_FROM + WINDOW * HASH_BYTES
const MEMORY_BYTES = SCRAP + HASH_BYTES

/** Making the lanes takes some 20 ms: about what OpenSSL takes longer for so many messages, and most commands hash fewer. */
const WARM_UP = 512

let commonLanes: FourLanes | null | undefined

/** FIPS mode asks for OpenSSL's own SHA-256. */
function sharedLanes(): FourLanes | null {
  if (commonLanes === undefined) commonLanes = getFips() === 1 ? null : fourLanes(MEMORY_BYTES)
  return commonLanes
}

/**
 * SHA-256 of many messages, each a tag byte and bytes. Messages of the same number of blocks are hashed four at a time, longer
 * ones by OpenSSL; the digests stand in the order of `add`.
 */
export class HashBatch {
  #lanes: FourLanes | null = null
  readonly #lanesFrom: number
  #hashed = 0
  /** Per number of blocks: how many lanes are filled, and the digests' places in the window. */
  readonly #filled = new Uint8Array(MAX_BLOCKS + 1)
  readonly #slots = new Int32Array(4 * (MAX_BLOCKS + 1))
  #out: Uint8Array = new Uint8Array(0)
  #count = 0
  #copied = 0

  /**
   * `lanesFrom`: so many messages are left to OpenSSL before the lanes are made; Infinity: all. All batches share one memory: finish
   * one before you start another.
   */
  constructor(lanesFrom = WARM_UP) {
    this.#lanesFrom = lanesFrom
  }

  /** The digests go to `out`, 32 bytes each, from its beginning. */
  start(out: Uint8Array): void {
    this.#lanes = this.#hashed >= this.#lanesFrom ? sharedLanes() : null
    this.#out = out
    this.#count = 0
    this.#copied = 0
    this.#filled.fill(0)
  }

  /** Hashes tag ‖ bytes[from, to). */
  add(tag: number, bytes: Uint8Array, from: number, to: number): void {
    const length = to - from
    const blocks = (length + 73) >>> 6
    if (this.#lanes === null || blocks > MAX_BLOCKS) {
      this.#addLong(tag, bytes, from, to)
      return
    }
    const memory = this.#lanes.memory
    const begin = LANES_FROM[blocks]! + this.#filled[blocks]! * blocks * 64
    memory[begin] = tag
    if (length < 100) for (let i = 0; i < length; i++) memory[begin + 1 + i] = bytes[from + i]!
    else memory.set(bytes.subarray(from, to), begin + 1)
    this.#pad(begin, length + 1, blocks)
  }

  /** Hashes tag ‖ message for each of many messages that stand one behind the other; `ends[i]` is where message i ends. */
  addRuns(tag: number, bytes: Uint8Array, ends: ArrayLike<number>): void {
    const source = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let i = 0, from = 0; i < ends.length; i++) {
      const to = ends[i]!
      const blocks = (to - from + 73) >>> 6
      if (this.#lanes === null || blocks > MAX_BLOCKS) this.#addLong(tag, bytes, from, to)
      else this.#addWords(this.#lanes, tag, source, from, to, blocks)
      from = to
    }
  }

  /** Copies four bytes at a time, wherever they begin: a tenth of what a call costs that copies them all. */
  #addWords({ words, memory }: FourLanes, tag: number, source: DataView, from: number, to: number, blocks: number): void {
    const begin = LANES_FROM[blocks]! + this.#filled[blocks]! * blocks * 64
    memory[begin] = tag
    const shift = begin + 1 - from
    let at = from
    for (const last = to - 4; at <= last; at += 4) words.setInt32(at + shift, source.getInt32(at, true), true)
    for (; at < to; at++) memory[at + shift] = source.getUint8(at)
    this.#pad(begin, to - from + 1, blocks)
  }

  /** Hashes tag ‖ UTF-8 of the text. */
  addText(tag: number, text: string): void {
    const units = text.length
    const blocks = (units + 73) >>> 6
    if (this.#lanes !== null && blocks === 1) {
      const memory = this.#lanes.memory
      const begin = LANES_FROM[1]! + this.#filled[1]! * 64
      let i = 0
      for (; i < units; i++) {
        const unit = text.charCodeAt(i)
        if (unit > 127) break
        memory[begin + 1 + i] = unit
      }
      if (i === units) {
        memory[begin] = tag
        this.#pad(begin, units + 1, 1)
        return
      }
    }
    const bytes = Buffer.from(text)
    this.add(tag, bytes, 0, bytes.length)
  }

  /** Writes the digests still missing. */
  finish(): void {
    if (this.#lanes !== null) this.#flush(this.#lanes)
    this.#hashed += this.#count
    this.#out = new Uint8Array(0)
  }

  #pad(begin: number, length: number, blocks: number): void {
    const lanes = this.#lanes!
    const { memory, words } = lanes
    const end = begin + blocks * 64
    memory[begin + length] = 0x80
    let at = begin + length + 1
    for (const last = end - 6; at <= last; at += 4) words.setInt32(at, 0, true)
    for (; at < end - 2; at++) memory[at] = 0
    memory[end - 2] = length >>> 5
    memory[end - 1] = length << 3
    const lane = this.#filled[blocks]!++
    this.#slots[blocks * 4 + lane] = WINDOW_FROM + (this.#count - this.#copied) * HASH_BYTES
    this.#count++
    if (lane === 3) this.#run(lanes, blocks)
    if (this.#count - this.#copied === WINDOW) this.#flush(lanes)
  }

  #addLong(tag: number, bytes: Uint8Array, from: number, to: number): void {
    const message = Buffer.allocUnsafe(to - from + 1)
    message[0] = tag
    message.set(bytes.subarray(from, to), 1)
    const digest = hashOnce('sha256', message, 'latin1' as 'hex')
    const target = this.#lanes === null ? this.#out : this.#lanes.memory
    const at = this.#lanes === null ? this.#count * HASH_BYTES : WINDOW_FROM + (this.#count - this.#copied) * HASH_BYTES
    for (let i = 0; i < HASH_BYTES; i++) target[at + i] = digest.charCodeAt(i)
    this.#count++
    if (this.#lanes !== null && this.#count - this.#copied === WINDOW) this.#flush(this.#lanes)
  }

  /** Lanes that are not filled hash what is left from before, into the scrap. */
  #run(lanes: FourLanes, blocks: number): void {
    const begin = LANES_FROM[blocks]!
    const size = blocks * 64
    const slots = this.#slots
    const first = blocks * 4
    for (let lane = this.#filled[blocks]!; lane < 4; lane++) slots[first + lane] = SCRAP
    lanes.hash(begin, begin + size, begin + 2 * size, begin + 3 * size, blocks,
      slots[first]!, slots[first + 1]!, slots[first + 2]!, slots[first + 3]!)
    this.#filled[blocks] = 0
  }

  #flush(lanes: FourLanes): void {
    for (let blocks = 1; blocks <= MAX_BLOCKS; blocks++) if (this.#filled[blocks]! > 0) this.#run(lanes, blocks)
    const length = (this.#count - this.#copied) * HASH_BYTES
    this.#out.set(lanes.memory.subarray(WINDOW_FROM, WINDOW_FROM + length), this.#copied * HASH_BYTES)
    this.#copied = this.#count
  }
}

const batch = new HashBatch()

/** kh of each key, 32 bytes each, in one array. */
export function hashKeys(keys: readonly string[]): Uint8Array {
  const hashes = new Uint8Array(keys.length * HASH_BYTES)
  batch.start(hashes)
  for (const key of keys) batch.addText(TAG.KEY, key)
  batch.finish()
  return hashes
}

export interface HashedEntry {
  readonly collection: string
  readonly key: string
  readonly value: Value
  /** Canonical bytes of the value. */
  readonly bytes: Uint8Array
  /** vh = H(00 ‖ bytes). */
  readonly hash: Uint8Array
}

const BLOCK_ENTRIES = 1024
const BLOCK_BYTES = 1024 * 1024

/**
 * Encodes and hashes entries, about 1,024 at a time: `bytes` and `hash` of one block are parts of one array each, and stay valid.
 * VALUE_INVALID with collection, key and path for a value without canonical bytes, or with more than MAX_BYTES.
 */
export function* hashEntries(
  entries: Iterable<{ readonly collection: string; readonly key: string; readonly value: Value }>,
): Generator<HashedEntry, void, undefined> {
  const writer = new CanonicalWriter()
  let block: { readonly collection: string; readonly key: string; readonly value: Value }[] = []
  let ends: number[] = []
  for (const entry of entries) {
    writeEntry(writer, entry)
    block.push(entry)
    ends.push(writer.length)
    if (block.length === BLOCK_ENTRIES || writer.length >= BLOCK_BYTES) {
      yield* hashBlock(block, ends, writer)
      block = []
      ends = []
    }
  }
  yield* hashBlock(block, ends, writer)
}

function writeEntry(writer: CanonicalWriter, entry: { readonly collection: string; readonly key: string; readonly value: Value }): void {
  try {
    writer.write(entry.value)
  } catch (error) {
    if (!isRehydrateError(error)) throw error
    throw new RehydrateError(error.code, { ...error.details, collection: entry.collection, key: entry.key })
  }
}

function* hashBlock(
  block: readonly { readonly collection: string; readonly key: string; readonly value: Value }[],
  ends: readonly number[],
  writer: CanonicalWriter,
): Generator<HashedEntry, void, undefined> {
  const bytes = new Uint8Array(writer.bytes.subarray(0, writer.length))
  writer.reset()
  const hashes = hashRuns(bytes, ends)
  for (let i = 0; i < block.length; i++) {
    const { collection, key, value } = block[i]!
    yield {
      collection, key, value,
      bytes: bytes.subarray(i === 0 ? 0 : ends[i - 1]!, ends[i]!),
      hash: hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
    }
  }
}

/**
 * vh of each of many values that stand one behind the other, or with TAG.KEY the kh of keys in UTF-8; `ends[i]` is where number i ends.
 * 32 bytes each, in one array.
 */
export function hashRuns(bytes: Uint8Array, ends: ArrayLike<number>, tag: number = TAG.VALUE): Uint8Array {
  const hashes = new Uint8Array(ends.length * HASH_BYTES)
  batch.start(hashes)
  batch.addRuns(tag, bytes, ends)
  batch.finish()
  return hashes
}

/** vh of each of many canonical bytes, 32 bytes each, in one array. */
export function hashValues(values: readonly Uint8Array[]): Uint8Array {
  const hashes = new Uint8Array(values.length * HASH_BYTES)
  batch.start(hashes)
  for (const bytes of values) batch.add(TAG.VALUE, bytes, 0, bytes.length)
  batch.finish()
  return hashes
}
