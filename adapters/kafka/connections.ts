import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { isRehydrateError, RehydrateError } from '../../src/index.js'
import { connectionError, Passing } from './broker-errors.js'
import { FETCH_API, type Exchange } from './messages.js'

const VERSION = '2.2.4'
/** Requests under way on one connection. The rest wait here, where no time runs out: many partitions on a slow line are no dead broker. */
const IN_FLIGHT = 4

export interface KafkaSasl {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
  readonly username: string
  readonly password: string
}

export interface ConnectionSettings {
  /** `host:port`, to begin with; the rest of the cluster is learned from them. */
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly ssl: boolean | ConnectionOptions
  readonly sasl: KafkaSasl | null
  readonly connectTimeoutMs: number
  readonly requestTimeoutMs: number
}

// The part of kafkajs 2.2.4 that is used: its connections, with TLS and SASL. It has no types for them, so its version is held to exactly.
interface Broker {
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>> | null
  readonly connectionPool: ConnectionPool
  connect(): Promise<void>
}

interface ConnectionPool {
  readonly pool: readonly Connection[]
  getConnection(index: number): Promise<Connection>
}

interface Connection {
  readonly socket?: Socket
  readonly requestQueue: { readonly pending: readonly unknown[]; scheduleCheckPendingRequests(): void; destroy(): void }
  isConnected(): boolean
  send<Answer>(call: {
    readonly request: { apiKey: number; apiName: string; apiVersion: number; encode(): Promise<unknown> }
    readonly response: { decode(bytes: Buffer | { buffer: Buffer }): Promise<unknown>; parse(decoded: unknown): Promise<Answer> }
    readonly requestTimeout: number
    readonly logResponseError: boolean
  }): Promise<Answer>
}

interface Client {
  readonly Broker: new (options: object) => Broker
  readonly Encoder: new () => { writeBufferInternal(bytes: Buffer): unknown }
  readonly pools: { build(address: { readonly host: string; readonly port: number }): Promise<ConnectionPool> }
  readonly logger: unknown
}

function loadClient(settings: ConnectionSettings): Client {
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
  const build = require('kafkajs/src/cluster/connectionPoolBuilder') as (options: object) => Client['pools']
  const socketFactory = require('kafkajs/src/network/socketFactory') as () => unknown
  return {
    Broker: require('kafkajs/src/broker') as Client['Broker'],
    Encoder: require('kafkajs/src/protocol/encoder') as Client['Encoder'],
    logger,
    pools: build({
      logger,
      socketFactory: socketFactory(),
      brokers: settings.brokers,
      clientId: settings.clientId,
      ssl: settings.ssl === true ? {} : settings.ssl === false ? null : settings.ssl,
      sasl: settings.sasl === null ? null : { ...settings.sasl },
      connectionTimeout: settings.connectTimeoutMs,
      requestTimeout: settings.requestTimeoutMs,
      enforceRequestTimeout: true,
      maxInFlightRequests: IN_FLIGHT,
    }),
  }
}

function peerMissing(what: string, cause?: unknown): RehydrateError {
  return new RehydrateError('ADAPTER_PEER_MISSING', {
    message: `The Kafka source needs the package kafkajs in version ${VERSION}, which ${what}.`,
    fix: `npm install kafkajs@${VERSION}`,
    cause,
  })
}

/** One broker, with a connection for fetches and one for everything else. */
export class BrokerLink {
  readonly address: string
  readonly #client: Client
  readonly #broker: Broker
  #ready: Promise<void> | null = null
  #fetching: Promise<Connection> | null = null

  constructor(address: string, client: Client, pool: ConnectionPool) {
    this.address = address
    this.#client = client
    this.#broker = new client.Broker({ connectionPool: pool, logger: client.logger, allowAutoTopicCreation: false })
    for (const { requestQueue } of pool.pool) quiet(requestQueue)
  }

  /** Shared by all who ask, so that no connection is opened twice. */
  ready(): Promise<void> {
    this.#ready ??= this.#broker.connect()
    return this.#ready
  }

  supports(apiKey: number, version: number): boolean {
    const range = this.#broker.versions?.[apiKey]
    return range !== undefined && range.minVersion <= version && version <= range.maxVersion
  }

  /** Errors are kafkajs's own. */
  async send<Answer>(exchange: Exchange<Answer>, timeoutMs: number): Promise<Answer> {
    await this.ready()
    const connection = await this.#connection(exchange.apiKey === FETCH_API)
    const { apiKey, apiName, apiVersion } = exchange
    if (!this.supports(apiKey, apiVersion)) throw tooOld(this.address, apiName, apiVersion)
    const encode = async (): Promise<unknown> => {
      const encoder = new this.#client.Encoder()
      encoder.writeBufferInternal(exchange.body)
      return encoder
    }
    const decode = async (payload: Buffer | { buffer: Buffer }): Promise<unknown> => {
      const bytes = Buffer.isBuffer(payload) ? payload : payload.buffer
      // Each answer used here begins with it; a flexible one has the tagged fields of its header before. kafkajs then holds back as long.
      const flexible = apiName === 'Metadata' || apiVersion === 13
      return { bytes, clientSideThrottleTime: bytes.length < 5 ? 0 : bytes.readInt32BE(flexible ? 1 : 0) }
    }
    const parse = async (decoded: unknown): Promise<Answer> => exchange.read((decoded as { bytes: Buffer }).bytes)
    return connection.send({
      request: { apiKey, apiName, apiVersion, encode }, response: { decode, parse }, requestTimeout: timeoutMs, logResponseError: false,
    })
  }

