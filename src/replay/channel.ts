import { RehydrateError } from '../errors.js'
import type { RunEvent, SealedRun } from './api.js'

/** Events nobody took yet; beyond this the oldest go. Progress is replaced by newer progress, so few are. */
const KEPT = 1_000

/** The events of one run, for one reader. Never makes the run wait. */
export class EventChannel implements AsyncIterable<RunEvent> {
  readonly #kept: RunEvent[] = []
  #wake: (() => void) | null = null
  #closed = false

  push(event: RunEvent): void {
    const last = this.#kept[this.#kept.length - 1]
    if (event.kind === 'progress' && last?.kind === 'progress') this.#kept.pop()
    this.#kept.push(event)
    if (this.#kept.length > KEPT) this.#kept.shift()
    this.#wake?.()
  }

  close(): void {
    this.#closed = true
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<RunEvent> {
    for (;;) {
      const event = this.#kept.shift()
      if (event !== undefined) yield event
      else if (this.#closed) return
      else await new Promise<void>((resolve) => { this.#wake = resolve })
    }
  }
}

/** Seals asked for while following; answered by the engine when it stands still. */
export class SealRequests {
  #waiting: { resolve: (sealed: SealedRun) => void; reject: (error: unknown) => void }[] = []
  #over: SealedRun | RehydrateError | null = null

  get asked(): boolean { return this.#waiting.length > 0 }

  ask(): Promise<SealedRun> {
    if (this.#over instanceof RehydrateError) return Promise.reject(this.#over)
    if (this.#over !== null) return Promise.resolve(this.#over)
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  resolve(sealed: SealedRun): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve(sealed)
  }

  /** The run ended with this seal: it is the answer from now on. */
  end(sealed: SealedRun): void {
    this.#over = sealed
    this.resolve(sealed)
  }

  reject(error: RehydrateError): void {
    this.#over = error
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}
