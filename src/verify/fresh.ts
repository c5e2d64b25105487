import type { PreparedEvent } from '../projection/apply.js'

/** An event as it was read, to be applied once: a handler may change the data that it is given, and the next fold must not see that. */
export function fresh<E extends PreparedEvent>(prepared: E): E {
  const { event } = prepared
  const data = copyOf(event.data)
  return data === event.data ? prepared : { ...prepared, event: { ...event, data } }
}

/** What is frozen, or of a class that a schema made, is shared. */
function copyOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (Array.isArray(value)) return value.map(copyOf)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return value
  const copy: Record<string, unknown> = { ...value }
  for (const name of Object.keys(copy)) copy[name] = copyOf(copy[name])
  return copy
}
