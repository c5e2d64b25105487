import type { Writable } from 'node:stream'
import { ERRORS, isRehydrateError, RehydrateError } from '../index.js'
import { grouped } from './format.js'
import type { Io } from './io.js'
import { printable } from './printable.js'

/** Who reads stdout: a person, a program that wants one document, or one that wants lines as things happen. */
export type Reader = 'person' | 'document' | 'lines'

/** stdout carries results only; everything else goes to stderr. */
export class Output {
  readonly reader: Reader
  /** True once nobody reads stdout any more (`| head`). That is no error. */
  closed = false
  /** As given by `--log-level`: log lines take the place of lines for people on stderr. */
  readonly logLevel: string | undefined
  readonly #io: Io

  constructor(io: Io, reader: Reader, logLevel?: string) {
    this.#io = io
    this.reader = reader
    this.logLevel = logLevel
    // Without a listener an EPIPE would end the process; the write that hit it gets it as well.
    io.stdout.on('error', () => { this.closed = true })
    io.stderr.on('error', () => {})
  }

  /** Lines for a person. */
  async lines(lines: readonly string[]): Promise<void> {
    if (this.reader === 'person') await this.write(`${lines.map(printable).join('\n')}\n`)
  }

  /** The one document of `--json`, or a line of `--jsonl`. */
  async document(value: unknown): Promise<void> {
    if (this.reader !== 'person') await this.write(`${toJson(value)}\n`)
  }

  /** Text to stdout; resolves when the next may come. */
  async write(text: string): Promise<void> {
    if (!this.closed) await writeTo(this.#io.stdout, text).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      this.closed = true
    })
  }

  /** A line beside the result, for a person: on stderr. */
  note(line: string): void {
    if (this.logLevel === undefined) this.#io.stderr.write(`${line}\n`)
  }

  /** An error: the document on stdout for programs, the screen form on stderr for people. The result is the exit code. */
  async fail(thrown: unknown): Promise<number> {
    const error = asRehydrateError(thrown)
    await this.document({ error: error.toJSON() })
    if (this.logLevel !== undefined) {
      const { logError, openLog } = await import('./log.js')
      logError(await openLog(this.#io, this.logLevel), error)
    } else if (this.reader === 'person') {
      this.note(errorScreen(error, paints(this.#io)).join('\n'))
    }
    return error.exitCode
  }
}

function writeTo(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()))
  })
}

/** JSON with what JSON lacks: bigints as their digits in text, positions (maps) as objects. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => {
    if (typeof item === 'bigint') return String(item)
    return item instanceof Map ? Object.fromEntries(item) : item
  })
}

export function asRehydrateError(error: unknown): RehydrateError {
  if (isRehydrateError(error)) return error
  const { code } = error as NodeJS.ErrnoException
  const message = error instanceof Error ? error.message : String(error)
  const named = typeof code === 'string' && !message.includes(code) ? `${code}: ${message}` : message
  return new RehydrateError('UNEXPECTED', { message: named, cause: error })
}

/** Colour, where somebody looks at it: NO_COLOR, CI and pipes get none. */
export function paints(io: Io): boolean {
  const { NO_COLOR, CI, TERM } = io.env
  return io.stderr.isTTY === true && !NO_COLOR && !CI && TERM !== 'dumb'
}

/** `error CODE  message`, then what was expected, why, what is safe, what to do. */
export function errorScreen(error: RehydrateError, colour = false): string[] {
  const red = (text: string): string => (colour ? `\x1b[31m${text}\x1b[39m` : text)
  const dim = (text: string): string => (colour ? `\x1b[2m${text}\x1b[22m` : text)
  const { expected, actual } = error.details
  const rows: [string, string | undefined][] = [
    ['at', placeOf(error)],
    ['expected', expected === undefined ? undefined : shown(expected)],
    ['actual', actual === undefined ? undefined : shown(actual)],
    ['why', error.why],
    ['safe', error.safe],
    ['fix', error.fix],
    ['more', `rehydrate help ${error.code}`],
  ]
  return [
    `${red(`error ${error.code}`)}  ${printable(error.message)}`,
    ...rows.flatMap(([name, text]) =>
      (text === undefined ? [] : [`  ${dim(`${name}:`.padEnd(9))} ${text.split('\n').map(printable).join('\n            ')}`])),
  ]
}

/** `orders/0@41, collection orders, key x · $.path · file:line` */
function placeOf(error: RehydrateError): string | undefined {
  const { partition, offset, collection, key, path, file, line, byte } = error.details
  const record = partition === undefined ? undefined : offset === undefined ? partition : `${partition}@${offset}`
  const entry = key === undefined ? collection : `${collection ?? '?'}/${key}`
  const atByte = byte === undefined ? '' : ` (byte ${grouped(byte)})`
  const inFile = file === undefined ? undefined : `${file}${line === undefined ? '' : `:${line}`}${atByte}`
  const parts = [record, entry, path, inFile].filter((part) => part !== undefined)
  return parts.length === 0 ? undefined : parts.join(' · ')
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : toJson(value)
}

/** The exit code of a code, for refusals that are reported and not thrown. */
export function exitOf(code: string): number {
  return Object.hasOwn(ERRORS, code) ? ERRORS[code as keyof typeof ERRORS].exit : ERRORS.UNEXPECTED.exit
}
