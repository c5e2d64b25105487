import { spawn } from 'node:child_process'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { KAFKA_VERSION, kafkaJars } from './install.js'

export const START_DEADLINE_MS = 90_000

/** What is kept. */
export interface KeepSettings {
  /** Default 1. */
  readonly nodes?: number
  /** Lines behind those of every node; names between @ are ports, or ID, VOTERS and FOLDER. */
  readonly properties?: string
  /** Users that are made with the storage, as `kafka-storage.sh format --add-scram` takes them. */
  readonly scram?: readonly string[]
  /** Options of the JVM. Default: as small as it may be. */
  readonly java?: readonly string[]
}

/** One Kafka on this machine, kept by a process of its own. */
export interface Keep {
  readonly folder: string
  /** `host:port` of each node. */
  readonly brokers: readonly string[]
  /** Of the first node, by the names of its listeners. */
  readonly ports: Readonly<Record<string, number>>
  /** The process that keeps it. */
  readonly keeper: number
}

/** One of one's own: it is gone with `endKeep`, or soon after the process that it works for, however that ended. */
export async function ownKeep(settings: KeepSettings = {}, owner = process.pid): Promise<Keep> {
  const folder = await mkdtemp(join(tmpdir(), 'rehydrate-kafka-own-'))
  await startKeeper(folder, owner, settings)
  return await readiness(folder)
}

export function endKeep({ keeper }: Keep): void { process.kill(keeper, 'SIGTERM') }

/** Starts a keeper in a folder that is there and empty; `owner` is the process that it works for. */
export async function startKeeper(folder: string, owner: number, settings: KeepSettings): Promise<void> {
  try {
    const jars = await kafkaJars()
    await writeFile(join(folder, 'keeper.json'), JSON.stringify({ jars, version: KAFKA_VERSION, owner, ...settings }))
    spawn(process.execPath, [...keeperProgram(), folder], { detached: true, stdio: 'ignore' }).unref()
  } catch (error) {
    await writeFile(join(folder, 'failed.json'), JSON.stringify({ log: String(error) }))
    throw error
  }
}

/** Without a build (tests) it is TypeScript still. */
function keeperProgram(): string[] {
  const program = fileURLToPath(new URL('./keeper.js', import.meta.url))
  if (!import.meta.url.endsWith('.ts')) return [program]
  const jiti = dirname(createRequire(import.meta.url).resolve('jiti/package.json'))
  return [join(jiti, 'lib', 'jiti-cli.mjs'), program.replace(/\.js$/, '.ts')]
}

/** Waits until it takes connections. Throws with the end of its log where it does not. */
export async function readiness(folder: string, deadlineMs = START_DEADLINE_MS): Promise<Keep> {
  return { folder, ...(await saidByKeeper<Omit<Keep, 'folder'>>(folder, 'ready.json', deadlineMs)) }
}

/** The process of a node, from 1 on. Waits until it takes connections. */
export async function pidOfNode(folder: string, node: number): Promise<number> {
  return (await saidByKeeper<{ pid: number }>(folder, `node-${node}.json`, START_DEADLINE_MS)).pid
}

async function saidByKeeper<Content>(folder: string, name: string, deadlineMs: number): Promise<Content> {
  for (const end = Date.now() + deadlineMs; ; await sleep(50)) {
    const content = await readFile(join(folder, name), 'utf8').catch(() => null)
    if (content !== null) return JSON.parse(content) as Content
    const failed = await readFile(join(folder, 'failed.json'), 'utf8').catch(() => null)
    if (failed !== null) throw new Error(`Kafka did not start: ${(JSON.parse(failed) as { log: string }).log}`)
    if (Date.now() >= end) throw new Error(`Kafka was not ready after ${deadlineMs} ms (${folder}/broker.log).`)
  }
}
