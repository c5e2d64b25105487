// Keeps one Kafka broker: node keeper.mjs FOLDER, where FOLDER/keeper.json says how. It starts the broker again whenever that
// dies (so a test kills it by its pid), and ends it and removes the folder when the process it works for is gone, however that ended.
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import { join } from 'node:path'

const MAX_STARTS = 8
const MAX_LIFE_MS = 3_600_000
const folder = process.argv[2]
const { jars, version, owner } = JSON.parse(readFileSync(join(folder, 'keeper.json'), 'utf8'))
const log = openSync(join(folder, 'broker.log'), 'a')
const isOld = version.startsWith('3.')
const java = [
  '-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Djava.awt.headless=true',
  ...(isOld ? [`-Dlog4j.configuration=file:${join(import.meta.dirname, 'log4j.properties')}`] : ['-Dlog4j2.level=WARN']),
  '-cp', join(jars, '*'),
]
let broker = null
let ending = false

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
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
  broker?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true, maxRetries: 20 })
  process.exit(code)
}

const [port, controllerPort] = [await freePort(), await freePort()]
const template = readFileSync(join(import.meta.dirname, 'server.properties'), 'utf8')
const controllers = isOld ? `controller.quorum.voters=1@127.0.0.1:${controllerPort}` : `controller.quorum.bootstrap.servers=127.0.0.1:${controllerPort}`
const filled = { PORT: port, CONTROLLER_PORT: controllerPort, FOLDER: folder }
const listeners = isOld ? template.replace(/^(advertised.*),CONTROLLER:.*$/m, '$1') : template
const properties = join(folder, 'server.properties')
writeFileSync(properties, `${listeners.replace(/@(\w+)@/g, (_, name) => filled[name])}${controllers}\n`)

const clusterId = randomBytes(16).toString('base64url')
const format = ['kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties, ...(isOld ? [] : ['--standalone'])]
const formatted = spawnSync('java', [...java, ...format], { stdio: ['ignore', log, log] })
if (formatted.status !== 0) say('failed.json', { log: readFileSync(join(folder, 'broker.log'), 'utf8').slice(-2_000) })

async function start(starts) {
  broker = spawn('java', [...java, 'kafka.Kafka', properties], { stdio: ['ignore', log, log] })
  const { pid } = broker
  broker.once('exit', () => {
    if (ending) return
    rmSync(join(folder, 'ready.json'), { force: true })
    if (starts === MAX_STARTS) say('failed.json', { log: readFileSync(join(folder, 'broker.log'), 'utf8').slice(-2_000) })
    else void start(starts + 1)
  })
  while (broker.pid === pid && broker.exitCode === null && !(await answers(port))) await new Promise((done) => setTimeout(done, 50))
  if (broker.pid === pid && broker.exitCode === null) say('ready.json', { brokers: [`127.0.0.1:${port}`], pid, keeper: process.pid })
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => end(0))
const startedMs = performance.now()
setInterval(() => { if (!isAlive(owner) || performance.now() - startedMs > MAX_LIFE_MS) end(0) }, 300)
if (formatted.status === 0) void start(1)
