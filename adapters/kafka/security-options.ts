import { checkOptions, RehydrateError } from '../../src/index.js'
import type { KafkaSasl, KafkaSsl } from './security.js'

const PASSWORDS = ['plain', 'scram-sha-256', 'scram-sha-512']
const PEMS = ['ca', 'cert', 'key'] as const

/** What can be said of `ssl` before it is used: the rest of it is for node:tls to judge. CONFIG_INVALID. */
export function checkSsl(ssl: KafkaSsl): void {
  if (typeof ssl === 'boolean') return
  if (typeof ssl !== 'object' || ssl === null) throw invalid('ssl', 'true, or options of node:tls', undefined)
  for (const name of PEMS) {
    const list = name === 'ca' && Array.isArray(ssl.ca) ? ssl.ca as readonly unknown[] : [ssl[name]]
    for (const pem of list) if (pem !== undefined && !Buffer.isBuffer(pem)) requireText(`ssl.${name}`, pem, 'PEM')
  }
  if (ssl.passphrase !== undefined) requireText('ssl.passphrase', ssl.passphrase)
  if ((ssl.cert === undefined) !== (ssl.key === undefined) && ssl.pfx === undefined) {
    const missing = ssl.cert === undefined ? 'cert' : 'key'
    throw invalid(`ssl.${missing}`, `given too: a certificate and its key go together`, undefined)
  }
}

/** CONFIG_INVALID. Never shows what is secret. */
export function checkSasl(sasl: KafkaSasl): void {
  if (typeof sasl !== 'object' || sasl === null) throw invalid('sasl', '{ mechanism, … }', undefined)
  const { mechanism } = sasl
  if (![...PASSWORDS, 'oauthbearer'].includes(mechanism)) {
    throw invalid('sasl.mechanism', [...PASSWORDS, 'oauthbearer'].join(' | '), mechanism)
  }
  if (mechanism === 'oauthbearer') {
    checkOptions('kafka(): sasl', sasl, ['mechanism', 'token'])
    if (typeof sasl.token !== 'function') requireText('sasl.token', sasl.token, 'a function that gives { value, expiresAtMs? }')
    return
  }
  checkOptions('kafka(): sasl', sasl, ['mechanism', 'username', 'password'])
  requireText('sasl.username', sasl.username)
  requireText('sasl.password', sasl.password)
}

/** CONFIG_INVALID, which does not show what was given. */
export function requireText(option: string, given: unknown, more?: string): void {
  if (typeof given === 'string' && given !== '') return
  const { reveal, file } = (given ?? {}) as { reveal?: unknown; file?: unknown }
  if (typeof reveal === 'function' || (typeof file === 'string' && file !== '')) return
  throw invalid(option, `${more === undefined ? '' : `${more}, or `}a text, env('NAME') or { file: 'path' }`, undefined)
}

function invalid(option: string, expected: string, actual: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `kafka(): ${option} must be ${expected}.`, path: option, expected, ...(actual !== undefined && { actual }),
  })
}
