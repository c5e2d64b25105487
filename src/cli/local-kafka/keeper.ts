/**
 * Keeps the nodes of one Kafka: node keeper.js FOLDER, where FOLDER/keeper.json says which. It starts a node again whenever that dies
 * (so a test kills it by its pid), unless FOLDER/hold-ID says to wait; and it ends them all and removes the folder when the process it
 * works for is gone, however that ended.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { existsSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KeepSettings } from './keep.js'
import { LOG4J, SERVER } from './settings.js'

const MAX_STARTS = 20
const MAX_LIFE_MS = 3_600_000
const SMALL = ['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']

type Ports = Readonly<Record<string, number>>

const folder = process.argv[2] as string
const {
  jars, version, owner, nodes = 1, properties = '', scram = [], java: options = SMALL,
} = JSON.parse(readFileSync(join(folder, 'keeper.json'), 'utf8')) as KeepSettings & { jars: string; version: string; owner: number }
const log = openSync(join(folder, 'broker.log'), 'a')
const log4j = join(folder, 'log4j.properties')
writeFileSync(log4j, LOG4J)
const java = [
  ...options, '-Djava.awt.headless=true',
  ...(version.startsWith('3.') ? [`-Dlog4j.configuration=file:${log4j}`] : ['-Dlog4j2.level=WARN']),
  '-cp', join(jars, '*'),
]
const ids = Array.from({ length: nodes }, (_, i) => i + 1)
const template = `${SERVER}${properties}`
const running = new Map<number, ChildProcess>()
let ending = false

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => end(0))
const startedMs = performance.now()
setInterval(() => { if (!isAlive(owner) || performance.now() - startedMs > MAX_LIFE_MS) end(0) }, 300)
const ports = await Promise.all(ids.map(portsOf))
if (await format()) for (const id of ids) start(id, 1)
else sayFailed()

function fileOf(id: number): string { return join(folder, `server-${id}.properties`) }

/** The ports of a node, by the names that stand between @ in its properties. */
async function portsOf(): Promise<Ports> {
  const names = [...new Set([...template.matchAll(/:@(\w+)@/g)].map(([, name]) => name as string))]
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await freePort()])))
}

/** Below the ports of outgoing connections, which would take that of a broker that is down for a moment. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(11_000, 32_000)
    const server = createServer()
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}

/** Makes the storage of every node. False where that failed. */
async function format(): Promise<boolean> {
  const voters = ids.map((id, i) => `${id}@127.0.0.1:${ports[i]?.['CONTROLLER']}`).join()
  // What begins with - is taken for an option.
  const cluster = randomBytes(16).toString('base64url').replace(/^-/, 'A')
  const users = scram.flatMap((user) => ['--add-scram', user])
  const codes = await Promise.all(ids.map((id, i) => {
    const filled: Readonly<Record<string, string | number>> = { ...ports[i], ID: id, VOTERS: voters, FOLDER: folder }
    writeFileSync(fileOf(id), template.replace(/@(\w+)@/g, (_, name: string) => String(filled[name])))
    const args = [...java, 'kafka.tools.StorageTool', 'format', '-t', cluster, '-c', fileOf(id), ...users]
    return new Promise((resolve) => {
      spawn('java', args, { stdio: ['ignore', log, log] }).once('exit', resolve).once('error', () => resolve(null))
    })
  }))
  return codes.every((code) => code === 0)
}

function start(id: number, starts: number): void {
  const node = spawn('java', [...java, 'kafka.Kafka', fileOf(id)], { stdio: ['ignore', log, log] })
  running.set(id, node)
  node.once('exit', () => void startAgain(id, starts))
  void untilAnswers(id, node)
}

async function startAgain(id: number, starts: number): Promise<void> {
  if (ending) return
  rmSync(join(folder, `node-${id}.json`), { force: true })
  if (starts === MAX_STARTS) return sayFailed()
  while (existsSync(join(folder, `hold-${id}`))) await sleep(50)
  start(id, starts + 1)
}

async function untilAnswers(id: number, node: ChildProcess): Promise<void> {
  const isCurrent = (): boolean => running.get(id) === node && node.exitCode === null
  while (isCurrent() && !(await answers(ports[id - 1]?.['PLAINTEXT'] as number))) await sleep(50)
  if (!isCurrent()) return
  say(`node-${id}.json`, { pid: node.pid })
  if (!ids.every((each) => existsSync(join(folder, `node-${each}.json`)))) return
  say('ready.json', { brokers: ports.map((of) => `127.0.0.1:${of['PLAINTEXT']}`), ports: ports[0], keeper: process.pid })
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function say(name: string, content: object): void {
  writeFileSync(join(folder, `${name}.new`), JSON.stringify(content))
  renameSync(join(folder, `${name}.new`), join(folder, name))
}

function sayFailed(): void {
  say('failed.json', { log: readFileSync(join(folder, 'broker.log'), 'utf8').slice(-2_000) })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  // One that ended and that nobody asks after keeps its number.
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return true
  }
}

function end(code: number): void {
  if (ending) return
  ending = true
  for (const node of running.values()) node.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true, maxRetries: 20 })
  process.exit(code)
}
