/** Thrown where bytes are not JSON. It is caught next to where it is thrown, and so is made once. */
export const NOT_JSON: Error = new Error('not JSON')

export const QUOTE = 0x22
export const COMMA = 0x2c
export const COLON = 0x3a
export const OPEN_ARRAY = 0x5b
export const CLOSE_ARRAY = 0x5d
export const OPEN_OBJECT = 0x7b
export const CLOSE_OBJECT = 0x7d
const BACKSLASH = 0x5c
const SPACE = 0x20
const ZERO = 0x30
const NINE = 0x39
const FIRST_DEPTH = 64
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const NULL = Buffer.from('null')

/** What may follow a backslash, but for u. */
const ESCAPED = Uint8Array.from({ length: 256 }, (_, byte) => ('"\\/bfnrt'.includes(String.fromCharCode(byte)) ? 1 : 0))
const HEX = Uint8Array.from({ length: 256 }, (_, byte) => (/[0-9a-fA-F]/.test(String.fromCharCode(byte)) ? 1 : 0))

/**
 * Passes over JSON in bytes, checking all of its grammar. Each method takes an index and gives the one after what it passed over;
 * NOT_JSON where that is not there. Tokens may run over `end` into what follows in the buffer: who is at the end compares.
 */
export class JsonSkipper {
  protected bytes: Buffer = Buffer.alloc(0)
  /** Of `bytes`, for four at a time. */
  protected view: DataView = new DataView(new ArrayBuffer(0))
  protected end = 0
  /** Some byte of a string was not ASCII: such must be shown to be UTF-8. */
  protected beyondAscii = false
  /** The string passed over last holds an escape. */
  protected escaped = false
  /** Of each open container: is it an object? Not the stack of calls, because JSON.parse takes any depth too. */
  #open = new Uint8Array(FIRST_DEPTH)

  protected space(at: number): number {
    const { bytes } = this
    for (let next = at; ; next++) {
      const byte = bytes[next] as number
      if (byte > SPACE || (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) return next
    }
  }

  /** What `end` lies in; a view is made where the buffer is another. */
  protected take(bytes: Buffer, end: number): void {
    if (bytes !== this.bytes) {
      this.bytes = bytes
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    this.end = end
    this.beyondAscii = false
  }

  /** From after the opening quote to after the closing one. */
  protected string(from: number): number {
    const { bytes, view } = this
    const last = bytes.length - 4
    let at = from
    this.escaped = false
    for (;;) {
      if (at <= last) {
        // The high bit of each byte of `found` that is a quote, a backslash, a control character or not ASCII; right up to the first.
        const four = view.getInt32(at, true)
        const quote = four ^ 0x22222222
        const backslash = four ^ 0x5c5c5c5c
        const found = (((quote - 0x01010101) & ~quote) | ((backslash - 0x01010101) & ~backslash) | ((four - 0x20202020) & ~four) | four)
          & 0x80808080
        if (found === 0) {
          at += 4
          continue
        }
        at += (31 - Math.clz32(found & -found)) >> 3
      }
      const byte = bytes[at++] as number
      if (byte === QUOTE) break
      if (byte === BACKSLASH) {
        this.escaped = true
        at = this.#escape(at)
      } else if (byte > 127) this.beyondAscii = true
      else if (!(byte >= SPACE)) throw NOT_JSON
    }
    if (at > this.end) throw NOT_JSON
    return at
  }

  #escape(at: number): number {
    const { bytes } = this
    const byte = bytes[at] as number
    if (ESCAPED[byte] === 1) return at + 1
    const isUnit = byte === 0x75 && HEX[bytes[at + 1] as number] === 1 && HEX[bytes[at + 2] as number] === 1
      && HEX[bytes[at + 3] as number] === 1 && HEX[bytes[at + 4] as number] === 1
    if (!isUnit) throw NOT_JSON
    return at + 5
  }

  protected number(from: number): number {
    const { bytes } = this
    let at = bytes[from] === 0x2d ? from + 1 : from
    const first = bytes[at] as number
    if (first === ZERO) at++
    else at = this.#digits(at)
    if (bytes[at] === 0x2e) at = this.#digits(at + 1)
    if (((bytes[at] as number) | 0x20) === 0x65) {
      const sign = bytes[at + 1]
      at = this.#digits(sign === 0x2b || sign === 0x2d ? at + 2 : at + 1)
    }
    return at
  }

  #digits(from: number): number {
    const { bytes, end } = this
    let at = from
    for (let byte = bytes[at] as number; byte >= ZERO && byte <= NINE && at < end; byte = bytes[at] as number) at++
    if (at === from) throw NOT_JSON
    return at
  }

  /** `true`, `false` or `null`. */
  protected word(at: number): number {
    if (this.#holds(TRUE, at)) return at + TRUE.length
    if (this.#holds(NULL, at)) return at + NULL.length
    if (this.#holds(FALSE, at)) return at + FALSE.length
    throw NOT_JSON
  }

  #holds(word: Uint8Array, at: number): boolean {
    const { bytes } = this
    for (let i = 0; i < word.length; i++) if (bytes[at + i] !== word[i]) return false
    return true
  }

  /** A value that begins at `from`, without space before it. */
  protected value(from: number): number {
    const byte = this.bytes[from] as number
    if (byte === QUOTE) return this.string(from + 1)
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) return this.#container(from)
    return byte > NINE ? this.word(from) : this.number(from)
  }

  #container(from: number): number {
    const { bytes, end } = this
    let depth = 0
    let at = from
    for (;;) {
      if (at >= end) throw NOT_JSON
      let byte = bytes[at] as number
      if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        const isObject = byte === OPEN_OBJECT
        at = this.space(at + 1)
        if (bytes[at] !== (isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) {
          this.#push(depth++, isObject)
          if (isObject) at = this.name(at)
          continue
        }
        at++
      } else if (byte === QUOTE) at = this.string(at + 1)
      else at = byte > NINE ? this.word(at) : this.number(at)
      // After a value: what is closed by it, then the next one.
      for (;;) {
        if (depth === 0) return at
        const isObject = this.#open[depth - 1] === 1
        at = this.space(at)
        byte = bytes[at] as number
        if (byte === COMMA) {
          at = this.space(at + 1)
          if (isObject) at = this.name(at)
          break
        }
        if (byte !== (isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) throw NOT_JSON
        at++
        depth--
      }
    }
  }

  /** A name, its colon, and the space around it. */
  protected name(at: number): number {
    if (this.bytes[at] !== QUOTE) throw NOT_JSON
    return this.colon(this.string(at + 1))
  }

  protected colon(at: number): number {
    const colon = this.bytes[at] === COLON ? at : this.space(at)
    if (this.bytes[colon] !== COLON) throw NOT_JSON
    return this.bytes[colon + 1] as number > SPACE ? colon + 1 : this.space(colon + 1)
  }

  #push(depth: number, isObject: boolean): void {
    if (depth === this.#open.length) {
      const larger = new Uint8Array(depth * 2)
      larger.set(this.#open)
      this.#open = larger
    }
    this.#open[depth] = isObject ? 1 : 0
  }
}
