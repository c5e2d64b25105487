import { isObject } from '../../../src/index.js'
import type { RegisteredSchema } from './registry.js'

/** A schema that asks for more than this is open, for all that is known. */
const MAX_LOOKS = 2_000

interface Looking {
  left: number
}

/**
 * What a JSON Schema says of where a value may have fields: types, closed objects (`additionalProperties: false`), items, references, and
 * allOf, anyOf and oneOf of those. All else that a schema can say narrows its values further, and is passed over.
 */
export class JsonShape {
  readonly #root: unknown
  /** What it refers to, by the names that it uses. */
  readonly #named: ReadonlyMap<string, JsonShape>

  constructor({ schema, references }: RegisteredSchema) {
    this.#root = parsed(schema)
    this.#named = new Map(references.map((reference) => [reference.name, new JsonShape(reference)]))
  }

  /** May values have something at a path? In doubt they may. An envelope's `data` counts as the value, too: a record may be either. */
  has(steps: readonly string[]): boolean {
    return [steps, ['data', ...steps]].some((path) => this.#has(this.#root, path, { left: MAX_LOOKS }))
  }

  #has(schema: unknown, steps: readonly string[], looking: Looking): boolean {
    const [step, ...rest] = steps
    if (schema === false) return false
    if (step === undefined || !isObject(schema) || looking.left-- <= 0 || (schema !== this.#root && hasId(schema))) return true
    const { $ref, allOf, anyOf, oneOf } = schema
    // What stands beside a reference counts in later drafts only.
    if (typeof $ref === 'string') return this.#refersTo($ref, steps, looking)
    const may = (each: unknown): boolean => this.#has(each, steps, looking)
    if (Array.isArray(allOf) && !allOf.every(may)) return false
    if ([anyOf, oneOf].some((branches) => Array.isArray(branches) && !branches.some(may))) return false
    const types = schema['type'] === undefined ? null : [schema['type']].flat()
    if (step === '[]') return types?.includes('array') !== false && this.#itemsHave(schema, rest, looking)
    return types?.includes('array') === true || (types?.includes('object') !== false && this.#propertyHas(schema, step, rest, looking))
  }

  #propertyHas(schema: Readonly<Record<string, unknown>>, name: string, rest: readonly string[], looking: Looking): boolean {
    const { properties, patternProperties, additionalProperties } = schema
    if (isObject(properties) && Object.hasOwn(properties, name)) return this.#has(properties[name], rest, looking)
    // Patterns of others are not run.
    return patternProperties !== undefined || this.#has(additionalProperties, rest, looking)
  }

  #itemsHave(schema: Readonly<Record<string, unknown>>, rest: readonly string[], looking: Looking): boolean {
    const { items, prefixItems, additionalItems } = schema
    const [first, others] = Array.isArray(items) ? [items, additionalItems] : [prefixItems, items]
    return [...(Array.isArray(first) ? first : []), others].some((each) => this.#has(each, rest, looking))
  }

  #refersTo(reference: string, steps: readonly string[], looking: Looking): boolean {
    const [name = '', pointer = ''] = reference.split('#', 2)
    const shape = name === '' ? this : this.#named.get(name)
    return shape === undefined || shape.#has(pointed(shape.#root, pointer), steps, looking)
  }
}

/** Undefined, which is any value, where the text is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** References inside of what has an id of its own (`id` in draft 4) are relative to that: where they lead is not looked for. */
function hasId(schema: unknown): boolean {
  return isObject(schema) && (typeof schema['$id'] === 'string' || typeof schema['id'] === 'string')
}

/** What a JSON pointer (RFC 6901, in a URI) points to; undefined: nothing, it is no pointer, or it goes through what has an id. */
function pointed(root: unknown, pointer: string): unknown {
  if (pointer === '') return root
  if (!pointer.startsWith('/')) return undefined
  let at: unknown = root
  for (const part of pointer.slice(1).split('/')) {
    const name = unescaped(part)
    const isThere = typeof at === 'object' && at !== null && name !== null && Object.hasOwn(at, name)
    if (!isThere || (at !== root && hasId(at))) return undefined
    at = (at as Readonly<Record<string, unknown>>)[name]
  }
  return at
}

function unescaped(part: string): string | null {
  try {
    return decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return null
  }
}
