import { createRequire } from 'node:module'
import zlib from 'node:zlib'
import { RehydrateError } from '../../src/index.js'
import { Damage, TooLarge } from './damage.js'

const MAGIC = 0xfd2fb528
const SKIPPABLE = 0x184d2a50
/** What one block may give. */
const BLOCK_LIMIT = 131_072
/** Where a frame without its size says how large a window it needs. */
const WINDOW = 5

/** The part of fzstd 0.1 that is used where Node itself has no Zstandard (it has from 22.15 on). */
interface Fzstd {
  decompress(frame: Uint8Array): Uint8Array
  readonly Decompress: new (take: (chunk: Uint8Array) => void) => { push(frame: Uint8Array, final: boolean): void }
}

type NativeDecompress = (input: Buffer, options: { readonly maxOutputLength: number }) => Buffer

let fzstd: Fzstd | null = null

/** Zstandard frames. Throws Damage; ADAPTER_PEER_MISSING where neither Node nor a package can read them. */
export function zstdDecompress(input: Buffer, limit: number): Buffer {
  const frames = framesOf(input)
  const known = frames.reduce((sum, { contentSize }) => sum + (contentSize ?? 0), 0)
  if (known > limit) throw new TooLarge()
  const native = (zlib as unknown as { readonly zstdDecompressSync?: NativeDecompress }).zstdDecompressSync
  if (native !== undefined) return native(input, { maxOutputLength: limit })
  fzstd ??= loadFzstd()
  const parts: Uint8Array[] = []
  let total = 0
  const take = (part: Uint8Array): void => {
    total += part.length
    if (total > limit) throw new TooLarge()
    parts.push(part)
  }
  for (const frame of frames) {
    if (frame.contentSize === null) new fzstd.Decompress(take).push(withNarrowWindow(frame, limit), true)
    else take(fzstd.decompress(frame.bytes))
  }
  return parts.length === 1 ? asBuffer(parts[0] as Uint8Array) : Buffer.concat(parts, total)
}

function asBuffer({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, length)
}

function loadFzstd(): Fzstd {
  try {
    return createRequire(import.meta.url)('fzstd') as Fzstd
  } catch (cause) {
    throw new RehydrateError('ADAPTER_PEER_MISSING', {
      message: 'The topic has records compressed with zstd, which this version of Node can not read without the package fzstd.',
      fix: 'npm install fzstd@0.1, or use Node 22.15 or newer',
      cause,
    })
  }
}

/**
 * A frame asks for a window of 2 MiB and more, whatever it holds, which fzstd takes and moves through with every block. No block may give
 * more than 128 KiB, so that as much for each of them is enough.
 */
function withNarrowWindow({ bytes, blocks, windowSize }: Frame, limit: number): Buffer {
  const enough = 2 ** Math.ceil(Math.log2(Math.min(blocks * BLOCK_LIMIT, limit + BLOCK_LIMIT)))
  if (windowSize <= enough) return bytes
  const copy = Buffer.from(bytes)
  copy.writeUInt8((Math.log2(enough) - 10) << 3, WINDOW)
  return copy
}

interface Frame {
  readonly bytes: Buffer
  readonly blocks: number
  readonly windowSize: number
  /** Decompressed; null where the frame does not say. */
  readonly contentSize: number | null
}

/** The frames by their headers alone, so that what they ask for is known before memory is taken. */
function framesOf(input: Buffer): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at < input.length;) {
    if (at + 9 > input.length) throw cutOff()
    const magic = input.readUInt32LE(at)
    if (((magic ^ SKIPPABLE) >>> 4) === 0) {
      at += 8 + input.readUInt32LE(at + 4)
      continue
    }
    if (magic !== MAGIC) throw new Damage('is not the zstd frame that it says it is')
    const { windowSize, contentSize, from, checksum } = headerAt(input, at)
    const { blocks, to } = blocksFrom(input, from)
    const end = to + checksum
    if (end > input.length) throw cutOff()
    frames.push({ bytes: input.subarray(at, end), blocks, windowSize, contentSize })
    at = end
  }
  return frames
}

/** `from`: where the blocks begin; `checksum`: bytes after them. */
function headerAt(input: Buffer, frame: number): { windowSize: number; contentSize: number | null; from: number; checksum: number } {
  const flags = input[frame + 4] as number
  const single = (flags & 0x20) !== 0
  let at = frame + WINDOW
  const exponent = (input[at] as number) >>> 3
  const eighths = (input[at] as number) & 7
  if (!single) at++
  at += [0, 1, 2, 4][flags & 3] as number
  const sizeBytes = flags >>> 6 === 0 ? Number(single) : 1 << (flags >>> 6)
  if (at + sizeBytes > input.length) throw cutOff()
  let contentSize: number | null = null
  if (sizeBytes === 8) contentSize = Number(input.readBigUInt64LE(at))
  else if (sizeBytes > 0) contentSize = input.readUIntLE(at, sizeBytes) + (sizeBytes === 2 ? 256 : 0)
  const windowSize = single ? contentSize as number : 2 ** (10 + exponent) * (1 + eighths / 8)
  return { windowSize, contentSize, from: at + sizeBytes, checksum: (flags & 4) === 0 ? 0 : 4 }
}

function blocksFrom(input: Buffer, from: number): { blocks: number; to: number } {
  let at = from
  for (let blocks = 1; ; blocks++) {
    if (at + 3 > input.length) throw cutOff()
    const header = input.readUIntLE(at, 3)
    const repeated = ((header >>> 1) & 3) === 1
    at += 3 + (repeated ? 1 : header >>> 3)
    if ((header & 1) === 1) return { blocks, to: at }
  }
}

function cutOff(): Damage {
  return new Damage('has zstd data that is cut off')
}
