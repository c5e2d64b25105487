import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import { RehydrateError } from '../../src/index.js'
import { openSocket } from './framing.js'
import type { Security } from './security.js'

const VERSION = '2.2.4'
/** Requests under way on one connection. The rest wait here, where no time runs out: many partitions on a slow line are no dead broker. */
const IN_FLIGHT = 4
/** kafkajs would authenticate anew on a connection that is in use, and can not where sessions are short. Here connections are replaced. */
const NEVER_AGAIN_MS = -1e15

// The part of kafkajs 2.2.4 that is used: its connections, with TLS and SASL. It has no types for them, so its version is held to exactly.
export interface Broker {
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>> | null
  readonly connectionPool: ConnectionPool
  connect(): Promise<void>
}

export interface ConnectionPool {
  readonly pool: readonly Connection[]
  getConnection(index: number): Promise<Connection>
}

export interface Connection {
  readonly socket?: Socket
  /** process.hrtime() of then. */
  readonly authenticatedAt: [number, number] | null
  /** Of the SASL session, in ms; 0: for ever. */
  readonly sessionLifetime: { toString(): string }
  readonly requestQueue: { readonly pending: readonly unknown[]; scheduleCheckPendingRequests(): void; destroy(): void }
  /** What came of answers that are not whole yet, and how much of it. */
  chunks: Buffer[]
  readonly bytesBuffered: number
  isConnected(): boolean
  send<Answer>(call: {
    readonly request: { apiKey: number; apiName: string; apiVersion: number; encode(): Promise<unknown> }
    readonly response: { decode(bytes: Buffer | { buffer: Buffer }): Promise<unknown>; parse(decoded: unknown): Promise<Answer> }
    readonly requestTimeout: number
    readonly logResponseError: boolean
  }): Promise<Answer>
}

export interface PoolSettings {
  readonly host: string
  readonly port: number
  readonly clientId: string
  readonly connectTimeoutMs: number
  readonly requestTimeoutMs: number
}

export interface Client {
  readonly Broker: new (options: object) => Broker
  readonly Encoder: new () => { writeBufferInternal(bytes: Buffer): unknown }
  readonly logger: unknown
  /** Two connections to one broker, not open yet. */
  pool(settings: PoolSettings, security: Security): ConnectionPool
}

/** Errors: ADAPTER_PEER_MISSING. */
export function loadClient(): Client {
  const require = createRequire(import.meta.url)
  let version: string
  try {
    version = (require('kafkajs/package.json') as { readonly version: string }).version
  } catch (cause) {
    throw peerMissing('could not be loaded', cause)
  }
  if (version !== VERSION) throw peerMissing(`is installed in version ${version}`)
  const { createLogger } = require('kafkajs/src/loggers') as { createLogger(options: object): unknown }
  const logger = createLogger({ level: 0, logCreator: () => () => {} })
  const Pool = require('kafkajs/src/network/connectionPool') as new (options: object) => ConnectionPool
  return {
    Broker: require('kafkajs/src/broker') as Client['Broker'],
    Encoder: require('kafkajs/src/protocol/encoder') as Client['Encoder'],
    logger,
    pool({ host, port, clientId, connectTimeoutMs, requestTimeoutMs }, { ssl, sasl }) {
      return new Pool({
        host, port, clientId, ssl, sasl, logger, socketFactory: openSocket,
        connectionTimeout: connectTimeoutMs,
        requestTimeout: requestTimeoutMs,
        enforceRequestTimeout: true,
        maxInFlightRequests: IN_FLIGHT,
        reauthenticationThreshold: NEVER_AGAIN_MS,
      })
    },
  }
}

function peerMissing(what: string, cause?: unknown): RehydrateError {
  return new RehydrateError('ADAPTER_PEER_MISSING', {
    message: `The Kafka source needs the package kafkajs in version ${VERSION}, which ${what}.`,
    fix: `npm install kafkajs@${VERSION}`,
    cause,
  })
}
