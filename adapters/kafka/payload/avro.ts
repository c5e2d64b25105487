import { decimalOf, uuidOf } from '../../../src/index.js'
import { setField, type Cursor } from './cursor.js'
import { Unreadable } from './unreadable.js'

/** A type of a schema, as far as reading needs it. */
export type AvroType =
  | { readonly kind: 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' | 'string' }
  | { readonly kind: 'uuid' | 'decimal'; readonly scale: number; readonly size: number | null }
  | { readonly kind: 'fixed'; readonly name: string; readonly size: number }
  | { readonly kind: 'enum'; readonly name: string; readonly symbols: readonly string[] }
  | { readonly kind: 'array' | 'map'; readonly items: AvroType }
  | { readonly kind: 'union'; readonly branches: readonly AvroType[] }
  | AvroRecord

export interface AvroRecord {
  readonly kind: 'record'
  readonly name: string
  readonly fields: { readonly name: string; readonly type: AvroType }[]
}

/**
 * One value in Avro's binary form as plain data. A union gives the value of its branch, bare; an enum its symbol; a decimal its canonical
 * text, a uuid its text; dates and times stay the integers that they are. Throws Unreadable.
 */
export function readAvro(type: AvroType, cursor: Cursor): unknown {
  const value = valueOf(type, cursor)
  if (cursor.at !== cursor.end) throw new Unreadable(`has ${cursor.end - cursor.at} bytes after its Avro value`)
  return value
}

function valueOf(type: AvroType, cursor: Cursor): unknown {
  switch (type.kind) {
    case 'null':
      cursor.free()
      return null
    case 'boolean': return booleanOf(cursor)
    case 'int': return intOf(cursor)
    case 'long': return cursor.zigzag()
    case 'float': return cursor.float32()
    case 'double': return cursor.float64()
    case 'bytes': return cursor.copy(cursor.count())
    case 'string': return cursor.text(cursor.count())
    case 'fixed': return fixed(type.size, cursor)
    case 'enum': return symbolOf(type.symbols, cursor)
    case 'uuid': return type.size === null ? uuid(cursor.text(cursor.count())) : uuid(Buffer.from(cursor.copy(16)).toString('hex'))
    case 'decimal': return decimal(type.size === null ? cursor.copy(cursor.count()) : fixed(type.size, cursor), type.scale)
    case 'array': return arrayOf(type.items, cursor)
    case 'map': return mapOf(type.items, cursor)
    case 'union': return branchOf(type.branches, cursor)
    case 'record': return recordOf(type, cursor)
  }
}

function recordOf(type: AvroRecord, cursor: Cursor): Record<string, unknown> {
  cursor.enter()
  const record: Record<string, unknown> = {}
  if (type.fields.length === 0) cursor.free()
  for (const field of type.fields) setField(record, field.name, valueOf(field.type, cursor))
  cursor.leave()
  return record
}

function arrayOf(items: AvroType, cursor: Cursor): unknown[] {
  cursor.enter()
  const array: unknown[] = []
  for (let count = blockCount(cursor); count > 0; count = blockCount(cursor)) {
    for (let i = 0; i < count; i++) array.push(valueOf(items, cursor))
  }
  cursor.leave()
  return array
}

function mapOf(items: AvroType, cursor: Cursor): Record<string, unknown> {
  cursor.enter()
  const map: Record<string, unknown> = {}
  for (let count = blockCount(cursor); count > 0; count = blockCount(cursor)) {
    for (let i = 0; i < count; i++) {
      const name = cursor.text(cursor.count())
      if (Object.hasOwn(map, name)) throw new Unreadable(`has the name ${JSON.stringify(name)} twice in a map`)
      setField(map, name, valueOf(items, cursor))
    }
  }
  cursor.leave()
  return map
}

/** Items of the next block; a negative count is followed by the block's bytes, which only who passes over it needs. */
function blockCount(cursor: Cursor): number {
  const count = cursor.zigzag()
  if (typeof count === 'bigint') throw new Unreadable(`has a block of ${count} items`)
  if (count < 0) cursor.count()
  return Math.abs(count)
}

function branchOf(branches: readonly AvroType[], cursor: Cursor): unknown {
  const index = cursor.zigzag()
  const branch = typeof index === 'number' ? branches[index] : undefined
  if (branch === undefined) throw new Unreadable(`has branch ${index} of a union that has ${branches.length}`)
  if (branch.kind !== 'null') return valueOf(branch, cursor)
  return null
}

function symbolOf(symbols: readonly string[], cursor: Cursor): string {
  const index = cursor.zigzag()
  const symbol = typeof index === 'number' ? symbols[index] : undefined
  if (symbol === undefined) throw new Unreadable(`has symbol ${index} of an enum that has ${symbols.length}`)
  return symbol
}

function fixed(size: number, cursor: Cursor): Uint8Array {
  if (size === 0) cursor.free()
  return cursor.copy(size)
}

function booleanOf(cursor: Cursor): boolean {
  const byte = cursor.byte()
  if (byte > 1) throw new Unreadable(`has a boolean of 0x${byte.toString(16)}`)
  return byte === 1
}

function intOf(cursor: Cursor): number {
  const value = cursor.zigzag()
  if (typeof value === 'number' && value === (value | 0)) return value
  throw new Unreadable(`has an int of more than 32 bits: ${value}`)
}

function uuid(text: string): string {
  try {
    return uuidOf(text)
  } catch {
    throw new Unreadable(`has a uuid that is none: ${JSON.stringify(text.slice(0, 60))}`)
  }
}

/** More digits than any money has; the conversion takes time that grows with their square. */
const MAX_DECIMAL_BYTES = 1024

/** Two's complement, big-endian, of value × 10^scale. */
function decimal(bytes: Uint8Array, scale: number): string {
  if (bytes.length > MAX_DECIMAL_BYTES) throw new Unreadable(`has a decimal of ${bytes.length} bytes`)
  if (bytes.length === 0) return '0'
  const unscaled = BigInt.asIntN(bytes.length * 8, BigInt(`0x${Buffer.from(bytes).toString('hex')}`))
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  return decimalOf(`${unscaled < 0n ? '-' : ''}${whole}${scale === 0 ? '' : `.${digits.slice(-scale)}`}`)
}
