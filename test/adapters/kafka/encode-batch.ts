import { gzipSync } from 'node:zlib'

export interface TestRecord {
  /** From the base offset. */
  readonly delta: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: readonly (readonly [name: string, value: Buffer | null])[]
  /** From the base timestamp. */
  readonly timestampDelta?: number
}

export interface TestBatch {
  readonly base: number
  readonly records: readonly TestRecord[]
  /** Default: that of the last record. */
  readonly lastDelta?: number
  /** Default: the number of the records. */
  readonly count?: number
  readonly codec?: number
  /** Compressed already; otherwise gzip for codec 1, and as they are. */
  readonly payload?: Buffer
  readonly producerId?: number
  readonly transactional?: boolean
  readonly control?: boolean
  readonly appendTime?: boolean
  readonly leaderEpoch?: number
}

export const BASE_TIMESTAMP = 1_700_000_000_000
export const MAX_TIMESTAMP = 1_700_000_009_999

/** A record batch of format v2, written from the public description of it, byte by byte. */
export function encodeBatch(batch: TestBatch): Buffer {
  const { base, records, codec = 0, producerId = -1, leaderEpoch = 7 } = batch
  const plain = encodeRecords(records)
  const payload = batch.payload ?? (codec === 1 ? gzipSync(plain) : plain)
  const bytes = Buffer.alloc(61 + payload.length)
  bytes.writeBigInt64BE(BigInt(base), 0)
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt32BE(leaderEpoch, 12)
  bytes.writeInt8(2, 16)
  bytes.writeInt16BE(codec | flag(batch.appendTime, 8) | flag(batch.transactional, 16) | flag(batch.control, 32), 21)
  bytes.writeInt32BE(batch.lastDelta ?? records.at(-1)?.delta ?? 0, 23)
  bytes.writeBigInt64BE(BigInt(BASE_TIMESTAMP), 27)
  bytes.writeBigInt64BE(BigInt(MAX_TIMESTAMP), 35)
  bytes.writeBigInt64BE(BigInt(producerId), 43)
  bytes.writeInt16BE(3, 51)
  bytes.writeInt32BE(11, 53)
  bytes.writeInt32BE(batch.count ?? records.length, 57)
  payload.copy(bytes, 61)
  return withChecksum(bytes)
}

/** The end of a producer's transaction. */
export function encodeMarker(base: number, producerId: number, type: 'commit' | 'abort'): Buffer {
  const key = Buffer.from([0, 0, 0, type === 'commit' ? 1 : 0])
  return encodeBatch({ base, producerId, transactional: true, control: true, records: [{ delta: 0, key, value: Buffer.alloc(6) }] })
}

export function encodeRecords(records: readonly TestRecord[]): Buffer {
  return Buffer.concat(records.map(({ delta, key, value, headers = [], timestampDelta = delta }) => {
    const body = Buffer.concat([
      Buffer.from([0]), varint(timestampDelta), varint(delta), ...lengthed(key), ...lengthed(value), varint(headers.length),
      ...headers.flatMap(([name, content]) => [...lengthed(Buffer.from(name)), ...lengthed(content)]),
    ])
    return Buffer.concat([varint(body.length), body])
  }))
}

/** Puts the right CRC-32C into a batch, computed bit by bit. */
export function withChecksum(batch: Buffer): Buffer {
  let crc = 0xffffffff
  for (const byte of batch.subarray(21)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  batch.writeInt32BE(~crc, 17)
  return batch
}

function lengthed(content: Buffer | null): Buffer[] { return content === null ? [varint(-1)] : [varint(content.length), content] }

export function varint(value: number): Buffer {
  let rest = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n))
  const out: number[] = []
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128)
  return Buffer.from([...out, Number(rest)])
}

function flag(is: boolean | undefined, bit: number): number { return is === true ? bit : 0 }
