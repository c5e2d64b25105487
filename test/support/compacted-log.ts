import type {
  Bounds, EventBatch, EventSource, Mark, MarkCheck, ReadLimits, ReadRange, RecordedEvent,
} from '../../src/index.js'

interface Written {
  readonly offset: number
  readonly key: string
  /** Null: a tombstone. */
  readonly value: number | null
}

/**
 * A log in memory with a cleaner, which may be at work between any two fetches: what only a compacted topic does. Each fetch gives the
 * records that are there then; `beforeFetch` says what happens before each.
 */
export class CompactedLog implements EventSource {
  readonly continuity = 'sparse'
  readonly #partitions = new Map<string, { records: Written[]; written: Written[] }>()
  beforeFetch: (partition: string) => void = () => {}
  /** What bounds() says. */
  compacted: boolean | null | undefined = true
  tombstonesMs: number | undefined
  /** Breaks off after so many fetches. */
  fetchesLeft = Infinity
  /** How often check() was asked: what a mark learns from it. */
  looks = 0
  /** The reads that were asked for: whether each was to go on to the end. */
  readonly reads: boolean[] = []

  write(partition: string, key: string, value: number | null): number {
    const log = this.#log(partition)
    const record = { offset: log.written.length, key, value }
    log.written.push(record)
    log.records.push(record)
    return record.offset
  }

  /** Takes every record away that a later one of its key follows; the last one stays, as the active segment of a topic does. */
  clean(partition: string): void {
    const log = this.#log(partition)
    const last = new Map(log.records.map((record) => [record.key, record]))
    log.records = log.records.filter((record) => last.get(record.key) === record || record === log.records.at(-1))
  }

  /** The last value of each key up to an offset, inclusive, whatever the cleaner did. */
  valuesAt(position: ReadonlyMap<string, number>): Map<string, number> {
    const values = new Map<string, number>()
    for (const [partition, at] of position) {
      for (const { key, value } of this.#log(partition).written.slice(0, at + 1)) {
        if (value === null) values.delete(key)
        else values.set(key, value)
      }
    }
    return values
  }

  async check(marks: ReadonlyMap<string, { readonly mark: Mark }>): Promise<ReadonlyMap<string, MarkCheck>> {
    this.looks++
    return new Map([...marks].map(([partition, { mark }]) => [partition, { is: 'same', mark: { ...mark, proof: this.looks } }]))
  }

  async bounds(): Promise<ReadonlyMap<string, Bounds>> {
    const { compacted, tombstonesMs } = this
    const more = { ...(compacted !== undefined && { compacted }), ...(tombstonesMs !== undefined && { tombstonesMs }) }
    return new Map([...this.#partitions].map(([name, { written }]) => [name, { first: 0, last: written.length - 1, ...more }]))
  }

  async *read(partition: string, range: ReadRange, limits: ReadLimits, signal: AbortSignal): AsyncGenerator<EventBatch, void, void> {
    this.reads.push(range.toEnd === true)
    for (let { after } = range; ;) {
      if (signal.aborted || (range.toEnd !== true && after >= range.upTo)) return
      if (this.fetchesLeft-- <= 0) throw new Error('the network went away')
      this.beforeFetch(partition)
      const { records, written } = this.#log(partition)
      const wanted = records.filter(({ offset }) => offset > after && (range.toEnd === true || offset <= range.upTo))
      const some = wanted.slice(0, limits.events)
      const end = range.toEnd === true ? written.length - 1 : range.upTo
      const through = some.length < wanted.length ? some.at(-1)!.offset : end
      const atEnd = through === written.length - 1
      yield batchOf(partition, some, after, through, atEnd)
      after = through
      if (range.toEnd === true && atEnd && through >= range.upTo) return
    }
  }

  async close(): Promise<void> {}

  #log(partition: string): { records: Written[]; written: Written[] } {
    let log = this.#partitions.get(partition)
    if (log === undefined) this.#partitions.set(partition, (log = { records: [], written: [] }))
    return log
  }
}

function batchOf(partition: string, records: readonly Written[], after: number, through: number, atEnd: boolean): EventBatch {
  const at = (i: number): Written => records[i] as Written
  const typeOf = ({ value }: Written): string => (value === null ? '$tombstone' : 'Set')
  return {
    partition, through, atEnd, length: records.length, bytes: records.length,
    holes: { control: 0, aborted: 0, filtered: 0, compactedOrLost: through - after - records.length },
    offsetAt: (i) => at(i).offset,
    keyAt: (i) => at(i).key,
    typeAt: (i) => typeOf(at(i)),
    event: (i): RecordedEvent => ({
      partition, offset: at(i).offset, type: typeOf(at(i)), key: at(i).key, data: at(i).value, schemaVersion: 1, bigIntegers: null,
      recordedAtMs: at(i).offset, headers: {}, id: null,
    }),
    markAt: () => ({ id: partition, input: null, proof: null }),
  }
}
