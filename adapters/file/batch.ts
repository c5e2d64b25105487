import type { EventBatch, Holes, Mark, Offset, Reads, RecordedEvent } from '../../src/index.js'
import type { PageChain } from './chain.js'
import type { LinePage } from './lines.js'
import { lineHash, makeMark, type FirstRecord } from './mark.js'
import type { LineForm } from './record.js'

const NO_HOLES: Holes = { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 }

/** Lines [from, to) of a page. */
export class FileBatch implements EventBatch {
  readonly partition: string
  readonly length: number
  readonly through: Offset
  readonly holes = NO_HOLES
  readonly bytes: number
  readonly #page: LinePage
  readonly #from: number
  readonly #form: LineForm
  readonly #chain: PageChain | null
  readonly #first: FirstRecord
  /** A line of unusual layout is parsed for its type already; event(i) then takes what was parsed. */
  #parsed: RecordedEvent | null = null

  constructor(page: LinePage, from: number, to: number, form: LineForm, chain: PageChain | null, first: FirstRecord) {
    this.partition = page.segment.partition
    this.length = to - from
    this.through = page.offset + to - 1
    this.bytes = page.start(to) - page.start(from)
    this.#page = page
    this.#from = from
    this.#form = form
    this.#chain = chain
    this.#first = first
  }

  offsetAt(i: number): Offset { return this.#page.offset + this.#from + i }

  typeAt(i: number): string { return this.#form.typeAt(this.#page, this.#from + i) ?? this.#parse(i).type }

  keyAt(i: number): string | null {
    const key = this.#form.keyAt(this.#page, this.#from + i)
    return key === undefined ? this.#parse(i).key : key
  }

  event(i: number, reads?: Reads): RecordedEvent {
    const event = this.#parse(i, reads)
    this.#parsed = null
    return event
  }

  markAt(i: number): Mark {
    const line = this.#from + i
    const last = { offset: this.offsetAt(i), hash: lineHash(this.#page, line) }
    return makeMark(this.#first, last, this.#chain?.inputAt(line) ?? null)
  }

  #parse(i: number, reads?: Reads): RecordedEvent {
    if (this.#parsed?.offset === this.offsetAt(i)) return this.#parsed
    const line = this.#from + i
    const event = this.#form.parse(this.#page, line, reads)
    if (!this.#form.agrees(this.#page, line, event.type, event.key)) {
      throw this.#page.corrupt(line, 'names its type or its key twice', { actual: [event.type, event.key] })
    }
    return (this.#parsed = event)
  }
}
