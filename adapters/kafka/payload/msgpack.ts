import { setField, type Cursor } from './cursor.js'
import { isoTime } from './time.js'
import { Unreadable } from './unreadable.js'

const TIMESTAMP = -1

/**
 * One MessagePack value as plain data: bin as bytes, the timestamp extension as ISO 8601 text, integers beyond ±(2^53 − 1) as bigints
 * (`isWide` of the cursor). Throws Unreadable for what is not one whole value, names that are not texts, other extensions, and a name
 * that comes twice: readers differ in which one they take.
 */
export function readMessagePack(cursor: Cursor): unknown {
  const value = valueOf(cursor)
  if (cursor.at !== cursor.end) throw new Unreadable(`has ${cursor.end - cursor.at} bytes after its MessagePack value`)
  return value
}

function valueOf(cursor: Cursor): unknown {
  const token = cursor.byte()
  if (token < 0x80) return token
  if (token < 0x90) return mapOf(cursor, token & 15)
  if (token < 0xa0) return arrayOf(cursor, token & 15)
  if (token < 0xc0) return cursor.text(token & 31)
  if (token >= 0xe0) return token - 256
  const { bytes } = cursor
  switch (token) {
    case 0xc0: return null
    case 0xc2: return false
    case 0xc3: return true
    case 0xc4: case 0xc5: case 0xc6: return cursor.copy(uint(cursor, 1 << (token - 0xc4)))
    case 0xc7: case 0xc8: case 0xc9: return extension(cursor, uint(cursor, 1 << (token - 0xc7)))
    case 0xca: return bytes.readFloatBE(cursor.skip(4))
    case 0xcb: return bytes.readDoubleBE(cursor.skip(8))
    case 0xcc: case 0xcd: case 0xce: return uint(cursor, 1 << (token - 0xcc))
    case 0xcf: return cursor.exact(bytes.readBigUInt64BE(cursor.skip(8)))
    case 0xd0: return bytes.readInt8(cursor.skip(1))
    case 0xd1: return bytes.readInt16BE(cursor.skip(2))
    case 0xd2: return bytes.readInt32BE(cursor.skip(4))
    case 0xd3: return cursor.exact(bytes.readBigInt64BE(cursor.skip(8)))
    case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return extension(cursor, 1 << (token - 0xd4))
    case 0xd9: case 0xda: case 0xdb: return cursor.text(uint(cursor, 1 << (token - 0xd9)))
    case 0xdc: case 0xdd: return arrayOf(cursor, uint(cursor, 2 << (token - 0xdc)))
    case 0xde: case 0xdf: return mapOf(cursor, uint(cursor, 2 << (token - 0xde)))
    default: throw new Unreadable(`is no MessagePack: 0x${token.toString(16)} at byte ${cursor.at - 1}`)
  }
}

function uint(cursor: Cursor, width: number): number {
  return cursor.bytes.readUIntBE(cursor.skip(width), width)
}

function arrayOf(cursor: Cursor, count: number): unknown[] {
  cursor.enter()
  const array: unknown[] = []
  // Every item takes a byte, so that a false count ends where the bytes do.
  for (let i = 0; i < count; i++) array.push(valueOf(cursor))
  cursor.leave()
  return array
}

function mapOf(cursor: Cursor, count: number): Record<string, unknown> {
  cursor.enter()
  const object: Record<string, unknown> = {}
  for (let i = 0; i < count; i++) {
    const name = valueOf(cursor)
    if (typeof name !== 'string') throw new Unreadable(`has a name before byte ${cursor.at} that is not a text`)
    if (Object.hasOwn(object, name)) throw new Unreadable(`has the name ${JSON.stringify(name)} twice`)
    setField(object, name, valueOf(cursor))
  }
  cursor.leave()
  return object
}

function extension(cursor: Cursor, count: number): string {
  const type = cursor.bytes.readInt8(cursor.skip(1))
  const from = cursor.skip(count)
  if (type === TIMESTAMP && count === 4) return isoTime(cursor.bytes.readUInt32BE(from), 0)
  if (type === TIMESTAMP && count === 8) {
    const packed = cursor.bytes.readBigUInt64BE(from)
    return isoTime(Number(packed & 0x3_ffff_ffffn), Number(packed >> 34n))
  }
  if (type === TIMESTAMP && count === 12) {
    return isoTime(Number(cursor.bytes.readBigInt64BE(from + 4)), cursor.bytes.readUInt32BE(from))
  }
  throw new Unreadable(`has an extension of type ${type} and ${count} bytes, which stands for nothing known`)
}
