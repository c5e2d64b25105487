import { implausible, recordedAtMissing } from '../log/order.js'
import { offsetIn, type Offset, type Position } from '../log/position.js'
import type { EventSource, ReadLimits } from '../log/source.js'

/** The last record of a partition in a range, and the time of the one before it; null: there is none in it. */
interface Tail {
  readonly upTo: Offset
  readonly offset: Offset
  readonly timeMs: number
  readonly previousMs: number | null
}

/** At first so many offsets are read to find the last two records of a partition; then ever more. */
const FIRST_SPAN = 16

/**
 * The time of a log, as its own records tell it: never the clock of the machine, so that a log that stands still does not move on.
 * One record alone does not move it by more than futureMs: a second one must say so as well.
 */
export class LogTime {
  readonly #source: EventSource
  readonly #futureMs: number
  readonly #tails = new Map<string, Tail>()
  /** −Infinity: not known yet. */
  #ms = Number.NEGATIVE_INFINITY

  /** `knownMs`: how far the log was merged before. */
  constructor(source: EventSource, futureMs: number, knownMs: number) {
    this.#source = source
    this.#futureMs = futureMs
    this.#ms = knownMs
  }

  get ms(): number { return this.#ms }
  get tails(): ReadonlyMap<string, Tail> { return this.#tails }

  /** Looks at the last records of what lies in (after, end]. RECORDED_AT_MISSING, TIMESTAMP_IMPLAUSIBLE. */
  async moveTo(end: Position, after: Position, limits: ReadLimits, signal: AbortSignal): Promise<void> {
    for (const [partition, upTo] of end) {
      if (this.#tails.get(partition)?.upTo === upTo || offsetIn(after, partition) >= upTo) continue
      const tail = await this.#tailOf(partition, offsetIn(after, partition), upTo, limits, signal)
      if (signal.aborted) return
      if (tail !== null) this.#tails.set(partition, tail)
    }
    this.#ms = this.#believed()
  }

  async #tailOf(partition: string, after: Offset, upTo: Offset, limits: ReadLimits, signal: AbortSignal): Promise<Tail | null> {
    for (let span = FIRST_SPAN; ; span *= 8) {
      const from = Math.max(after, upTo - span)
      const found: { offset: Offset; timeMs: number }[] = []
      for await (const batch of this.#source.read(partition, { after: from, upTo, mark: null }, limits, signal)) {
        for (let i = Math.max(0, batch.length - 2); i < batch.length; i++) {
          const { offset, recordedAtMs } = batch.event(i)
          if (recordedAtMs === null) throw recordedAtMissing(partition, offset)
          found.push({ offset, timeMs: recordedAtMs })
        }
      }
      const [last, previous] = [found.at(-1), found.at(-2)]
      if (last === undefined && from > after) continue
      if (last === undefined) return null
      if (previous === undefined && from > after) continue
      if (previous !== undefined && previous.timeMs - last.timeMs > this.#futureMs) {
        throw implausible({ partition, ...previous }, last, this.#futureMs)
      }
      return { upTo, ...last, previousMs: previous?.timeMs ?? null }
    }
  }

  /** Times rise as they are believed: each within futureMs of what is believed by then, or of the record before it. */
  #believed(): number {
    const tails = [...this.#tails.values()]
    let ms = Math.max(this.#ms, ...tails.map(({ previousMs }) => previousMs ?? Number.NEGATIVE_INFINITY))
    for (const timeMs of tails.map((tail) => tail.timeMs).sort((a, b) => a - b)) {
      if (ms === Number.NEGATIVE_INFINITY || timeMs - ms <= this.#futureMs) ms = Math.max(ms, timeMs)
    }
    return ms
  }
}
