import { readFileSync } from 'node:fs'
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { KAFKA_VERSION } from '../../src/cli/local-kafka/install.js'
import { pidOfNode, readiness, startKeeper, type Keep, type KeepSettings } from '../../src/cli/local-kafka/keep.js'
import { Authority } from './certificates.js'

const PASSWORD = 'reader-secret'
const linesOf = (name: string): string => readFileSync(join(import.meta.dirname, 'kafka', name), 'utf8')

/** What is kept, by kinds. */
const KINDS = {
  plain: {},
  listeners: {
    properties: linesOf('listeners.properties'),
    scram: ['SCRAM-SHA-256', 'SCRAM-SHA-512'].map((mechanism) => `${mechanism}=[name=reader,password=${PASSWORD}]`),
  },
  cluster: {
    nodes: 3,
    properties: linesOf('cluster.properties'),
    java: ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'],
  },
} satisfies Readonly<Record<string, KeepSettings>>

/** The one of this test run: started by whoever asks first, shared by all test files, gone soon after the run. */
export async function sharedKeep(): Promise<Keep> {
  // Test files run in children of one process.
  const folder = join(tmpdir(), `rehydrate-kafka-${KAFKA_VERSION}-${process.ppid}`)
  if (await makeFolder(folder)) await start(folder, process.ppid, 'listeners')
  return await readiness(folder)
}

/** One of one's own, until `endKeep`. */
export async function ownKeep(kind: 'plain' | 'cluster'): Promise<Keep> {
  const folder = await mkdtemp(join(tmpdir(), 'rehydrate-kafka-own-'))
  await start(folder, process.pid, kind)
  return await readiness(folder)
}

/** SIGKILL for a node. Its keeper starts it again; with `hold` not before `release`. */
export async function killNode({ folder }: Keep, node: number, { hold = false } = {}): Promise<void> {
  if (hold) await writeFile(join(folder, `hold-${node}`), '')
  process.kill(await pidOfNode(folder, node), 'SIGKILL')
  // Its keeper has noticed.
  const file = join(folder, `node-${node}.json`)
  while (await access(file).then(() => true, () => false)) await sleep(10)
}

/** Waits until it takes connections. */
export async function nodeRuns({ folder }: Keep, node: number): Promise<void> {
  await pidOfNode(folder, node)
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

async function start(folder: string, owner: number, kind: keyof typeof KINDS): Promise<void> {
  if (kind === 'listeners') await writeCertificates(folder)
  await startKeeper(folder, owner, KINDS[kind])
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
