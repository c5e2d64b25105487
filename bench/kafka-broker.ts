/** One Kafka broker for the bench: the one in KAFKA_BROKERS, or one of its own, ended with the process. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder } from '../src/cli/cache-folder.js'
import { launch } from './launch.js'
import type { StartInput } from './trials/kafka-start.js'

const JAVA = fileURLToPath(new URL('../../bench/baselines/java/', import.meta.url))

let brokers: string | null = null

/** `host:port`, separated by commas. Throws where no broker can be had. */
export function kafkaBrokers(): string {
  brokers ??= process.env['KAFKA_BROKERS'] ?? startBroker()
  return brokers
}

/** The broker ends when this process does. */
function startBroker(): string {
  return launch<{ readonly brokers: string }>('trials/kafka-start.js', { owner: process.pid } satisfies StartInput).brokers
}

/** The class path of the Java peers, compiled; null where there is no Java or no Maven. */
export function javaPeers(): string | null {
  if (!runs('javac', '-version') || !runs('mvn', '-version')) return null
  const folder = join(cacheFolder(process.env), 'bench', 'java-peers')
  const jars = join(jarsOf(join(folder, 'jars'), join(JAVA, 'pom.xml')), '*')
  const classes = join(folder, 'classes')
  const sources = readdirSync(JAVA).filter((name) => name.endsWith('.java')).map((name) => join(JAVA, name))
  const { status } = spawnSync('javac', ['-d', classes, '-cp', jars, ...sources], { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) throw new Error('The Java peers do not compile.')
  return `${classes}:${jars}`
}

/** Maven fetches them once. */
function jarsOf(folder: string, pom: string): string {
  if (existsSync(folder)) return folder
  mkdirSync(join(folder, '..'), { recursive: true })
  const unfinished = `${folder}.${process.pid}`
  const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${unfinished}`]
  const { status } = spawnSync('mvn', ['-q', '-B', '-f', pom, ...goal], { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) throw new Error(`Maven could not fetch what ${pom} names.`)
  spawnSync('mv', [unfinished, folder])
  return folder
}

function runs(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}
