import { isAscii, isUtf8 } from 'node:buffer'
import { RehydrateError, type Offset } from '../../src/index.js'
import { BOM, LINE_LIMIT, openBytes } from './bytes.js'
import type { Segment } from './catalog.js'

const LF = 10
const CR = 13
const SPACE = 32
const TAB = 9

/** Node's own, and older than its types: toString without the look-up of an encoding's name, which counts at a million lines a second. */
interface Slices {
  latin1Slice(from: number, to: number): string
  utf8Slice(from: number, to: number): string
}

/** Whole lines of one segment in one buffer that nothing else writes to; each ends in one LF, whatever it ended in on disk. */
export class LinePage {
  readonly segment: Segment
  /** Offset of line 0. */
  readonly offset: Offset
  /** Number in the file of line 0, from 0. */
  readonly lineInFile: number
  readonly buffer: Buffer
  /** Where each line starts, and after the last one where the page ends. */
  readonly starts: Int32Array
  readonly isAscii: boolean
  /** Byte in the (decompressed) file of buffer[0]. */
  readonly #byteInFile: number
  /** Per line, how many CRs before it were taken out; null: none. */
  readonly #removed: Int32Array | null

  constructor(segment: Segment, lineInFile: number, byteInFile: number, buffer: Buffer, lines: Lines) {
    this.segment = segment
    this.offset = segment.base + lineInFile
    this.lineInFile = lineInFile
    this.buffer = buffer
    this.starts = lines.starts
    this.isAscii = isAscii(buffer.subarray(lines.starts[0], lines.starts.at(-1)))
    this.#byteInFile = byteInFile
    this.#removed = lines.removed
  }

  get count(): number { return this.starts.length - 1 }

  start(line: number): number { return this.starts[line] as number }

  /** Past the last byte of the line, without its LF. */
  end(line: number): number { return (this.starts[line + 1] as number) - 1 }

  /** The bytes of lines [from, to), each with one LF. */
  slice(from: number, to: number): Buffer { return this.buffer.subarray(this.starts[from], this.starts[to]) }

  text(from: number, to: number): string {
    const buffer = this.buffer as Buffer & Slices
    return this.isAscii ? buffer.latin1Slice(from, to) : buffer.utf8Slice(from, to)
  }

