import { setTimeout as sleep } from 'node:timers/promises'
import { RehydrateError, type Offset } from '../../src/index.js'
import type { FetchShare } from './budget.js'
import type { Isolation } from './mark.js'
import { RecordPage, type FetchMoment } from './page.js'
import type { FetchedPartition, KafkaPort, TopicPartition } from './port.js'
import { readBatches } from './record-batch.js'
import { unlessAborted } from './retry.js'
import { abortedBatches } from './transactions.js'

/** One partition, as it is to be read. */
export interface PartitionLog extends TopicPartition {
  readonly name: string
  readonly isolation: Isolation
  /** Is the topic compacted, or may it have been? */
  readonly compacted: boolean
  /** So long nothing may come where there must be a record. */
  readonly stallMs: number
  /** Milliseconds since 1970. */
  readonly clock: () => number
}

/** Offsets from `from` to `upTo`, both inclusive. */
export interface PagesRange {
  readonly from: Offset
  readonly upTo: Offset
  /** Go on behind upTo, to a page of which it is known that nothing followed it when it was fetched. */
  readonly toEnd?: boolean
}

/** Bytes of one page, but for a batch that is larger; one is read ahead while another is worked on. */
const PAGE_BYTES = 1 << 20
/** Bytes of one answer, with pages of many partitions. */
const ANSWER_BYTES = 4 << 20
const BATCH_LIMIT = 64 << 20
/**
 * How long the broker may wait for the first byte. What is asked for is there already, but for the moments after an election, and for
 * tiered logs: there an answer takes as long as their store does.
 */
const WAIT_MS = 100
const LONGEST_WAIT_MS = 1_000
/**
 * Of a compacted topic nothing may be left up to its end. But a broker that holds back (a quota) answers emptily too, and then serves the
 * next request after a while. So it must say so so often in a row, and that in so many rounds between which it serves other offsets; or
 * for so long where there are no others.
 */
const BARE_ANSWERS = 3
const BARE_ROUNDS = 3
const BARE_MS = 10_000
const SLOW_ANSWER_MS = 2_000

/**
 * Pages of [from, upTo], which must lie below the end of the log; the last one reaches upTo. With `toEnd` pages go on behind it, and the
 * last one is `atEnd`: empty where nothing followed the one before it. Aborting the signal ends it without an error.
 * With a `share` what is read ahead counts there, and waits for others; it is left in the end. Errors: LOG_TRUNCATED where the log begins
 * after, or ends before; LOG_CORRUPT; SOURCE_UNREACHABLE where nothing comes.
 */
export async function* readPages(
  port: KafkaPort, log: PartitionLog, { from, upTo, toEnd = false }: PagesRange, signal: AbortSignal, share: FetchShare | null = null,
): AsyncGenerator<RecordPage, void, void> {
  if (from > upTo && !toEnd) return share?.leave()
  // Ends the fetch that is read ahead, when the reader stops early.
  const stop = new AbortController()
  const both = AbortSignal.any([signal, stop.signal])
  const fetcher = new Fetcher(port, log, { upTo, toEnd }, both, share)
  let pending = fetcher.fetch(from)
  try {
    for (let isLast = false; !isLast;) {
      share?.await()
      const page = await pending
      share?.release()
      if (signal.aborted || page === null) return
      isLast = page.through >= upTo && (!toEnd || page.atEnd)
      if (!isLast) {
        pending = fetcher.fetch(page.through + 1)
        pending.catch(() => {})
      }
      yield page
    }
  } finally {
    stop.abort()
    share?.leave()
  }
}

class Fetcher {
  readonly #port: KafkaPort
  readonly #log: PartitionLog
  readonly #upTo: Offset
  readonly #toEnd: boolean
  readonly #signal: AbortSignal
  readonly #share: FetchShare | null
  /** The furthest end that was seen: a leader that was just elected may not know yet how far the log is readable. */
  #end: Offset
  /** What the largest batch so far needed, where that is more than a page. */
  #bytes = 0
  /** An offset at which there were records. */
  #served: Offset | null = null

  constructor(
    port: KafkaPort, log: PartitionLog, { upTo, toEnd }: Required<Omit<PagesRange, 'from'>>, signal: AbortSignal, share: FetchShare | null,
  ) {
    this.#port = port
    this.#log = log
    this.#upTo = upTo
    this.#toEnd = toEnd
    this.#signal = signal
    this.#share = share
    this.#end = upTo + 1
  }

