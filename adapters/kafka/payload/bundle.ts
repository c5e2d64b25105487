import { readFile, rename, writeFile } from 'node:fs/promises'
import { RehydrateError } from '../../../src/index.js'
import { RegistryClient, type RegisteredSchema, type RegistryAccess, type SchemaStore } from './registry.js'

const FORMAT = 1

/** A file with the schemas of a registry: what is needed of it to read a log, also after the registry is gone. */
interface Bundle {
  readonly bundle: typeof FORMAT
  readonly schemas: Readonly<Record<string, RegisteredSchema>>
}

/** The schemas of a file that saveBundle wrote. Read on the first question. */
export class BundledSchemas implements SchemaStore {
  readonly #path: string
  #schemas: Promise<Bundle['schemas']> | null = null

  constructor(path: string) {
    this.#path = path
  }

  async schema(id: number): Promise<RegisteredSchema | null> {
    const schemas = await this.#read()
    return Object.hasOwn(schemas, id) ? schemas[id] as RegisteredSchema : null
  }

  async schemasOf(): Promise<readonly RegisteredSchema[]> {
    return Object.values(await this.#read())
  }

  close(): void { this.#schemas = null }

  #read(): Promise<Bundle['schemas']> { return (this.#schemas ??= readBundle(this.#path)) }
}

async function readBundle(path: string): Promise<Bundle['schemas']> {
  let bundle: Partial<Bundle> | null
  try {
    bundle = JSON.parse(await readFile(path, 'utf8')) as Partial<Bundle> | null
  } catch (cause) {
    throw invalid(path, `can not be read: ${(cause as Error).message}`, cause)
  }
  if (bundle?.bundle !== FORMAT) throw invalid(path, `is no bundle of format ${FORMAT}`)
  const schemas = bundle.schemas ?? {}
  const stray = Object.entries(schemas).find(([, schema]) => !isSchema(schema))
  if (stray !== undefined) throw invalid(path, `has a schema ${stray[0]} that is none`)
  return schemas
}

function isSchema(schema: Partial<RegisteredSchema> | null): boolean {
  return typeof schema?.schema === 'string' && ['AVRO', 'PROTOBUF', 'JSON'].includes(schema.schemaType ?? '')
    && Array.isArray(schema.references)
    && schema.references.every((reference) => typeof reference?.name === 'string' && isSchema(reference))
}

function invalid(path: string, what: string, cause?: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `The bundle of schemas ${path} ${what}.`, path: 'registry.bundle', file: path, cause,
    fix: 'Write it anew with saveBundle() of rehydrate/kafka.',
  })
}

export interface SaveBundleOptions extends RegistryAccess {
  /** File to write; it is replaced whole. */
  readonly path: string
  /** All versions of these, e.g. `orders-value`. */
  readonly subjects?: readonly string[]
  readonly ids?: readonly number[]
}

/**
 * Writes schemas of a registry, with all that they refer to, into a file for `registry: { bundle }`, in the order of their ids. Gives the
 * ids. Errors: SOURCE_UNREACHABLE; CONFIG_INVALID for a subject or an id that is not there, and for refused credentials.
 */
export async function saveBundle(options: SaveBundleOptions): Promise<readonly number[]> {
  const { path, subjects = [], ids = [] } = options
  const client = new RegistryClient(options)
  const { signal } = new AbortController()
  const wanted = new Set(ids)
  for (const subject of subjects) {
    const found = await client.idsOf(subject)
    if (found.length === 0) throw notThere(`subject ${subject}`)
    for (const id of found) wanted.add(id)
  }
  const schemas: Record<string, RegisteredSchema> = {}
  const sorted = [...wanted].sort((a, b) => a - b)
  for (const id of sorted) {
    const schema = await client.schema(id, signal)
    if (schema === null) throw notThere(`schema ${id}`)
    schemas[id] = schema
  }
  const bundle: Bundle = { bundle: FORMAT, schemas }
  await writeFile(`${path}.new`, `${JSON.stringify(bundle, null, 2)}\n`)
  await rename(`${path}.new`, path)
  return sorted
}

function notThere(what: string): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', { message: `The registry has no ${what}.`, path: 'registry', actual: what })
}
