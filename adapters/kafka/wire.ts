/**
 * The primitives of Kafka's protocol, in its two spellings: plain, and flexible ("compact" lengths as varints plus one, with tagged fields
 * after every structure, which are written empty and passed over).
 */
export class WireWriter {
  readonly #flexible: boolean
  readonly #parts: Buffer[] = []

  /** A flexible message begins with the tagged fields of its header. */
  constructor(flexible: boolean) {
    this.#flexible = flexible
    this.tags()
  }

  int8(value: number): this { return this.#add(1, (bytes) => bytes.writeInt8(value)) }

  boolean(value: boolean): this { return this.int8(value ? 1 : 0) }

  int16(value: number): this { return this.#add(2, (bytes) => bytes.writeInt16BE(value)) }

  int32(value: number): this { return this.#add(4, (bytes) => bytes.writeInt32BE(value)) }

  int64(value: number): this { return this.#add(8, (bytes) => bytes.writeBigInt64BE(BigInt(value))) }

  /** Sixteen bytes, given in base64url. */
  uuid(value: string): this {
    this.#parts.push(Buffer.from(value, 'base64url'))
    return this
  }

  string(value: string): this {
    const bytes = Buffer.from(value)
    if (this.#flexible) this.#varint(bytes.length + 1)
    else this.#add(2, (length) => length.writeInt16BE(bytes.length))
    this.#parts.push(bytes)
    return this
  }

  array<Item>(items: readonly Item[], write: (item: Item) => void): this {
    if (this.#flexible) this.#varint(items.length + 1)
    else this.int32(items.length)
    for (const item of items) write(item)
    return this
  }

  /** The end of a structure: nothing where the message is not flexible. */
  tags(): this {
    if (this.#flexible) this.#varint(0)
    return this
  }

  bytes(): Buffer { return Buffer.concat(this.#parts) }

  #varint(value: number): void {
    const bytes: number[] = []
    let rest = value
    for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128)
    this.#parts.push(Buffer.from([...bytes, rest]))
  }

  #add(size: number, write: (bytes: Buffer) => void): this {
    const bytes = Buffer.alloc(size)
    write(bytes)
    this.#parts.push(bytes)
    return this
  }
}

/** Throws RangeError where the message ends too early. */
export class WireReader {
  readonly #flexible: boolean
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer, flexible: boolean) {
    this.#bytes = bytes
    this.#flexible = flexible
    this.tags()
  }

  int8(): number { return this.#bytes.readInt8(this.#skip(1)) }

  boolean(): boolean { return this.int8() !== 0 }

  int16(): number { return this.#bytes.readInt16BE(this.#skip(2)) }

  int32(): number { return this.#bytes.readInt32BE(this.#skip(4)) }

  bigInt64(): bigint { return this.#bytes.readBigInt64BE(this.#skip(8)) }

  /** An offset or a time. Throws RangeError beyond 2^53. */
  int64(): number {
    const value = Number(this.bigInt64())
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a safe integer.`)
    return value
  }

  /** In base64url. */
  uuid(): string { return this.#slice(16).toString('base64url') }

  string(): string | null {
    const length = this.#flexible ? this.#varint() - 1 : this.int16()
    return length < 0 ? null : this.#slice(length).toString()
  }

  /** Not a copy. Null and empty are the same here. */
  byteString(): Buffer {
    const length = this.#flexible ? this.#varint() - 1 : this.int32()
    return length < 0 ? this.#slice(0) : this.#slice(length)
  }

  /** A null array is an empty one. */
  array<Item>(read: () => Item): Item[] {
    const length = this.#flexible ? this.#varint() - 1 : this.int32()
    const items: Item[] = []
    for (let index = 0; index < length; index++) items.push(read())
    return items
  }

  tags(): void {
    if (!this.#flexible) return
    for (let left = this.#varint(); left > 0; left--) {
      this.#varint()
      this.#skip(this.#varint())
    }
  }

  #varint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#skip(1))
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
    throw new RangeError('A length is longer than 32 bits.')
  }

  #slice(length: number): Buffer {
    const from = this.#skip(length)
    return this.#bytes.subarray(from, from + length)
  }

  /** Returns where the skipped part began. */
  #skip(length: number): number {
    const from = this.#at
    this.#at += length
    if (this.#at > this.#bytes.length) throw new RangeError(`A message of ${this.#bytes.length} bytes ends too early.`)
    return from
  }
}
