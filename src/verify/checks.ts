import { isRehydrateError, RehydrateError } from '../errors.js'
import { parseJson } from '../value/json.js'
import { Untrusted } from './untrusted.js'

/** How the check of a proof or a receipt went: the steps up to the first that failed. */
export interface Checked<Step extends string, Subject> {
  /** What was checked; null where it could not even be read. */
  readonly subject: Subject | null
  readonly steps: readonly CheckedStep<Step>[]
  /** PROOF_INVALID naming the step; null: everything holds. */
  readonly failure: RehydrateError | null
}

export interface CheckedStep<Step extends string> {
  readonly step: Step
  readonly ok: boolean
  /** For people: what was found. */
  readonly found: string
}

/** One step: gives what was found in words, and what the next ones need; throws PROOF_INVALID. */
export type TakeStep<Step extends string> = <T>(step: Step, check: () => readonly [found: string, result: T]) => T

/** Takes steps in their order, and stops at the first that fails. */
export class Checks<Step extends string, Subject> {
  subject: Subject | null = null
  readonly #what: string
  readonly #steps: CheckedStep<Step>[] = []

  constructor(what: string) {
    this.#what = what
  }

  run(take: (step: TakeStep<Step>) => void): Checked<Step, Subject> {
    let failure: RehydrateError | null = null
    try {
      take((step, check) => this.#take(step, check))
    } catch (error) {
      if (!isRehydrateError(error) || error.code !== 'PROOF_INVALID') throw error
      failure = error
    }
    return { subject: this.subject, steps: this.#steps, failure }
  }

  #take<T>(step: Step, check: () => readonly [found: string, result: T]): T {
    try {
      const [found, result] = check()
      this.#steps.push({ step, ok: true, found })
      return result
    } catch (error) {
      if (!isRehydrateError(error) || error.code !== 'PROOF_INVALID') throw error
      this.#steps.push({ step, ok: false, found: error.message })
      throw new RehydrateError('PROOF_INVALID', {
        ...error.details, message: `The ${this.#what} fails at the step ${step}: ${error.message}`,
      })
    }
  }

  /** PROOF_INVALID where the two are not the same. */
  same(expected: unknown, actual: unknown, message: string): void {
    if (expected !== actual) throw new RehydrateError('PROOF_INVALID', { message, expected, actual })
  }
}

/** A text that somebody else made, to be read as JSON. PROOF_INVALID, then and for every field that does not fit. */
export function untrustedJson(text: string): Untrusted {
  const refuse = (path: string, expected: string): RehydrateError =>
    new RehydrateError('PROOF_INVALID', { message: `${path} must be ${expected}.`, path, expected })
  try {
    return new Untrusted(parseJson(text, { int64: 'wide' }), refuse)
  } catch {
    throw refuse('The text', 'JSON with integers of at most 64 bits')
  }
}
