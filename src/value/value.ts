import { RehydrateError } from '../errors.js'

/**
 * A value a state can hold: plain data, frozen. Numbers are finite; −0 is 0; integers beyond ±(2^53 − 1) are bigints
 * (a number of 2^64 and above is a measured quantity, which no integer type here could hold, and stays a number).
 */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Value[]
  | { readonly [key: string]: Value }

/** Containers inside containers: `[[1]]` has depth 2. */
export const MAX_DEPTH = 64

/** Canonical bytes of one value, inclusive. */
export const MAX_BYTES = 16 * 1024 * 1024

export const INT64_MIN = -(2n ** 63n)
export const UINT64_MAX = 2n ** 64n - 1n

/** The way from the root to where a walk stands: names and indexes, one per level. */
export type Trail = (string | number)[]

/** `$.items[2].price`; names that are not identifiers are quoted: `$["a b"]`. */
export function pathText(trail: Trail, depth: number): string {
  let text = '$'
  for (const step of trail.slice(0, depth)) {
    if (typeof step === 'number') text += `[${step}]`
    else text += /^[A-Za-z_][A-Za-z0-9_]*$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`
  }
  return text
}

/** An object with named fields: no array, no bytes. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

export function valueInvalid(path: string, what: string, fix?: string): RehydrateError {
  return new RehydrateError('VALUE_INVALID', { message: `${path} ${what}.`, path, fix })
}

/** String.prototype.isWellFormed is ES2024, and in every Node this package runs on. */
export function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed()
}
