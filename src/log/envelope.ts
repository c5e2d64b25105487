import { isObject } from '../value/value.js'

/** The parts of an event as some envelope has them, before a source has checked them. */
export interface EnvelopeParts {
  readonly type?: unknown
  readonly key?: unknown
  readonly data?: unknown
  readonly id?: unknown
  readonly recordedAt?: unknown
  readonly schemaVersion?: unknown
  readonly headers?: unknown
}

/** Where the parts of an event are in a JSON object: paths such as `meta.kind`. Without `data`: the whole object is the data. */
export interface FieldMapping {
  readonly type: { readonly field: string }
  readonly key?: { readonly field: string }
  readonly data?: { readonly field: string }
  readonly id?: { readonly field: string }
  /** Integer ms since 1970, or ISO 8601 with Z or an offset. */
  readonly recordedAt?: { readonly field: string }
  readonly schemaVersion?: { readonly field: string }
}

/** The value at a path of names, `meta.kind`. Own properties only: a path must not find what every object inherits. Undefined: none. */
export function fieldAt(value: unknown, path: string): unknown {
  let at: unknown = value
  for (const name of path.split('.')) {
    if (!isObject(at) || !Object.hasOwn(at, name)) return undefined
    at = at[name]
  }
  return at
}

/** The parts at the mapped paths; what is not there is left out. */
export function partsByFields(mapping: FieldMapping, fields: unknown): EnvelopeParts {
  const parts: Record<string, unknown> = mapping.data === undefined ? { data: fields } : {}
  for (const [part, selector] of Object.entries(mapping) as [string, { readonly field: string } | undefined][]) {
    if (selector === undefined) continue
    const value = fieldAt(fields, selector.field)
    if (value !== undefined) parts[part] = value
  }
  return parts
}
