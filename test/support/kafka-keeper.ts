import { spawn } from 'node:child_process'
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Authority } from './certificates.js'
import { KAFKA_VERSION, kafkaJars } from './kafka-install.js'

export const START_DEADLINE_MS = 150_000
const FIXTURES = join(import.meta.dirname, 'kafka')
const PASSWORD = 'reader-secret'

/** What a keeper keeps: so many nodes, whose properties are these files, one behind the other. */
const KINDS = {
  plain: { nodes: 1, properties: ['server.properties'] },
  listeners: {
    nodes: 1,
    properties: ['server.properties', 'listeners.properties'],
    scram: ['SCRAM-SHA-256', 'SCRAM-SHA-512'].map((mechanism) => `${mechanism}=[name=reader,password=${PASSWORD}]`),
  },
  cluster: {
    nodes: 3,
    properties: ['server.properties', 'cluster.properties'],
    java: ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'],
  },
} as const

/** One Kafka, kept by a process of its own. */
export interface Keep {
  readonly folder: string
  /** `host:port` of each node. */
  readonly brokers: readonly string[]
  /** Of the first node, by the names of its listeners. */
  readonly ports: Readonly<Record<string, number>>
  /** The process that keeps it. */
  readonly keeper: number
}

/** The one of this test run: started by whoever asks first, shared by all test files, gone soon after the run. */
export async function sharedKeep(): Promise<Keep> {
  // Test files run in children of one process.
  const folder = join(tmpdir(), `rehydrate-kafka-${KAFKA_VERSION}-${process.ppid}`)
  if (await makeFolder(folder)) await startKeeper(folder, process.ppid, 'listeners')
  return await readiness(folder)
}

/** One of one's own, until `endKeep`. */
export async function ownKeep(kind: 'plain' | 'cluster'): Promise<Keep> {
  const folder = await mkdtemp(join(tmpdir(), 'rehydrate-kafka-own-'))
  await startKeeper(folder, process.pid, kind)
  return await readiness(folder)
}

export function endKeep({ keeper }: Keep): void { process.kill(keeper, 'SIGTERM') }

/** SIGKILL for a node. Its keeper starts it again; with `hold` not before `release`. */
export async function killNode({ folder }: Keep, node: number, { hold = false } = {}): Promise<void> {
  if (hold) await writeFile(join(folder, `hold-${node}`), '')
  process.kill(await pidOf(folder, node), 'SIGKILL')
  // Its keeper has noticed.
  const file = join(folder, `node-${node}.json`)
  while (await access(file).then(() => true, () => false)) await sleep(10)
}

/** Waits until it takes connections. */
export async function nodeRuns({ folder }: Keep, node: number): Promise<void> {
  await pidOf(folder, node)
}

export async function releaseNode({ folder }: Keep, node: number): Promise<void> {
  await rm(join(folder, `hold-${node}`), { force: true })
}

/** True for the one who made it. One that a killed run left behind is replaced. */
async function makeFolder(folder: string): Promise<boolean> {
  const ready = await readiness(folder, 0).catch(() => null)
  if (ready !== null && !isAlive(ready.keeper)) await rm(folder, { recursive: true, force: true })
  return await mkdir(folder).then(() => true, (error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return false
    throw error
  })
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function startKeeper(folder: string, owner: number, kind: keyof typeof KINDS): Promise<void> {
  try {
    const jars = await kafkaJars()
    if (kind === 'listeners') await writeCertificates(folder)
    await writeFile(join(folder, 'keeper.json'), JSON.stringify({ jars, version: KAFKA_VERSION, owner, ...KINDS[kind] }))
    spawn(process.execPath, [join(FIXTURES, 'keeper.mjs'), folder], { detached: true, stdio: 'ignore' }).unref()
  } catch (error) {
    await writeFile(join(folder, 'failed.json'), JSON.stringify({ log: String(error) }))
    throw error
  }
}

/** Of the broker, of the user `reader`, and of one whose authority nobody knows. */
async function writeCertificates(folder: string): Promise<void> {
  const authority = new Authority('rehydrate-tests')
  const broker = authority.sign('broker')
  await writeFile(join(folder, 'authority.pem'), authority.cert)
  await writeFile(join(folder, 'broker.pem'), `${broker.key}${broker.cert}`)
  await writeFile(join(folder, 'reader.json'), JSON.stringify(authority.sign('reader')))
  await writeFile(join(folder, 'stranger.json'), JSON.stringify(new Authority('nobody').sign('reader')))
}

async function readiness(folder: string, deadlineMs = START_DEADLINE_MS): Promise<Keep> {
  return { folder, ...(await said<Omit<Keep, 'folder'>>(folder, 'ready.json', deadlineMs)) }
}

async function pidOf(folder: string, node: number): Promise<number> {
  return (await said<{ pid: number }>(folder, `node-${node}.json`)).pid
}

async function said<Content>(folder: string, name: string, deadlineMs = START_DEADLINE_MS): Promise<Content> {
  for (const end = Date.now() + deadlineMs; ; await sleep(50)) {
    const content = await readFile(join(folder, name), 'utf8').catch(() => null)
    if (content !== null) return JSON.parse(content) as Content
    const failed = await readFile(join(folder, 'failed.json'), 'utf8').catch(() => null)
    if (failed !== null) throw new Error(`Kafka did not start: ${(JSON.parse(failed) as { log: string }).log}`)
    if (Date.now() >= end) throw new Error(`Kafka was not ready after ${deadlineMs} ms (${folder}/broker.log).`)
  }
}
