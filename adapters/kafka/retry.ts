import { setTimeout as delay } from 'node:timers/promises'
import { isRehydrateError, RehydrateError } from '../../src/index.js'

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 5_000

/** How long to wait before the n-th further try, from 1 on: doubling, up to five seconds. */
export function pauseMs(tries: number): number {
  return Math.min(FIRST_PAUSE_MS * 2 ** (tries - 1), LONGEST_PAUSE_MS)
}

/** A trouble that may pass: since when there is one, and when to try again. */
export interface Trouble {
  readonly sinceMs: number
  readonly tries: number
  readonly nextMs: number
}

/** The trouble after one more failure. Those that fail together are one: before the pause is over, nothing was tried anew. */
export function worse(trouble: Trouble | undefined, nowMs: number): Trouble {
  if (trouble !== undefined && nowMs < trouble.nextMs) return trouble
  const tries = (trouble?.tries ?? 0) + 1
  return { sinceMs: trouble?.sinceMs ?? nowMs, tries, nextMs: nowMs + pauseMs(tries) }
}

export function unreachable(what: string, sinceMs: number, cause: unknown): RehydrateError {
  const forMs = Date.now() - sinceMs
  return new RehydrateError('SOURCE_UNREACHABLE', {
    message: `${what} could not be done for ${forMs} ms. The last answer was: ${(cause as Error).message}`, cause,
  })
}

/**
 * Tries until it succeeds. A RehydrateError ends it at once, and so does a signal, with its reason; anything else may pass, and is
 * SOURCE_UNREACHABLE in the end. `what`, and how long it may take, may depend on where it stands then.
 */
export async function untilDone<Result>(
  what: string | (() => Promise<string>), giveUpAfterMs: () => number, signals: readonly AbortSignal[], attempt: () => Promise<Result>,
): Promise<Result> {
  let trouble: Trouble | undefined
  for (;;) {
    for (const signal of signals) signal.throwIfAborted()
    try {
      return await unlessAborted(attempt(), signals)
    } catch (error) {
      if (isRehydrateError(error) || signals.some(({ aborted }) => aborted)) throw error
      trouble = worse(trouble, Date.now())
      if (trouble.nextMs - trouble.sinceMs > giveUpAfterMs()) {
        throw unreachable(typeof what === 'string' ? what : await what(), trouble.sinceMs, error)
      }
    }
    await pause(trouble.nextMs, signals)
  }
}

/** Until a time, or a signal: then it throws its reason. */
export function pause(untilMs: number, signals: readonly AbortSignal[]): Promise<void> {
  const stop = new AbortController()
  const waiting = delay(Math.max(0, untilMs - Date.now()), undefined, { signal: stop.signal })
  return unlessAborted(waiting, signals).finally(() => stop.abort())
}

/** What the promise gives, or the reason of the signal that comes first; what comes later is of no interest. */
export function unlessAborted<Result>(promise: Promise<Result>, signals: readonly AbortSignal[]): Promise<Result> {
  return new Promise((resolve, reject) => {
    const stops = signals.map((signal) => ({ signal, stop: () => { reject(signal.reason as Error) } }))
    for (const { signal, stop } of stops) {
      if (signal.aborted) stop()
      else signal.addEventListener('abort', stop)
    }
    promise.then(resolve, reject).finally(() => {
      for (const { signal, stop } of stops) signal.removeEventListener('abort', stop)
    })
  })
}
