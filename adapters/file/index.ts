import {
  checkOptions, RehydrateError,
  type Bounds, type EventBatch, type EventSource, type Mark, type MarkCheck, type Offset, type Reading, type ReadLimits, type ReadRange,
} from '../../src/index.js'
import { FileBatch } from './batch.js'
import { Catalog, type Layout } from './catalog.js'
import { InputChain, type PageChain } from './chain.js'
import type { LinePage } from './lines.js'
import { proofOf, type FirstRecord } from './mark.js'
import { proveMark, readFirst, readLayout, refuseReplaced, resumeChain, type Start } from './reader.js'
import { checkEnvelope, EnvelopedLines, readingOf, type FileEnvelope } from './envelope.js'
import { Columns, type LineForm } from './record.js'

export interface FileLogOptions {
  /** A file, a directory (read recursively) or a glob: `*`, `?`, `**`, `{a,b}`. */
  readonly path: string
  /** Bytes per read, from 1; default 1 MiB. Two reads are in memory per partition that is being read. */
  readonly readBytes?: number
  /**
   * How lines that are not in the log format hold their events: `cloudevents` (version 1.0, in its JSON form), paths of fields, or a pure
   * function of the parsed line. The first line then states no offset.
   */
  readonly envelope?: FileEnvelope
}

export type { FileEnvelope } from './envelope.js'

const READ_BYTES = 1 << 20

/**
 * NDJSON files as a log: one partition per file name, offset = ordinal of the line. Inert until the first call.
 * Errors of the factory: CONFIG_INVALID. Of the source: SOURCE_UNREACHABLE, CONFIG_AMBIGUOUS,
 * LOG_TORN_TAIL, LOG_CORRUPT, LOG_GAP, LOG_TRUNCATED, LOG_REWRITTEN; EVENT_INVALID where a function of `envelope` throws.
 */
export function fileLog(options: FileLogOptions): EventSource {
  checkOptions('fileLog()', options, ['path', 'readBytes', 'envelope'])
  const { path, readBytes = READ_BYTES, envelope } = options
  if (typeof path !== 'string' || path === '') {
    throw new RehydrateError('CONFIG_INVALID', { message: 'fileLog() takes a path.', path: 'path', actual: path })
  }
  if (!Number.isSafeInteger(readBytes) || readBytes < 1) {
    throw new RehydrateError('CONFIG_INVALID', {
      message: 'fileLog(): readBytes is an integer from 1.', path: 'readBytes', actual: readBytes,
    })
  }
  if (envelope !== undefined) checkEnvelope(envelope)
  return new FileLog(path, readBytes, envelope ?? null)
}

class FileLog implements EventSource {
  readonly continuity = 'dense'
  readonly reading?: Reading
  readonly #catalog: Catalog
  readonly #readBytes: number
  readonly #form: LineForm

  constructor(path: string, readBytes: number, envelope: FileEnvelope | null) {
    this.#catalog = new Catalog(path, envelope === null)
    this.#form = envelope === null ? new Columns() : new EnvelopedLines(envelope)
    this.#readBytes = readBytes
    if (envelope !== null) this.reading = readingOf(envelope)
  }

  async bounds(options: { readonly following?: boolean } = {}): Promise<ReadonlyMap<string, Bounds>> {
    const layouts = await this.#catalog.refresh(options.following ?? false)
    return new Map([...layouts].map(([partition, { first, last, bytes }]) => [partition, { first, last, bytes }]))
  }

