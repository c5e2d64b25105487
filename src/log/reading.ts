import { formatHash, hashValue } from '../digest/hash.js'
import { encode } from '../value/canonical.js'

/**
 * How a source makes events of its records, where it was told to do so in another way than its own: each setting by its name, as text
 * (`payload` → `msgpack`, `event.type` → `header kind`). Nothing of where the log is, who asks, or how fast.
 */
export type Reading = Readonly<Record<string, string>>

/** A function among the settings: its text is what can be known of it. */
export function functionText(given: (...input: never[]) => unknown): string {
  return `function ${formatHash(hashValue(encode(String(given))))}`
}

/** The settings of two readings that differ, by name. Null: the source's own way. */
export function changedReading(
  before: Reading = {}, now: Reading = {},
): { readonly name: string; readonly was: string | null; readonly is: string | null }[] {
  const names = new Set([...Object.keys(before), ...Object.keys(now)])
  return [...names].filter((name) => before[name] !== now[name]).sort()
    .map((name) => ({ name, was: before[name] ?? null, is: now[name] ?? null }))
}
