import { RehydrateError } from '../errors.js'
import type { ReadLimits } from '../log/source.js'
import { checkOptions } from '../value/options.js'
import type { Clock, Limits } from './api.js'

/** What one batch may hold, and how fast batches may come. Sources see changes at their next fetch, the run at its next turn. */
export class RunLimits implements ReadLimits {
  readonly events: number
  bytes: number
  inFlightBytes?: number
  /** Null: as fast as it goes. */
  bytesPerSecond: number | null = null
  readonly #batchBytes: number
  readonly #shards: number

  /** `shards`: over how many the job is spread. Each takes an equal part of its bytes per second. */
  constructor(batch: ReadLimits, limits: Limits, shards: number) {
    this.events = batch.events
    this.bytes = this.#batchBytes = batch.bytes
    this.#shards = shards
    this.set(limits)
  }

  /** In the place of what was set before; what is left out is not limited. CONFIG_INVALID changes nothing. */
  set(limits: Limits): void {
    checkLimits(limits)
    this.bytesPerSecond = limits.bytesPerSecond === undefined ? null : limits.bytesPerSecond / this.#shards
    // A batch is what goes at once: no more than a second's worth.
    this.bytes = Math.max(1, Math.min(this.#batchBytes, this.bytesPerSecond ?? Infinity))
    if (limits.inFlightBytes === undefined) delete this.inFlightBytes
    else this.inFlightBytes = limits.inFlightBytes
  }
}

/** CONFIG_INVALID, naming the limit. */
export function checkLimits(limits: Limits): void {
  checkOptions('limits', limits, ['bytesPerSecond', 'inFlightBytes'])
  for (const [name, given] of Object.entries(limits as Readonly<Record<string, unknown>>)) {
    if (given === undefined || (typeof given === 'number' && Number.isFinite(given) && given > 0)) continue
    throw new RehydrateError('CONFIG_INVALID', {
      message: `limits: ${name} must be a number of bytes above 0.`, path: `limits.${name}`, expected: 'a number above 0',
      actual: String(given),
    })
  }
}

/** Keeps a run to its bytes per second. Nothing is saved up: after a pause it goes on at the same pace. */
export class Pacer {
  readonly #clock: Clock
  readonly #limits: RunLimits
  #owedBytes = 0
  #atMs: number

  constructor(clock: Clock, limits: RunLimits) {
    this.#clock = clock
    this.#limits = limits
    this.#atMs = clock.monotonicMs()
  }

  /** So many bytes of log were read. */
  took(bytes: number): void {
    this.#settle()
    this.#owedBytes += bytes
  }

  /** How long the next bytes have to wait, by what the limit is now; in whole milliseconds, as timers know no less. */
  waitMs(): number {
    this.#settle()
    const { bytesPerSecond } = this.#limits
    return bytesPerSecond === null ? 0 : Math.ceil((this.#owedBytes / bytesPerSecond) * 1_000)
  }

  #settle(): void {
    const nowMs = this.#clock.monotonicMs()
    const { bytesPerSecond } = this.#limits
    this.#owedBytes = bytesPerSecond === null ? 0 : Math.max(0, this.#owedBytes - ((nowMs - this.#atMs) / 1_000) * bytesPerSecond)
    this.#atMs = nowMs
  }
}