  async check(
    marks: ReadonlyMap<string, { readonly mark: Mark; readonly at: Offset }>,
  ): Promise<ReadonlyMap<string, MarkCheck>> {
    const layouts = await this.#catalog.refresh(true)
    const checks = new Map<string, MarkCheck>()
    for (const [partition, { mark, at }] of marks) {
      const layout = layouts.get(partition)
      checks.set(partition, layout === undefined ? partitionGone(partition) : await this.#check(layout, mark, at))
    }
    return checks
  }

  async *read(
    partition: string, range: ReadRange, limits: ReadLimits, signal: AbortSignal,
  ): AsyncGenerator<EventBatch, void, void> {
    if (signal.aborted || range.upTo <= range.after) return
    const layout = await this.#catalog.layout(partition)
    if (layout === undefined || layout.last < range.upTo) throw endsBefore(partition, range.upTo, layout)
    const { start, chain, first } = await this.#begin(layout, range)
    let next = start.offset
    for await (const page of readLayout(layout, start, this.#readBytes)) {
      const from = Math.max(0, next - page.offset)
      const end = Math.min(page.count, range.upTo + 1 - page.offset)
      const fault = page.firstFault(from, end)
      const to = fault?.line ?? end
      if (page.offset + end > range.upTo) await refuseReplaced(page.segment)
      const taken = chain?.take(page, from, to) ?? null
      for (const batch of this.#batches(page, Math.max(from, range.after + 1 - page.offset), to, limits, taken, first)) {
        if (signal.aborted) return
        yield batch
      }
      if (signal.aborted) return
      if (fault !== null) throw fault.error
      next = page.offset + to
      if (next > range.upTo) return
    }
  }

  /** Nothing is kept open between calls: a read closes its file when it ends. */
  async close(): Promise<void> {}

  /** Where to begin, and with which chain; a mark is proved first, so that a changed log is never read on. */
  async #begin(layout: Layout, range: ReadRange): Promise<{ start: Start; chain: InputChain | null; first: FirstRecord }> {
    const first = (await readFirst(layout)) as FirstRecord
    if (range.mark === null) {
      const chain = range.after < layout.first ? new InputChain(null) : null
      return { start: { offset: Math.max(layout.first, range.after + 1), hint: null }, chain, first }
    }
    const { check, start } = await proveMark(layout, first, range.mark, range.after, this.#readBytes)
    if (check.is === 'different') {
      throw new RehydrateError(check.code, {
        message: `Partition ${layout.partition} is not the log that was read before: ${check.why}`,
        partition: layout.partition,
        offset: range.after,
        why: check.why,
      })
    }
    const proof = proofOf(range.mark)
    if (proof === null || check.is === 'unprovable' || start.offset < layout.first) {
      return { start: { offset: Math.max(layout.first, range.after + 1), hint: null }, chain: null, first: proof?.first ?? first }
    }
    return { start, chain: resumeChain(range.mark, proof, start), first: proof.first }
  }

  async #check(layout: Layout, mark: Mark, at: Offset): Promise<MarkCheck> {
    try {
      return (await proveMark(layout, await readFirst(layout), mark, at, this.#readBytes)).check
    } catch (error) {
      const { code, message } = error as RehydrateError
      if (code === 'LOG_TRUNCATED' || code === 'LOG_REWRITTEN') return { is: 'different', code, why: message }
      throw error
    }
  }

  *#batches(
    page: LinePage, from: number, to: number, limits: ReadLimits, chain: PageChain | null, first: FirstRecord,
  ): Generator<EventBatch, void, void> {
    for (let line = from; line < to;) {
      let end = Math.min(to, line + Math.max(1, limits.events))
      if (page.start(end) - page.start(line) > limits.bytes) {
        end = line + 1
        while (end < to && page.start(end + 1) - page.start(line) <= limits.bytes) end++
      }
      yield new FileBatch(page, line, end, this.#form, chain, first)
      line = end
    }
  }
}

function partitionGone(partition: string): MarkCheck {
  return { is: 'different', code: 'LOG_TRUNCATED', why: `There is no file of partition ${partition} any more.` }
}

function endsBefore(partition: string, upTo: Offset, layout: Layout | undefined): RehydrateError {
  const where = layout === undefined ? `There is no partition ${partition}` : `Partition ${partition} ends at ${layout.last}`
  return new RehydrateError('LOG_TRUNCATED', { message: `${where}; it was to be read up to ${upTo}.`, partition, offset: upTo })
}
