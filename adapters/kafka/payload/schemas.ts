import { createHash } from 'node:crypto'
import { avroNameOf, parseAvro } from './avro-schema.js'
import { avroHas, protobufHas, stepsOf } from './has-path.js'
import { JsonShape } from './json-schema.js'
import { loadProtobuf, parseProtobuf } from './protobuf-schema.js'
import type { RegisteredSchema, SchemaStore } from './registry.js'
import { SchemaUnreadable } from './unreadable.js'
import type { SchemaReader } from './wire-format.js'

const MAX_READERS = 10_000

/** Readers of schemas by their ids, each made once. */
export class Schemas {
  readonly #store: SchemaStore
  readonly #readers = new Map<number, SchemaReader>()

  constructor(store: SchemaStore) {
    this.#store = store
  }

  /**
   * The readers of some ids. One that the registry does not have, or that can not be understood, is there too, and says so when a record
   * needs it: nobody may ever look at that record. Errors: SOURCE_UNREACHABLE, CONFIG_INVALID, ADAPTER_PEER_MISSING.
   */
  async readersOf(ids: ReadonlySet<number>, signal: AbortSignal): Promise<ReadonlyMap<number, SchemaReader>> {
    return new Map(await Promise.all([...ids].map(async (id) => [id, await this.#readerOf(id, signal)] as const)))
  }

  /**
   * Those of some paths that no schema of a type has in any version; none where that is not known. `subjects`: for each topic those in
   * which its schemas may be. Of Avro and Protobuf the type is the schema's name. A JSON Schema may be of any: all together they tell it,
   * where each topic has some, and no other ones. Errors: as above.
   */
  async lacking(
    type: string, paths: readonly string[], subjects: readonly (readonly string[])[], signal: AbortSignal,
  ): Promise<readonly string[]> {
    const byTopic = await Promise.all(subjects.map((each) => this.#store.schemasOf(each, signal)))
    const schemas = [...new Map(byTopic.flat().map((schema) => [schemaHash(schema), schema])).values()]
    const named: PathCheck[] = []
    for (const schema of schemas) {
      const check = checkOf(await makeReader(0, schema), type)
      if (check !== null) named.push(check)
    }
    const isJson = byTopic.every((found) => found.length > 0) && schemas.every(({ schemaType }) => schemaType === 'JSON')
    const checks = isJson ? schemas.map(shapeCheck) : named
    return checks.length === 0 ? [] : paths.filter((path) => !checks.some((check) => check(stepsOf(path))))
  }

  async #readerOf(id: number, signal: AbortSignal): Promise<SchemaReader> {
    const known = this.#readers.get(id)
    if (known !== undefined) return known
    const schema = await this.#store.schema(id, signal)
    if (schema === null) return { id, hash: '', kind: 'unreadable', why: 'is not in the registry' }
    const reader = await makeReader(id, schema)
    this.#readers.set(id, reader)
    if (this.#readers.size > MAX_READERS) this.#readers.delete(this.#readers.keys().next().value as number)
    return reader
  }
}

async function makeReader(id: number, schema: RegisteredSchema): Promise<SchemaReader> {
  const hash = schemaHash(schema)
  try {
    switch (schema.schemaType) {
      case 'JSON': return { id, hash, kind: 'json' }
      case 'AVRO': {
        const type = parseAvro(schema.schema, textsOf(schema))
        return { id, hash, kind: 'avro', type, name: avroNameOf(type) }
      }
      case 'PROTOBUF': {
        const file = parseProtobuf(await loadProtobuf(), schema.schema, importsOf(schema))
        return { id, hash, kind: 'protobuf', ...file }
      }
    }
  } catch (error) {
    if (!(error instanceof SchemaUnreadable)) throw error
    return { id, hash, kind: 'unreadable', why: error.message }
  }
}

/** Whether values of a schema may have something at a path. */
type PathCheck = (steps: readonly string[]) => boolean

function shapeCheck(schema: RegisteredSchema): PathCheck {
  const shape = new JsonShape(schema)
  return (steps) => shape.has(steps)
}

/** Of the schema of a name; null where that is another schema, or may be read as none. */
function checkOf(reader: SchemaReader, name: string): PathCheck | null {
  if (reader.kind === 'protobuf') {
    const message = reader.messageNamed(name)
    return message === null ? null : (steps) => protobufHas(message, steps)
  }
  if (reader.kind !== 'avro') return null
  // What a union has is as good a name as its own.
  const types = reader.type.kind === 'union' ? reader.type.branches : [reader.type]
  const type = types.find((each) => avroNameOf(each) === name)
  return type === undefined ? null : (steps) => avroHas(type, steps)
}

/** SHA-256 of a schema and of all that it refers to, hexadecimal: text for text. */
export function schemaHash(schema: RegisteredSchema): string {
  const partsOf = ({ schemaType, schema: text, references }: RegisteredSchema): unknown =>
    [schemaType, text, references.map((reference) => [reference.name, partsOf(reference)])]
  return createHash('sha256').update(JSON.stringify(partsOf(schema))).digest('hex')
}

/** Each after what it refers to itself, none twice. */
function importsOf(schema: RegisteredSchema, imports = new Map<string, string>()): ReadonlyMap<string, string> {
  for (const reference of schema.references) {
    importsOf(reference, imports)
    if (!imports.has(reference.name)) imports.set(reference.name, reference.schema)
  }
  return imports
}

function textsOf(schema: RegisteredSchema): readonly string[] {
  return [...importsOf(schema).values()]
}
