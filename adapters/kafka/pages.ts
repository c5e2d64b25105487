import { setTimeout as sleep } from 'node:timers/promises'
import { RehydrateError, type Offset } from '../../src/index.js'
import type { Isolation } from './mark.js'
import { RecordPage } from './page.js'
import type { FetchedPartition, KafkaPort, TopicPartition } from './port.js'
import { readBatches } from './record-batch.js'
import { abortedBatches } from './transactions.js'

/** One partition, as it is to be read. */
export interface PartitionLog extends TopicPartition {
  readonly name: string
  readonly isolation: Isolation
  /** Is the topic compacted, or may it have been? */
  readonly compacted: boolean
  /** So long nothing may come where there must be a record. */
  readonly stallMs: number
}

/** Bytes of one fetch; one is read ahead while another is worked on. A batch that is larger comes alone. */
const FETCH_BYTES = 1 << 20
const BATCH_LIMIT = 64 << 20
/** How long the broker may wait for the first byte. What is asked for is there already, but for the moments after an election. */
const WAIT_MS = 100
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
 * Pages of [from, upTo], which must lie below the end of the log; the last one reaches upTo. Aborting the signal ends it without an error.
 * Errors: LOG_TRUNCATED where the log begins after, or ends before; LOG_CORRUPT; SOURCE_UNREACHABLE where nothing comes.
 */
export async function* readPages(
  port: KafkaPort, log: PartitionLog, from: Offset, upTo: Offset, signal: AbortSignal,
): AsyncGenerator<RecordPage, void, void> {
  // Ends the fetch that is read ahead, when the reader stops early.
  const stop = new AbortController()
  const both = AbortSignal.any([signal, stop.signal])
  const fetcher = new Fetcher(port, log, upTo, both)
  let next = from
  let pending = fetcher.fetch(next)
  try {
    while (next <= upTo) {
      const page = await pending
      if (signal.aborted || page === null) return
      next = page.through + 1
      if (next <= upTo) {
        pending = fetcher.fetch(next)
        pending.catch(() => {})
      }
      yield page
    }
  } finally {
    stop.abort()
  }
}

class Fetcher {
  readonly #port: KafkaPort
  readonly #log: PartitionLog
  readonly #upTo: Offset
  readonly #signal: AbortSignal
  #bytes = FETCH_BYTES
  /** An offset at which there were records. */
  #served: Offset | null = null

  constructor(port: KafkaPort, log: PartitionLog, upTo: Offset, signal: AbortSignal) {
    this.#port = port
    this.#log = log
    this.#upTo = upTo
    this.#signal = signal
  }

  /** The page that begins at an offset; null when the signal aborted. */
  async fetch(from: Offset): Promise<RecordPage | null> {
    let rounds = 0
    // Of the first of the empty answers in a row: an outage, which the port waits out, is no answer.
    let sinceMs = NaN
    for (let empty = 0; !this.#signal.aborted; empty++) {
      const askedMs = performance.now()
      const answer = await this.#ask(from)
      const nowMs = performance.now()
      if (empty === 0 || nowMs - askedMs > SLOW_ANSWER_MS) sinceMs = nowMs
      const emptyMs = nowMs - sinceMs
      if (this.#signal.aborted) return null
      if (answer !== null && answer.startOffset > from) throw this.#truncated(from, `begins at ${answer.startOffset} now`)
      if (answer !== null && answer.records.length > 0) {
        const page = this.#read(answer, from)
        if (page !== null) return page
      } else if (answer !== null && this.#log.compacted && this.#endOf(answer) > from) {
        if ((empty + 1) % BARE_ANSWERS === 0 && await this.#servesOthers(answer.startOffset, from)) rounds++
        if (rounds === BARE_ROUNDS || emptyMs > BARE_MS) return this.#barePage(from, this.#endOf(answer))
      }
      if (emptyMs > this.#log.stallMs) throw this.#stalled(from, answer)
      // A broker that holds back answers at once.
      if (empty > 0) await sleep(Math.min(10 * empty, 500), null, { signal: this.#signal }).catch(() => {})
    }
    return null
  }

  async #ask(from: Offset): Promise<FetchedPartition | null> {
    const { topic, partition, isolation } = this.#log
    const limits = {
      bytesPerPartition: this.#bytes, bytes: this.#bytes, waitMs: WAIT_MS, readCommitted: isolation === 'read_committed',
    }
    try {
      const answers = await this.#port.fetch([{ topic, partition, offset: from }], limits, this.#signal)
      return answers.find((answer) => answer.topic === topic && answer.partition === partition) ?? null
    } catch (error) {
      if (this.#signal.aborted) return null
      throw error
    }
  }

  /** Null where not even one batch came whole: the next time more is asked for. */
  #read(answer: FetchedPartition, from: Offset): RecordPage | null {
    const { name, isolation, compacted } = this.#log
    const { batches, needed } = readBatches(answer.records, { partition: name, from, limit: BATCH_LIMIT })
    if (batches.length === 0) {
      this.#bytes = Math.max(this.#bytes, needed ?? 0)
      return null
    }
    this.#served = from
    const aborted = isolation === 'read_committed' ? abortedBatches(batches, answer.aborted) : []
    return new RecordPage(batches, { from, upTo: this.#upTo, aborted, compacted })
  }

  /** Does the broker give records where there are some? */
  async #servesOthers(start: Offset, from: Offset): Promise<boolean> {
    const other = this.#served ?? start
    return other < from && ((await this.#ask(other))?.records.length ?? 0) > 0
  }

  /** Compaction took all that was left up to the end, the last batch too. */
  #barePage(from: Offset, end: Offset): RecordPage {
    return new RecordPage([], { from, upTo: Math.min(this.#upTo, end - 1), aborted: [], compacted: true })
  }

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
      message: `${name}: the broker has sent nothing from ${from} on for ${stallMs / 1_000} s, though the log goes on up to ${this.#upTo}.`,
      partition: name, offset: from,
    })
  }
}
