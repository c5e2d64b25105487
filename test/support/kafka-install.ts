import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

export const KAFKA_VERSION = process.env['KAFKA_VERSION'] ?? '3.9.1'

const POM = join(import.meta.dirname, 'kafka', 'pom.xml')
const CACHE = process.env['REHYDRATE_CACHE'] ?? join(homedir(), '.cache', 'rehydrate', 'servers')
const JARS = join(CACHE, `kafka-${KAFKA_VERSION}`)

/** Why there can be no broker here; null where there can. */
export function whyNoKafka(): string | null {
  if (!runs('java', '-version')) return 'there is no java on the PATH'
  return existsSync(JARS) || runs('mvn', '-version') ? null : `there is no mvn on the PATH, and no ${JARS}`
}

function runs(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

/** The folder of the broker's jars; Maven fetches them once (46 MB). It checks each against the hash that its repository states. */
export async function kafkaJars(): Promise<string> {
  if (existsSync(JARS)) return JARS
  const fresh = `${JARS}.${process.pid}`
  await mkdir(CACHE, { recursive: true })
  const args = ['-q', '-B', '-f', POM, `-Dkafka.version=${KAFKA_VERSION}`, 'dependency:copy-dependencies', '-DincludeScope=runtime']
  await promisify(execFile)('mvn', [...args, `-DoutputDirectory=${fresh}`])
  const jars = await readdir(fresh)
  if (!jars.includes(`kafka_2.13-${KAFKA_VERSION}.jar`)) throw new Error(`Maven brought no Kafka ${KAFKA_VERSION}: ${jars.join(', ')}`)
  // Whoever is first has it.
  await rename(fresh, JARS).catch(() => rm(fresh, { recursive: true, force: true }))
  return JARS
}
