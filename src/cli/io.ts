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
  /** Calls `listener` at each SIGHUP until the result is called. Left out: there are none. */
  onHangup?(listener: () => void): () => void
  /** Program and arguments that start this command line once more. Left out: it can not be. */
  readonly program?: readonly string[]
}

export type StopSignal = 'SIGINT' | 'SIGTERM'

/** As a shell has it: 128 and the number of the signal. */
export const EXIT_OF: Readonly<Record<StopSignal, number>> = { SIGINT: 130, SIGTERM: 143 }

const SIGNALS: readonly StopSignal[] = ['SIGINT', 'SIGTERM']

export function processIo(): Io {
  return {
    env: process.env,
    folder: process.cwd(),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    onSignal(listener) {
      // A worker whose starter is gone has nobody to stop it.
      const orphaned = (): void => listener('SIGTERM')
      for (const signal of SIGNALS) process.on(signal, listener as NodeJS.SignalsListener)
      process.on('disconnect', orphaned)
      // It was gone before anybody listened: told once the caller has what ends the listening.
      const late = process.connected === false ? setImmediate(orphaned) : undefined
      return () => {
        clearImmediate(late)
        for (const signal of SIGNALS) process.off(signal, listener as NodeJS.SignalsListener)
        process.off('disconnect', orphaned)
      }
    },
    onHangup(listener) {
      process.on('SIGHUP', listener)
      return () => void process.off('SIGHUP', listener)
    },
    program: [process.execPath, ...process.execArgv, process.argv[1] as string],
  }
}
