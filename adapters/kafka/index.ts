import type { EventSource } from '../../src/index.js'
import { brokersOf, checkKafkaOptions, type KafkaOptions } from './options.js'
import { kafkajsPort } from './port-kafkajs.js'
import { schemaStoreOf } from './payload/options.js'
import { KafkaSource } from './source.js'

export type { EventMapping, KafkaRecord, Selector } from './event.js'
export type { KafkaOptions } from './options.js'
export type { LogStart } from './start.js'
export type { KafkaBearer, KafkaPassword, KafkaPem, KafkaSasl, KafkaSsl, KafkaText, KafkaToken } from './security.js'
export { saveBundle, type SaveBundleOptions } from './payload/bundle.js'
export type { PayloadOptions, RegistryOptions } from './payload/options.js'
export type { RegistryAccess, RegistryAuth } from './payload/registry.js'

const STALL_MS = 30_000

/**
 * Topics of Apache Kafka as a log: one partition per topic and number, named `TOPIC/N`. Inert until the first call; kafkajs is loaded then.
 * Errors of the factory: CONFIG_INVALID, OPTION_DEFERRED (`group`). Of the source: CONFIG_INVALID (topics, credentials, records
 * without a type), ADAPTER_PEER_MISSING, SOURCE_UNREACHABLE, LOG_TRUNCATED, LOG_RECREATED, LOG_REWRITTEN, LOG_CORRUPT, NUMBER_INEXACT.
 */
export function kafka(options: KafkaOptions): EventSource {
  checkKafkaOptions(options)
  const { topics, isolation = 'read_committed', partitions = null, from = null, event = {}, payload = 'json', key = 'utf8' } = options
  const openPort = () => kafkajsPort({
    brokers: brokersOf(options),
    ...(options.ssl !== undefined && { ssl: options.ssl }), ...(options.sasl !== undefined && { sasl: options.sasl }),
    ...(options.clientId !== undefined && { clientId: options.clientId }), ...(options.rack !== undefined && { rack: options.rack }),
  })
  const username = options.sasl !== undefined && 'username' in options.sasl ? options.sasl.username : null
  const source = new KafkaSource(openPort, {
    topics, isolation, partitions, from, event, payload, key, registry: schemaStoreOf(options), stallMs: STALL_MS,
    user: typeof username === 'string' ? username : null,
  })
  // Who has named the client has the last word.
  if (options.clientId !== undefined) return source
  return Object.assign(source, { named: (client: string) => kafka({ ...options, clientId: client }) })
}
