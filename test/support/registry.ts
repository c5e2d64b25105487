import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { cacheFolder } from '../../src/cli/cache-folder.js'

const VERSION = '3.0.9'
const CACHE = join(cacheFolder(process.env), 'servers')
const FOLDER = join(CACHE, `apicurio-registry-${VERSION}`)
const START_DEADLINE_MS = 120_000

/** True where a registry can be had. Where not, what is skipped is said loudly; with CI=true it is a failure. */
export function canHaveRegistry(suite: string): boolean {
  const why = process.env['REGISTRY_URL'] === undefined ? whyNoRegistry() : null
  if (why === null) return true
  const message = `SKIPPED, because ${why}: ${suite}. Install Java 17 and Maven, or set REGISTRY_URL to a registry of yours.`
  if (process.env['CI'] === 'true') throw new Error(message)
  console.error(`\n*** ${message} ***\n`)
  return false
}

function whyNoRegistry(): string | null {
  const runs = (command: string, ...args: string[]): boolean => spawnSync(command, args, { stdio: 'ignore' }).status === 0
  if (!runs('java', '-version')) return 'there is no java on the PATH'
  if (existsSync(FOLDER)) return null
  return runs('mvn', '-version') && runs('tar', '--version') ? null : `there is no mvn or no tar on the PATH, and no ${FOLDER}`
}

/** Apicurio Registry, with Confluent's API: in memory, for one test file. Maven fetches it once (109 MB). */
export async function schemaRegistry(): Promise<TestRegistry> {
  const given = process.env['REGISTRY_URL']
  if (given !== undefined) return new TestRegistry(given, null)
  await install()
  const port = await freePort()
  const java = [
    'java', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dquarkus.http.host=127.0.0.1', `-Dquarkus.http.port=${port}`,
    '-jar', join(FOLDER, `apicurio-registry-app-${VERSION}-runner.jar`),
  ]
  // It ends with whoever holds the other end of its input, however that ends.
  const server = spawn('sh', ['-c', '"$@" & read _; kill -9 $!', 'sh', ...java], { stdio: ['pipe', 'ignore', 'ignore'] })
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`
  for (const end = Date.now() + START_DEADLINE_MS; !(await answers(port, url)); await sleep(200)) {
    if (Date.now() > end) throw new Error(`The registry was not ready after ${START_DEADLINE_MS} ms.`)
  }
  return new TestRegistry(url, server)
}

async function answers(port: number, url: string): Promise<boolean> {
  const isOpen = await new Promise<boolean>((done) => {
    const socket = connect(port, '127.0.0.1', () => done(true)).once('error', () => done(false))
    socket.once('connect', () => socket.destroy())
  })
  return isOpen && await fetch(`${url}/subjects`).then(({ ok }) => ok, () => false)
}

async function install(): Promise<void> {
  if (existsSync(FOLDER)) return
  await mkdir(CACHE, { recursive: true })
  const fresh = await mkdtemp(join(tmpdir(), 'rehydrate-registry-'))
  const run = promisify(execFile)
  const artifact = `io.apicurio:apicurio-registry-app:${VERSION}:tar.gz:all`
  await run('mvn', ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${fresh}`])
  const unpacked = `${FOLDER}.${process.pid}`
  await mkdir(unpacked)
  await run('tar', ['-xzf', join(fresh, `apicurio-registry-app-${VERSION}-all.tar.gz`), '-C', unpacked])
  await rm(fresh, { recursive: true, force: true })
  // Whoever is first has it.
  await rename(unpacked, FOLDER).catch(() => rm(unpacked, { recursive: true, force: true }))
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

interface Reference {
  readonly name: string
  readonly subject: string
  readonly version: number
}

export class TestRegistry {
  readonly url: string
  readonly #server: ChildProcess | null

  constructor(url: string, server: ChildProcess | null) {
    this.url = url
    this.#server = server
  }

  /** The id of the schema. */
  async register(subject: string, schemaType: 'AVRO' | 'PROTOBUF' | 'JSON', schema: string, references: readonly Reference[] = []): Promise<number> {
    const answer = await fetch(`${this.url}/subjects/${encodeURIComponent(subject)}/versions`, {
      method: 'POST', headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' }, body: JSON.stringify({ schemaType, schema, references }),
    })
    if (!answer.ok) throw new Error(`The registry answered ${answer.status}: ${await answer.text()}`)
    return (await answer.json() as { id: number }).id
  }

  /** A log may still hold what was written by it. */
  async deleteLatest(subject: string): Promise<void> {
    const answer = await fetch(`${this.url}/subjects/${encodeURIComponent(subject)}/versions/latest`, { method: 'DELETE' })
    if (!answer.ok) throw new Error(`The registry answered ${answer.status}: ${await answer.text()}`)
  }

  dispose(): void { this.#server?.stdin?.end() }
}
