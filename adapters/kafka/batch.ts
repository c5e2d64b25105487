import type { EventBatch, Holes, Mark, Offset, ReadLimits, RecordedEvent } from '../../src/index.js'
import type { PageChain } from './chain.js'
import type { EventReader, RawRecord } from './event.js'
import { keptAt, makeMark, type KeptRecord, type LogIdentity } from './mark.js'
import type { RecordPage } from './page.js'

const NO_HOLES: Holes = { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 }

/** A page, with all that is needed to make events and marks of its records. */
export interface ReadPage {
  readonly page: RecordPage
  readonly partition: string
  readonly identity: LogIdentity
  readonly reader: EventReader
  readonly chain: PageChain | null
  /** The last records before the page. */
  readonly kept: readonly KeptRecord[]
}

/**
 * A page in batches within the limits. What is missing without a reason is a batch of its own, without records and without holes: so the
 * engine names exactly that gap.
 */
export function* batchesOf(read: ReadPage, limits: ReadLimits): Generator<EventBatch, void, void> {
  const { page } = read
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
    const counts = { ...NO_HOLES }
    let to = limit
    for (let next = page.holes[hole]; next !== undefined && next.before <= to; next = page.holes[++hole]) {
      if (next.reason === null) {
        to = next.before
        break
      }
      counts[next.reason] += next.to - next.from + 1
    }
    yield new KafkaBatch(read, from, to, throughOf(page, to, hole), counts)
    from = to
  }
}

/** What is accounted for after records [0, to) and holes [0, hole). */
function throughOf(page: RecordPage, to: number, hole: number): Offset {
  const lastHole = hole === 0 ? -1 : (page.holes[hole - 1] as { to: Offset }).to
  const lastRecord = to === 0 ? -1 : page.offsetAt(to - 1)
  return Math.max(lastHole, lastRecord)
}

interface Latest {
  readonly i: number
  readonly record: RawRecord
  event: RecordedEvent | null
}

/** Records [from, to) of a page. */
class KafkaBatch implements EventBatch {
  readonly partition: string
  readonly length: number
  readonly through: Offset
  readonly holes: Holes
  readonly bytes: number
  readonly #read: ReadPage
  readonly #from: number
  /** The record asked for last: its columns and its event are asked for one after the other. */
  #latest: Latest | null = null

  constructor(read: ReadPage, from: number, to: number, through: Offset, holes: Holes) {
    this.partition = read.partition
    this.length = to - from
    this.through = through
    this.holes = holes
    this.bytes = this.length * read.page.recordBytes
    this.#read = read
    this.#from = from
  }

  offsetAt(i: number): Offset { return this.#read.page.offsetAt(this.#from + i) }

  typeAt(i: number): string { return this.#read.reader.plainType(this.#record(i).record) ?? this.#parse(i).type }

  keyAt(i: number): string | null { return this.#read.reader.plainKey(this.#record(i).record) ?? this.#parse(i).key }

  event(i: number): RecordedEvent {
    const event = this.#parse(i)
    // The next one who asks gets data of his own.
    this.#record(i).event = null
    return event
  }

  markAt(i: number): Mark {
    const { page, identity, chain, kept } = this.#read
    const index = this.#from + i
    return makeMark(identity, keptAt(page, index, kept), chain?.inputAt(index) ?? null)
  }

  #parse(i: number): RecordedEvent {
    const latest = this.#record(i)
    if (latest.event !== null) return latest.event
    const { reader } = this.#read
    const event = reader.event(latest.record)
    if ((reader.plainType(latest.record) ?? event.type) !== event.type) throw reader.ambiguous(latest.record)
    return (latest.event = event)
  }

  #record(i: number): Latest {
    if (this.#latest?.i === i) return this.#latest
    return (this.#latest = { i, record: this.#read.page.recordAt(this.#from + i), event: null })
  }
}
