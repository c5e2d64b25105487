import { setField, type Cursor } from './cursor.js'
import { Unreadable } from './unreadable.js'
import { isWellKnown, wellKnown } from './well-known.js'

/** What is between tag and value: scalars by their names in .proto files. */
export type ProtoScalar =
  | 'double' | 'float' | 'int32' | 'uint32' | 'sint32' | 'fixed32' | 'sfixed32' | 'int64' | 'uint64' | 'sint64' | 'fixed64' | 'sfixed64'
  | 'bool' | 'string' | 'bytes'

export type ProtoType =
  | { readonly kind: 'scalar'; readonly scalar: ProtoScalar }
  | { readonly kind: 'enum'; readonly names: ReadonlyMap<number, string> }
  | { readonly kind: 'message'; readonly message: ProtoMessage }

export interface ProtoField {
  /** As in the JSON form of Protobuf: lowerCamelCase, unless the schema says another. */
  readonly name: string
  readonly type: ProtoType
  readonly shape: 'single' | 'repeated' | 'map'
  /** Of a map. */
  readonly keyScalar: ProtoScalar | null
  /** What an absent one is; undefined: it is left out. */
  readonly absent: unknown
  readonly isRequired: boolean
  /** Framed as a group. */
  readonly isDelimited: boolean
  /** Names of the fields of which at most one is set, this one included; null: none. */
  readonly oneOf: readonly string[] | null
}

export interface ProtoMessage {
  /** Full, without a leading dot. */
  readonly name: string
  /** By number. */
  readonly fields: Map<number, ProtoField>
}

const VARINT = 0
const FIXED_64 = 1
const LENGTH = 2
const GROUP = 3
const END_GROUP = 4
const FIXED_32 = 5

type Fields = Record<string, unknown>

/** One message as plain data, in the JSON form of Protobuf, with exact integers and with bytes as bytes. Throws Unreadable. */
export function readProtobuf(message: ProtoMessage, cursor: Cursor): unknown {
  return messageOf(message, cursor, null, null)
}

