import { setMaxListeners } from 'node:events'
import { isRehydrateError } from '../../src/index.js'
import { BrokerLink } from './broker-link.js'
import { connectionError, Passing } from './broker-errors.js'
import { loadClient, type Client } from './client.js'
import type { Address, Exchange } from './messages.js'
import { pause, worse, type Trouble } from './retry.js'
import { securityOf, type KafkaSasl, type KafkaSsl } from './security.js'

/** No broker of sound mind holds a client back for longer at a time; behind it, it is asked what it says now. */
const LONGEST_THROTTLE_MS = 60_000

export interface ConnectionSettings {
  /** `host:port`, to begin with; the rest of the cluster is learned from them. */
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly ssl: KafkaSsl
  readonly sasl: KafkaSasl | null
  readonly connectTimeoutMs: number
  readonly requestTimeoutMs: number
}

/** Null: the broker does not know that request. */
type ExchangeFor<Answer> = (link: BrokerLink) => Exchange<Answer> | null

/** What is known of a broker, whichever connections there are to it. */
interface Conduct {
  /** No request is sent to it before (KIP-219). */
  throttledUntilMs: number
  /** Connections to it failed, one after the other: no other is tried before the pause is over. */
  trouble: (Trouble & { readonly error: unknown }) | undefined
}

/** All connections to one cluster. Loads kafkajs with the first one. */
export class Connections {
  /** A broker has let us in once. */
  hasMet = false
  readonly #settings: ConnectionSettings
  readonly #closing = new AbortController()
  #client: Client | null = null
  readonly #links = new Map<string, BrokerLink>()
  readonly #opening = new Map<string, Promise<BrokerLink>>()
  readonly #conduct = new Map<string, Conduct>()
  /** By node id. */
  readonly #addresses = new Map<number, string>()

  constructor(settings: ConnectionSettings) {
    this.#settings = settings
    // One for each request that waits.
    setMaxListeners(0, this.#closing.signal)
  }

  /** All brokers that there are. */
  learn(brokers: readonly Address[]): void {
    this.#addresses.clear()
    for (const broker of brokers) this.meet(broker)
  }

  /** One more. */
  meet({ nodeId, host, port }: Address): void { this.#addresses.set(nodeId, `${host}:${port}`) }

  /** For messages. */
  nameOf(nodeId: number): string { return `broker ${nodeId} (${this.#addresses.get(nodeId) ?? 'unknown'})` }

  /**
   * To one broker, by its number in the metadata. Null: it does not know the request. Errors: Passing, CONFIG_INVALID,
   * SOURCE_UNREACHABLE.
   */
  async send<Answer>(nodeId: number, exchange: ExchangeFor<Answer>, extraMs = 0): Promise<Answer | null> {
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
        return await this.#sendTo(address, () => exchange, 0) as Answer
      } catch (error) {
        if (isRehydrateError(error) || this.#closing.signal.aborted) throw error
        failure = error
      }
    }
    throw failure
  }

  close(): void {
    this.#closing.abort(new Passing('The connections were closed.'))
    for (const link of this.#links.values()) link.drop()
    this.#links.clear()
  }

  async #sendTo<Answer>(address: string, exchange: ExchangeFor<Answer>, extraMs: number): Promise<Answer | null> {
    const conduct = this.#conductOf(address)
    while (conduct.throttledUntilMs > Date.now()) await pause(conduct.throttledUntilMs, [this.#closing.signal])
    let link: BrokerLink | null = null
    try {
      link = await this.#link(address, conduct)
      const asked = exchange(link)
      if (asked === null) return null
      const { answer, throttleMs } = await link.send(asked, this.#settings.requestTimeoutMs + extraMs)
      const untilMs = Date.now() + Math.min(throttleMs, LONGEST_THROTTLE_MS)
      if (throttleMs > 0) conduct.throttledUntilMs = Math.max(conduct.throttledUntilMs, untilMs)
      return answer
    } catch (error) {
      // Whatever went wrong on a connection, nothing more is expected of it: a half-open one looks open for ever.
      if (link !== null) this.#drop(link)
      throw connectionError(error, address)
    }
  }

  #conductOf(address: string): Conduct {
    const conduct = this.#conduct.get(address) ?? { throttledUntilMs: 0, trouble: undefined }
    this.#conduct.set(address, conduct)
    return conduct
  }

  /** One that is ready. Opened once for all who ask. */
  async #link(address: string, conduct: Conduct): Promise<BrokerLink> {
    const known = this.#links.get(address)
    if (known !== undefined && !known.isExpired) return known
    if (known !== undefined) {
      this.#links.delete(address)
      known.retire()
    }
    const opening = this.#opening.get(address) ?? this.#open(address, conduct).finally(() => this.#opening.delete(address))
    this.#opening.set(address, opening)
    return opening
  }

  async #open(address: string, conduct: Conduct): Promise<BrokerLink> {
    const { trouble } = conduct
    if (trouble !== undefined && Date.now() < trouble.nextMs) throw trouble.error
    this.#client ??= loadClient()
    let link: BrokerLink | null = null
    try {
      const security = await securityOf(this.#settings.ssl, this.#settings.sasl)
      const colon = address.lastIndexOf(':')
      const host = address.slice(0, colon).replace(/^\[|\]$/g, '')
      const pool = this.#client.pool({ ...this.#settings, host, port: Number(address.slice(colon + 1)) }, security)
      this.#closing.signal.throwIfAborted()
      link = new BrokerLink(address, this.#client, pool, security.expiresAtMs)
      this.#links.set(address, link)
      await link.ready()
      this.hasMet = true
      conduct.trouble = undefined
      return link
    } catch (error) {
      if (link !== null) this.#drop(link)
      conduct.trouble = { ...worse(trouble, Date.now()), error }
      throw error
    }
  }

  #drop(link: BrokerLink): void {
    link.drop()
    if (this.#links.get(link.address) === link) this.#links.delete(link.address)
  }
}
