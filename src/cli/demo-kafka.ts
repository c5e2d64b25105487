import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadConfig, selectJob } from '../host/config.js'
import { packageRoot } from '../host/modules.js'
import type { SealedRun } from '../index.js'
import { cacheFolder } from './cache-folder.js'
import { configText } from './config-text.js'
import { findBrokers } from './demo-broker.js'
import { check, chooseData, layExample, layLog, rebuild, type DemoOptions, type Live } from './demo-steps.js'
import { checkLines, count, positionJson, seconds, sealedLines, type Checked } from './demo-text.js'
import { PARTITIONS, type FlightData } from './flights.js'
import { FlightsTopic } from './flights-topic.js'

export interface DemoKafkaOptions extends DemoOptions {
  /** `host:port`, separated by commas: as given on the command line, and by KAFKA_BROKERS. Default: one is started here. */
  readonly brokers?: string
  readonly brokersOfEnv?: string
}

/** The same flights, rebuilt twice. */
interface Outcome extends Checked {
  readonly folder: string
  readonly brokers: readonly string[]
  readonly topic: string
  readonly written: number
  readonly writeMs: number
  readonly kafka: SealedRun
  readonly files: SealedRun
}

/**
 * The flights through a real Kafka: written to a topic of their own, rebuilt from it, and compared with the rebuild from files and with a
 * plain loop over the data itself. Returns the exit code: 1 where the three are not one.
 */
export async function demoKafka(options: DemoKafkaOptions): Promise<number> {
  const { json, out, live = (): void => {}, signal } = options
  const data = await chooseData(options)
  const cache = options.cache ?? cacheFolder(process.env)
  const say = (text: string): void => { if (!json) out(text) }
  say(`${data.title}, through Apache Kafka\n`)
  const found = await findBrokers(options.brokers, options.brokersOfEnv, live)
  const { brokers, isOwn } = found
  say(`  broker   ${found.text}\n`)
  try {
    const topic = await FlightsTopic.make(brokers)
    try {
      const startedMs = performance.now()
      const written = await topic.write(data, live, signal)
      live(null)
      const writeMs = performance.now() - startedMs
      say(`  topic    ${topic.name}: ${count(written)} events in ${PARTITIONS} partitions, written in ${seconds(writeMs)}\n`)
      const folder = join(cache, `${data.name}-kafka`)
      const { kafka, checked } = await rebuildFromTopic(folder, brokers, topic.name, data, options)
      const files = await rebuildFromFiles(join(cache, data.name), data, live, signal)
      const outcome = { folder, brokers, topic: topic.name, written, writeMs, kafka, files, ...checked }
      say(sameLines(outcome) + checkLines(outcome))
      if (json) out(`${JSON.stringify(documentOf(outcome))}\n`)
      const isOne = outcome.difference === null && isSame(outcome)
      if (isOne) say(closingLines(folder, isOwn))
      return isOne ? 0 : 1
    } finally {
      await topic.delete()
    }
  } finally {
    found.end()
  }
}

async function rebuildFromTopic(
  folder: string, brokers: readonly string[], topic: string, data: FlightData, { json, out, live = (): void => {}, signal }: DemoOptions,
): Promise<{ kafka: SealedRun; checked: Checked }> {
  await mkdir(folder, { recursive: true })
  await layExample(folder, ['airports.ts'])
  await writeFile(join(folder, 'rehydrate.config.ts'), configOf(brokers, topic))
  const job = selectJob(await loadConfig(folder, undefined, { fresh: true }))
  try {
    const kafka = await rebuild(job, live, signal)
    if (!json) out(sealedLines(kafka))
    return { kafka, checked: await check(job, data, live) }
  } finally {
    await Promise.all([job.source.close(), job.store.close()])
  }
}

/** As `rehydrate demo` does it. */
async function rebuildFromFiles(folder: string, data: FlightData, live: Live, signal: AbortSignal | undefined): Promise<SealedRun> {
  await layLog(data, folder, live, signal)
  await layExample(folder, ['airports.ts', 'rehydrate.config.ts'])
  const job = selectJob(await loadConfig(folder))
  try {
    return await rebuild(job, live, signal)
  } finally {
    await Promise.all([job.source.close(), job.store.close()])
  }
}

function configOf(brokers: readonly string[], topic: string): string {
  const options = [`brokers: ${JSON.stringify(brokers)}, topics: ['${topic}']`]
  return configText({
    job: 'flights', source: { from: 'rehydrate/kafka', name: 'kafka', options }, projection: { name: 'airports', file: 'airports.ts' },
  })
}

function isSame({ kafka, files }: Outcome): boolean { return kafka.root === files.root }

function documentOf({ data, folder, brokers, topic, written, kafka, files, airports, tallied, difference, ...rest }: Outcome): object {
  const sealedOf = ({ root, seal, position, grade, run }: SealedRun): object => ({
    root, manifest: seal.manifestHash, position: positionJson(position), grade: grade.grade,
    applied: run.applied, durationMs: run.durationMs, eventsPerSecond: run.eventsPerSecond,
  })
  return {
    data: data.name, folder, brokers, topic, events: written, writeMs: Math.round(rest.writeMs),
    kafka: sealedOf(kafka), files: sealedOf(files), same: kafka.root === files.root,
    airports: airports.size, computed: tallied, agrees: difference === null, difference,
  }
}

function sameLines(outcome: Outcome): string {
  const { root, run } = outcome.files
  const how = `${count(run.applied)} events in ${seconds(run.durationMs)} (${count(run.eventsPerSecond)}/s)`
  return isSame(outcome) ? `  files    ${how}: the same root\n` : `  files    ${how}: ANOTHER ROOT\n           ${root}\n`
}

function closingLines(folder: string, isOwn: boolean): string {
  return `The topic is deleted again${isOwn ? ', and the broker ends' : ''}. What stays is the state, with its projection and configuration:

  cd ${folder}
  alias rehydrate='node ${join(packageRoot(), 'dist', 'src', 'cli', 'main.js')}'
  rehydrate inspect ORD                  # the state of one airport
  rehydrate export | rehydrate digest -  # the root, computed again from what is there

Your own topic, in an empty folder:

  rehydrate init --brokers HOST:PORT --topics NAME
  rehydrate doctor
  rehydrate replay
`
}