/** `before`: what came for the same field already. `group`: the number of the group whose end is the message's; null: the cursor's. */
function messageOf(message: ProtoMessage, cursor: Cursor, before: unknown, group: number | null): unknown {
  cursor.enter()
  // A well-known one was made something else; the last one of it counts.
  const fields: Fields = isFields(before) && !isWellKnown(message.name) ? before : {}
  for (;;) {
    if (cursor.at === cursor.end && group === null) break
    const tag = varint32(cursor)
    const [number, wire] = [tag >>> 3, tag & 7]
    if (wire === END_GROUP && number === group) break
    const field = message.fields.get(number)
    if (field === undefined) pass(cursor, number, wire)
    else readField(field, number, wire, fields, cursor)
  }
  for (const field of message.fields.values()) complete(message, field, fields, cursor)
  cursor.leave()
  return wellKnown(message.name, fields)
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function complete(message: ProtoMessage, field: ProtoField, fields: Fields, cursor: Cursor): void {
  if (Object.hasOwn(fields, field.name)) return
  if (field.isRequired) throw new Unreadable(`lacks the required field ${field.name} of ${message.name}`)
  if (field.shape === 'single' && field.absent === undefined) return
  // A message of no bytes may have many of these.
  cursor.free()
  const absent = field.shape === 'repeated' ? [] : field.shape === 'map' ? {} : field.absent
  setField(fields, field.name, absent instanceof Uint8Array ? new Uint8Array(absent) : absent)
}

function readField(field: ProtoField, number: number, wire: number, fields: Fields, cursor: Cursor): void {
  const { name, type } = field
  const before = Object.hasOwn(fields, name) ? fields[name] : undefined
  if (field.shape === 'map') return readEntry(field, number, wire, fields, before, cursor)
  if (field.shape === 'single') {
    for (const other of field.oneOf ?? []) if (other !== name) delete fields[other]
    return setField(fields, name, valueOf(field, type, number, wire, before ?? null, cursor))
  }
  const items = (before ?? []) as unknown[]
  if (before === undefined) setField(fields, name, items)
  if (wire === LENGTH && wireOf(type) !== LENGTH) within(cursor, () => {
    while (cursor.at < cursor.end) items.push(plainOf(type, cursor))
  })
  else items.push(valueOf(field, type, number, wire, null, cursor))
}

function valueOf(field: ProtoField, type: ProtoType, number: number, wire: number, before: unknown, cursor: Cursor): unknown {
  const expected = field.isDelimited ? GROUP : wireOf(type)
  if (wire !== expected) throw new Unreadable(`has field ${number} in wire type ${wire}; ${field.name} has ${expected}`)
  if (type.kind !== 'message') return plainOf(type, cursor)
  if (field.isDelimited) return messageOf(type.message, cursor, before, number)
  return within(cursor, () => messageOf(type.message, cursor, before, null))
}

/** A map is a repeated message of key and value; the last of a key counts. */
function readEntry(field: ProtoField, number: number, wire: number, fields: Fields, before: unknown, cursor: Cursor): void {
  if (wire !== LENGTH) throw new Unreadable(`has field ${number} in wire type ${wire}; ${field.name} is a map`)
  const map = (before ?? {}) as Fields
  if (before === undefined) setField(fields, field.name, map)
  const key: ProtoType = { kind: 'scalar', scalar: field.keyScalar as ProtoScalar }
  within(cursor, () => {
    let name: unknown
    let value: unknown
    while (cursor.at < cursor.end) {
      const tag = varint32(cursor)
      if (tag === (8 | wireOf(key))) name = plainOf(key, cursor)
      else if (tag === (16 | wireOf(field.type))) value = itemOf(field.type, cursor)
      else pass(cursor, tag >>> 3, tag & 7)
    }
    setField(map, String(name ?? zeroOf(key)), value ?? emptyOf(field.type, cursor))
  })
}

function itemOf(type: ProtoType, cursor: Cursor): unknown {
  return type.kind === 'message' ? within(cursor, () => messageOf(type.message, cursor, null, null)) : plainOf(type, cursor)
}

function emptyOf(type: ProtoType, cursor: Cursor): unknown {
  if (type.kind !== 'message') return zeroOf(type)
  const end = cursor.end
  cursor.end = cursor.at
  const empty = messageOf(type.message, cursor, null, null)
  cursor.end = end
  return empty
}

/** Reads what a length is in front of, and no byte more or less. */
function within<Result>(cursor: Cursor, read: () => Result): Result {
  const length = lengthOf(cursor)
  const end = cursor.end
  if (length > end - cursor.at) throw new Unreadable('ends too soon')
  cursor.end = cursor.at + length
  const result = read()
  cursor.end = end
  return result
}

function wireOf(type: ProtoType): number {
  if (type.kind === 'message') return LENGTH
  if (type.kind === 'enum') return VARINT
  switch (type.scalar) {
    case 'double': case 'fixed64': case 'sfixed64': return FIXED_64
    case 'float': case 'fixed32': case 'sfixed32': return FIXED_32
    case 'string': case 'bytes': return LENGTH
    default: return VARINT
  }
}

function plainOf(type: ProtoType, cursor: Cursor): unknown {
  if (type.kind === 'message') throw new Unreadable('has a message where a scalar is')
  if (type.kind === 'enum') {
    const number = int32(cursor)
    return type.names.get(number) ?? number
  }
  switch (type.scalar) {
    case 'double': return cursor.float64()
    case 'float': return cursor.float32()
    case 'int32': return int32(cursor)
    case 'uint32': return Number(BigInt.asUintN(32, BigInt(cursor.varint())))
    case 'sint32': return Number(BigInt.asIntN(32, BigInt(cursor.zigzag())))
    case 'fixed32': return cursor.bytes.readUInt32LE(cursor.skip(4))
    case 'sfixed32': return cursor.bytes.readInt32LE(cursor.skip(4))
    case 'int64': return cursor.exact(BigInt.asIntN(64, BigInt(cursor.varint())))
    case 'uint64': return cursor.exact(BigInt(cursor.varint()))
    case 'sint64': return cursor.zigzag()
    case 'fixed64': return cursor.exact(cursor.bytes.readBigUInt64LE(cursor.skip(8)))
    case 'sfixed64': return cursor.exact(cursor.bytes.readBigInt64LE(cursor.skip(8)))
    case 'bool': return Number(cursor.varint()) !== 0
    case 'string': return cursor.text(lengthOf(cursor))
    case 'bytes': return cursor.copy(lengthOf(cursor))
  }
}

/** What an absent field without presence is. */
export function zeroOf(type: ProtoType): unknown {
  if (type.kind === 'message') return undefined
  if (type.kind === 'enum') return type.names.get(0) ?? 0
  switch (type.scalar) {
    case 'bool': return false
    case 'string': return ''
    case 'bytes': return new Uint8Array(0)
    default: return 0
  }
}

function int32(cursor: Cursor): number {
  const raw = cursor.varint()
  return typeof raw === 'number' && raw < 2 ** 31 ? raw : Number(BigInt.asIntN(32, BigInt(raw)))
}

function varint32(cursor: Cursor): number {
  const tag = cursor.varint()
  if (typeof tag === 'number' && tag < 2 ** 32 && tag >= 8) return tag
  throw new Unreadable(`has a tag of ${tag} before byte ${cursor.at}`)
}

function lengthOf(cursor: Cursor): number {
  const length = cursor.varint()
  return typeof length === 'number' ? length : Number.MAX_SAFE_INTEGER
}

/** Steps over a field that the schema does not have. */
function pass(cursor: Cursor, number: number, wire: number): void {
  switch (wire) {
    case VARINT: return void cursor.varint()
    case FIXED_64: return void cursor.skip(8)
    case LENGTH: return void cursor.skip(lengthOf(cursor))
    case FIXED_32: return void cursor.skip(4)
    case GROUP: return passGroup(cursor, number)
    default: throw new Unreadable(`has field ${number} in wire type ${wire}, which there is not`)
  }
}

function passGroup(cursor: Cursor, group: number): void {
  cursor.enter()
  for (;;) {
    const tag = varint32(cursor)
    const [number, wire] = [tag >>> 3, tag & 7]
    if (wire === END_GROUP && number === group) return cursor.leave()
    pass(cursor, number, wire)
  }
}
