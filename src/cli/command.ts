import { parsePosition, type Position, RehydrateError } from '../index.js'
import type { Io } from './io.js'
import type { Output } from './output.js'

export type CommandName =
  'demo' | 'init' | 'doctor' | 'plan' | 'replay' | 'seal' | 'status' | 'generation' | 'verify' | 'diff' | 'repair' | 'handover' | 'inspect'
  | 'explain' | 'prove' | 'check' | 'export' | 'digest' | 'serve' | 'help'

export interface Command {
  readonly name: CommandName
  readonly summary: string
  readonly positionals: readonly Positional[]
  readonly flags: readonly Flag[]
  /** What `--json` prints, in words; null where there is no document. */
  readonly json: string | null
}

export interface Positional {
  readonly name: string
  readonly required: boolean
  readonly choices?: readonly string[]
}

export interface Flag {
  readonly name: string
  readonly summary: string
  /** Name of its value in help; a flag without one is on or off. */
  readonly value?: string
  readonly choices?: readonly string[]
  readonly repeatable?: true
  /** Environment variable that stands in for it. */
  readonly env?: string
}

/** A checked command line. */
export interface Invocation {
  readonly command: Command
  /** By the name of the positional: `JOB`, `KEY` … */
  readonly positionals: ReadonlyMap<string, string>
  readonly flags: Flags
}

/** What was given; names are those of the table. */
export class Flags {
  readonly #given: ReadonlyMap<string, readonly string[]>

  constructor(given: ReadonlyMap<string, readonly string[]>) {
    this.#given = given
  }

  has(name: string): boolean { return this.#given.has(name) }
  text(name: string): string | undefined { return this.#given.get(name)?.at(-1) }
  list(name: string): readonly string[] { return this.#given.get(name) ?? [] }

  /** A whole number from 0; USAGE otherwise. */
  whole(name: string): number | undefined {
    const text = this.text(name)
    return text === undefined ? undefined : wholeNumber(`--${name}`, text)
  }
}

export function wholeNumber(name: string, text: string): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number
  throw usage(`${name} takes a whole number, not ${text}.`, { expected: 'a whole number', actual: text })
}

/** A POSITION or a time. USAGE otherwise, naming the option. */
export function parseAt(option: string, text: string): Position | Date {
  if (text.includes('@')) return parsePosition(text)
  const time = new Date(text)
  if (/^\d{4}-\d{2}-\d{2}(T.+(Z|[+-]\d{2}:\d{2}))?$/.test(text) && Number.isFinite(time.getTime())) return time
  throw usage(`${option} ${text}: this is neither a position nor a time.`, {
    expected: 'PARTITION@OFFSET,… or a time such as 2026-11-21T10:00:00Z', actual: text,
  })
}

export function usage(message: string, more: { expected?: unknown; actual?: unknown; fix?: string } = {}): RehydrateError {
  return new RehydrateError('USAGE', { message, ...more })
}

/** What a command is given. */
export interface Context extends Invocation {
  readonly io: Io
  readonly output: Output
}

/** Runs a command; the result is its exit code. What it throws is printed and decides the exit code. */
export type Handler = (context: Context) => Promise<number>
