import { RehydrateError, type Bounds, type Offset } from '../../src/index.js'
import { measure, type Measure } from './measure.js'
import { findSegments, type SegmentFile } from './paths.js'

/** A file in its place: the offsets [base, base + lines). */
export interface Segment extends SegmentFile {
  readonly base: Offset
  readonly lines: number
  readonly isLast: boolean
  readonly measured: Measure
}

/** A partition as it was when it was last looked at. */
export interface Layout extends Bounds {
  readonly bytes: number
  readonly partition: string
  readonly segments: readonly Segment[]
}

/** What lies under a path. Counts of files that did not change are remembered; of one that grew only the growth is counted. */
export class Catalog {
  readonly #path: string
  readonly #statesOffset: boolean
  #measures = new Map<string, Measure>()
  #layouts: ReadonlyMap<string, Layout> | null = null

  /** `statesOffset`: may the first line of a segment state its offset? */
  constructor(path: string, statesOffset: boolean) {
    this.#path = path
    this.#statesOffset = statesOffset
  }

  /** Looks again. Errors: SOURCE_UNREACHABLE, CONFIG_AMBIGUOUS, LOG_TRUNCATED, LOG_GAP, LOG_CORRUPT, LOG_TORN_TAIL unless `following`. */
  async refresh(following: boolean): Promise<ReadonlyMap<string, Layout>> {
    const found = await findSegments(this.#path)
    const measures = new Map<string, Measure>()
    const layouts = new Map<string, Layout>()
    for (const [partition, files] of found) {
      for (const file of files) measures.set(file.path, await measure(file, this.#measures.get(file.path), this.#statesOffset))
      layouts.set(partition, layOut(files, measures, following))
    }
    this.#measures = measures
    this.#layouts = layouts
    return layouts
  }

  /** As last seen, so that a read fits the bounds that were given last. */
  async layout(partition: string): Promise<Layout | undefined> {
    return (this.#layouts ?? (await this.refresh(true))).get(partition)
  }
}

function layOut(files: readonly SegmentFile[], measures: ReadonlyMap<string, Measure>, following: boolean): Layout {
  const segments: Segment[] = []
  files.forEach((file, i) => {
    const measured = measures.get(file.path) as Measure
    const base = baseOf(file, measured, segments[i - 1])
    const isLast = i === files.length - 1
    segments.push({ ...file, base, lines: measured.lines, isLast, measured })
    if (measured.tail === 'torn' && !(isLast && following && !file.gzip)) throw tornTail(file, measured, base + measured.lines, isLast)
  })
  const last = segments.at(-1) as Segment
  const bytes = segments.reduce((sum, { measured }) => sum + measured.size, 0)
  return { partition: last.partition, segments, first: (segments[0] as Segment).base, last: last.base + last.lines - 1, bytes }
}

/** The offset of a segment's first line: stated there, or the one after the segment before it. */
function baseOf(file: SegmentFile, { firstOffset, lines }: Measure, before: Segment | undefined): Offset {
  const place = { partition: file.partition, file: file.path, line: 1 }
  if (before === undefined) {
    if (firstOffset !== null || (file.number ?? 1) <= 1) return firstOffset ?? 0
    throw new RehydrateError('LOG_TRUNCATED', {
      ...place,
      message: `The segments of ${file.partition} before ${file.name} are missing, and its first line does not state its offset.`,
      fix: 'Bring the missing segments back, or state "offset" in the first line of the first one present.',
    })
  }
  const next = before.base + before.lines
  if (firstOffset !== null && firstOffset < next) {
    throw new RehydrateError('LOG_CORRUPT', {
      ...place,
      message: `The first line of ${file.name} states offset ${firstOffset}, but ${before.name} reaches ${next - 1}.`,
      offset: firstOffset,
      expected: next,
      actual: firstOffset,
    })
  }
  if (firstOffset === null && lines > 0 && file.number !== (before.number as number) + 1) {
    throw new RehydrateError('LOG_GAP', {
      ...place,
      message: `Segments of ${file.partition} are missing between ${before.name} and ${file.name}.`,
      offset: next,
      fix: `Bring them back. If they are gone for good, state "offset" in the first line of ${file.name}: `
        + 'then the gap can be accepted by name.',
    })
  }
  return firstOffset ?? next
}

function tornTail(file: SegmentFile, measured: Measure, offset: Offset, isLast: boolean): RehydrateError {
  const isOpen = isLast && !file.gzip
  return new RehydrateError(isOpen ? 'LOG_TORN_TAIL' : 'LOG_CORRUPT', {
    message: `Line ${measured.lines + 1} of ${file.name} (${file.partition}@${offset}) is torn: the file ends in the middle of it.`,
    partition: file.partition,
    offset,
    file: file.path,
    line: measured.lines + 1,
    byte: measured.counted,
  })
}
