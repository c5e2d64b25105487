import type { Value } from './value.js'

let seen = false

/** The one way bytes enter a value: as a plain Uint8Array with memory of its own. */
export function ownBytes(source: Uint8Array): Uint8Array {
  seen = true
  return new Uint8Array(source)
}

/**
 * The value as a handler may hold it: the same one, or, where it holds bytes, a copy with bytes of its own, so that writing into
 * them changes nothing. Needed because V8 can not freeze bytes. Nearly free until this process has seen bytes in a value.
 */
export function lend(value: Value): Value {
  return seen && holdsBytes(value) ? copyOf(value) : value
}

function holdsBytes(value: Value): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (value instanceof Uint8Array) return true
  return Array.isArray(value) ? value.some(holdsBytes) : Object.values(value).some(holdsBytes)
}

function copyOf(value: Value): Value {
  if (!holdsBytes(value)) return value
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (Array.isArray(value)) return Object.freeze(value.map(copyOf))
  return Object.freeze(Object.fromEntries(Object.entries(value as object).map(([name, item]) => [name, copyOf(item)])))
}
