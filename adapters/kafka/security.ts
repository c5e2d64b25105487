import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext, type ConnectionOptions } from 'node:tls'
import { isRehydrateError, RehydrateError, type Secret } from '../../src/index.js'
import { Passing } from './broker-errors.js'
import { unlessAborted } from './retry.js'

/** So long a function may take for a token; then it is called again. */
const TOKEN_MS = 30_000

/** A text, `env('NAME')`, or a file, which is read anew for each connection: a rotated one counts from then on. */
export type KafkaText = string | Secret | { readonly file: string }

/** PEM, or DER as bytes. */
export type KafkaPem = KafkaText | Buffer

/** True: TLS, with the authorities of Node. Else options of node:tls; with `cert` and `key` the broker sees who we are (mTLS). */
export type KafkaSsl = boolean | (Omit<ConnectionOptions, 'ca' | 'cert' | 'key' | 'passphrase'> & {
  readonly ca?: KafkaPem | readonly KafkaPem[]
  readonly cert?: KafkaPem
  readonly key?: KafkaPem
  readonly passphrase?: KafkaText
})

export type KafkaSasl = KafkaPassword | KafkaBearer

export interface KafkaPassword {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
  readonly username: KafkaText
  readonly password: KafkaText
}

export interface KafkaBearer {
  readonly mechanism: 'oauthbearer'
  /**
   * Called for each connection, and again before the token or the broker's session expires. Where it throws, or gives none for 30 s, it is
   * called again, with pauses.
   */
  readonly token: KafkaText | (() => Promise<KafkaToken>)
}

export interface KafkaToken {
  readonly value: string
  /** Left out: only the broker says how long a session lasts. */
  readonly expiresAtMs?: number
  /** SASL extensions, e.g. `{ logicalCluster: 'lkc-1' }`. */
  readonly extensions?: Readonly<Record<string, string>>
}

/** As kafkajs takes it, for one connection. */
export interface Security {
  readonly ssl: ConnectionOptions | null
  readonly sasl: object | null
  /** Infinity: no end is known. */
  readonly expiresAtMs: number
}

/**
 * What a new connection says of us. Errors: CONFIG_INVALID with the option's name, where a file can not be read, a variable is not set, or
 * a certificate or a token is none; Passing where the token could not be had.
 */
export async function securityOf(ssl: KafkaSsl, sasl: KafkaSasl | null, tokenMs = TOKEN_MS): Promise<Security> {
  const tls = await tlsOf(ssl)
  if (sasl === null) return { ssl: tls, sasl: null, expiresAtMs: Infinity }
  if (sasl.mechanism === 'oauthbearer') {
    const { value, extensions, expiresAtMs = Infinity } = await tokenOf(sasl.token, tokenMs)
    const oauthBearerProvider = async (): Promise<object> => ({ value, ...(extensions !== undefined && { extensions }) })
    return { ssl: tls, sasl: { mechanism: sasl.mechanism, oauthBearerProvider }, expiresAtMs }
  }
  const [username, password] = await Promise.all([textOf('sasl.username', sasl.username), textOf('sasl.password', sasl.password)])
  return { ssl: tls, sasl: { mechanism: sasl.mechanism, username, password }, expiresAtMs: Infinity }
}

async function tlsOf(ssl: KafkaSsl): Promise<ConnectionOptions | null> {
  if (ssl === false) return null
  if (ssl === true) return {}
  const { ca, cert, key, passphrase, ...rest } = ssl
  const authorities = ca === undefined ? [] : Array.isArray(ca) ? ca as readonly KafkaPem[] : [ca as KafkaPem]
  const options: ConnectionOptions = {
    ...rest,
    ...(ca !== undefined && { ca: await Promise.all(authorities.map((each) => pemOf('ssl.ca', each))) }),
    ...(cert !== undefined && { cert: await pemOf('ssl.cert', cert) }),
    ...(key !== undefined && { key: await pemOf('ssl.key', key) }),
    ...(passphrase !== undefined && { passphrase: await textOf('ssl.passphrase', passphrase) }),
  }
  requireUsable('ssl.ca', () => [options.ca ?? []].flat().map((each) => new X509Certificate(each)))
  requireUsable('ssl.cert', () => createSecureContext({ ...(options.cert !== undefined && { cert: options.cert }) }))
  requireUsable('ssl.key', () => createSecureContext(options))
  return options
}

/** What node:tls would not take, or pass over in silence, and then trust nobody. */
function requireUsable(path: string, use: () => unknown): void {
  try {
    use()
  } catch (cause) {
    throw new RehydrateError('CONFIG_INVALID', { message: `kafka(): ${path} can not be used: ${(cause as Error).message}.`, path, cause })
  }
}

async function pemOf(option: string, pem: KafkaPem): Promise<string | Buffer> {
  return Buffer.isBuffer(pem) ? pem : textOf(option, pem)
}

/** CONFIG_INVALID, naming the option. */
export async function textOf(option: string, text: KafkaText): Promise<string> {
  if (typeof text === 'string') return text
  if ('reveal' in text) return text.reveal()
  try {
    // Editors end files with a newline that is no part of a password.
    return (await readFile(text.file, 'utf8')).replace(/\r?\n$/, '')
  } catch (cause) {
    throw new RehydrateError('CONFIG_INVALID', {
      message: `kafka(): the file of ${option} can not be read: ${(cause as Error).message}.`, path: option, actual: text.file, cause,
    })
  }
}

async function tokenOf(given: KafkaBearer['token'], tokenMs: number): Promise<KafkaToken> {
  if (typeof given !== 'function') return { value: await textOf('sasl.token', given) }
  let token: unknown
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(new Passing(`sasl.token has given no token for ${tokenMs} ms.`)), tokenMs)
  try {
    token = await unlessAborted(Promise.resolve(given()), [late.signal])
  } catch (cause) {
    // A variable that is not set: waiting does not set it.
    if (cause instanceof Passing || isRehydrateError(cause)) throw cause
    throw new Passing(`sasl.token threw: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  } finally {
    clearTimeout(timer)
  }
  const { value, expiresAtMs } = (token ?? {}) as Partial<KafkaToken>
  const isToken = typeof value === 'string' && value !== '' && (expiresAtMs === undefined || Number.isFinite(expiresAtMs))
  if (isToken) return token as KafkaToken
  throw new RehydrateError('CONFIG_INVALID', {
    message: 'kafka(): sasl.token must give { value, expiresAtMs? }: a text that is not empty, and a time in ms.', path: 'sasl.token',
  })
}
