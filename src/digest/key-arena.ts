import { type Entries, KEY_HEAD_BYTES } from './entries.js'

const FIRST_BYTES = 16 * 1024
const FIRST_KEYS = 1024
const PLACE_BYTES = 4
const MAX_UTF8_PER_UNIT = 3

/** Keys in UTF-8, one behind the other; `ends[i]` is where key i ends. */
export interface KeyBytes {
  readonly bytes: Uint8Array
  readonly ends: ArrayLike<number>
}

/**
 * The keys of an arena's entries, by the entries' ordinals: UTF-8, one behind the other. A block of keys is written in one call, and
 * those that are not kept are written over.
 */
export class KeyArena {
  #bytes = Buffer.alloc(FIRST_BYTES)
  /** Where key i begins; starts[count] is where the last one ends. */
  #starts = new Uint32Array(FIRST_KEYS)
  #count = 0
  /** Where each key of the block ends, behind the keys that are kept; the first begins at `#staged`. */
  #ends = new Uint32Array(0)
  #staged = 0
  #run = new Uint8Array(0)

  get usedBytes(): number { return this.#count * PLACE_BYTES + this.#starts[this.#count]! }

  clear(): void { this.#count = 0 }

  /** Takes a block of keys, of which `keep` keeps some, in ascending order. */
  stage(keys: readonly string[] | KeyBytes): void {
    if ('ends' in keys) this.#stageBytes(keys)
    else this.#stageTexts(keys)
  }

  #stageBytes({ bytes, ends }: KeyBytes): void {
    const from = this.#starts[this.#count]!
    this.#reserve(from + bytes.length)
    this.#bytes.set(bytes, from)
    if (this.#ends.length < ends.length) this.#ends = new Uint32Array(ends.length)
    for (let i = 0; i < ends.length; i++) this.#ends[i] = from + ends[i]!
    this.#staged = from
  }

  #stageTexts(keys: readonly string[]): void {
    const all = keys.join('')
    const from = this.#starts[this.#count]!
    this.#reserve(from + all.length * MAX_UTF8_PER_UNIT)
    const isAscii = this.#bytes.write(all, from) === all.length
    if (this.#ends.length < keys.length) this.#ends = new Uint32Array(keys.length)
    let end = from
    for (let i = 0; i < keys.length; i++) {
      end += isAscii ? keys[i]!.length : this.#bytes.write(keys[i]!, end)
      this.#ends[i] = end
    }
    this.#staged = from
  }

  /** Keeps the key at this index of the block as the next one. */
  keep(index: number): void {
    const from = index === 0 ? this.#staged : this.#ends[index - 1]!
    this.#append(from, this.#ends[index]!)
  }

  /** Puts a kept key in the place of one before it, behind those that were moved. */
  move(from: number, to: number): void {
    const start = this.#starts[from]!
    const end = this.#starts[from + 1]!
    this.#count = to
    this.#append(start, end)
  }

  /** Keeps so many. */
  cut(count: number): void { this.#count = count }

  textOf(index: number): string {
    return this.#bytes.toString('utf8', this.#starts[index]!, this.#starts[index + 1]!)
  }

  /**
   * The keys of order[from] … order[to - 1] as they stand on pages; valid until the next call. What is far apart in memory is looked
   * up in short loops, the first bytes of the keys too, so that the processor waits for many at once.
   */
  gather(order: Uint32Array, from: number, to: number): Pick<Entries, 'keys' | 'starts'> {
    const count = to - from
    const source = this.#bytes
    const places = this.#starts
    const sources = new Uint32Array(count)
    const starts = new Uint32Array(count + 1)
    let end = 0
    for (let i = 0; i < count; i++) {
      const index = order[from + i]!
      const place = places[index]!
      sources[i] = place
      starts[i] = end
      end += KEY_HEAD_BYTES + places[index + 1]! - place
    }
    starts[count] = end
    if (this.#run.length < end) this.#run = new Uint8Array(2 * end)
    const run = this.#run
    for (let i = 0; i < count; i++) {
      const at = starts[i]!
      const length = starts[i + 1]! - at - KEY_HEAD_BYTES
      run[at] = length >>> 8
      run[at + 1] = length
      run[at + KEY_HEAD_BYTES] = source[sources[i]!]!
    }
    for (let i = 0; i < count; i++) {
      const at = starts[i]! + KEY_HEAD_BYTES
      const stop = starts[i + 1]!
      const shift = sources[i]! - at
      for (let byte = at + 1; byte < stop; byte++) run[byte] = source[byte + shift]!
    }
    return { keys: run.subarray(0, end), starts }
  }

  #append(from: number, to: number): void {
    const at = this.#starts[this.#count]!
    if (at !== from) this.#bytes.copyWithin(at, from, to)
    if (this.#count + 2 > this.#starts.length) {
      const larger = new Uint32Array(this.#starts.length * 2)
      larger.set(this.#starts)
      this.#starts = larger
    }
    this.#starts[++this.#count] = at + to - from
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, bytes))
    larger.set(this.#bytes.subarray(0, this.#starts[this.#count]))
    this.#bytes = larger
  }
}