  /** The page that begins at an offset; null when the signal aborted. */
  async fetch(from: Offset): Promise<RecordPage | null> {
    const bytes = this.#share === null ? PAGE_BYTES : await unlessAborted(this.#share.take(), [this.#signal]).catch(() => 0)
    let rounds = 0
    // Of the first of the empty answers in a row: an outage, which the port waits out, is no answer.
    let sinceMs = NaN
    for (let empty = 0; !this.#signal.aborted; empty++) {
      const askedMs = performance.now()
      const askedAtMs = this.#log.clock()
      const answer = await this.#ask(from, bytes, empty)
      const nowMs = performance.now()
      if (empty === 0 || nowMs - askedMs > SLOW_ANSWER_MS) sinceMs = nowMs
      const emptyMs = nowMs - sinceMs
      if (this.#signal.aborted) return null
      if (answer !== null && answer.startOffset > from) throw this.#truncated(from, `begins at ${answer.startOffset} now`)
      if (answer !== null) this.#end = Math.max(this.#end, this.#endOf(answer))
      const moment = { askedMs: askedAtMs, answeredMs: this.#log.clock(), end: this.#end }
      if (answer !== null && answer.records.length > 0) {
        this.#share?.came(answer.records.length)
        const page = this.#read(answer, from, moment)
        if (page !== null) return page
      } else if (answer !== null && this.#toEnd && this.#endOf(answer) === from && from === this.#end) {
        return this.#barePage(from, from, moment)
      } else if (answer !== null && this.#log.compacted && this.#endOf(answer) > from) {
        if ((empty + 1) % BARE_ANSWERS === 0 && await this.#servesOthers(answer.startOffset, from)) rounds++
        if (rounds === BARE_ROUNDS || emptyMs > BARE_MS) return this.#barePage(from, this.#endOf(answer), moment)
      }
      if (emptyMs > this.#log.stallMs) throw this.#stalled(from, answer)
      // A broker that holds back answers at once.
      if (empty > 0) await sleep(Math.min(10 * empty, 500), null, { signal: this.#signal }).catch(() => {})
    }
    return null
  }

  async #ask(from: Offset, bytes: number, empty: number): Promise<FetchedPartition | null> {
    const { topic, partition, isolation, compacted } = this.#log
    const bytesPerPartition = Math.max(bytes, this.#bytes)
    const limits = {
      bytesPerPartition, bytes: Math.max(bytesPerPartition, ANSWER_BYTES), readCommitted: isolation === 'read_committed',
      // Nothing that is compacted is tiered.
      waitMs: compacted ? WAIT_MS : Math.min(WAIT_MS * 2 ** empty, LONGEST_WAIT_MS),
      // Where the end is, its leader says.
      ofLeader: this.#toEnd,
    }
    try {
      return await this.#port.fetch({ topic, partition, offset: from }, limits, this.#signal)
    } catch (error) {
      if (this.#signal.aborted) return null
      throw error
    }
  }

  /** Null where not even one batch came whole: the next time more is asked for. */
  #read(answer: FetchedPartition, from: Offset, moment: FetchMoment): RecordPage | null {
    const { name, isolation, compacted } = this.#log
    const { batches, needed } = readBatches(answer.records, { partition: name, from, end: answer.highWatermark, limit: BATCH_LIMIT })
    if (batches.length === 0) {
      this.#bytes = Math.max(this.#bytes, needed ?? 0)
      return null
    }
    this.#served = from
    const aborted = isolation === 'read_committed' ? abortedBatches(batches, answer.aborted) : []
    return new RecordPage(batches, { from, upTo: this.#lastWanted, aborted, compacted, moment })
  }

  /** Does the broker give records where there are some? */
  async #servesOthers(start: Offset, from: Offset): Promise<boolean> {
    const other = this.#served ?? start
    return other < from && ((await this.#ask(other, PAGE_BYTES, 0))?.records.length ?? 0) > 0
  }

  /** Compaction took all that was left up to the end, the last batch too. */
  #barePage(from: Offset, end: Offset, moment: FetchMoment): RecordPage {
    return new RecordPage([], { from, upTo: Math.min(this.#lastWanted, end - 1), aborted: [], compacted: true, moment })
  }

  get #lastWanted(): Offset { return this.#toEnd ? Infinity : this.#upTo }

  #endOf(answer: FetchedPartition): Offset {
    return this.#log.isolation === 'read_committed' ? answer.lastStableOffset : answer.highWatermark
  }

  #truncated(from: Offset, what: string): RehydrateError {
    const { name } = this.#log
    return new RehydrateError('LOG_TRUNCATED', {
      message: `${name} ${what}, and ${from} is needed next.`, partition: name, offset: from, expected: from,
    })
  }

  #stalled(from: Offset, answer: FetchedPartition | null): RehydrateError {
    const { name, stallMs } = this.#log
    if (answer !== null && this.#endOf(answer) <= from) return this.#truncated(from, `ends before ${this.#endOf(answer)} now`)
    return new RehydrateError('SOURCE_UNREACHABLE', {
      message: `${name}: ${answer?.broker ?? 'the broker'} has sent nothing from ${from} on for ${stallMs / 1_000} s, `
        + `though the log goes on up to ${answer === null ? this.#upTo : this.#endOf(answer) - 1}.`,
      partition: name, offset: from,
    })
  }
}
