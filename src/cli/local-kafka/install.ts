import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder } from '../cache-folder.js'
import { POM } from './settings.js'

/** Another one that is known to start: 4.3.1. */
export const KAFKA_VERSION = process.env['KAFKA_VERSION'] ?? '3.9.1'

const LEAST_JAVA = 17
const FOLDER = join(cacheFolder(process.env), 'servers')
const JARS = join(FOLDER, `kafka-${KAFKA_VERSION}`)

/** Why no broker can be started here; null where one can. */
export function whyNoKafka(): string | null {
  const java = javaVersion()
  if (java === null) return 'there is no java on the PATH'
  if (java < LEAST_JAVA) return `java on the PATH is version ${java}, and Kafka wants ${LEAST_JAVA}`
  if (hasKafkaJars() || spawnSync('mvn', ['-version'], { stdio: 'ignore' }).status === 0) return null
  return `there is no mvn on the PATH, and no ${JARS}`
}

/** 17 of `openjdk version "17.0.15"`, 8 of `java version "1.8.0_402"`. */
function javaVersion(): number | null {
  const { status, stderr } = spawnSync('java', ['-version'], { encoding: 'utf8' })
  const [, first, second] = /version "(\d+)(?:\.(\d+))?/.exec(stderr) ?? []
  return status !== 0 || first === undefined ? null : Number(first === '1' ? second : first)
}

/** True where nothing has to be fetched. */
export function hasKafkaJars(): boolean { return existsSync(JARS) }

/** The folder of the broker's jars. Maven fetches them once (46 MB), and checks each against the hash that its repository states. */
export async function kafkaJars(): Promise<string> {
  if (hasKafkaJars()) return JARS
  const fresh = `${JARS}.${process.pid}`
  const pom = `${fresh}.xml`
  await mkdir(FOLDER, { recursive: true })
  await writeFile(pom, POM)
  try {
    const args = ['-q', '-B', '-f', pom, `-Dkafka.version=${KAFKA_VERSION}`, 'dependency:copy-dependencies', '-DincludeScope=runtime']
    await promisify(execFile)('mvn', [...args, `-DoutputDirectory=${fresh}`])
    const jars = await readdir(fresh)
    if (!jars.includes(`kafka_2.13-${KAFKA_VERSION}.jar`)) throw new Error(`Maven brought no Kafka ${KAFKA_VERSION}: ${jars.join(', ')}`)
    // Whoever is first has it.
    await rename(fresh, JARS).catch((error: unknown) => { if (!hasKafkaJars()) throw error })
    return JARS
  } finally {
    await rm(fresh, { recursive: true, force: true })
    await rm(pom, { force: true })
  }
}
