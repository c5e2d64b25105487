import type { Readable, Writable } from 'node:stream'

/** What the command line touches of the process, so that tests can run it inside theirs. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly folder: string
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  /** Calls `listener` at each of the signals until the result is called. */
  onSignal(listener: (signal: StopSignal) => void): () => void
}

export type StopSignal = 'SIGINT' | 'SIGTERM'

const SIGNALS: readonly StopSignal[] = ['SIGINT', 'SIGTERM']

export function processIo(): Io {
  return {
    env: process.env,
    folder: process.cwd(),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    onSignal(listener) {
      for (const signal of SIGNALS) process.on(signal, listener as NodeJS.SignalsListener)
      return () => {
        for (const signal of SIGNALS) process.off(signal, listener as NodeJS.SignalsListener)
      }
    },
  }
}
