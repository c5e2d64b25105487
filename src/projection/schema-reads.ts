import type { StandardJSONSchemaV1 } from '@standard-schema/spec'
import type { Schema } from './options.js'
import { invalid } from './require.js'

type JsonSchema = Readonly<Record<string, unknown>>

/** What of a value a schema looks at: the paths in it, each with its `.` or `[]`; all of it; or it has no parts. */
type Looked = readonly string[] | 'all' | 'no parts'

/**
 * The fields of the data that a schema names, as its library tells them by Standard JSON Schema. CONFIG_INVALID where it does not tell, or
 * where the schema looks at all of the data.
 */
export function readsOfSchema(type: string, schema: Schema | null): readonly string[] {
  const refuse = (why: string): never => invalid('defineProjection()', `reads of ${type}`, `a list of paths, because ${why}`, 'schema')
  const standard = schema?.['~standard'] as Partial<StandardJSONSchemaV1.Props> | undefined
  if (standard === undefined) return refuse('it has no schema')
  if (standard.jsonSchema === undefined) return refuse('the library of its schema does not tell its fields (Standard JSON Schema)')
  let json: JsonSchema
  try {
    json = standard.jsonSchema.input({ target: 'draft-2020-12' })
  } catch (error) {
    return refuse(`its schema can not be told as JSON Schema: ${error instanceof Error ? error.message : String(error)}`)
  }
  const looked = lookedAt(json, json, [])
  const isFields = typeof looked !== 'string' && looked.every((path) => path.startsWith('.'))
  return isFields ? looked.map((path) => path.slice(1)) : refuse('its schema looks at all of the data')
}

/** `within`: what is being looked into, because a schema may hold itself. */
function lookedAt(schema: unknown, root: JsonSchema, within: readonly unknown[]): Looked {
  if (typeof schema !== 'object' || schema === null || within.includes(schema)) return 'all'
  const { $ref, anyOf = [], oneOf = [], allOf = [], ...own } = schema as JsonSchema
  const inside = [...within, schema]
  const others = [anyOf, oneOf, allOf].flat().concat($ref === undefined ? [] : [referred(root, String($ref))])
  const all = others.map((other) => lookedAt(other, root, inside))
  if (others.length === 0 || 'properties' in own || 'items' in own) all.push(partsOf(own, root, inside))
  if (all.includes('all')) return 'all'
  // A value without parts is read whole, whatever paths say of its parts.
  const paths = [...new Set(all.flatMap((each) => (typeof each === 'string' ? [] : each)))]
  return paths.length === 0 ? 'no parts' : paths
}

const NAME = /^(?!__proto__$)[^.[\]]+$/
/** Where these are, names are looked at too: strict or loose. */
const ABOUT_NAMES = ['additionalProperties', 'patternProperties', 'unevaluatedProperties', 'prefixItems']
const WITHOUT_PARTS = ['string', 'number', 'integer', 'boolean', 'null']

function partsOf(schema: JsonSchema, root: JsonSchema, within: readonly unknown[]): Looked {
  const { properties, items } = schema
  if (ABOUT_NAMES.some((name) => name in schema)) return 'all'
  if (items !== undefined) {
    const looked = lookedAt(items, root, within)
    return typeof looked === 'string' ? 'all' : looked.map((path) => `[]${path}`)
  }
  if (typeof properties !== 'object' || properties === null) return hasNoParts(schema) ? 'no parts' : 'all'
  const fields = Object.entries(properties)
  if (!fields.every(([name]) => NAME.test(name))) return 'all'
  return fields.flatMap(([name, field]) => {
    const looked = lookedAt(field, root, within)
    return typeof looked === 'string' ? [`.${name}`] : looked.map((path) => `.${name}${path}`)
  })
}

function hasNoParts({ type, enum: values, const: value }: JsonSchema): boolean {
  return value !== undefined || values !== undefined || [type].flat().every((each) => WITHOUT_PARTS.includes(String(each)))
}

/** `#/$defs/Item`; undefined where there is no such place. */
function referred(root: JsonSchema, pointer: string): unknown {
  const steps = pointer.split('/').slice(1).map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  const start = pointer.startsWith('#') ? root : undefined
  return steps.reduce<unknown>((at, step) => (at as JsonSchema | undefined)?.[step], start)
}
