import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { write } from '../host/project.js'
import { cli } from './harness.js'
import { ordersProject } from './orders.js'

const MAIN = join(import.meta.dirname, '../../dist/src/cli/main.js')
const PARTITIONS = 5

// Each command is a process for itself and one for each worker: what need not be one runs in this process.
vi.setConfig({ testTimeout: 120_000 })

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('Run `npm run build` first; `npm test` does.')
})

interface Command {
  readonly child: ChildProcess
  readonly out: { text: string }
  readonly errors: { text: string }
  /** Waits for a text on stdout. */
  readonly seen: (text: string) => Promise<void>
  readonly ended: Promise<number | string>
}

function start(folder: string, ...args: string[]): Command {
  const child = spawn('node', [MAIN, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const out = { text: '' }
  const errors = { text: '' }
  child.stdout.on('data', (chunk) => { out.text += chunk })
  child.stderr.on('data', (chunk) => { errors.text += chunk })
  const ended = new Promise<number | string>((resolve) => child.on('close', (code, signal) => resolve(code ?? signal ?? 'lost')))
  return {
    child, out, errors, ended,
    seen: async (text) => {
      for (let i = 0; i < 2_000 && !out.text.includes(text); i++) await sleep(10)
      expect(out.text).toContain(text)
    },
  }
}

const lastOf = ({ out }: Command): any => JSON.parse(out.text.trim().split('\n').at(-1)!)

/** What one run in this process prints. */
const here = async (folder: string, ...args: string[]): Promise<any> => (await cli(folder, [...args, '--json'])).json()

/** Partitions of as many events each, of a thousand orders; a limit of bytes per second where a run is to last. */
function manyOrders(events: number, bytesPerSecond?: number): string {
  const logs: Record<string, string> = {}
  for (let p = 0; p < PARTITIONS; p++) {
    logs[`log/${p}.ndjson`] = Array.from({ length: events }, (_, i) =>
      `${JSON.stringify({ type: i < 1_000 ? 'Placed' : 'Paid', key: `order-${p}-${i % 1_000}`, data: { total: i } })}\n`).join('')
  }
  const folder = ordersProject(logs)
  const config = readFileSync(join(folder, 'rehydrate.config.ts'), 'utf8')
  if (bytesPerSecond !== undefined) {
    write(folder, { 'rehydrate.config.ts': config.replace('store:', `limits: { bytesPerSecond: ${bytesPerSecond} },\n      store:`) })
  }
  return folder
}

function unlimited(folder: string): void {
  const config = readFileSync(join(folder, 'rehydrate.config.ts'), 'utf8')
  write(folder, { 'rehydrate.config.ts': config.replace(/limits: .*\n/, '') })
}

test('three workers give the seal of one run, in a file for each shard, and one progress', async () => {
  const folder = manyOrders(2_000)
  const single = await here(folder, 'replay')
  const command = start(folder, 'replay', '--workers', '3', '--json')
  expect(await command.ended).toBe(0)
  const document = lastOf(command)
  for (const field of ['root', 'manifest', 'seal', 'position', 'collections', 'grade', 'holes', 'complete']) {
    expect(document[field], field).toEqual(single[field])
  }
  expect(document).toMatchObject({
    job: 'orders', outcome: 'sealed', applied: PARTITIONS * 2_000, shards: [{ shard: '0/3' }, { shard: '1/3' }, { shard: '2/3' }],
  })
  expect(command.errors.text.split('\n').filter((line) => line === 'orders  sealing')).toHaveLength(1)
  expect(readdirSync(folder).filter((name) => name.endsWith('.db')).sort())
    .toEqual(['state.0-of-3.db', 'state.1-of-3.db', 'state.2-of-3.db', 'state.db'])
})

test('whatever ends it, a killed worker, a signal or a kill of its own, all workers stop, and the same command goes on to the same seal', async () => {
  const folder = manyOrders(3_000, 200_000)
  const begin = async (): Promise<Command> => {
    const command = start(folder, 'replay', '--workers', '2', '--jsonl')
    await command.seen('"kind":"progress"')
    return command
  }
  const writerOf = async (shard: string): Promise<{ owner: string; alive: boolean }> => (await here(folder, 'status', '--shard', shard)).writer

  const writing = async (shard: string): Promise<void> => {
    for (let i = 0; i < 1_000 && (await writerOf(shard))?.alive !== true; i++) await sleep(10)
  }

  const robbed = await begin()
  await writing('1/2')
  process.kill(Number(/ (\d+)$/.exec((await writerOf('1/2')).owner)![1]), 'SIGKILL')
  expect(await robbed.ended).toBe(2)
  expect(lastOf(robbed).error).toMatchObject({ code: 'UNEXPECTED', message: 'The worker of shard 1/2 did not finish: it was ended by SIGKILL.' })

  const stopped = await begin()
  stopped.child.kill('SIGTERM')
  expect(await stopped.ended).toBe(143)
  expect(lastOf(stopped)).toMatchObject({ kind: 'stopped', outcome: 'stopped' })

  const killed = await begin()
  // One that is only starting is not alive yet, and is for a moment later on.
  for (const shard of ['0/2', '1/2']) await writing(shard)
  killed.child.kill('SIGKILL')
  for (let i = 0; i < 1_000 && ((await writerOf('0/2')).alive || (await writerOf('1/2')).alive); i++) await sleep(10)
  expect([(await writerOf('0/2')).alive, (await writerOf('1/2')).alive]).toEqual([false, false])

  unlimited(folder)
  const went = start(folder, 'replay', '--workers', '2', '--json')
  expect(await went.ended).toBe(0)
  expect(lastOf(went).manifest).toBe((await here(folder, 'replay')).manifest)
  expect(lastOf(went).applied).toBeLessThan(PARTITIONS * 3_000)
})

test('what fails in one shard is told with its code, its place and the shard', async () => {
  const folder = manyOrders(50)
  write(folder, { 'log/4.ndjson': `${JSON.stringify({ type: 'Placed', key: 'x', data: { total: 'bad' } })}\n` })
  const command = start(folder, 'replay', '--workers', '2', '--json')
  expect(await command.ended).toBe(8)
  expect(lastOf(command).error).toMatchObject({
    code: 'HANDLER_FAILED', partition: '4', offset: 0, message: expect.stringMatching(/^Shard 0\/2: .*a total that is no number/),
  })
})

test('SIGHUP reads the limits again, and nothing else; a configuration that does not load changes nothing', async () => {
  const folder = manyOrders(4_000, 40_000)
  const good = readFileSync(join(folder, 'rehydrate.config.ts'), 'utf8')
  const command = start(folder, 'replay', '--until', 'follow', '--jsonl')
  await command.seen('"kind":"progress"')
  const said = async (text: string): Promise<void> => {
    for (let i = 0; i < 1_000 && !command.errors.text.includes(text); i++) await sleep(10)
    expect(command.errors.text).toContain(text)
  }
  write(folder, { 'rehydrate.config.ts': 'export default {' })
  command.child.kill('SIGHUP')
  await said('orders  limits stay as they are: CONFIG_LOAD_FAILED')
  expect(command.out.text).not.toContain('"kind":"sealed"')
  write(folder, { 'rehydrate.config.ts': good.replace('/log', '/nowhere').replace('40000', '90000000, inFlightBytes: 1000000') })
  command.child.kill('SIGHUP')
  await said('orders  limits are now 90,000,000 bytes per second, 1,000,000 bytes in flight')
  await command.seen('"kind":"sealed"')
  command.child.kill('SIGTERM')
  expect(await command.ended).toBe(143)
})
