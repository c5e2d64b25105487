import { RehydrateError, type Secret } from '../../../src/index.js'
import { unlessAborted, untilDone } from '../retry.js'
import { textOf, type KafkaText } from '../security.js'

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

/** Texts, secrets or `{ file }`, which is read for each question. */
export type RegistryAuth =
  | { readonly username: KafkaText; readonly password: KafkaText }
  | { readonly token: KafkaText }

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
  /** Answers under way or there, by path; the oldest go first. */
  readonly #answers = new Map<string, Promise<Answer | null>>()
  /** Several wait for one answer: who no longer wants it must not end it for the others. */
  #closing = new AbortController()

  constructor(access: RegistryAccess, giveUpAfterMs = GIVE_UP_AFTER_MS) {
    this.#access = access
    this.#giveUpAfterMs = giveUpAfterMs
  }

  schema(id: number, signal: AbortSignal): Promise<RegisteredSchema | null> {
    return unlessAborted(this.#schemaAt(`schemas/ids/${id}`, []), [signal])
  }

  async schemasOf(subjects: readonly string[], signal: AbortSignal): Promise<readonly RegisteredSchema[]> {
    const found = subjects.map(async (subject) => {
      const versions = (await this.#get(versionsOf(subject)) ?? []) as readonly number[]
      return await Promise.all(versions.map((version) => this.#schemaAt(versionOf(subject, version), [])))
    })
    return (await unlessAborted(Promise.all(found), [signal])).flat().filter((schema) => schema !== null)
  }

  close(): void {
    this.#closing.abort(new Error('The source was closed.'))
    this.#closing = new AbortController()
  }

  /** Ids of all versions of a subject, the oldest first; none where there is no such subject. */
  async idsOf(subject: string): Promise<readonly number[]> {
    const ids: number[] = []
    for (const version of (await this.#get(versionsOf(subject)) ?? []) as readonly number[]) {
      const { id } = (await this.#get(versionOf(subject, version)) ?? {}) as { id?: unknown }
      if (typeof id === 'number') ids.push(id)
    }
    return ids
  }

  /** `trail`: the paths of those that refer to it, one to the next. */
  async #schemaAt(path: string, trail: readonly string[]): Promise<RegisteredSchema | null> {
    if (trail.includes(path)) throw noRegistry(path, 'refers to itself, by way of others')
    if (trail.length > MAX_REFERENCES_DEEP) throw noRegistry(path, `lies behind ${MAX_REFERENCES_DEEP} references in a row`)
    const answer = await this.#once(path)
    if (answer === null) return null
    const references = await Promise.all(answer.references.map(async ({ name, subject, version }) => {
      const found = await this.#schemaAt(versionOf(subject, version), [...trail, path])
      if (found === null) throw noRegistry(path, `refers to ${subject} in version ${version}, which is not there`)
      return { name, ...found }
    }))
    return { schemaType: answer.schemaType, schema: answer.schema, references }
  }

  #once(path: string): Promise<Answer | null> {
    const known = this.#answers.get(path)
    if (known !== undefined) return known
    const asked = this.#ask(path)
    this.#answers.set(path, asked)
    const forget = (): unknown => this.#answers.get(path) === asked && this.#answers.delete(path)
    // A schema that is not there may come.
    asked.then((answer) => answer ?? forget(), forget)
    if (this.#answers.size > MAX_CACHED) this.#answers.delete(this.#answers.keys().next().value as string)
    return asked
  }

  async #ask(path: string): Promise<Answer | null> {
    const answer = await this.#get(path) as Partial<Answer> | null
    if (answer === null) return null
    const { schema, schemaType = 'AVRO', references = [] } = answer
    if (typeof schema !== 'string' || !TYPES.has(schemaType)) throw noRegistry(path, 'is no schema of Avro, Protobuf or JSON')
    return { schema, schemaType, references }
  }

  /** The JSON at a path; null for 404. */
  async #get(path: string): Promise<unknown> {
    const { signal } = this.#closing
    const url = `${addressOf(this.#access.url)}/${path}`
    const headers = await headersOf(this.#access.auth)
    return await untilDone(`Asking the schema registry for ${path}`, () => this.#giveUpAfterMs, [signal], async () => {
      const answer = await fetch(url, { headers, signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]) }).catch(explain)
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

/** Deleted ones as well: a log still holds what was written by them. */
function versionsOf(subject: string): string {
  return `subjects/${encodeURIComponent(subject)}/versions?deleted=true`
}

function versionOf(subject: string, version: number): string {
  return `subjects/${encodeURIComponent(subject)}/versions/${version}?deleted=true`
}

interface Answer {
  readonly schema: string
  readonly schemaType: RegisteredSchema['schemaType']
  readonly references: readonly { readonly name: string; readonly subject: string; readonly version: number }[]
}

const TYPES: ReadonlySet<string> = new Set(['AVRO', 'PROTOBUF', 'JSON'])

/** Credentials in an address end up in messages and logs: they have options of their own. */
export function isRegistryAddress(url: unknown): boolean {
  if (typeof url !== 'string' || !URL.canParse(url)) return false
  const { protocol, username, password } = new URL(url)
  return /^https?:$/.test(protocol) && username === '' && password === ''
}

/** Without slashes at its end. CONFIG_INVALID, which does not show what was given. */
function addressOf(url: string | Secret): string {
  const address = typeof url === 'string' ? url : url.reveal()
  if (isRegistryAddress(address)) return address.replace(/\/+$/, '')
  throw new RehydrateError('CONFIG_INVALID', {
    message: 'The address of the schema registry must be an http or https address without credentials in it.', path: 'registry.url',
    fix: 'Give the credentials as registry: { auth: { username, password } }.',
  })
}

/** CONFIG_INVALID, which does not show what was given. */
async function headersOf(auth: RegistryAuth | undefined): Promise<Headers> {
  const headers = new Headers({ accept: 'application/vnd.schemaregistry.v1+json, application/json' })
  if (auth === undefined) return headers
  const value = 'token' in auth ? `Bearer ${await textOf('registry.auth.token', auth.token)}`
    : `Basic ${Buffer.from(await passwordOf(auth)).toString('base64')}`
  try {
    headers.set('authorization', value)
  } catch {
    throw new RehydrateError('CONFIG_INVALID', {
      message: 'The token for the schema registry can not be sent: it has characters that no header may have.', path: 'registry.auth.token',
    })
  }
  return headers
}

/** Of a fetch that failed, the message says nothing; what is behind it does. */
function explain(error: unknown): never {
  const { message, cause } = error as Error
  const { message: why, code } = (cause ?? {}) as { message?: string; code?: string }
  throw new Error(`${message}: ${why || (code ?? 'no reason is given')}`, { cause: error })
}

async function passwordOf({ username, password }: Exclude<RegistryAuth, { token: KafkaText }>): Promise<string> {
  return `${await textOf('registry.auth.username', username)}:${await textOf('registry.auth.password', password)}`
}

function noRegistry(path: string, what: string): RehydrateError {
  return new RehydrateError('SOURCE_UNREACHABLE', {
    message: `The schema registry's ${path} ${what}.`, path: 'registry.url',
    fix: "Check registry: { url } of kafka(); of some registries Confluent's API has a path of its own, such as /apis/ccompat/v7.",
  })
}

function refused(status: number): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `The schema registry does not let us in (${status}).`, path: 'registry.auth', actual: status,
    fix: 'Check registry: { auth } of kafka(): { username, password } or { token }.',
  })
}
