import type { AvroRecord, AvroType } from './avro.js'
import { SchemaUnreadable } from './unreadable.js'

const PRIMITIVES = new Set(['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'])
const MAX_NESTING = 256
const MAX_SCALE = 1024

/**
 * The type that a schema's text describes; named types of `references`, the texts of other schemas, come before. Throws SchemaUnreadable.
 * Aliases, defaults and orders are for a reader's schema, and there is none: a record is read as it was written.
 */
export function parseAvro(schema: string, references: readonly string[]): AvroType {
  const names = new Names()
  for (const text of references) names.typeOf(jsonOf(text), '', 0)
  return names.typeOf(jsonOf(schema), '', 0)
}

/** The full name of a record, an enum or a fixed; null where a type has none. */
export function avroNameOf(type: AvroType): string | null {
  return 'name' in type ? type.name : null
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The name of a type alone, as some registries keep it.
    if (/^[A-Za-z_][\w.]*$/.test(text)) return text
    throw new SchemaUnreadable('is not JSON')
  }
}

type Attributes = Readonly<Record<string, unknown>>

class Names {
  readonly #types = new Map<string, AvroType>()

  typeOf(schema: unknown, namespace: string, nesting: number): AvroType {
    if (nesting > MAX_NESTING) throw new SchemaUnreadable(`is nested deeper than ${MAX_NESTING} levels`)
    if (typeof schema === 'string') return this.#named(schema, namespace)
    if (Array.isArray(schema)) return { kind: 'union', branches: schema.map((branch) => this.typeOf(branch, namespace, nesting + 1)) }
    if (typeof schema !== 'object' || schema === null) throw new SchemaUnreadable(`has a type that is none: ${JSON.stringify(schema)}`)
    const attributes = schema as Attributes
    switch (attributes['type']) {
      case 'record': case 'error': return this.#record(attributes, namespace, nesting)
      case 'enum': return this.#define(attributes, namespace, (name) => ({ kind: 'enum', name, symbols: textsOf(attributes, 'symbols') }))
      case 'fixed': return this.#define(attributes, namespace, (name) => fixedOf(attributes, name))
      case 'array': return { kind: 'array', items: this.typeOf(attributes['items'], namespace, nesting + 1) }
      case 'map': return { kind: 'map', items: this.typeOf(attributes['values'], namespace, nesting + 1) }
      default: return logicalOf(attributes, this.typeOf(attributes['type'], namespace, nesting + 1))
    }
  }

  #named(name: string, namespace: string): AvroType {
    if (PRIMITIVES.has(name)) return { kind: name } as AvroType
    const type = this.#types.get(fullName(name, namespace)) ?? this.#types.get(name)
    if (type === undefined) throw new SchemaUnreadable(`names the type ${name}, which neither it nor a reference defines`)
    return type
  }

  #record(attributes: Attributes, namespace: string, nesting: number): AvroType {
    const { fields } = attributes
    if (!Array.isArray(fields)) throw new SchemaUnreadable('has a record without fields')
    const record = this.#define(attributes, namespace, (name): AvroRecord => ({ kind: 'record', name, fields: [] })) as AvroRecord
    const inner = record.name.slice(0, Math.max(0, record.name.lastIndexOf('.')))
    const seen = new Set<string>()
    for (const field of fields as readonly (Attributes | null)[]) {
      const name = field?.['name']
      if (typeof name !== 'string' || seen.has(name)) throw new SchemaUnreadable(`has a field in ${record.name} without a name of its own`)
      seen.add(name)
      record.fields.push({ name, type: this.typeOf((field as Attributes)['type'], inner, nesting + 1) })
    }
    return record
  }

  /** Known before its fields are read: a record may hold itself. */
  #define(attributes: Attributes, namespace: string, make: (name: string) => AvroType): AvroType {
    const given = attributes['name']
    if (typeof given !== 'string' || given === '') throw new SchemaUnreadable('has a record, an enum or a fixed without a name')
    const own = attributes['namespace']
    const name = fullName(given, typeof own === 'string' ? own : namespace)
    const type = make(name)
    this.#types.set(name, type)
    return type
  }
}

function fullName(name: string, namespace: string): string {
  return name.includes('.') || namespace === '' ? name : `${namespace}.${name}`
}

function textsOf(attributes: Attributes, name: string): readonly string[] {
  const texts = attributes[name]
  if (Array.isArray(texts) && texts.every((text) => typeof text === 'string')) return texts as string[]
  throw new SchemaUnreadable(`has ${name} that are no texts`)
}

function fixedOf(attributes: Attributes, name: string): AvroType {
  const { size } = attributes
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw new SchemaUnreadable(`has no size for the fixed ${name}`)
  const type: AvroType = { kind: 'fixed', name, size }
  return logicalOf(attributes, type)
}

/** A logical type that does not fit what it stands on is none, says the specification. */
function logicalOf(attributes: Attributes, type: AvroType): AvroType {
  const size = type.kind === 'fixed' ? type.size : null
  switch (attributes['logicalType']) {
    case 'uuid': return type.kind === 'string' || size === 16 ? { kind: 'uuid', scale: 0, size } : type
    case 'decimal': {
      const { precision, scale = 0 } = attributes
      const isScale = Number.isSafeInteger(precision) && typeof scale === 'number' && Number.isSafeInteger(scale)
        && scale >= 0 && scale <= Math.min(precision as number, MAX_SCALE)
      return isScale && (type.kind === 'bytes' || size !== null) ? { kind: 'decimal', scale, size } : type
    }
    default: return type
  }
}
