import { checkOptions, RehydrateError, type Secret } from '../../src/index.js'
import type { EventMapping } from './event.js'
import type { Isolation } from './mark.js'
import { checkSasl, checkSsl } from './security-options.js'
import type { KafkaSasl, KafkaSsl } from './security.js'
import { checkPayloadOptions, type PayloadOptions } from './payload/options.js'
import { checkStart, type LogStart } from './start.js'

export interface KafkaOptions extends PayloadOptions {
  /** `host:port`, as a list or separated by commas; `env('KAFKA_BROKERS')`. */
  readonly brokers: readonly string[] | string | Secret
  /** All partitions of these are read. A topic that does not exist is CONFIG_INVALID. */
  readonly topics: readonly string[]
  /** Default: read_committed. Part of the log's identity: a state read in one way does not go on in the other. */
  readonly isolation?: Isolation
  /** Of the topics only these, e.g. `['orders/0', 'orders/3']`. Default: all, also those that are added later. */
  readonly partitions?: readonly string[]
  /**
   * Where the log begins for a run that has nothing yet: `{ timestamp: '2026-01-01T00:00:00Z' }` (or ms), or
   * `{ offsets: { 'orders/0': 41 } }`.
   * What is before counts as missing: HISTORY_INCOMPLETE, unless accepted. A run that goes on is not touched by it.
   */
  readonly from?: LogStart
  /** TLS: true, or options of node:tls such as `ca`, `cert` and `key`: texts, secrets or `{ file }`. */
  readonly ssl?: KafkaSsl
  /** PLAIN, SCRAM or OAUTHBEARER. Texts, secrets or `{ file }`, which is read for each connection. */
  readonly sasl?: KafkaSasl
  /** How the brokers know us, for their quotas and logs. Default: `rehydrate`. */
  readonly clientId?: string
  /** Where we are, by the name that the brokers use (`broker.rack`): replicas nearby are read from, where the cluster allows it. */
  readonly rack?: string
  /** Where the parts of an event are, for values without an envelope. */
  readonly event?: EventMapping
}

const KNOWN = [
  'brokers', 'topics', 'isolation', 'partitions', 'from', 'ssl', 'sasl', 'clientId', 'rack', 'event', 'payload', 'registry', 'key',
]
const DEFERRED = {
  group: 'Partitions are assigned by hand or by shards; membership of a group comes with a store that several writers share.',
}
const MAPPED = ['type', 'key', 'data', 'id', 'recordedAt', 'schemaVersion']

/** Everything that can be said before a broker is asked. CONFIG_INVALID, OPTION_DEFERRED. */
export function checkKafkaOptions(options: KafkaOptions): void {
  if ((options as { readonly limits?: unknown } | undefined)?.limits !== undefined) {
    throw new RehydrateError('CONFIG_INVALID', {
      message: 'kafka() takes no limits: they are those of the job, for all that it reads.', path: 'limits',
      fix: 'Give limits: { bytesPerSecond, inFlightBytes } to the job, or to replay().',
    })
  }
  checkOptions('kafka()', options, KNOWN, DEFERRED)
  const { topics, isolation, partitions, event, ssl, sasl } = options
  requireNames('topics', topics)
  if (isolation !== undefined) requireOneOf('isolation', isolation, ['read_committed', 'read_uncommitted'])
  checkPayloadOptions(options)
  if (partitions !== undefined) {
    requireNames('partitions', partitions)
    const stray = partitions.find((name) => !/\/\d+$/.test(name) || !topics.includes(name.slice(0, name.lastIndexOf('/'))))
    if (stray !== undefined) throw invalid('partitions', 'names of partitions of the topics, such as orders/0', stray)
  }
  if (options.from !== undefined) checkStart(options.from)
  if (event !== undefined) requireMapping(event)
  if (ssl !== undefined) checkSsl(ssl)
  if (sasl !== undefined) checkSasl(sasl)
  for (const name of ['clientId', 'rack'] as const) {
    const text: unknown = options[name]
    if (text !== undefined && (typeof text !== 'string' || text === '')) throw invalid(name, 'a text that is not empty', text)
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
    const isPlace = kind === 'header' || kind === 'field' ? typeof place === 'string' && place !== ''
      : (kind === 'schema' || kind === 'topic') && place === true
    const kinds = "{ header: 'name' }, { field: 'path.to.it' }, { schema: true }, { topic: true } or a function"
    if (!isPlace || more.length > 0) throw invalid(`event.${name}`, kinds, selector)
  }
}

function invalid(option: string, expected: string, actual: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `kafka(): ${option} must be ${expected}.`, path: option, expected, ...(actual !== undefined && { actual }),
  })
}
