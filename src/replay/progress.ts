import { distance, type Position } from '../log/position.js'
import type { Clock, Eta, Progress, RunEvent } from './api.js'

/** A measurement at a moment: offsets done, and offsets to go. */
interface Sample {
  readonly atMs: number
  readonly done: number
  readonly lag: number
}

const SAMPLE_MS = 500
/** The rate is judged by the last 20 seconds. */
const SAMPLES = 40
/** Below this there is too little to judge a rate by. */
const LEAST_SAMPLES = 4
const REPORT_MS = 200
const STALL_MS = 5_000

/** Measures how a run moves, and says when it should be told. Rates are net: what was read, less what the log grew by. */
export class ProgressMeter {
  readonly #clock: Clock
  readonly #startedMs: number
  readonly #samples: Sample[] = []
  #applied = 0
  #reportedMs = Number.NEGATIVE_INFINITY
  #movedMs: number
  #stalled = false
  #waitingFor: string | null = null

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedMs = clock.monotonicMs()
    this.#movedMs = this.#startedMs
  }

  get applied(): number { return this.#applied }
  get elapsedMs(): number { return this.#clock.monotonicMs() - this.#startedMs }

  /** A turn was applied. */
  moved(events: number): void {
    this.#applied += events
    this.#movedMs = this.#clock.monotonicMs()
    this.#stalled = false
  }

  /** The run kept to its own limits: that is no stall. */
  paced(): void {
    this.#movedMs = this.#clock.monotonicMs()
  }

  /** What the run waits for now; null: it works. */
  waiting(what: string | null): void {
    this.#waitingFor = what
  }

  /** The stall to tell of, once per stall; null while things move. */
  stall(): RunEvent | null {
    const forMs = this.#clock.monotonicMs() - this.#movedMs
    if (this.#stalled || forMs < STALL_MS || this.#waitingFor === null) return null
    this.#stalled = true
    return { kind: 'stall', waitingFor: this.#waitingFor, forMs }
  }

  /** A progress event where one is due; `force` gives one always. */
  report(position: Position, end: Position, force = false): Progress | null {
    const nowMs = this.#clock.monotonicMs()
    if (!force && nowMs - this.#reportedMs < REPORT_MS) return null
    this.#reportedMs = nowMs
    const total = distance(new Map(), end)
    const lag = distance(position, end)
    const done = total - lag
    this.#sample({ atMs: nowMs, done, lag })
    return {
      kind: 'progress', position: new Map(position), end: new Map(end), total, done, applied: this.#applied, lag,
      eventsPerSecond: this.#rate(nowMs), eta: this.#eta(lag),
    }
  }

  #rate(nowMs: number): number {
    const first = this.#samples[0]
    const last = this.#samples[this.#samples.length - 1]
    if (first === undefined || last === undefined || last.atMs <= first.atMs) {
      const elapsedMs = nowMs - this.#startedMs
      return elapsedMs > 0 ? Math.round((this.#applied * 1_000) / elapsedMs) : 0
    }
    return Math.max(0, Math.round(((last.done - first.done) * 1_000) / (last.atMs - first.atMs)))
  }

  #sample(sample: Sample): void {
    const last = this.#samples[this.#samples.length - 1]
    if (last !== undefined && sample.atMs - last.atMs < SAMPLE_MS) return
    this.#samples.push(sample)
    if (this.#samples.length > SAMPLES) this.#samples.shift()
  }

  /** Range by the slowest and fastest quarter of the recent intervals; the middle by the whole window. */
  #eta(lag: number): Eta | 'never' | null {
    if (lag === 0) return { lowMs: 0, midMs: 0, highMs: 0 }
    if (this.#samples.length < LEAST_SAMPLES) return null
    const rates: number[] = []
    for (let i = 1; i < this.#samples.length; i++) {
      const a = this.#samples[i - 1] as Sample
      const b = this.#samples[i] as Sample
      rates.push((a.lag - b.lag) / (b.atMs - a.atMs))
    }
    const first = this.#samples[0] as Sample
    const last = this.#samples[this.#samples.length - 1] as Sample
    const mid = (first.lag - last.lag) / (last.atMs - first.atMs)
    if (mid <= 0) return 'never'
    rates.sort((a, b) => a - b)
    const slow = Math.min(mid, rates[Math.floor(rates.length / 4)] as number)
    const fast = Math.max(mid, rates[Math.floor((rates.length * 3) / 4)] as number)
    // A quarter of standstill does not make it endless: at most four times the middle is claimed.
    return { lowMs: Math.round(lag / fast), midMs: Math.round(lag / mid), highMs: Math.round(lag / Math.max(slow, mid / 4)) }
  }
}
