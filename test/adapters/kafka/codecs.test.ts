import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decompress, type Compression } from '../../../adapters/kafka/codecs.js'
import { crc32c } from '../../../adapters/kafka/crc32c.js'
import { Damage } from '../../../adapters/kafka/damage.js'
import { readBatches } from '../../../adapters/kafka/record-batch.js'
import { JAVA_BATCHES } from './java-batches.js'

const LIMIT = 1 << 20

/** What is written plainly, then how much is repeated from how far back. */
interface Element { readonly literal: Buffer; readonly distance: number; readonly length: number }

const elements = fc.array(fc.record({
  literal: fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 90 }), fc.uint8Array({ minLength: 250, maxLength: 700 })).map((array) => Buffer.from(array)),
  distance: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 5_000 })),
  length: fc.oneof(fc.integer({ min: 4, max: 64 }), fc.integer({ min: 4, max: 600 })),
}), { minLength: 1, maxLength: 30 })

/** What the elements say, byte by byte; distances are cut to what there is. */
function expand(list: readonly Element[]): { output: Buffer; distances: number[] } {
  const output: number[] = []
  const distances: number[] = []
  for (const { literal, distance, length } of list) {
    output.push(...literal)
    const back = Math.min(distance, output.length)
    distances.push(back)
    for (let i = 0; i < length; i++) output.push(output[output.length - back] as number)
  }
  return { output: Buffer.from(output), distances }
}

function lz4Block(list: readonly Element[]): Buffer {
  const { distances } = expand(list)
  const rest = (value: number): number[] => value < 15 ? [] : [...Array<number>(Math.floor((value - 15) / 255)).fill(255), (value - 15) % 255]
  const parts = list.flatMap(({ literal, length }, index) => {
    const back = distances[index] as number
    const token = (Math.min(literal.length, 15) << 4) | Math.min(length - 4, 15)
    return [Buffer.from([token, ...rest(literal.length)]), literal, Buffer.from([back & 255, back >>> 8, ...rest(length - 4)])]
  })
  return Buffer.concat([...parts, Buffer.from([0])])
}

function lz4Frame(blocks: readonly { readonly bytes: Buffer; readonly stored?: boolean }[], { flags = 0x60, descriptor = 0x40 } = {}): Buffer {
  const size = (bytes: number, stored: boolean): Buffer => {
    const word = Buffer.alloc(4)
    word.writeUInt32LE(bytes + (stored ? 0x80000000 : 0))
    return word
  }
  const checksum = Buffer.alloc((flags & 0x10) === 0 ? 0 : 4)
  const body = blocks.flatMap(({ bytes, stored = false }) => [size(bytes.length, stored), bytes, checksum])
  const header = Buffer.from([0x04, 0x22, 0x4d, 0x18, flags, descriptor, ...(flags & 8) === 0 ? [] : Array<number>(8).fill(0), 0])
  return Buffer.concat([header, ...body, Buffer.alloc(4), Buffer.alloc((flags & 4) === 0 ? 0 : 4)])
}

function snappyBlock(list: readonly Element[]): Buffer {
  const { output, distances } = expand(list)
  const size = [...varint(output.length)]
  const parts = list.flatMap(({ literal, length }, index) => {
    const back = distances[index] as number
    const short = literal.length <= 60
    const head = short ? [(literal.length - 1) << 2] : [61 << 2, (literal.length - 1) & 255, (literal.length - 1) >>> 8]
    return [Buffer.from(head), literal, ...copies(length, back)]
  })
  return Buffer.concat([Buffer.from(size), ...parts])
}

/** In the three spellings that there are. */
function copies(length: number, back: number): Buffer[] {
  const parts: Buffer[] = []
  for (let left = length; left > 0;) {
    const take = Math.min(left, 64)
    if (take >= 4 && take <= 11 && back < 2_048) parts.push(Buffer.from([1 | ((take - 4) << 2) | ((back >>> 8) << 5), back & 255]))
    else if (take % 2 === 0) parts.push(Buffer.from([2 | ((take - 1) << 2), back & 255, back >>> 8]))
    else parts.push(Buffer.from([3 | ((take - 1) << 2), back & 255, back >>> 8, 0, 0]))
    left -= take
  }
  return parts
}

