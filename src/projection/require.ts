import { RehydrateError } from '../errors.js'
import { typeName } from '../value/options.js'

/** What definitions demand of their options: CONFIG_INVALID with the path otherwise. */

export function requireText(where: string, path: string, value: unknown): void {
  if (typeof value !== 'string' || value.length === 0) invalid(where, path, 'a non-empty string', value)
}

export function requireWhole(where: string, path: string, value: unknown, least: number): void {
  if (!Number.isSafeInteger(value) || (value as number) < least) invalid(where, path, `a whole number from ${least}`, value)
}

export function requireFunctions(path: string, given: unknown): void {
  if (typeof given !== 'object' || given === null) invalid('defineProjection()', path, 'an object of functions', given)
  for (const [name, value] of Object.entries(given as object)) {
    if (typeof value !== 'function') invalid('defineProjection()', `${path}.${name}`, 'a function', value)
  }
}

export function invalid(where: string, path: string, expected: string, actual: unknown): never {
  const shown = typeof actual === 'object' ? typeName(actual) : String(actual)
  throw new RehydrateError('CONFIG_INVALID', { message: `${where}: ${path} must be ${expected}.`, path, expected, actual: shown })
}
