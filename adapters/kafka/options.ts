import type { ConnectionOptions } from 'node:tls'
import { checkOptions, RehydrateError, type Secret } from '../../src/index.js'
import type { EventMapping } from './event.js'
import type { Isolation } from './mark.js'

export interface KafkaOptions {
  /** `host:port`, as a list or separated by commas; `env('KAFKA_BROKERS')`. */
  readonly brokers: readonly string[] | string | Secret
  /** All partitions of these are read. A topic that does not exist is CONFIG_INVALID. */
  readonly topics: readonly string[]
  /** Default: read_committed. Part of the log's identity: a state read in one way does not go on in the other. */
  readonly isolation?: Isolation
  /** Of the topics only these, e.g. `['orders/0', 'orders/3']`. Default: all, also those that are added later. */
  readonly partitions?: readonly string[]
  /** TLS: true, or options of node:tls such as `ca`, `cert` and `key`. */
  readonly ssl?: KafkaSsl
  readonly sasl?: KafkaSasl
  /** Where the parts of an event are, for values without an envelope. */
  readonly event?: EventMapping
  /** Default: json. raw: the value's bytes are the data; then `event` has to say the type, or a header does. */
  readonly payload?: 'json' | 'raw'
}

export type KafkaSsl = boolean | ConnectionOptions

export interface KafkaSasl {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
  readonly username: string | Secret
  readonly password: string | Secret
}

const KNOWN = ['brokers', 'topics', 'isolation', 'partitions', 'ssl', 'sasl', 'event', 'payload']
const DEFERRED = {
  registry: 'Values are JSON or bytes; wire formats with a schema registry come with a later version.',
  group: 'Partitions are assigned by hand; groups come with several processes.',
  rack: 'Reads go to the leaders.',
  limits: 'A read takes what it can get; quotas of the broker are respected.',
}
const MAPPED = ['type', 'key', 'data', 'id', 'recordedAt', 'schemaVersion']

/** Everything that can be said before a broker is asked. CONFIG_INVALID, OPTION_DEFERRED. */
export function checkKafkaOptions(options: KafkaOptions): void {
  checkOptions('kafka()', options, KNOWN, DEFERRED)
  const { topics, isolation, partitions, event, payload, sasl } = options
  requireNames('topics', topics)
  if (isolation !== undefined) requireOneOf('isolation', isolation, ['read_committed', 'read_uncommitted'])
  if (payload !== undefined) requireOneOf('payload', payload, ['json', 'raw'])
  if (partitions !== undefined) {
    requireNames('partitions', partitions)
    const stray = partitions.find((name) => !/\/\d+$/.test(name) || !topics.includes(name.slice(0, name.lastIndexOf('/'))))
    if (stray !== undefined) throw invalid('partitions', 'names of partitions of the topics, such as orders/0', stray)
  }
  if (event !== undefined) requireMapping(event)
  if (sasl !== undefined) {
    checkOptions('kafka(): sasl', sasl, ['mechanism', 'username', 'password'], { oauthBearerProvider: 'OAUTHBEARER is not built yet.' })
    requireOneOf('sasl.mechanism', sasl.mechanism, ['plain', 'scram-sha-256', 'scram-sha-512'])
  }
  if (typeof options.brokers === 'string' || Array.isArray(options.brokers)) brokersOf(options)
  else if (typeof (options.brokers as Partial<Secret> | undefined)?.reveal !== 'function') {
    throw invalid('brokers', "a list of host:port, or env('KAFKA_BROKERS')", options.brokers)
  }
}

/** The list of brokers; a secret is revealed now. */
export function brokersOf({ brokers }: Pick<KafkaOptions, 'brokers'>): readonly string[] {
  const isSecret = typeof brokers === 'object' && 'reveal' in brokers
  const given = isSecret ? brokers.reveal() : brokers
  const list = typeof given === 'string' ? given.split(',').map((broker) => broker.trim()) : given
  const stray = list.find((broker) => typeof broker !== 'string' || !/^.+:\d{1,5}$/.test(broker))
  if (list.length > 0 && stray === undefined) return list
  throw invalid('brokers', 'host:port, separated by commas where there are several', isSecret ? undefined : stray)
}

/** With the secrets revealed; null without `sasl`. */
export function credentialsOf({ sasl }: KafkaOptions): { mechanism: KafkaSasl['mechanism']; username: string; password: string } | null {
  if (sasl === undefined) return null
  const textOf = (text: string | Secret): string => (typeof text === 'string' ? text : text.reveal())
  return { mechanism: sasl.mechanism, username: textOf(sasl.username), password: textOf(sasl.password) }
}

function requireNames(option: string, names: unknown): void {
  const isList = Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === 'string' && name !== '')
  if (!isList || new Set(names).size !== names.length) throw invalid(option, 'a list of names, at least one, none twice', names)
}

function requireOneOf(option: string, given: unknown, known: readonly string[]): void {
  if (!known.includes(given as string)) throw invalid(option, known.join(' | '), given)
}

function requireMapping(event: unknown): void {
  checkOptions('kafka(): event', event, MAPPED)
  for (const [name, selector] of Object.entries(event as Readonly<Record<string, unknown>>)) {
    if (selector === undefined || typeof selector === 'function') continue
    const [[kind, place] = ['', ''], ...more] = typeof selector === 'object' && selector !== null ? Object.entries(selector) : []
    const isPlace = (kind === 'header' || kind === 'field') && typeof place === 'string' && place !== ''
    if (!isPlace || more.length > 0) throw invalid(`event.${name}`, "{ header: 'name' }, { field: 'path.to.it' } or a function", selector)
  }
}

function invalid(option: string, expected: string, actual: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `kafka(): ${option} must be ${expected}.`, path: option, expected, ...(actual !== undefined && { actual }),
  })
}