function* varint(value: number): Generator<number> {
  let rest = value
  for (; rest > 127; rest >>>= 7) yield (rest & 127) | 128
  yield rest
}

function xerial(blocks: readonly Buffer[]): Buffer {
  const header = Buffer.from([0x82, ...Buffer.from('SNAPPY'), 0, 0, 0, 0, 1, 0, 0, 0, 1])
  return Buffer.concat([header, ...blocks.flatMap((block) => {
    const size = Buffer.alloc(4)
    size.writeInt32BE(block.length)
    return [size, block]
  })])
}

/** A frame of raw blocks and of repeated bytes. */
function zstdFrame(blocks: readonly (Buffer | { readonly byte: number; readonly times: number })[], contentSize: number | null): Buffer {
  const header = contentSize === null ? Buffer.from([0, 0x58]) : Buffer.alloc(5, 0xa0)
  if (contentSize !== null) header.writeUInt32LE(contentSize, 1)
  const body = blocks.map((block, index) => {
    const last = index === blocks.length - 1 ? 1 : 0
    const head = Buffer.alloc(3)
    head.writeUIntLE(Buffer.isBuffer(block) ? last | (block.length << 3) : last | 2 | (block.times << 3), 0, 3)
    return Buffer.concat([head, Buffer.isBuffer(block) ? block : Buffer.from([block.byte])])
  })
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), header, ...body])
}

