import { checkOptions, RehydrateError } from '../../../src/index.js'
import { requireText } from '../security-options.js'
import { BundledSchemas } from './bundle.js'
import { isRegistryAddress, RegistryClient, type RegistryAccess, type SchemaStore } from './registry.js'
import type { PayloadKind } from './value.js'

/** Where the schemas of values in Confluent's wire format are: a registry, or a file that saveBundle() wrote of one. */
export type RegistryOptions = RegistryAccess | {
  /** A file; nothing is asked of any network. */
  readonly bundle: string
}

export interface PayloadOptions {
  /**
   * How values are written. Default: json. With `registry`, values are in its wire format, and it says how. raw: the bytes are the data;
   * then `event` has to say the type, or a header does. cloudevents: CloudEvents 1.0, binary (with `registry`, their data is in its wire
   * format) or structured.
   */
  readonly payload?: PayloadKind
  readonly registry?: RegistryOptions
  /** How keys are written. Default: utf8. */
  readonly key?: 'utf8' | 'registry'
}

const KINDS: readonly string[] = ['json', 'msgpack', 'raw', 'cloudevents'] satisfies PayloadKind[]

/** CONFIG_INVALID. */
export function checkPayloadOptions({ payload, registry, key }: PayloadOptions): void {
  if (payload !== undefined && !KINDS.includes(payload)) throw invalid('payload', KINDS.join(' | '), payload)
  if (key !== undefined && key !== 'utf8' && key !== 'registry') throw invalid('key', 'utf8 | registry', key)
  if (key === 'registry' && registry === undefined) throw invalid('registry', 'given where key is registry', undefined)
  if (registry === undefined) return
  const isOther = payload === 'raw' || payload === 'msgpack'
  if (isOther) throw invalid('payload', 'json or cloudevents, or left out, where registry is given', payload)
  checkOptions('kafka(): registry', registry, ['url', 'auth', 'bundle'])
  if ('bundle' in registry) {
    const { bundle } = registry
    if (typeof bundle !== 'string' || bundle === '') throw invalid('registry.bundle', 'the path of a file', bundle)
    if ('url' in registry || 'auth' in registry) throw invalid('registry', '{ url, auth } or { bundle }, not both', undefined)
    return
  }
  checkAccess(registry)
}

function checkAccess({ url, auth }: Partial<RegistryAccess>): void {
  const isSecret = typeof url === 'object' && typeof url.reveal === 'function'
  // What was given is not shown: a password may be in it.
  if (!isSecret && !isRegistryAddress(url)) throw invalid('registry.url', 'an http or https address without credentials in it', undefined)
  if (auth === undefined) return
  checkOptions('kafka(): registry.auth', auth, ['username', 'password', 'token'])
  const isToken = 'token' in auth && !('username' in auth) && !('password' in auth)
  if (!isToken && !('username' in auth && 'password' in auth && !('token' in auth))) {
    throw invalid('registry.auth', '{ username, password } or { token }', undefined)
  }
  for (const [name, text] of Object.entries(auth)) requireText(`registry.auth.${name}`, text)
}

/** Inert until it is asked. */
export function schemaStoreOf({ registry }: PayloadOptions): SchemaStore | null {
  if (registry === undefined) return null
  return 'bundle' in registry ? new BundledSchemas(registry.bundle) : new RegistryClient(registry)
}

function invalid(option: string, expected: string, actual: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `kafka(): ${option} must be ${expected}.`, path: option, expected, ...(actual !== undefined && { actual }),
  })
}
