import { stat } from 'node:fs/promises'
import { milestonesOf, RehydrateError, type Mark, type MarkCheck, type Offset } from '../../src/index.js'
import { unreachable } from './bytes.js'
import type { Layout, Segment } from './catalog.js'
import { InputChain } from './chain.js'
import { readPages, type LinePage, type PageStart } from './lines.js'
import { lineHash, proofOf, type FileProof, type FirstRecord } from './mark.js'
import { guardStands } from './measure.js'

/** A place to begin to read: an offset, and what may save counting up to it. */
export interface Start {
  readonly offset: Offset
  readonly hint: { readonly segment: string; readonly byte: number } | null
}

/**
 * Pages from the one that holds an offset to the end of the layout. With a hint the first page begins there, and whether that is the right
 * line is for the caller to prove. Errors: LOG_TRUNCATED and LOG_REWRITTEN where a file is not as the layout says.
 */
export async function* readLayout(layout: Layout, start: Start, pageBytes: number): AsyncGenerator<LinePage, void, void> {
  for (const segment of layout.segments) {
    const end = segment.base + segment.lines
    if (end <= start.offset || segment.lines === 0) continue
    let seen = 0
    for await (const page of readPages(segment, seek(segment, start), pageBytes)) {
      seen = page.lineInFile + page.count
      if (page.offset + page.count > start.offset) yield page
      if (segment.isLast && seen >= segment.lines) break
    }
    if (seen < segment.lines) throw changed('LOG_TRUNCATED', segment, 'ends before the last record it had')
    if (seen > segment.lines && !segment.isLast) throw changed('LOG_REWRITTEN', segment, 'grew after the segment after it was begun')
    await refuseReplaced(segment)
  }
}

function seek(segment: Segment, { offset, hint }: Start): PageStart {
  if (hint === null || hint.segment !== segment.name || segment.gzip || offset < segment.base) return { byte: 0, line: 0 }
  return { byte: hint.byte, line: offset - segment.base }
}

/** A file that was overwritten in place while it was read gave lines of both versions: asked when the last of them is in hand. */
export async function refuseReplaced(segment: Segment): Promise<void> {
  const now = await stat(segment.path).catch((error: NodeJS.ErrnoException) => {
    // Compressed or removed under our open handle: what was read is whole.
    if (error.code === 'ENOENT') return null
    throw unreachable(segment.path, error)
  })
  if (now === null || now.ino !== segment.measured.inode) return
  if (now.size < segment.measured.size) throw changed('LOG_TRUNCATED', segment, 'became shorter while it was read')
  if (!segment.gzip && !(await guardStands(segment, segment.measured))) {
    throw changed('LOG_REWRITTEN', segment, 'was overwritten while it was read')
  }
}

function changed(code: 'LOG_TRUNCATED' | 'LOG_REWRITTEN', segment: Segment, what: string): RehydrateError {
  return new RehydrateError(code, {
    message: `${segment.name} ${what}.`,
    partition: segment.partition,
    file: segment.path,
  })
}

/** One record is wanted, not a page. */
const FIRST_BYTES = 1 << 14

/** The first present record; null in an empty partition. */
export async function readFirst(layout: Layout): Promise<FirstRecord | null> {
  if (layout.last < layout.first) return null
  for await (const page of readLayout(layout, { offset: layout.first, hint: null }, FIRST_BYTES)) {
    return { offset: layout.first, hash: lineHash(page, 0) }
  }
  return null
}

/** A mark that was found to stand, and where its block starts. */
interface Proved {
  readonly check: MarkCheck
  readonly start: Start
}

/**
 * Is the record at `at` the one the mark was taken of, and the block up to it unchanged?
 * `first` is the first present record now. The hint is tried, then the place is found by counting.
 */
export async function proveMark(
  layout: Layout, first: FirstRecord | null, mark: Mark, at: Offset, pageBytes: number,
): Promise<Proved> {
  const proof = proofOf(mark)
  const start = { offset: proof?.block?.offset ?? at, hint: null }
  const answer = (check: MarkCheck): Proved => ({ check, start })
  if (proof === null || proof.last.offset !== at) {
    return answer({ is: 'unprovable', why: 'The mark was not taken from a file log at this offset.' })
  }
  const isOtherFirst = first === null || (first.offset === proof.first.offset && first.hash !== proof.first.hash)
  if (at >= layout.first && at <= layout.last) {
    const hinted = { offset: start.offset, hint: proof.hint }
    const stands = (from: Start): Promise<Finding> => findMark(layout, from, proof, mark, pageBytes)
    const byHint = proof.hint === null ? 'other' : await stands(hinted).catch(() => 'other')
    const found = byHint === 'same' ? byHint : await stands(start)
    if (found !== 'other' && isOtherFirst) return answer(rewrittenFirst(proof))
    if (found === 'same') return { check: { is: 'same' }, start: byHint === 'same' ? hinted : start }
  }
  if (isOtherFirst && first !== null) {
    return answer({ is: 'different', code: 'LOG_RECREATED', why: `The first record (offset ${first.offset}) is another one.` })
  }
  if (at > layout.last) {
    return answer({ is: 'different', code: 'LOG_TRUNCATED', why: `The log ends at ${layout.last}, before ${at}.` })
  }
  if (at === layout.first - 1) {
    return answer({ is: 'unprovable', why: `The log begins at ${layout.first} now; the record at ${at} is gone.` })
  }
  if (at < layout.first) {
    return answer({ is: 'different', code: 'LOG_TRUNCATED', why: `The log begins at ${layout.first} now, after ${at + 1}.` })
  }
  return answer({ is: 'different', code: 'LOG_REWRITTEN', why: `The record at ${at}, or one of its block before it, has other content.` })
}

function rewrittenFirst(proof: FileProof): MarkCheck {
  return { is: 'different', code: 'LOG_REWRITTEN', why: `The first record (offset ${proof.first.offset}) has other content.` }
}

/** What is at a mark's place: all of its block, its last record only, or something else. */
type Finding = 'same' | 'last' | 'other'

async function findMark(layout: Layout, start: Start, proof: FileProof, mark: Mark, pageBytes: number): Promise<Finding> {
  const at = proof.last.offset
  // Retention took the block's beginning away: the last record alone is left to compare.
  const isWhole = proof.block !== null && start.offset >= layout.first
  const chain = isWhole ? resumeChain(mark, proof, start) : null
  for await (const page of readLayout(layout, start, pageBytes)) {
    const from = Math.max(0, start.offset - page.offset)
    const to = Math.min(page.count, at + 1 - page.offset)
    if (to <= from) return 'other'
    const taken = chain?.take(page, from, to)
    if (page.offset + to - 1 !== at) continue
    if (lineHash(page, to - 1) !== proof.last.hash) return 'other'
    return taken === undefined || taken.inputAt(to - 1).input === mark.input ? 'same' : 'last'
  }
  return 'other'
}

/** The chain as it was when the mark's block was begun. */
export function resumeChain(mark: Mark, proof: FileProof, start: Start): InputChain | null {
  if (proof.block === null) return null
  const { segment = '', byte = 0 } = start.hint ?? {}
  const { offset, chain } = proof.block
  const earlier = milestonesOf(mark.earlier, proof.last.offset)
  return new InputChain({ offset, chain: Buffer.from(chain, 'hex'), earlier, segment, byte })
}
