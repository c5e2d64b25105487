import { join } from 'node:path'
import { packageRoot } from '../host/modules.js'
import { RehydrateError } from '../index.js'
import type { Live } from './demo-steps.js'
import { seconds } from './demo-text.js'
import { hasKafkaJars, KAFKA_VERSION, whyNoKafka } from './local-kafka/install.js'
import { endKeep, ownKeep } from './local-kafka/keep.js'

export interface DemoBrokers {
  readonly brokers: readonly string[]
  /** Whose they are, for people. */
  readonly text: string
  /** True where they are the demo's own, and end with it. */
  readonly isOwn: boolean
  end(): void
}

/** The brokers that were named; else one that is started on this machine. SOURCE_UNREACHABLE with the other ways, where it can not be. */
export async function findBrokers(flag: string | undefined, env: string | undefined, live: Live): Promise<DemoBrokers> {
  const given = flag ?? (env === '' ? undefined : env)
  if (given !== undefined) {
    const brokers = given.split(',').map((broker) => broker.trim()).filter((broker) => broker !== '')
    return { brokers, text: `${brokers.join(', ')}, of ${flag === undefined ? 'KAFKA_BROKERS' : '--brokers'}`, isOwn: false, end() {} }
  }
  const why = whyNoKafka()
  if (why !== null) throw noBroker(`No Kafka broker can be started here: ${why}.`)
  const startedMs = performance.now()
  live(`  broker   ${hasKafkaJars() ? 'starting' : 'fetching (46 MB, once) and starting'} Apache Kafka ${KAFKA_VERSION} …`)
  try {
    const keep = await ownKeep()
    const took = seconds(performance.now() - startedMs)
    const text = `Apache Kafka ${KAFKA_VERSION}, started for this demo in ${took}: ${keep.brokers.join(', ')}`
    return { brokers: keep.brokers, text, isOwn: true, end: () => endKeep(keep) }
  } catch (error) {
    // Maven says much, and what is wrong at the end.
    throw noBroker(`Apache Kafka could not be started: ${lastLine((error as Error).message)}`, error)
  } finally {
    live(null)
  }
}

function noBroker(message: string, cause?: unknown): RehydrateError {
  return new RehydrateError('SOURCE_UNREACHABLE', {
    message, cause, safe: 'Nothing was written.',
    fix: 'Install Java 17 and Maven; or start one with `docker compose -f'
      + ` ${join(packageRoot(), 'docs', 'examples', 'compose', 'compose.yaml')} up -d --wait\` and set KAFKA_BROKERS=127.0.0.1:9092;`
      + ' or name brokers of your own: KAFKA_BROKERS or --brokers HOST:PORT.',
  })
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}
