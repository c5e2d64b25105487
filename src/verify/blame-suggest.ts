import type { Value } from '../value/canonical.js'
import { identityOf, type Course } from './blame-fold.js'
import type { Deviation } from './blame-sweep.js'
import type { GroupEvent } from './events.js'

/** Undefined: there is none. */
type Maybe = Value | undefined

/** A place inside a value. */
export type Place = readonly (string | number)[]

/** The place that a path of a difference names: `$.items[2].price`, `$["a b"]`. */
export function placeOf(path: string): Place {
  const steps = path.matchAll(/\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/g)
  return [...steps].map(([, name, index, quoted]) => name ?? (quoted === undefined ? Number(index) : JSON.parse(quoted) as string))
}

/** What is at a place; undefined: nothing. */
export function valueAt(value: Maybe, place: Place): Maybe {
  let at: Maybe = value
  for (const step of place) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined
    at = (at as { readonly [step: string | number]: Value })[step]
  }
  return at
}

interface Field {
  readonly place: Place
  readonly rebuilt: Maybe
  readonly against: Maybe
  /** Null: not both are numbers. */
  readonly delta: number | null
}

/**
 * Deviations that one look at the events suggests, to be tried first where not all can be: what an event changed is what the other
 * side lacks, or has twice, or the other side has what stood there before or in between.
 */
export function suggestionsFor(course: Course, key: number, rebuilt: Maybe, against: Maybe, paths: readonly string[]): Set<Deviation> {
  const fields = paths.map((path): Field => {
    const place = placeOf(path)
    const [mine, other] = [valueAt(rebuilt, place), valueAt(against, place)]
    return { place, rebuilt: mine, against: other, delta: difference(mine, other) }
  })
  const found = new Set<Deviation>()
  let previous = -1
  for (const i of course.touching[key] as readonly number[]) {
    const j = (course.events[i] as GroupEvent).at.indexOf(key)
    const [before, after] = [course.before[i]?.[j]?.value, course.after[i]?.[j]?.value]
    if (fields.every((field) => isLost(field, valueAt(before, field.place), valueAt(after, field.place)))) found.add(3 * i)
    if (fields.every((field) => isRepeated(field, valueAt(before, field.place), valueAt(after, field.place)))) found.add(3 * i + 1)
    const wasThere = course.next[previous] === i && fields.every((field) => same(valueAt(before, field.place), field.against))
    if (wasThere) found.add(3 * previous + 2)
    previous = i
  }
  return found
}

function isLost({ rebuilt, against, delta }: Field, before: Maybe, after: Maybe): boolean {
  if (same(before, against)) return !same(after, against)
  const change = difference(after, before)
  if (delta === null || change === null) return Array.isArray(rebuilt) && !same(before, after)
  return isClose(change, delta)
}

function isRepeated({ rebuilt, delta }: Field, before: Maybe, after: Maybe): boolean {
  const change = difference(after, before)
  if (delta === null || change === null) return Array.isArray(rebuilt) && !same(before, after)
  return isClose(change, -delta)
}

/** Numbers that differ by a − b; what is not there counts as 0. */
function difference(a: Maybe, b: Maybe): number | null {
  const [x, y] = [a ?? 0, b ?? 0]
  if ((a === undefined && b === undefined) || !isNumber(x) || !isNumber(y)) return null
  return typeof x === 'bigint' && typeof y === 'bigint' ? Number(x - y) : Number(x) - Number(y)
}

function isNumber(value: Value): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint'
}

/** Sums of floats differ a little by the order in which they were made. */
function isClose(a: number, b: number): boolean {
  return a !== 0 && Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b))
}

function same(a: Maybe, b: Maybe): boolean {
  return a === b || (typeof a === 'object' && typeof b === 'object' && identityOf(a) === identityOf(b))
}
