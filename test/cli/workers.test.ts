import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { write } from '../host/project.js'
import { ordersProject } from './orders.js'

const MAIN = join(import.meta.dirname, '../../dist/src/cli/main.js')
const PARTITIONS = 5

// A dozen processes start and end in one test.
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
      for (let i = 0; i < 2_000 && !out.text.includes(text); i++) await new Promise((resolve) => setTimeout(resolve, 10))
      expect(out.text).toContain(text)
    },
  }
}

async function run(folder: string, ...args: string[]): Promise<{ exit: number | string; document: any; errors: string }> {
  const { ended, out, errors } = start(folder, ...args)
  const exit = await ended
  return { exit, document: out.text.trim() === '' ? null : JSON.parse(out.text.trim().split('\n').at(-1)!), errors: errors.text }
}

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
  const single = await run(folder, 'replay', '--json')
  const { exit, document, errors } = await run(folder, 'replay', '--workers', '3', '--json')
  expect(exit).toBe(0)
  for (const field of ['root', 'manifest', 'seal', 'position', 'collections', 'grade', 'holes', 'complete']) {
    expect(document[field], field).toEqual(single.document[field])
  }
  expect(document).toMatchObject({
    job: 'orders', outcome: 'sealed', applied: PARTITIONS * 2_000, shards: [{ shard: '0/3' }, { shard: '1/3' }, { shard: '2/3' }],
  })
  expect(errors.split('\n').filter((line) => line === 'orders  sealing')).toHaveLength(1)
  expect(readdirSync(folder).filter((name) => name.endsWith('.db')).sort())
    .toEqual(['state.0-of-3.db', 'state.1-of-3.db', 'state.2-of-3.db', 'state.db'])
  const again = await run(folder, 'replay', '--workers', '3', '--json')
  expect([again.exit, again.document.manifest, again.document.applied]).toEqual([0, single.document.manifest, 0])
})

test('SIGTERM stops every worker after a checkpoint, and the same command goes on to the same seal', async () => {
  const folder = manyOrders(4_000, 300_000)
  const command = start(folder, 'replay', '--workers', '2', '--jsonl')
  await command.seen('"kind":"progress"')
  command.child.kill('SIGTERM')
  expect(await command.ended).toBe(143)
  const last = JSON.parse(command.out.text.trim().split('\n').at(-1)!)
  expect(last).toMatchObject({ kind: 'stopped', outcome: 'stopped' })
  unlimited(folder)
  const went = await run(folder, 'replay', '--workers', '2', '--json')
  const single = await run(folder, 'replay', '--json')
  expect([went.exit, went.document.manifest]).toEqual([0, single.document.manifest])
  expect(went.document.applied).toBeLessThan(PARTITIONS * 4_000)
})

test('a worker that is killed stops the others, which shard it was is told, and the same command goes on to the same seal', async () => {
  const folder = manyOrders(4_000, 300_000)
  const command = start(folder, 'replay', '--workers', '3', '--jsonl')
  await command.seen('"kind":"progress"')
  const status = await run(folder, 'status', '--shard', '1/3', '--json')
  const pid = Number(/ (\d+)$/.exec(status.document.writer.owner)![1])
  process.kill(pid, 'SIGKILL')
  expect(await command.ended).toBe(2)
  const { error } = JSON.parse(command.out.text.trim().split('\n').at(-1)!)
  expect(error).toMatchObject({ code: 'UNEXPECTED', message: 'The worker of shard 1/3 did not finish: it was ended by SIGKILL.' })
  unlimited(folder)
  const went = await run(folder, 'replay', '--workers', '3', '--json')
  const single = await run(folder, 'replay', '--json')
  expect([went.exit, went.document.manifest]).toEqual([0, single.document.manifest])
})

test('the workers of a command that is killed stop by themselves', async () => {
  const folder = manyOrders(4_000, 300_000)
  const command = start(folder, 'replay', '--workers', '2', '--jsonl')
  await command.seen('"kind":"progress"')
  command.child.kill('SIGKILL')
  const alive = async (): Promise<boolean> => (await run(folder, 'status', '--shard', '0/2', '--json')).document.writer.alive
  for (let i = 0; i < 50 && await alive(); i++);
  expect(await alive()).toBe(false)
  unlimited(folder)
  expect((await run(folder, 'replay', '--workers', '2', '--json')).exit).toBe(0)
})

test('what fails in one shard is told with its code, its place and the shard', async () => {
  const folder = manyOrders(50)
  write(folder, { 'log/4.ndjson': `${JSON.stringify({ type: 'Placed', key: 'x', data: { total: 'bad' } })}\n` })
  const { exit, document } = await run(folder, 'replay', '--workers', '3', '--json')
  expect(exit).toBe(8)
  expect(document.error).toMatchObject({
    code: 'HANDLER_FAILED', partition: '4', offset: 0, message: expect.stringMatching(/^Shard 1\/3: .*a total that is no number/),
  })
})

test('SIGHUP reads the limits again, and nothing else; a configuration that does not load changes nothing', async () => {
  const folder = manyOrders(4_000, 40_000)
  const good = readFileSync(join(folder, 'rehydrate.config.ts'), 'utf8')
  const command = start(folder, 'replay', '--until', 'follow', '--jsonl')
  await command.seen('"kind":"progress"')
  const said = async (text: string): Promise<void> => {
    for (let i = 0; i < 1_000 && !command.errors.text.includes(text); i++) await new Promise((resolve) => setTimeout(resolve, 10))
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
