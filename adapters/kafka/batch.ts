import type { EventBatch, Holes, Mark, Offset, ReadLimits, Reads, RecordedEvent } from '../../src/index.js'
import type { PageChain } from './chain.js'
import type { RawRecord } from './mapping.js'
import { keptAt, makeMark, type KeptRecord, type LogIdentity } from './mark.js'
import type { RecordPage } from './page.js'
import type { Pass } from './pass.js'
import type { PageReader } from './payload/readers.js'
import { ColumnRecord } from './record.js'

const NO_HOLES: Holes = { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 }

/** A page, with all that is needed to make events and marks of its records. */
export interface ReadPage extends PageReader {
  readonly page: RecordPage
  readonly partition: string
  readonly identity: LogIdentity
  readonly chain: PageChain | null
  /** The last records before the page. */
  readonly kept: readonly KeptRecord[]
  /** The pass that the page belongs to; null where the topic is not compacted. */
  readonly pass: Pass | null
  /** The one that begins behind it, where it reached the end. */
  readonly passBehind: Pass | null
}

/**
 * A page in batches within the limits. What is missing without a reason is a batch of its own, without records and without holes: so the
 * engine names exactly that gap.
 */
export function* batchesOf(read: ReadPage, limits: ReadLimits): Generator<EventBatch, void, void> {
  const { page } = read
  // Nothing followed, not even a hole: that alone is to be told.
  if (page.count === 0 && page.holes.length === 0) yield new KafkaBatch(read, 0, 0, page.through, NO_HOLES)
  const mostByBytes = page.recordBytes === 0 ? limits.events : Math.floor(limits.bytes / page.recordBytes)
  const most = Math.max(1, Math.min(limits.events, mostByBytes))
  let from = 0
  let hole = 0
  while (from < page.count || hole < page.holes.length) {
    const gap = page.holes[hole]
    if (gap?.reason === null && gap.before === from) {
      yield new KafkaBatch(read, from, from, gap.to, NO_HOLES)
      hole++
      continue
    }
    const limit = Math.min(page.count, from + most)
    const firstHole = hole
    const counts = { ...NO_HOLES }
    let to = limit
    for (let next = page.holes[hole]; next !== undefined && next.before <= to; next = page.holes[++hole]) {
      if (next.reason === null) {
        to = next.before
        break
      }
      counts[next.reason] += next.to - next.from + 1
    }
    yield new KafkaBatch(read, from, to, throughOf(page, to, hole), counts, firstHole)
    from = to
  }
}

/** What is accounted for after records [0, to) and holes [0, hole). */
function throughOf(page: RecordPage, to: number, hole: number): Offset {
  const lastHole = hole === 0 ? -1 : (page.holes[hole - 1] as { to: Offset }).to
  const lastRecord = to === 0 ? -1 : page.offsetAt(to - 1)
  return Math.max(lastHole, lastRecord)
}

/** Records [from, to) of a page. */
class KafkaBatch implements EventBatch {
  readonly partition: string
  readonly length: number
  readonly through: Offset
  readonly holes: Holes
  readonly bytes: number
  readonly atEnd: boolean
  readonly #read: ReadPage
  readonly #from: number
  readonly #firstHole: number
  /** Stands at record `#at`: columns and event of one are asked for one after the other. */
  readonly #record = new ColumnRecord()
  #at = -1
  /** Of that record, told without parsing; null: it can't be; undefined: not asked for yet. */
  #plainType: string | null | undefined = undefined
  #event: RecordedEvent | null = null

  constructor(read: ReadPage, from: number, to: number, through: Offset, holes: Holes, firstHole = read.page.holes.length) {
    this.partition = read.partition
    this.length = to - from
    this.through = through
    this.holes = holes
    this.bytes = this.length * read.page.recordBytes
    this.atEnd = read.page.atEnd && through === read.page.through
    this.#read = read
    this.#from = from
    this.#firstHole = firstHole
  }

  holesBefore(i: number): Holes {
    const { holes } = this.#read.page
    const counts = { ...NO_HOLES }
    for (let at = this.#firstHole; at < holes.length; at++) {
      const { before, reason, from, to } = holes[at] as (typeof holes)[number]
      if (before > this.#from + i || reason === null) break
      counts[reason] += to - from + 1
    }
    return counts
  }

  offsetAt(i: number): Offset { return this.#read.page.offsetAt(this.#from + i) }

  typeAt(i: number): string { return this.#plainTypeOf(this.#stand(i)) ?? this.#parse(i).type }

  keyAt(i: number): string | null { return this.#read.reader.plainKey(this.#stand(i)) ?? this.#parse(i).key }

  event(i: number, reads?: Reads): RecordedEvent {
    const event = this.#parse(i, reads)
    // The next one who asks gets data of his own.
    this.#event = null
    return event
  }

  markAt(i: number): Mark {
    const { page, identity, chain, kept, pass, passBehind, schemas } = this.#read
    const index = this.#from + i
    const isLast = index === page.count - 1
    const passThere = isLast ? passBehind ?? pass : pass
    return makeMark(identity, keptAt(page, index, kept), chain?.inputAt(index) ?? null, passThere, schemas?.hashesAt(index) ?? null)
  }

  #parse(i: number, reads?: Reads): RecordedEvent {
    const record = this.#stand(i)
    if (this.#event !== null) return this.#event
    const { reader } = this.#read
    const event = reader.event(record, reads)
    if ((this.#plainTypeOf(record) ?? event.type) !== event.type) throw reader.ambiguous(record)
    return (this.#event = event)
  }

  #plainTypeOf(record: RawRecord): string | null {
    return this.#plainType === undefined ? (this.#plainType = this.#read.reader.plainType(record)) : this.#plainType
  }

  #stand(i: number): RawRecord {
    if (this.#at !== i) {
      this.#read.page.moveTo(this.#record, this.#from + i)
      this.#at = i
      this.#plainType = undefined
      this.#event = null
    }
    return this.#record
  }
}
