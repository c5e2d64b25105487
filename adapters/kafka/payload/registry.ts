import { RehydrateError, type Secret } from '../../../src/index.js'
import { unlessAborted, untilDone } from '../retry.js'

/** A schema as a registry keeps it, with the texts of all that it refers to. */
export interface RegisteredSchema {
  readonly schemaType: 'AVRO' | 'PROTOBUF' | 'JSON'
  readonly schema: string
  /** `name`: what the schema calls it, e.g. in an import. */
  readonly references: readonly (RegisteredSchema & { readonly name: string })[]
}

/** Where schemas are found by their ids. */
export interface SchemaStore {
  /** Null where there is none of that id. Errors: SOURCE_UNREACHABLE, CONFIG_INVALID (credentials, bundle). */
  schema(id: number, signal: AbortSignal): Promise<RegisteredSchema | null>
  /** All versions of some subjects, where they are there; where subjects are not known, all schemas. */
  schemasOf(subjects: readonly string[], signal: AbortSignal): Promise<readonly RegisteredSchema[]>
  /** Ends what is under way. It may be asked again. */
  close(): void
}

export type RegistryAuth =
  | { readonly username: string | Secret; readonly password: string | Secret }
  | { readonly token: string | Secret }

export interface RegistryAccess {
  /** Of a registry with Confluent's API, e.g. `https://registry.example:8081`. */
  readonly url: string | Secret
  readonly auth?: RegistryAuth
}

const MAX_CACHED = 10_000
const MAX_REFERENCES_DEEP = 32
const ANSWER_MS = 10_000
const GIVE_UP_AFTER_MS = 120_000

/** A reader of a schema registry's API: schemas by id, and what they refer to. What has an id never changes: it is asked for once. */
export class RegistryClient implements SchemaStore {
  readonly #access: RegistryAccess
  readonly #giveUpAfterMs: number
  /** Under way or there; the oldest go first. */
  readonly #schemas = new Map<string, Promise<RegisteredSchema | null>>()
  /** Several wait for one answer: who no longer wants it must not end it for the others. */
  #closing = new AbortController()

  constructor(access: RegistryAccess, giveUpAfterMs = GIVE_UP_AFTER_MS) {
    this.#access = access
    this.#giveUpAfterMs = giveUpAfterMs
  }

  schema(id: number, signal: AbortSignal): Promise<RegisteredSchema | null> {
    return unlessAborted(this.#once(`schemas/ids/${id}`, 0), [signal])
  }

  async schemasOf(subjects: readonly string[], signal: AbortSignal): Promise<readonly RegisteredSchema[]> {
    const found = subjects.map(async (subject) => {
      const path = `subjects/${encodeURIComponent(subject)}/versions`
      const versions = (await this.#get(path) ?? []) as readonly number[]
      return await Promise.all(versions.map((version) => this.#once(`${path}/${version}`, 0)))
    })
    return (await unlessAborted(Promise.all(found), [signal])).flat().filter((schema) => schema !== null)
  }

  close(): void {
    this.#closing.abort(new Error('The source was closed.'))
    this.#closing = new AbortController()
  }

  /** Ids of all versions of a subject, the oldest first; none where there is no such subject. */
  async idsOf(subject: string): Promise<readonly number[]> {
    const path = `subjects/${encodeURIComponent(subject)}/versions`
    const ids: number[] = []
    for (const version of (await this.#get(path) ?? []) as readonly number[]) {
      const { id } = (await this.#get(`${path}/${version}`) ?? {}) as { id?: unknown }
      if (typeof id === 'number') ids.push(id)
    }
    return ids
  }

  #once(path: string, deep: number): Promise<RegisteredSchema | null> {
    const known = this.#schemas.get(path)
    if (known !== undefined) return known
    const asked = this.#ask(path, deep)
    this.#schemas.set(path, asked)
    const forget = (): unknown => this.#schemas.get(path) === asked && this.#schemas.delete(path)
    // A schema that is not there may come.
    asked.then((schema) => schema ?? forget(), forget)
    if (this.#schemas.size > MAX_CACHED) this.#schemas.delete(this.#schemas.keys().next().value as string)
    return asked
  }

  async #ask(path: string, deep: number): Promise<RegisteredSchema | null> {
    if (deep > MAX_REFERENCES_DEEP) throw noRegistry(path, `refers to others ${MAX_REFERENCES_DEEP} times in a row`)
    const answer = await this.#get(path) as Partial<Answer> | null
    if (answer === null) return null
    const { schema, schemaType = 'AVRO', references = [] } = answer
    if (typeof schema !== 'string' || !TYPES.has(schemaType)) throw noRegistry(path, 'is no schema of Avro, Protobuf or JSON')
    const resolved = await Promise.all(references.map(async ({ name, subject, version }) => {
      const place = `subjects/${encodeURIComponent(subject)}/versions/${version}`
      const found = await this.#once(place, deep + 1)
      if (found === null) throw noRegistry(path, `refers to ${subject} in version ${version}, which is not there`)
      return { name, ...found }
    }))
    return { schemaType, schema, references: resolved }
  }

  /** The JSON at a path; null for 404. */
  #get(path: string): Promise<unknown> {
    const { signal } = this.#closing
    const url = `${textOf(this.#access.url).replace(/\/+$/, '')}/${path}`
    const headers = { accept: 'application/vnd.schemaregistry.v1+json, application/json', ...authorization(this.#access.auth) }
    return untilDone(`Asking the schema registry for ${path}`, this.#giveUpAfterMs, [signal], async () => {
      const answer = await fetch(url, { headers, signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]) })
      if (answer.ok) return await answer.json() as unknown
      await answer.body?.cancel()
      if (answer.status === 404) return null
      if (answer.status === 401 || answer.status === 403) throw refused(answer.status)
      // What is too much, or the registry's own fault, may pass.
      if (answer.status === 429 || answer.status >= 500) throw new Error(`the registry answered ${answer.status}`)
      throw noRegistry(path, `was answered with ${answer.status}`)
    })
  }
}

interface Answer {
  readonly schema: string
  readonly schemaType: RegisteredSchema['schemaType']
  readonly references: readonly { readonly name: string; readonly subject: string; readonly version: number }[]
}

const TYPES: ReadonlySet<string> = new Set(['AVRO', 'PROTOBUF', 'JSON'])

function authorization(auth: RegistryAuth | undefined): { authorization?: string } {
  if (auth === undefined) return {}
  if ('token' in auth) return { authorization: `Bearer ${textOf(auth.token)}` }
  return { authorization: `Basic ${Buffer.from(`${textOf(auth.username)}:${textOf(auth.password)}`).toString('base64')}` }
}

function textOf(text: string | Secret): string {
  return typeof text === 'string' ? text : text.reveal()
}

function noRegistry(path: string, what: string): RehydrateError {
  return new RehydrateError('SOURCE_UNREACHABLE', {
    message: `The schema registry's ${path} ${what}.`, path: 'registry.url',
    fix: "Check registry: { url } of kafka(); of some registries Confluent's API has a path of its own, such as /apis/ccompat/v7.",
  })
}

function refused(status: number): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `The schema registry refuses who asks (${status}).`, path: 'registry.auth', actual: status,
    fix: 'Check registry: { auth } of kafka(): { username, password } or { token }.',
  })
}
