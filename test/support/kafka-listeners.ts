import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Certificate } from './certificates.js'
import { sharedKeep } from './kafka-keeper.js'
import { TestBroker } from './kafka.js'

/** The ways into the broker of this test run: see kafka/listeners.properties, which names the users too. Not of one in KAFKA_BROKERS. */
export interface KafkaListeners {
  /** Comes without credentials, and may do everything. */
  readonly broker: TestBroker
  /** Of each listener: PROXIED, SASL, SASL_TLS, MUTUAL, SESSIONS. PROXY: where the broker says that PROXIED is; nobody listens there. */
  readonly ports: Readonly<Record<'PROXIED' | 'PROXY' | 'SASL' | 'SASL_TLS' | 'MUTUAL' | 'SESSIONS', number>>
  /** That signed the broker's certificate, PEM. */
  readonly authority: string
  /** Of the user `CN=reader`. */
  readonly reader: Certificate
  /** Of one who says to be `CN=reader` too, by an authority that the broker does not know. */
  readonly stranger: Certificate
}

export async function kafkaListeners(): Promise<KafkaListeners> {
  const { folder, brokers, ports } = await sharedKeep()
  const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8')
  return {
    broker: await TestBroker.connect(brokers),
    ports: ports as KafkaListeners['ports'],
    authority: await read('authority.pem'),
    reader: JSON.parse(await read('reader.json')) as Certificate,
    stranger: JSON.parse(await read('stranger.json')) as Certificate,
  }
}
