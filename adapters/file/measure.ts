import { createHash, type Hash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { RehydrateError, type Offset } from '../../src/index.js'
import { BOM, LINE_LIMIT, openBytes, unreachable } from './bytes.js'
import type { SegmentFile } from './paths.js'

const LF = 10
const PIECE = 1 << 20
const GUARD = 64

/** What lies after the last newline: nothing, a whole object, or a part of one. */
type Tail = 'none' | 'whole' | 'torn'

/** What is known of a segment without its place in the partition. */
export interface Measure {
  /** Records: lines that end in a newline, and a whole one at the end that does not. */
  readonly lines: number
  readonly tail: Tail
  /** Byte after the last newline. */
  readonly counted: number
  /** What the first line says of its offset. */
  readonly firstOffset: Offset | null
  /** The last bytes before `counted`: while they stand, growth is all that has to be counted. */
  readonly guard: Buffer
  readonly version: string
  readonly inode: number
  readonly size: number
}

/**
 * Counts a segment's records. `before` is what was known: returned while the file is unchanged, and the base when it has only grown.
 * `statesOffset`: may the first line state its offset? A `.sha256` beside it is checked with a full count.
 * Errors: SOURCE_UNREACHABLE, LOG_CORRUPT (.gz, .sha256).
 */
export async function measure(file: SegmentFile, before: Measure | undefined, statesOffset: boolean): Promise<Measure> {
  const { ino, size, mtimeMs } = await stat(file.path).catch((error: unknown) => {
    throw unreachable(file.path, error)
  })
  const version = `${ino}:${size}:${mtimeMs}`
  if (before?.version === version) return before
  const grown = !file.gzip && before !== undefined && before.inode === ino && before.counted > 0 && size >= before.counted
    && (await guardStands(file, before)) ? before : undefined
  const scan = await scanFile(file, grown, grown === undefined ? await readSidecars(file) : [])
  const tail = tailOf(scan.counted === 0 ? withoutBom(scan.rest) : scan.rest)
  return {
    lines: scan.lines + (tail === 'whole' ? 1 : 0),
    tail,
    counted: scan.counted,
    firstOffset: grown !== undefined ? grown.firstOffset : statesOffset ? offsetIn(withoutBom(scan.first ?? scan.rest)) : null,
    guard: scan.guard,
    version,
    inode: ino,
    size,
  }
}

/** Is what was the end of a plain file, when it was counted, still in its place? */
export async function guardStands(file: SegmentFile, { counted, guard }: Measure): Promise<boolean> {
  const bytes = await openBytes(file.path, false, counted - guard.length)
  try {
    const now = Buffer.alloc(guard.length)
    const length = await bytes.read(now, 0)
    return length === guard.length && now.equals(guard)
  } finally {
    await bytes.close()
  }
}

interface Scan {
  readonly lines: number
  readonly counted: number
  /** The first line, where it was read. */
  readonly first: Buffer | null
  /** What follows the last newline. */
  readonly rest: Buffer
  readonly guard: Buffer
}

async function scanFile(file: SegmentFile, from: Measure | undefined, sidecars: readonly Sidecar[]): Promise<Scan> {
  const start = from?.counted ?? 0
  const bytes = await openBytes(file.path, file.gzip, start)
  const piece = Buffer.allocUnsafeSlow(PIECE)
  let lines = from === undefined ? 0 : from.lines - (from.tail === 'whole' ? 1 : 0)
  let first: Buffer | null = null
  let rest: Buffer[] = []
  let restLength = 0
  let counted = start
  let position = start
  let guard = from?.guard ?? Buffer.alloc(0)
  try {
    for (;;) {
      const length = await bytes.read(piece, 0)
      if (length === 0) break
      const read = piece.subarray(0, length)
      for (const sidecar of sidecars) sidecar.ofContent?.update(read)
      const last = read.lastIndexOf(LF)
      if (last >= 0) {
        if (first === null && start === 0) first = Buffer.concat([...rest, read.subarray(0, read.indexOf(LF))])
        lines += countNewlines(read, last + 1)
        counted = position + last + 1
        guard = Buffer.concat([guard, ...rest, read.subarray(Math.max(0, last + 1 - GUARD), last + 1)]).subarray(-GUARD)
        rest = []
        restLength = 0
      }
      // A line over the limit is refused when it is read; it need not be kept to be counted.
      if (restLength <= LINE_LIMIT) rest.push(Buffer.from(read.subarray(last + 1)))
      restLength += length - last - 1
      position += length
    }
  } finally {
    await bytes.close()
  }
  for (const sidecar of sidecars) await sidecar.check(file)
  return { lines, counted, first, rest: Buffer.concat(rest), guard }
}

function countNewlines(piece: Buffer, end: number): number {
  let count = 0
  for (let at = piece.indexOf(LF); at >= 0 && at < end; at = piece.indexOf(LF, at + 1)) count++
  return count
}

function tailOf(rest: Buffer): Tail {
  if (rest.length === 0) return 'none'
  const text = rest.toString().trimEnd()
  // The cheap question first: a writer at work is asked this a few times a second.
  return text.endsWith('}') && parseObject(text) !== null ? 'whole' : 'torn'
}

function offsetIn(line: Buffer): Offset | null {
  const offset = parseObject(line.toString())?.['offset']
  return typeof offset === 'number' && Number.isSafeInteger(offset) && offset >= 0 ? offset : null
}

function withoutBom(bytes: Buffer): Buffer {
  return bytes.indexOf(BOM) === 0 ? bytes.subarray(BOM.length) : bytes
}

/** null where it is none; the reader says what is wrong with it, in its place. */
function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

interface Sidecar {
  /** For a .gz with the hash of what is in it. */
  readonly ofContent: Hash | null
  check(file: SegmentFile): Promise<void>
}

/** FILE.sha256 holds the hash of the file as it lies on disk: bare, or as `sha256sum` writes it. */
async function readSidecars(file: SegmentFile): Promise<Sidecar[]> {
  const found: Sidecar[] = []
  const own = await readSidecar(`${file.path}.sha256`)
  if (own !== null) found.push(sidecarOf(own, file.gzip ? null : createHash('sha256')))
  const inside = file.gzip ? await readSidecar(`${file.path.slice(0, -'.gz'.length)}.sha256`) : null
  if (inside !== null) found.push(sidecarOf(inside, createHash('sha256')))
  return found
}

async function readSidecar(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw unreachable(path, error)
  }
}

function sidecarOf(text: string, ofContent: Hash | null): Sidecar {
  const expected = /^([0-9a-f]{64})(?:\s|$)/i.exec(text.trim())?.[1]?.toLowerCase()
  return {
    ofContent,
    async check(file) {
      const actual = ofContent === null ? await hashFile(file.path) : ofContent.digest('hex')
      if (actual === expected) return
      throw new RehydrateError('LOG_CORRUPT', {
        message: `${file.name} does not have the SHA-256 that its .sha256 file states.`,
        partition: file.partition,
        file: file.path,
        expected: expected ?? 'a SHA-256 of 64 hex digits in the .sha256 file',
        actual,
      })
    },
  }
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  const bytes = await openBytes(path, false, 0)
  const piece = Buffer.allocUnsafeSlow(PIECE)
  try {
    for (let length = 1; length > 0;) {
      length = await bytes.read(piece, 0)
      hash.update(piece.subarray(0, length))
    }
  } finally {
    await bytes.close()
  }
  return hash.digest('hex')
}
