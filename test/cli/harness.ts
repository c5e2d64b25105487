import { Readable, Writable } from 'node:stream'
import type { Io, StopSignal } from '../../src/cli/io.js'
import { runCli } from '../../src/cli/run.js'

/** What a command line printed, and how it ended. */
export interface Ran {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
  /** stdout as the one document of --json. */
  json(): any
}

export interface FakeIo extends Io {
  text(stream: 'stdout' | 'stderr'): string
  send(signal: StopSignal): void
  readonly listening: () => number
}

class Collector extends Writable {
  text = ''
  readonly isTTY: boolean
  readonly columns = 80

  constructor(isTTY = false) {
    super()
    this.isTTY = isTTY
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString('utf8')
    done()
  }
}

export function fakeIo(folder: string, options: { tty?: boolean; env?: Record<string, string>; stdin?: string } = {}): FakeIo {
  const stdout = new Collector()
  const stderr = new Collector(options.tty)
  const listeners = new Set<(signal: StopSignal) => void>()
  return {
    env: options.env ?? {}, folder, stdin: Readable.from([Buffer.from(options.stdin ?? '')]), stdout, stderr,
    onSignal(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    text: (stream) => (stream === 'stdout' ? stdout.text : stderr.text),
    send: (signal) => { for (const listener of listeners) listener(signal) },
    listening: () => listeners.size,
  }
}

export async function cli(folder: string, args: readonly string[], io: FakeIo = fakeIo(folder)): Promise<Ran> {
  const exit = await runCli(args, io)
  const stdout = io.text('stdout')
  return { exit, stdout, stderr: io.text('stderr'), json: () => JSON.parse(stdout) }
}