  /** At once, whatever is under way. */
  drop(): void {
    for (const { socket, requestQueue } of this.#broker.connectionPool.pool) {
      socket?.destroy(new Error('The connection was given up.'))
      requestQueue.destroy()
    }
  }

  async #connection(isFetch: boolean): Promise<Connection> {
    const { connectionPool } = this.#broker
    const index = isFetch ? 1 : 0
    const connection = connectionPool.pool[index] as Connection
    if (connection.isConnected()) return connection
    // The first one was open once: its loss is the loss of the broker.
    if (!isFetch) throw new Passing(`The connection to ${this.address} was closed.`)
    this.#fetching ??= connectionPool.getConnection(index).finally(() => { this.#fetching = null })
    return this.#fetching
  }
}

/** kafkajs looks through a queue every millisecond for as long as a connection lives, also where nothing waits in it. */
function quiet(queue: Connection['requestQueue']): void {
  const schedule = queue.scheduleCheckPendingRequests.bind(queue)
  queue.scheduleCheckPendingRequests = () => { if (queue.pending.length > 0) schedule() }
}

function tooOld(address: string, api: string, version: number): RehydrateError {
  return new RehydrateError('SOURCE_UNREACHABLE', {
    message: `The broker at ${address} does not know ${api} in version ${version}.`, fix: 'Use a broker of Kafka 2.8 or newer.',
  })
}

/** All connections to one cluster. Loads kafkajs with the first one. */
export class Connections {
  readonly #settings: ConnectionSettings
  #client: Client | null = null
  #closed = false
  readonly #links = new Map<string, BrokerLink>()
  /** By node id. */
  readonly #addresses = new Map<number, string>()

  constructor(settings: ConnectionSettings) {
    this.#settings = settings
  }

  learn(brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[]): void {
    this.#addresses.clear()
    for (const { nodeId, host, port } of brokers) this.#addresses.set(nodeId, `${host}:${port}`)
  }

  /** To one broker, by its number in the metadata. */
  async send<Answer>(nodeId: number, exchange: (link: BrokerLink) => Exchange<Answer>, extraMs = 0): Promise<Answer> {
    const address = this.#addresses.get(nodeId)
    if (address === undefined) throw new Passing(`Broker ${nodeId} is not in the cluster's metadata.`)
    return this.#sendTo(address, exchange, extraMs)
  }

  /** To any broker: one that is connected, or else all that are known, one after the other. */
  async sendAny<Answer>(exchange: Exchange<Answer>): Promise<Answer> {
    const addresses = new Set([...this.#links.keys(), ...this.#settings.brokers, ...this.#addresses.values()])
    let failure: unknown
    for (const address of addresses) {
      try {
        return await this.#sendTo(address, () => exchange, 0)
      } catch (error) {
        if (isRehydrateError(error) || this.#closed) throw error
        failure = error
      }
    }
    throw failure
  }

  close(): void {
    this.#closed = true
    for (const link of this.#links.values()) link.drop()
    this.#links.clear()
  }

  async #sendTo<Answer>(address: string, exchange: (link: BrokerLink) => Exchange<Answer>, extraMs: number): Promise<Answer> {
    let link: BrokerLink | null = null
    try {
      link = await this.#link(address)
      await link.ready()
      return await link.send(exchange(link), this.#settings.requestTimeoutMs + extraMs)
    } catch (error) {
      // Whatever went wrong on a connection, nothing more is expected of it: a half-open one looks open for ever.
      if (link !== null) this.#drop(link)
      throw connectionError(error, address)
    }
  }

  async #link(address: string): Promise<BrokerLink> {
    const known = this.#links.get(address)
    if (known !== undefined) return known
    this.#client ??= loadClient(this.#settings)
    const colon = address.lastIndexOf(':')
    const host = address.slice(0, colon).replace(/^\[|\]$/g, '')
    const pool = await this.#client.pools.build({ host, port: Number(address.slice(colon + 1)) })
    if (this.#closed) throw new Passing('The connections were closed.')
    const link = this.#links.get(address) ?? new BrokerLink(address, this.#client, pool)
    this.#links.set(address, link)
    return link
  }

  #drop(link: BrokerLink): void {
    link.drop()
    if (this.#links.get(link.address) === link) this.#links.delete(link.address)
  }
}