  /** Byte in the (decompressed) file at which a line starts. */
  byteOf(line: number): number { return this.#byteInFile + this.start(line) + (this.#removed?.[line] ?? 0) }

  placeOf(line: number): { partition: string; offset: Offset; file: string; line: number; byte: number } {
    const { partition, path } = this.segment
    return { partition, offset: this.offset + line, file: path, line: this.lineInFile + line + 1, byte: this.byteOf(line) }
  }

  corrupt(line: number, what: string, details: { expected?: unknown; actual?: unknown; cause?: unknown } = {}): RehydrateError {
    return corrupt(this.segment, this.lineInFile + line, this.byteOf(line), what, details)
  }

  /** The first of the lines [from, to) that can not be a record, or null. Looks at the ends of a line, not at what is between. */
  firstFault(from: number, to: number): { readonly line: number; readonly error: RehydrateError } | null {
    const utf8 = this.isAscii || isUtf8(this.slice(from, to))
    for (let line = from; line < to; line++) {
      const start = this.start(line)
      const end = this.end(line)
      if (end - start > LINE_LIMIT) return { line, error: this.corrupt(line, tooLong) }
      if (!utf8 && !isUtf8(this.buffer.subarray(start, end))) return { line, error: this.corrupt(line, 'is not valid UTF-8') }
      if (this.buffer[start] === 0x7b && this.buffer[end - 1] === 0x7d) continue
      const what = faultOf(this.buffer.subarray(start, end))
      if (what !== null) return { line, error: this.corrupt(line, what) }
    }
    return null
  }
}

const tooLong = `is longer than ${LINE_LIMIT} bytes`

function corrupt(segment: Segment, line: number, byte: number, what: string, details: object = {}): RehydrateError {
  const offset = segment.base + line
  return new RehydrateError('LOG_CORRUPT', {
    message: `Line ${line + 1} of ${segment.name} (${segment.partition}@${offset}) ${what}.`,
    partition: segment.partition,
    offset,
    file: segment.path,
    line: line + 1,
    byte,
    ...details,
  })
}

function faultOf(line: Buffer): string | null {
  const isSpace = (byte: number | undefined): boolean => byte === SPACE || byte === TAB || byte === CR
  let from = 0
  let to = line.length
  while (from < to && isSpace(line[from])) from++
  while (to > from && isSpace(line[to - 1])) to--
  if (from === to) return 'is blank'
  if (line[from] === 0xef && line[from + 1] === 0xbb && line[from + 2] === 0xbf) return 'begins with a byte order mark'
  if (line[from] !== 0x7b) return 'is not a JSON object'
  return line[to - 1] === 0x7d ? null : 'is torn: it ends in the middle of a JSON object'
}

export interface PageStart {
  /** Byte in the file of a line's start; in a .gz it must be 0. */
  readonly byte: number
  /** The line that starts there, from 0. */
  readonly line: number
}

/**
 * The lines of a segment in pages of about `pageBytes`, the next one being read while the caller works on this one.
 * A last line without a newline is a line. Errors: LOG_CORRUPT for a line over the limit, SOURCE_UNREACHABLE.
 */
export async function* readPages(segment: Segment, start: PageStart, pageBytes: number): AsyncGenerator<LinePage, void, void> {
  const bytes = await openBytes(segment.path, segment.gzip, start.byte)
  let pending: Promise<Filled> | null = null
  try {
    let filled = await fill(bytes, Buffer.alloc(0), pageBytes)
    let byteInFile = start.byte
    let line = start.line
    for (;;) {
      const { buffer, length, ended } = filled
      const bom = byteInFile === 0 && buffer.indexOf(BOM) === 0 ? BOM.length : 0
      const to = ended ? terminate(buffer, bom, length) : buffer.lastIndexOf(LF, length - 1) + 1
      if (to === 0 && !ended) throw corrupt(segment, line, byteInFile, tooLong)
      if (!ended) {
        pending = fill(bytes, buffer.subarray(to, length), pageBytes)
        pending.catch(() => undefined)
      }
      const lines = splitLines(buffer, bom, to)
      if (lines.starts.length > 1) yield new LinePage(segment, line, byteInFile, buffer, lines)
      if (pending === null || ended) return
      byteInFile += to
      line += lines.starts.length - 1
      filled = await pending
    }
  } finally {
    await pending?.catch(() => undefined)
    await bytes.close()
  }
}

interface Filled {
  readonly buffer: Buffer
  readonly length: number
  readonly ended: boolean
}

/** A fresh buffer of the carried bytes and the next ones; it grows until it holds a line's end. One byte is left free. */
async function fill(bytes: ByteSource, carried: Buffer, pageBytes: number): Promise<Filled> {
  let buffer = Buffer.allocUnsafeSlow(carried.length + pageBytes + 1)
  let length = carried.copy(buffer)
  let searched = length
  for (;;) {
    const room = buffer.subarray(0, buffer.length - 1)
    while (length < room.length) {
      const read = await bytes.read(room, length)
      if (read === 0) return { buffer, length, ended: true }
      length += read
    }
    if (length > LINE_LIMIT + pageBytes || buffer.subarray(searched, length).includes(LF)) return { buffer, length, ended: false }
    searched = length
    const larger = Buffer.allocUnsafeSlow(buffer.length * 2)
    buffer.copy(larger, 0, 0, length)
    buffer = larger
  }
}

type ByteSource = Awaited<ReturnType<typeof openBytes>>

/** Gives the last line its LF. */
function terminate(buffer: Buffer, from: number, length: number): number {
  if (length === from || buffer[length - 1] === LF) return length
  buffer[length] = LF
  return length + 1
}

interface Lines {
  readonly starts: Int32Array
  readonly removed: Int32Array | null
}

let scratch = new Int32Array(1 << 14)

/** Finds the lines in [from, to) and takes the CR of each CR LF out, in place. */
function splitLines(buffer: Buffer, from: number, to: number): Lines {
  let count = 0
  for (let at = from; at < to; at = buffer.indexOf(LF, at) + 1) {
    if (count + 2 > scratch.length) scratch = grown(scratch)
    scratch[count++] = at
  }
  if (count > 0) scratch[count++] = to
  else return { starts: new Int32Array(0), removed: null }
  const starts = scratch.slice(0, count)
  const cr = buffer.indexOf(CR, from)
  return cr < 0 || cr >= to ? { starts, removed: null } : dropCarriageReturns(buffer, starts)
}

function dropCarriageReturns(buffer: Buffer, starts: Int32Array): Lines {
  const removed = new Int32Array(starts.length)
  let at = starts[0] as number
  let dropped = 0
  for (let line = 0; line < starts.length - 1; line++) {
    const start = starts[line] as number
    const lf = (starts[line + 1] as number) - 1
    const end = lf > start && buffer[lf - 1] === CR ? lf - 1 : lf
    removed[line] = dropped
    starts[line] = at
    buffer.copyWithin(at, start, end)
    at += end - start
    buffer[at++] = LF
    dropped += lf - end
  }
  starts[starts.length - 1] = at
  return { starts, removed }
}

function grown(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2)
  larger.set(array)
  return larger
}
