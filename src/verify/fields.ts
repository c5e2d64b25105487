import type { Value } from '../value/canonical.js'
import { pathText, type Trail } from '../value/value.js'

/** One place in which two values differ; undefined: there is nothing. */
export interface FieldDifference {
  /** `$.items[2].price`; `$` where the values differ as a whole. */
  readonly path: string
  readonly rebuilt: Value | undefined
  readonly against: Value | undefined
}

/** So many places of one value are told; `fieldsOf` says where there are more. */
export const MAX_FIELDS = 100

/** Where two values differ, the smallest places, in the order of the names and indexes of `rebuilt`; at most MAX_FIELDS + 1. */
export function fieldsOf(rebuilt: Value | undefined, against: Value | undefined): FieldDifference[] {
  const found: FieldDifference[] = []
  compare(rebuilt, against, [], found)
  return found
}

function compare(rebuilt: Value | undefined, against: Value | undefined, trail: Trail, found: FieldDifference[]): void {
  if (found.length > MAX_FIELDS || rebuilt === against) return
  if (isPlain(rebuilt) && isPlain(against)) {
    for (const name of new Set([...Object.keys(rebuilt), ...Object.keys(against)])) {
      compare(own(rebuilt, name), own(against, name), [...trail, name], found)
    }
  } else if (Array.isArray(rebuilt) && Array.isArray(against)) {
    for (let i = 0; i < Math.max(rebuilt.length, against.length); i++) {
      compare((rebuilt as readonly Value[])[i], (against as readonly Value[])[i], [...trail, i], found)
    }
  } else if (!isSame(rebuilt, against)) {
    found.push({ path: pathText(trail, trail.length), rebuilt, against })
  }
}

function own(value: Plain, name: string): Value | undefined {
  return Object.hasOwn(value, name) ? value[name] : undefined
}

type Plain = { readonly [key: string]: Value }

function isPlain(value: Value | undefined): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

/** 5 and 5n have the same canonical bytes, and are the same value. */
function isSame(rebuilt: Value | undefined, against: Value | undefined): boolean {
  if (rebuilt instanceof Uint8Array && against instanceof Uint8Array) return Buffer.compare(rebuilt, against) === 0
  const isWhole = (value: Value | undefined): value is number | bigint => typeof value === 'bigint' || Number.isSafeInteger(value)
  return isWhole(rebuilt) && isWhole(against) && BigInt(rebuilt) === BigInt(against)
}

/** A value without the fields at these paths (`total`, `longestDelay.delay`). */
export function without(value: Value, paths: readonly string[]): Value {
  return paths.reduce((rest, path) => removed(rest, path.split('.')), value)
}

function removed(value: Value, [name, ...below]: readonly string[]): Value {
  if (name === undefined || !isPlain(value) || !Object.hasOwn(value, name)) return value
  const { [name]: field, ...rest } = value
  return below.length === 0 ? rest : { ...rest, [name]: removed(field as Value, below) }
}
