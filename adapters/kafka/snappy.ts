import { Damage, TooLarge } from './damage.js'

/** What Java's SnappyOutputStream puts in front; then come versions (8 bytes) and blocks, each behind its length. */
const XERIAL = Buffer.from('\x82SNAPPY\0', 'latin1')
const XERIAL_HEADER = 16

/** Snappy, raw or in the framing of the Java client. Throws Damage. */
export function snappyDecompress(input: Buffer, limit: number): Buffer {
  if (!input.subarray(0, XERIAL.length).equals(XERIAL)) return decompressBlock(input, limit)
  const blocks: Buffer[] = []
  let total = 0
  for (let at = XERIAL_HEADER; at < input.length;) {
    const size = at + 4 <= input.length ? input.readInt32BE(at) : -1
    at += 4
    if (size < 0 || at + size > input.length) throw new Damage('has a snappy block that is cut off')
    const block = decompressBlock(input.subarray(at, at + size), limit - total)
    blocks.push(block)
    total += block.length
    at += size
  }
  return blocks.length === 1 ? blocks[0] as Buffer : Buffer.concat(blocks, total)
}

function decompressBlock(input: Buffer, limit: number): Buffer {
  const { size, at } = uncompressedSize(input)
  if (size > limit) throw new TooLarge()
  const output = Buffer.allocUnsafe(size)
  if (copyElements(input, at, output) !== size) throw new Damage('has a snappy block that ends too early')
  return output
}

function uncompressedSize(input: Buffer): { size: number; at: number } {
  let size = 0
  for (let at = 0; at < 5; at++) {
    const byte = input[at]
    if (byte === undefined) break
    size += (byte & 127) * 2 ** (7 * at)
    if (byte < 128) return { size, at: at + 1 }
  }
  throw new Damage('has a snappy block without a length')
}

/** Returns how many bytes were written. */
function copyElements(input: Buffer, from: number, output: Buffer): number {
  let at = from
  let to = 0
  while (at < input.length) {
    const tag = input[at++] as number
    let length = tag >>> 2
    if ((tag & 3) === 0) {
      if (length >= 60) {
        const bytes = length - 59
        if (at + bytes > input.length) throw outOfRange()
        length = input.readUIntLE(at, bytes)
        at += bytes
      }
      length++
      if (at + length > input.length || to + length > output.length) throw outOfRange()
      if (length < 16) for (let i = 0; i < length; i++) output[to + i] = input[at + i] as number
      else input.copy(output, to, at, at + length)
      at += length
      to += length
      continue
    }
    const bytes = (tag & 3) === 3 ? 4 : tag & 3
    if (at + bytes > input.length) throw outOfRange()
    let distance = input.readUIntLE(at, bytes)
    at += bytes
    if (bytes === 1) {
      distance += (tag >>> 5) << 8
      length = (length & 7) + 4
    } else {
      length++
    }
    to = copyBack(output, to, distance, length)
  }
  return to
}

/** Repeats `length` bytes from `distance` back, which may overlap what is being written; returns the new end. */
export function copyBack(output: Buffer, to: number, distance: number, length: number): number {
  if (distance === 0 || distance > to || to + length > output.length) throw outOfRange()
  const from = to - distance
  if (distance >= length && length >= 16) output.copyWithin(to, from, from + length)
  else for (let i = 0; i < length; i++) output[to + i] = output[from + i] as number
  return to + length
}

function outOfRange(): Damage {
  return new Damage('has compressed data that points outside itself')
}
