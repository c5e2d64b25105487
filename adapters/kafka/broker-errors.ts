import { isRehydrateError, RehydrateError } from '../../src/index.js'

export const OFFSET_OUT_OF_RANGE = 1
export const UNKNOWN_TOPIC = 3
export const OFFSET_NOT_AVAILABLE = 78

/** Those that are told apart here, or that one is likely to meet. The rest are named by their number. */
const NAMES: Readonly<Record<number, string>> = {
  [-1]: 'UNKNOWN_SERVER_ERROR', 1: 'OFFSET_OUT_OF_RANGE', 2: 'CORRUPT_MESSAGE', 3: 'UNKNOWN_TOPIC_OR_PARTITION', 5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_OR_FOLLOWER', 7: 'REQUEST_TIMED_OUT', 8: 'BROKER_NOT_AVAILABLE', 9: 'REPLICA_NOT_AVAILABLE', 13: 'NETWORK_EXCEPTION',
  17: 'INVALID_TOPIC_EXCEPTION', 29: 'TOPIC_AUTHORIZATION_FAILED', 31: 'CLUSTER_AUTHORIZATION_FAILED', 35: 'UNSUPPORTED_VERSION',
  42: 'INVALID_REQUEST', 56: 'KAFKA_STORAGE_ERROR', 74: 'FENCED_LEADER_EPOCH', 75: 'UNKNOWN_LEADER_EPOCH', 78: 'OFFSET_NOT_AVAILABLE',
  100: 'UNKNOWN_TOPIC_ID', 103: 'INCONSISTENT_TOPIC_ID', 109: 'OFFSET_MOVED_TO_TIERED_STORAGE',
}

/** What passes by itself, or with other metadata. */
const PASSING: ReadonlySet<number> = new Set([-1, 3, 5, 6, 7, 8, 9, 13, 56, 74, 75, 78, 100, 103])
const NOT_ALLOWED: ReadonlySet<number> = new Set([29, 31])

/** An error after which the same is asked again. */
export class Passing extends Error {}

/** For a broker's error code: Passing; CONFIG_INVALID where it is about permissions or names; LOG_CORRUPT; SOURCE_UNREACHABLE. */
export function brokerError(code: number, about: string, partition?: string): Error {
  const name = NAMES[code] ?? `error ${code}`
  const message = `The broker answers ${name} about ${about}.`
  if (PASSING.has(code)) return new Passing(message)
  const details = { message, partition, actual: name }
  if (NOT_ALLOWED.has(code)) {
    return new RehydrateError('CONFIG_INVALID', { ...details, fix: 'Allow this user Describe and Read on the topic.' })
  }
  if (code === 17) return new RehydrateError('CONFIG_INVALID', details)
  return new RehydrateError(code === 2 ? 'LOG_CORRUPT' : 'SOURCE_UNREACHABLE', details)
}

/** CONFIG_INVALID for credentials and certificates, which no waiting mends; our own errors as they are; Passing for anything else. */
export function connectionError(error: unknown, address: string): Error {
  if (isRehydrateError(error) || error instanceof Passing) return error
  const { name, type, message, code } = error as { name?: string; type?: string; message?: string; code?: unknown }
  const details = { message: `${address}: ${message ?? String(error)}`, cause: error }
  if (name === 'KafkaJSSASLAuthenticationError' || type === 'UNSUPPORTED_SASL_MECHANISM') {
    return new RehydrateError('CONFIG_INVALID', { ...details, fix: 'Correct `sasl`: mechanism, username and password.' })
  }
  if (typeof code === 'string' && /CERT|^ERR_(TLS|SSL)|^UNABLE_TO_(GET|VERIFY)|^EPROTO$/.test(code)) {
    const fix = 'Correct `ssl`: the authority that signed the broker\'s certificate, its name, our certificate.'
    return new RehydrateError('CONFIG_INVALID', { ...details, fix })
  }
  return new Passing(details.message, { cause: error })
}
