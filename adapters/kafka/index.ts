import type { EventSource } from '../../src/index.js'
import { brokersOf, checkKafkaOptions, credentialsOf, type KafkaOptions } from './options.js'
import { kafkajsPort } from './port-kafkajs.js'
import { KafkaSource } from './source.js'

export type { EventMapping, KafkaRecord, Selector } from './event.js'
export type { KafkaOptions, KafkaSasl, KafkaSsl } from './options.js'

const STALL_MS = 30_000

/**
 * Topics of Apache Kafka as a log: one partition per topic and number, named `TOPIC/N`. Inert until the first call; kafkajs is loaded then.
 * Errors of the factory: CONFIG_INVALID, OPTION_DEFERRED (`registry`, `group`). Of the source: CONFIG_INVALID (topics, credentials, records
 * without a type), ADAPTER_PEER_MISSING, SOURCE_UNREACHABLE, LOG_TRUNCATED, LOG_RECREATED, LOG_REWRITTEN, LOG_CORRUPT, NUMBER_INEXACT.
 */
export function kafka(options: KafkaOptions): EventSource {
  checkKafkaOptions(options)
  const { topics, isolation = 'read_committed', partitions = null, ssl, event = {}, payload = 'json' } = options
  const openPort = () => {
    const sasl = credentialsOf(options)
    return kafkajsPort({ brokers: brokersOf(options), ...(ssl !== undefined && { ssl }), ...(sasl !== null && { sasl }) })
  }
  return new KafkaSource(openPort, { topics, isolation, partitions, event, payload, stallMs: STALL_MS })
}
