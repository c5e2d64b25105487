// Keeps the nodes of one Kafka: node keeper.mjs FOLDER, where FOLDER/keeper.json says which. It starts a node again whenever that dies
// (so a test kills it by its pid), unless FOLDER/hold-ID says to wait; and it ends them all and removes the folder when the process it
// works for is gone, however that ended.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const MAX_STARTS = 20
const MAX_LIFE_MS = 3_600_000
const folder = process.argv[2]
const {
  jars, version, owner, nodes = 1, properties = ['server.properties'], scram = [],
  java: settings = ['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'],
} = JSON.parse(readFileSync(join(folder, 'keeper.json'), 'utf8'))
const log = openSync(join(folder, 'broker.log'), 'a')
const isOld = version.startsWith('3.')
const java = [
  ...settings, '-Djava.awt.headless=true',
  ...(isOld ? [`-Dlog4j.configuration=file:${join(import.meta.dirname, 'log4j.properties')}`] : ['-Dlog4j2.level=WARN']),
  '-cp', join(jars, '*'),
]
const running = new Map()
let ending = false

/** Below the ports of outgoing connections, which would take that of a broker that is down for a moment. */
async function freePort() {
  for (;;) {
    const port = 11_000 + Math.floor(Math.random() * 21_000)
    const server = createServer()
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function say(name, content) {
  writeFileSync(join(folder, `${name}.new`), JSON.stringify(content))
  renameSync(join(folder, `${name}.new`), join(folder, name))
}

function sayFailed() {
  say('failed.json', { log: readFileSync(join(folder, 'broker.log'), 'utf8').slice(-2_000) })
}

function isAlive(pid) {
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

function end(code) {
  if (ending) return
  ending = true
  for (const node of running.values()) node.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true, maxRetries: 20 })
  process.exit(code)
}

/** The ports of each node, by the names that stand between @ in its properties. */
async function portsOf(texts) {
  const names = [...new Set(texts.flatMap((text) => [...text.matchAll(/:@(\w+)@/g)].map(([, name]) => name)))]
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await freePort()])))
}

function start(id, file, port, starts) {
  const node = spawn('java', [...java, 'kafka.Kafka', file], { stdio: ['ignore', log, log] })
  running.set(id, node)
  node.once('exit', async () => {
    if (ending) return
    rmSync(join(folder, `node-${id}.json`), { force: true })
    if (starts === MAX_STARTS) return sayFailed()
    while (existsSync(join(folder, `hold-${id}`))) await sleep(50)
    start(id, file, port, starts + 1)
  })
  void untilAnswers(id, node, port)
}

async function untilAnswers(id, node, port) {
  while (running.get(id) === node && node.exitCode === null && !(await answers(port))) await sleep(50)
  if (running.get(id) !== node || node.exitCode !== null) return
  say(`node-${id}.json`, { pid: node.pid })
  const isUp = ids.every((each) => existsSync(join(folder, `node-${each}.json`)))
  if (isUp) say('ready.json', { brokers: ports.map(({ PLAINTEXT }) => `127.0.0.1:${PLAINTEXT}`), ports: ports[0], keeper: process.pid })
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => end(0))
const startedMs = performance.now()
setInterval(() => { if (!isAlive(owner) || performance.now() - startedMs > MAX_LIFE_MS) end(0) }, 300)

const ids = Array.from({ length: nodes }, (_, i) => i + 1)
const texts = properties.map((name) => readFileSync(join(import.meta.dirname, name), 'utf8'))
const ports = await Promise.all(ids.map(() => portsOf(texts)))
const voters = ids.map((id, i) => `${id}@127.0.0.1:${ports[i].CONTROLLER}`).join()
const clusterId = randomBytes(16).toString('base64url')
const users = scram.flatMap((user) => ['--add-scram', user])
const formatted = await Promise.all(ids.map((id, i) => {
  const filled = { ...ports[i], ID: id, VOTERS: voters, FOLDER: folder }
  const file = join(folder, `server-${id}.properties`)
  writeFileSync(file, texts.join('\n').replace(/@(\w+)@/g, (_, name) => filled[name]))
  const format = ['kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', file, ...users]
  return new Promise((resolve) => { spawn('java', [...java, ...format], { stdio: ['ignore', log, log] }).once('exit', resolve) })
}))
if (formatted.some((code) => code !== 0)) sayFailed()
else ids.forEach((id, i) => start(id, join(folder, `server-${id}.properties`), ports[i].PLAINTEXT, 1))
