import { Damage, TooLarge } from './damage.js'
import { copyBack } from './snappy.js'

const MAGIC = 0x184d2204
const BLOCK_CHECKSUM = 0x10
const CONTENT_SIZE = 0x08
const CONTENT_CHECKSUM = 0x04
const DICTIONARY = 0x01
const STORED = 0x80000000

/** LZ4 frames. Their own checksums are passed over: the batch's covers every byte of them. Throws Damage. */
export function lz4Decompress(input: Buffer, limit: number): Buffer {
  const blocks: Buffer[] = []
  let total = 0
  let at = 0
  do {
    const frame = frameAt(input, at)
    at = frame.blocks
    // Blocks of a frame may point back into earlier ones, by 64 KiB at most.
    let history = Buffer.alloc(0)
    for (;;) {
      if (at + 4 > input.length) throw cutOff()
      const word = input.readUInt32LE(at)
      at += 4
      if (word === 0) break
      const size = word % STORED
      if (at + size > input.length) throw cutOff()
      const bytes = input.subarray(at, at + size)
      const block = word >= STORED ? bytes : decompressBlock(bytes, history, Math.min(frame.blockSize, limit - total))
      total += block.length
      if (total > limit) throw new TooLarge()
      if (block.length > frame.blockSize) throw new Damage('has an LZ4 block that is larger than its frame says')
      blocks.push(block)
      if (frame.linked) history = Buffer.concat([history, block]).subarray(-65_536)
      at += size + frame.blockChecksum
    }
    at += frame.contentChecksum
  } while (at < input.length)
  return blocks.length === 1 ? blocks[0] as Buffer : Buffer.concat(blocks, total)
}

interface Frame {
  /** Where its blocks begin. */
  readonly blocks: number
  /** Of a decompressed block, at most. */
  readonly blockSize: number
  readonly linked: boolean
  /** Bytes, 0 where there is none. */
  readonly blockChecksum: number
  readonly contentChecksum: number
}

function frameAt(input: Buffer, at: number): Frame {
  if (at + 7 > input.length) throw cutOff()
  if (input.readUInt32LE(at) !== MAGIC) throw new Damage('is not the LZ4 frame that it says it is')
  const flags = input[at + 4] as number
  const descriptor = ((input[at + 5] as number) >>> 4) & 7
  if (flags >>> 6 !== 1 || descriptor < 4) throw new Damage('is in a version of LZ4 frames that is not known')
  if ((flags & DICTIONARY) !== 0) throw new Damage('needs an LZ4 dictionary, which Kafka does not have')
  return {
    blocks: at + 7 + ((flags & CONTENT_SIZE) === 0 ? 0 : 8),
    blockSize: 1 << (8 + 2 * descriptor),
    linked: (flags & 0x20) === 0,
    blockChecksum: (flags & BLOCK_CHECKSUM) === 0 ? 0 : 4,
    contentChecksum: (flags & CONTENT_CHECKSUM) === 0 ? 0 : 4,
  }
}

let scratch = Buffer.alloc(0)

/** One block of at most `limit` bytes. */
function decompressBlock(input: Buffer, history: Buffer, limit: number): Buffer {
  if (scratch.length < history.length + limit) scratch = Buffer.allocUnsafeSlow(history.length + limit)
  const output = scratch.subarray(0, history.length + limit)
  history.copy(output)
  let at = 0
  let to = history.length
  for (;;) {
    const token = input[at++]
    if (token === undefined) throw cutOff()
    let literals = token >>> 4
    if (literals === 15) {
      literals = longLength(input, at, 15)
      at = next
    }
    if (at + literals > input.length) throw cutOff()
    if (to + literals > output.length) throw new TooLarge()
    if (literals < 16) for (let i = 0; i < literals; i++) output[to + i] = input[at + i] as number
    else input.copy(output, to, at, at + literals)
    at += literals
    to += literals
    if (at === input.length) return Buffer.from(output.subarray(history.length, to))
    if (at + 2 > input.length) throw cutOff()
    const distance = (input[at] as number) | ((input[at + 1] as number) << 8)
    at += 2
    let length = token & 15
    if (length === 15) {
      length = longLength(input, at, 15)
      at = next
    }
    length += 4
    if (to + length > output.length) throw new TooLarge()
    to = copyBack(output, to, distance, length)
  }
}

/** Where the length that was read last ends. */
let next = 0

function longLength(input: Buffer, from: number, start: number): number {
  let length = start
  for (let at = from; ; at++) {
    const byte = input[at]
    if (byte === undefined) throw cutOff()
    length += byte
    if (byte < 255) {
      next = at + 1
      return length
    }
  }
}

function cutOff(): Damage {
  return new Damage('has LZ4 data that is cut off')
}
