import { stringifyJson, type Value } from '../index.js'

/** JSON of an object from the JSON of its fields; those that are undefined are left out. */
export function objectJson(parts: Readonly<Record<string, string | undefined>>): string {
  return `{${Object.entries(parts).flatMap(([name, json]) => (json === undefined ? [] : [`${JSON.stringify(name)}:${json}`])).join(',')}}`
}

/** Exact, also of integers beyond 2^53. Left out where there is nothing: null is a value. */
export function valueJson(value: Value | undefined): string | undefined {
  return value === undefined ? undefined : stringifyJson(value)
}
