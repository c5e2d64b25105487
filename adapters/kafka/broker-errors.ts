import { isRehydrateError, RehydrateError } from '../../src/index.js'

export const OFFSET_OUT_OF_RANGE = 1
export const UNKNOWN_TOPIC = 3
export const OFFSET_NOT_AVAILABLE = 78

/** Those that are told apart here, or that one is likely to meet. The rest are named by their number. */
const NAMES: Readonly<Record<number, string>> = {
  [-1]: 'UNKNOWN_SERVER_ERROR', 1: 'OFFSET_OUT_OF_RANGE', 2: 'CORRUPT_MESSAGE', 3: 'UNKNOWN_TOPIC_OR_PARTITION', 5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_OR_FOLLOWER', 7: 'REQUEST_TIMED_OUT', 8: 'BROKER_NOT_AVAILABLE', 9: 'REPLICA_NOT_AVAILABLE', 13: 'NETWORK_EXCEPTION',
  17: 'INVALID_TOPIC_EXCEPTION', 29: 'TOPIC_AUTHORIZATION_FAILED', 31: 'CLUSTER_AUTHORIZATION_FAILED',
  34: 'ILLEGAL_SASL_STATE', 35: 'UNSUPPORTED_VERSION',
  14: 'COORDINATOR_LOAD_IN_PROGRESS', 15: 'COORDINATOR_NOT_AVAILABLE', 16: 'NOT_COORDINATOR', 30: 'GROUP_AUTHORIZATION_FAILED',
  42: 'INVALID_REQUEST', 56: 'KAFKA_STORAGE_ERROR', 74: 'FENCED_LEADER_EPOCH', 75: 'UNKNOWN_LEADER_EPOCH', 78: 'OFFSET_NOT_AVAILABLE',
  100: 'UNKNOWN_TOPIC_ID', 103: 'INCONSISTENT_TOPIC_ID', 109: 'OFFSET_MOVED_TO_TIERED_STORAGE',
}

/** What passes by itself, or with other metadata. */
const PASSING: ReadonlySet<number> = new Set([-1, 3, 5, 6, 7, 8, 9, 13, 14, 15, 16, 56, 74, 75, 78, 100, 103])
const NOT_ALLOWED: ReadonlySet<number> = new Set([29, 30, 31])

/** How kafkajs says that a connection went away. */
const LOST = /closed? connection|connection closed|connection error|not connected|timed out|timeout|given up/i

/** An error after which the same is asked again. */
export class Passing extends Error {}

/** For a broker's error code: Passing; CONFIG_INVALID where it is about permissions or names; LOG_CORRUPT; SOURCE_UNREACHABLE. */
export function brokerError(code: number, about: string, partition?: string): Error {
  const name = NAMES[code] ?? `error ${code}`
  const message = `The broker answers ${name} about ${about}.`
  if (PASSING.has(code)) return new Passing(message)
  const details = { message, partition, actual: name }
  if (NOT_ALLOWED.has(code)) {
    const fix = `Allow this user Read on the ${code === 30 ? 'group' : 'topic'}.`
    return new RehydrateError('CONFIG_INVALID', { ...details, fix })
  }
  // A broker says why it takes no token in an answer that is none to kafkajs, and this to the next request.
  if (code === 34) {
    return new RehydrateError('CONFIG_INVALID', { ...details, path: 'sasl', fix: 'Correct `sasl`: the broker does not take the token.' })
  }
  if (code === 17) return new RehydrateError('CONFIG_INVALID', details)
  return new RehydrateError(code === 2 ? 'LOG_CORRUPT' : 'SOURCE_UNREACHABLE', details)
}

/** CONFIG_INVALID for credentials and certificates, which no waiting mends; our own errors as they are; Passing for anything else. */
export function connectionError(error: unknown, address: string): Error {
  if (isRehydrateError(error) || error instanceof Passing) return error
  const { name, type, message = String(error), code } = error as { name?: string; type?: string; message?: string; code?: unknown }
  const details = { message: `${address}: ${message}`, cause: error }
  // kafkajs gives this name to whatever ends an authentication, a lost connection too.
  const isRefused = name === 'KafkaJSSASLAuthenticationError' && !LOST.test(message)
  if (isRefused || type === 'SASL_AUTHENTICATION_FAILED' || type === 'UNSUPPORTED_SASL_MECHANISM') {
    return new RehydrateError('CONFIG_INVALID', {
      ...details, path: 'sasl', fix: 'Correct `sasl`: the mechanism, and the username and password or the token.',
    })
  }
  if (typeof code === 'string' && /CERT|^ERR_(TLS|SSL)|^UNABLE_TO_(GET|VERIFY)|^HOSTNAME_MISMATCH$|^EPROTO$/.test(code)) {
    const fix = 'Correct `ssl`: the authority that signed the broker\'s certificate, its name, our certificate.'
    return new RehydrateError('CONFIG_INVALID', { ...details, path: 'ssl', fix })
  }
  return new Passing(details.message, { cause: error })
}
