import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { write } from '../host/project.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../support/kafka.js'
import { seeded } from '../support/worlds.js'

const MAIN = join(import.meta.dirname, '../../dist/src/cli/main.js')
const PARTITIONS = 6
const EVENTS_PER_PARTITION = 4_000
const SHARDS = 3

interface Logged { readonly type: string; readonly key: string; readonly data: object }

function eventsOf(partition: number): Logged[] {
  const random = seeded(partition + 1)
  return Array.from({ length: EVENTS_PER_PARTITION }, () => {
    const key = `${partition}-${Math.floor(random() * 700)}`
    return random() < 0.03 ? { type: 'Removed', key, data: {} } : { type: 'Added', key, data: { by: Math.floor(random() * 100) } }
  })
}

/** The same events as a topic and as files, for one projection; slow, so that a run can be caught in the middle. */
const configOf = (brokers: readonly string[], topic: string): string => `
import { defineConfig, defineReducer } from 'rehydrate'
import { fileLog } from 'rehydrate/file'
import { kafka } from 'rehydrate/kafka'
import { sqlite } from 'rehydrate/sqlite'

const projection = defineReducer({
  name: 'counts', version: 1, collection: 'counts',
  on: {
    Added: (state, event) => ({ n: (state?.n ?? 0) + 1, sum: (state?.sum ?? 0) + event.data.by, last: event.offset }),
    Removed: () => null,
  },
})
const limits = process.env.SLOWLY === undefined ? {} : { bytesPerSecond: 500_000 }
const job = (source, name) => ({
  source, projection, store: sqlite({ path: import.meta.dirname + '/' + name + '.db' }), limits, checkpoint: { seconds: 0.2 },
})
export default defineConfig({
  jobs: {
    topic: job(kafka({ brokers: ${JSON.stringify(brokers)}, topics: ['${topic}'] }), 'topic'),
    files: job(fileLog({ path: import.meta.dirname + '/log' }), 'files'),
  },
})
`

describe.skipIf(!canHaveKafka('three shards of a real topic in three processes'))('three shards of a real topic in three processes', () => {
  let broker: TestBroker
  let folder: string
  beforeAll(async () => {
    broker = await kafkaBroker()
    folder = mkdtempSync(join(tmpdir(), 'rehydrate-shards-'))
    const topic = await broker.makeTopic({ partitions: PARTITIONS })
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const events = eventsOf(partition)
      const messages = events.map(({ key, ...value }) => ({ key, value: JSON.stringify(value) }))
      for (let i = 0; i < messages.length; i += 500) await broker.produce(topic, messages.slice(i, i + 500), { partition })
      write(folder, { [`log/${partition}.ndjson`]: events.map((event) => `${JSON.stringify(event)}\n`).join('') })
    }
    write(folder, { 'rehydrate.config.js': configOf(broker.brokers, topic) })
  }, 180_000)
  afterAll(async () => {
    await broker?.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  interface Started {
    readonly child: ChildProcess
    /** Lines as they come. */
    readonly lines: any[]
    readonly ended: Promise<number | string>
  }

  const start = (args: readonly string[], env: Record<string, string> = {}): Started => {
    const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'ignore'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    const lines: any[] = []
    let rest = ''
    child.stdout.on('data', (chunk) => {
      const texts = `${rest}${String(chunk)}`.split('\n')
      rest = texts.pop() as string
      lines.push(...texts.map((text) => JSON.parse(text)))
    })
    const ended = new Promise<number | string>((resolve) => child.on('close', (code, signal) => resolve(code ?? signal ?? 'lost')))
    return { child, lines, ended }
  }
  const document = async (...args: string[]): Promise<any> => {
    const { lines, ended } = start([...args, '--json'])
    expect([await ended, lines[0]?.error]).toEqual([0, undefined])
    return lines[0]
  }

  test('one is killed in the middle and started again: they join to the seal of one run, and to the root of the same events from files', async () => {
    const shard = (index: number, env: Record<string, string>): Started => start(['replay', 'topic', '--shard', `${index}/${SHARDS}`, '--jsonl'], env)
    const running = Array.from({ length: SHARDS }, (_, index) => shard(index, { SLOWLY: '1' }))
    const victim = running[1] as Started
    const isCaught = (): boolean => victim.lines.some(({ kind }) => kind === 'checkpoint')
    for (let i = 0; i < 3_000 && !isCaught(); i++) await new Promise((resolve) => setTimeout(resolve, 10))
    victim.child.kill('SIGKILL')
    expect(await victim.ended).toBe('SIGKILL')
    expect(victim.lines.some(({ kind }) => kind === 'sealed')).toBe(false)
    const unsealed = start(['seal', 'topic', '--join', String(SHARDS), '--json'])
    expect([await unsealed.ended, unsealed.lines[0].error.code]).toEqual([2, 'SHARDS_APART'])

    const again = shard(1, {})
    expect(await Promise.all([running[0]!.ended, again.ended, running[2]!.ended])).toEqual([0, 0, 0])
    const { applied } = again.lines.find(({ kind }) => kind === 'sealed').sealed
    expect(applied).toBeGreaterThan(0)
    expect(applied).toBeLessThan((EVENTS_PER_PARTITION * PARTITIONS) / SHARDS)

    const joined = await document('seal', 'topic', '--join', String(SHARDS))
    const single = await document('replay', 'topic')
    expect(single.applied).toBe(EVENTS_PER_PARTITION * PARTITIONS)
    expect([joined.root, joined.manifest]).toEqual([single.root, single.manifest])
    expect((await document('replay', 'files')).root).toBe(single.root)
    const workers = await document('replay', 'files', '--workers', '2')
    expect(workers.root).toBe(single.root)
  }, 300_000)
})
