import { RehydrateError } from '../../src/index.js'
import { Passing } from './broker-errors.js'
import type { Broker, Client, Connection, ConnectionPool } from './client.js'
import { FETCH_API, type Exchange } from './messages.js'

/** A connection is given up at this part of its SASL session: behind the end, the broker cuts it in the middle of an answer. */
const SESSION_PART = 0.8

/** One broker, with a connection for fetches and one for everything else. */
export class BrokerLink {
  readonly address: string
  readonly #client: Client
  readonly #broker: Broker
  readonly #expiresAtMs: number
  #ready: Promise<void> | null = null
  #fetching: Promise<Connection> | null = null
  #underWay = 0
  #isRetired = false

  /** `expiresAtMs`: of the credentials; Infinity where they do not expire. */
  constructor(address: string, client: Client, pool: ConnectionPool, expiresAtMs: number) {
    this.address = address
    this.#client = client
    this.#broker = new client.Broker({ connectionPool: pool, logger: client.logger, allowAutoTopicCreation: false })
    const nowMs = Date.now()
    this.#expiresAtMs = nowMs + (expiresAtMs - nowMs) * SESSION_PART
    for (const { requestQueue } of pool.pool) quiet(requestQueue)
  }

  /** Is it time for another one, with fresh credentials? */
  get isExpired(): boolean {
    return Date.now() >= this.#expiresAtMs || this.#broker.connectionPool.pool.some(isSessionOver)
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

  /** The answer, and for how long the broker wants no further request. Errors are kafkajs's own. */
  async send<Answer>(exchange: Exchange<Answer>, timeoutMs: number): Promise<{ answer: Answer; throttleMs: number }> {
    this.#underWay++
    try {
      await this.ready()
      return await this.#send(exchange, timeoutMs)
    } finally {
      if (--this.#underWay === 0 && this.#isRetired) this.drop()
    }
  }

  /** At once, whatever is under way. */
  drop(): void {
    for (const { socket, requestQueue } of this.#broker.connectionPool.pool) {
      socket?.destroy(new Error('The connection was given up.'))
      requestQueue.destroy()
    }
  }

  /** When what is under way is done. */
  retire(): void {
    this.#isRetired = true
    if (this.#underWay === 0) this.drop()
  }

  async #send<Answer>(exchange: Exchange<Answer>, timeoutMs: number): Promise<{ answer: Answer; throttleMs: number }> {
    const connection = await this.#connection(exchange.apiKey === FETCH_API)
    const { apiKey, apiName, apiVersion, flexible } = exchange
    if (!this.supports(apiKey, apiVersion)) throw tooOld(this.address, apiName, apiVersion)
    const encode = async (): Promise<unknown> => {
      const encoder = new this.#client.Encoder()
      encoder.writeBufferInternal(exchange.body)
      return encoder
    }
    const decode = async (payload: Buffer | { buffer: Buffer }): Promise<Buffer> => Buffer.isBuffer(payload) ? payload : payload.buffer
    const parse = async (decoded: unknown): Promise<{ answer: Answer; throttleMs: number }> => {
      const bytes = decoded as Buffer
      const answer = exchange.read(bytes)
      // Each answer used here begins with it; a flexible one has the tagged fields of its header before.
      return { answer, throttleMs: bytes.readInt32BE(flexible ? 1 : 0) }
    }
    forgetRemainder(connection)
    return connection.send({
      request: { apiKey, apiName, apiVersion, encode }, response: { decode, parse }, requestTimeout: timeoutMs, logResponseError: false,
    })
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

function isSessionOver({ authenticatedAt, sessionLifetime }: Connection): boolean {
  const lifetimeMs = Number(sessionLifetime.toString())
  if (authenticatedAt === null || lifetimeMs === 0) return false
  const [seconds, nanoseconds] = process.hrtime(authenticatedAt)
  return seconds * 1_000 + nanoseconds / 1e6 >= lifetimeMs * SESSION_PART
}

/** kafkajs looks through a queue every millisecond for as long as a connection lives, also where nothing waits in it. */
function quiet(queue: Connection['requestQueue']): void {
  const schedule = queue.scheduleCheckPendingRequests.bind(queue)
  queue.scheduleCheckPendingRequests = () => { if (queue.pending.length > 0) schedule() }
}

/** kafkajs joins each answer with what is left of the one before it: with nothing, because ours come whole, but that copies all of it. */
function forgetRemainder(connection: Connection): void {
  if (connection.bytesBuffered === 0) connection.chunks = []
}

function tooOld(address: string, api: string, version: number): RehydrateError {
  return new RehydrateError('SOURCE_UNREACHABLE', {
    message: `The broker at ${address} does not know ${api} in version ${version}.`, fix: 'Use a broker of Kafka 2.8 or newer.',
  })
}