describe('codecs', () => {
  test.each(Object.entries(JAVA_BATCHES))('%s: a batch of the Java client has the records that were written', (codec, lines) => {
    const { batches } = readBatches(Buffer.from(lines.join(''), 'base64'), { partition: 't/0' })
    const values = batches.flatMap((batch) => {
      expect(batch.compression).toBe(codec)
      const records = batch.records()
      return Array.from({ length: records.count }, (_, index) => `${records.keyAt(index)?.toString()} ${records.valueAt(index)?.toString()}`)
    })
    expect(values).toEqual(Array.from({ length: 60 }, (_, n) => {
      return `k${n % 10} {"type":"Written","data":{"n":${n},"codec":"${codec}","text":"${'x'.repeat(n)}"}}`
    }))
  })

  test('snappy, raw and in the framing of the Java client, gives what its elements say', () => {
    fc.assert(fc.property(elements, elements, (one, two) => {
      expect(decompress('snappy', snappyBlock(one), LIMIT)).toEqual(expand(one).output)
      expect(decompress('snappy', xerial([snappyBlock(one), snappyBlock(two)]), LIMIT)).toEqual(Buffer.concat([expand(one).output, expand(two).output]))
    }))
  })

  test('LZ4 frames of independent and of linked blocks, compressed and stored, with and without their options, give what they hold', () => {
    fc.assert(fc.property(elements, elements, fc.uint8Array({ maxLength: 50 }), fc.constantFrom(0, 4, 8, 16, 28), (one, two, stored, options) => {
      const plain = Buffer.from(stored)
      const independent = lz4Frame([{ bytes: lz4Block(one) }, { bytes: plain, stored: true }, { bytes: lz4Block(two) }], { flags: 0x60 | options })
      expect(decompress('lz4', independent, LIMIT)).toEqual(Buffer.concat([expand(one).output, plain, expand(two).output]))
      // The second block begins with a repetition of the end of the first.
      const block = Buffer.concat([Buffer.from([0x00, 0x03, 0x00]), lz4Block(two)])
      const { output } = expand(one)
      const linked = lz4Frame([{ bytes: lz4Block(one) }, { bytes: block }], { flags: 0x40 | options })
      const repeated = Buffer.from([0, 1, 2, 3].map((index) => output[output.length - 3 + index % 3] as number))
      fc.pre(output.length >= 3)
      expect(decompress('lz4', linked, LIMIT)).toEqual(Buffer.concat([output, repeated, expand(two).output]))
    }))
  })

  test('zstd frames with and without their size, and several of them, give what they hold', () => {
    const [raw, run] = [Buffer.from('hello '), { byte: 0x78, times: 1_000 }]
    const expected = Buffer.from(`hello ${'x'.repeat(1_000)}`)
    expect(decompress('zstd', zstdFrame([raw, run], null), LIMIT)).toEqual(expected)
    expect(decompress('zstd', zstdFrame([raw, run], 1_006), LIMIT)).toEqual(expected)
    // A window of 3.75 TiB, which no one needs.
    const wide = zstdFrame([raw, run], null)
    wide.writeUInt8(0xff, 5)
    expect(decompress('zstd', wide, LIMIT)).toEqual(expected)
    const skipped = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9])
    expect(decompress('zstd', Buffer.concat([zstdFrame([raw], null), skipped, zstdFrame([raw, run], 1_006)]), LIMIT)).toEqual(Buffer.concat([raw, expected]))
  })

  test('a bomb of any codec is refused by the limit, and takes little more memory than that', () => {
    const zeros = { byte: 0, times: 131_071 }
    const long: Element = { literal: Buffer.from('x'), distance: 1, length: 60_000 }
    const bombs: [Compression, Buffer][] = [
      ['gzip', gzipSync(Buffer.alloc(64 << 20))],
      ['snappy', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0])],
      ['snappy', xerial(Array.from({ length: 100 }, () => snappyBlock([long])))],
      ['lz4', lz4Frame(Array.from({ length: 100 }, () => ({ bytes: lz4Block([long]) })))],
      ['lz4', lz4Frame(Array.from({ length: 17 }, () => ({ bytes: Buffer.alloc(65_536), stored: true })))],
      ['zstd', zstdFrame(Array.from({ length: 5_000 }, () => zeros), null)],
      ['zstd', zstdFrame([zeros], 0xffffffff)],
      ['zstd', Buffer.concat(Array.from({ length: 50 }, () => zstdFrame([zeros], 131_071)))],
    ]
    for (const [codec, bomb] of bombs) {
      const before = process.memoryUsage()
      expect(() => decompress(codec, bomb, LIMIT), codec).toThrow(/more than 1048576 bytes/)
      const after = process.memoryUsage()
      expect(after.arrayBuffers + after.external - before.arrayBuffers - before.external).toBeLessThan(24 << 20)
    }
  })

  test('a repetition of nothing, or of what was before the first byte, is Damage', () => {
    for (const distance of [0, 2]) {
      expect(() => decompress('snappy', Buffer.from([5, 0, 0x78, 1, distance]), LIMIT)).toThrow(/outside itself/)
      expect(() => decompress('lz4', lz4Frame([{ bytes: Buffer.from([0x10, 0x78, distance, 0, 0]) }]), LIMIT)).toThrow(/outside itself/)
    }
  })

  test('damaged bytes of any codec are Damage, or other bytes: never another error, never more than the limit', () => {
    const sound: [Compression, Buffer][] = [
      ...Object.entries(JAVA_BATCHES).map(([codec, lines]): [Compression, Buffer] => [codec as Compression, Buffer.from(lines.join(''), 'base64').subarray(61)]),
    ]
    fc.assert(fc.property(fc.constantFrom(...sound), fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255), fc.boolean(), ([codec, bytes], where, byte, cut) => {
      const at = Math.floor(where * Math.min(bytes.length, 600))
      const damaged = Buffer.from(cut ? bytes.subarray(0, at) : bytes)
      if (!cut) damaged.writeUInt8(byte, at)
      try {
        expect(decompress(codec, damaged, 100_000).length).toBeLessThanOrEqual(100_000)
      } catch (error) {
        expect(error, codec).toBeInstanceOf(Damage)
      }
    }), { numRuns: 2_000 })
  })
})

describe('CRC-32C', () => {
  test('is that of the standard, at any alignment and length', () => {
    const plain = (bytes: Uint8Array): number => {
      let crc = 0xffffffff
      for (const byte of bytes) {
        crc ^= byte
        for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
      }
      return ~crc >>> 0
    }
    expect(crc32c(Buffer.from('123456789'), 0, 9)).toBe(0xe3069283)
    fc.assert(fc.property(fc.uint8Array({ maxLength: 700 }), fc.nat(20), fc.nat(20), (bytes, from, less) => {
      const to = Math.max(from, bytes.length - less)
      fc.pre(from <= bytes.length && to <= bytes.length)
      expect(crc32c(bytes, from, to)).toBe(plain(bytes.subarray(from, to)))
    }))
  })
})
