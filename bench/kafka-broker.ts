/** One Kafka broker for the bench: the one in KAFKA_BROKERS, or one of its own, ended with the process. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mkdtempSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { cacheFolder } from './data.js'

const VERSION = '3.9.1'
const JAVA = fileURLToPath(new URL('../../bench/baselines/java/', import.meta.url))
const KEEPER = fileURLToPath(new URL('../../test/support/kafka/keeper.mjs', import.meta.url))
const POM = fileURLToPath(new URL('../../test/support/kafka/pom.xml', import.meta.url))
const START_DEADLINE_MS = 90_000

let brokers: string | null = null

/** `host:port`, separated by commas. Throws where no broker can be had. */
export function kafkaBrokers(): string {
  brokers ??= process.env['KAFKA_BROKERS'] ?? startBroker()
  return brokers
}

/** The broker ends when this process does: its keeper sees to that. */
function startBroker(): string {
  const jars = jarsOf(join(cacheFolder(), 'servers', `kafka-${VERSION}`), POM, `-Dkafka.version=${VERSION}`)
  const folder = mkdtempSync(join(tmpdir(), 'rehydrate-bench-kafka-'))
  // As a server has it, not as a test that must start soon.
  const java = ['-Xmx1g', '-XX:+UseG1GC']
  writeFileSync(join(folder, 'keeper.json'), JSON.stringify({ jars, version: VERSION, owner: process.pid, java }))
  spawn(process.execPath, [KEEPER, folder], { detached: true, stdio: 'ignore' }).unref()
  for (const endMs = Date.now() + START_DEADLINE_MS; Date.now() < endMs; pauseMs(100)) {
    const ready = join(folder, 'ready.json')
    if (existsSync(ready)) return (JSON.parse(readFileSync(ready, 'utf8')) as { brokers: string[] }).brokers.join()
    if (existsSync(join(folder, 'failed.json'))) break
  }
  throw new Error(`Kafka did not start; see ${folder}.`)
}

/** The class path of the Java peers, compiled; null where there is no Java or no Maven. */
export function javaPeers(): string | null {
  if (!runs('javac', '-version') || !runs('mvn', '-version')) return null
  const folder = join(cacheFolder(), 'bench', 'java-peers')
  const jars = join(jarsOf(join(folder, 'jars'), join(JAVA, 'pom.xml')), '*')
  const classes = join(folder, 'classes')
  const sources = readdirSync(JAVA).filter((name) => name.endsWith('.java')).map((name) => join(JAVA, name))
  const { status } = spawnSync('javac', ['-d', classes, '-cp', jars, ...sources], { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) throw new Error('The Java peers do not compile.')
  return `${classes}:${jars}`
}

/** Maven fetches them once. */
function jarsOf(folder: string, pom: string, ...settings: string[]): string {
  if (existsSync(folder)) return folder
  mkdirSync(join(folder, '..'), { recursive: true })
  const unfinished = `${folder}.${process.pid}`
  const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${unfinished}`]
  const { status } = spawnSync('mvn', ['-q', '-B', '-f', pom, ...settings, ...goal], { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) throw new Error(`Maven could not fetch what ${pom} names.`)
  spawnSync('mv', [unfinished, folder])
  return folder
}

function runs(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

function pauseMs(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
