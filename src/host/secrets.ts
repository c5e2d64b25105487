import { RehydrateError } from '../errors.js'

/** A text that prints as `***` wherever it is printed. `reveal()` is the only way to it. */
export interface Secret {
  /** The text. CONFIG_INVALID where the environment variable is not set. */
  reveal(): string
}

/**
 * An environment variable as a secret. It is read when it is needed (`reveal()`), so that a config with one job's secret
 * missing still serves the other jobs.
 */
export function env(name: string): Secret {
  return new EnvSecret(name)
}

const MASK = '***'

class EnvSecret implements Secret {
  readonly #name: string

  constructor(name: string) {
    if (typeof name !== 'string' || name.length === 0) {
      throw new RehydrateError('CONFIG_INVALID', { message: 'env() takes the name of an environment variable.', expected: "env('NAME')" })
    }
    this.#name = name
  }

  reveal(): string {
    const text = process.env[this.#name]
    if (text !== undefined) return text
    throw new RehydrateError('CONFIG_INVALID', {
      message: `The environment variable ${this.#name} is not set.`, path: `env('${this.#name}')`,
      fix: `Set ${this.#name} and run the same command again.`,
    })
  }

  toString(): string { return MASK }
  toJSON(): string { return MASK }
  [Symbol.toPrimitive](): string { return MASK }
  [Symbol.for('nodejs.util.inspect.custom')](): string { return MASK }
}
