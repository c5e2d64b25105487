import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { write } from '../host/project.js'
import { lines, ORDERS, ordersProject } from './orders.js'

const ROOT = join(import.meta.dirname, '../..')
const MAIN = join(ROOT, 'dist/src/cli/main.js')

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('Run `npm run build` first; `npm test` does.')
})

interface Ended { readonly status: number | null; readonly stdout: string; readonly stderr: string }

const run = (folder: string, ...args: string[]): Ended => spawnSync('node', [MAIN, ...args], { cwd: folder, encoding: 'utf8' })
const shell = (folder: string, line: string): Ended =>
  spawnSync('bash', ['-c', line], { cwd: folder, encoding: 'utf8', env: { ...process.env, REHYDRATE: `node ${MAIN}` } })

interface Started {
  readonly child: ChildProcess
  /** Waits for a text on stdout. */
  readonly seen: (text: string) => Promise<void>
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
}

/** A command that goes on until it is told to stop. */
function start(folder: string, ...args: string[]): Started {
  const child = spawn('node', [MAIN, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  let stdout = ''
  child.stdout.on('data', (chunk) => { stdout += chunk })
  const ended = new Promise<number | string>((resolve) => child.on('close', (code, signal) => resolve(code ?? signal ?? 'lost')))
  return {
    child, ended,
    seen: async (text) => {
      for (let i = 0; i < 1_000 && !stdout.includes(text); i++) await new Promise((resolve) => setTimeout(resolve, 10))
      expect(stdout).toContain(text)
    },
  }
}

test('while one process follows, status says who; another one is refused unless it takes over, which fences the first', async () => {
  const folder = ordersProject()
  const { child, seen, ended } = start(folder, 'replay', '--until', 'follow', '--jsonl')
  await seen('"kind":"sealed"')
  expect(JSON.parse(run(folder, 'status', '--json').stdout)).toMatchObject({
    phase: 'following', position: { 0: 6, 1: 6 }, lag: 0, writer: { alive: true, owner: expect.stringContaining(String(child.pid)) },
  })
  const refused = run(folder, 'replay', '--json')
  expect([refused.status, JSON.parse(refused.stdout).error.code]).toEqual([5, 'ALREADY_RUNNING'])
  expect(run(folder, 'replay', '--takeover').status).toBe(0)
  await seen('"code":"FENCED"')
  expect(await ended).toBe(5)
})

test('SIGTERM exits 143 after a checkpoint, and the same command goes on to the same root', async () => {
  const fresh = JSON.parse(run(ordersProject(LONG), 'replay', '--json').stdout)
  const folder = ordersProject(LONG)
  const { child, seen, ended } = start(folder, 'replay', '--jsonl')
  await seen('"kind":"progress"')
  child.kill('SIGTERM')
  expect(await ended).toBe(143)
  await seen('"outcome":"stopped"')
  const resumed = JSON.parse(run(folder, 'replay', '--json').stdout)
  expect(resumed).toMatchObject({ outcome: 'sealed', root: fresh.root, manifest: fresh.manifest })
  expect(resumed.applied).toBeLessThan(fresh.applied)
})

/** Long enough to be stopped in the middle. */
const LONG = { 'log/0.ndjson': lines(0, 20_000), 'log/1.ndjson': lines(1, 20_000) }

test('a reader that goes away is no crash', () => {
  const folder = ordersProject({ 'log/0.ndjson': lines(0, 5_000) })
  const line = '$REHYDRATE replay --log-level silent >/dev/null; $REHYDRATE export | head -n 1; echo "${PIPESTATUS[@]}"'
  const { stdout, stderr } = shell(folder, line)
  expect(stdout).toBe('{"collection":"orders","key":"order-0-1","value":{"paid":true,"total":1}}\n0 0\n')
  expect(stderr).toBe('')
})

test('--version prints the version and loads nothing but Node for it', () => {
  const { stdout, status } = run(ROOT, '--version')
  expect([status, stdout]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)])
  const code = readFileSync(MAIN, 'utf8')
  expect([...code.matchAll(/^import .* from '(.*)'/gm)].map((match) => match[1])).toEqual(['node:fs'])
})

test('a second signal ends the process at once', async () => {
  const folder = ordersProject(LONG)
  const { child, seen, ended } = start(folder, 'replay', '--jsonl')
  await seen('"kind":"progress"')
  child.kill('SIGTERM')
  await seen('"phase":"draining"')
  child.kill('SIGTERM')
  // Unless it was done before the second came.
  expect(['SIGTERM', 143]).toContain(await ended)
  expect(JSON.parse(run(folder, 'replay', '--json').stdout).outcome).toBe('sealed')
})

test('changed code under the same version is refused, also in a module that the projection imports, unless accepted', () => {
  const files = { 'orders.ts': ORDERS['orders.ts'].replace('\n', "\nimport './rules.js'\n"), 'rules.ts': 'export const limit = 1\n' }
  const folder = ordersProject(files)
  expect(run(folder, 'replay').status).toBe(0)
  expect(run(folder, 'replay').status).toBe(0)
  write(folder, { 'rules.ts': 'export const limit = 2\n' })
  const refused = run(folder, 'replay', '--json')
  expect([refused.status, JSON.parse(refused.stdout).error.code]).toEqual([8, 'PROJECTION_CHANGED'])
  expect(run(folder, 'replay', '--accept', 'PROJECTION_CHANGED=code').status).toBe(0)
})

test('the exit code of a failure is that of the table, and stdout stays empty for people', () => {
  const folder = ordersProject({ 'log/0.ndjson': 'not json\n' })
  const failed = run(folder, 'replay')
  expect([failed.status, failed.stdout]).toEqual([7, ''])
  expect(failed.stderr).toMatch(/error LOG_CORRUPT {2}.*\n[^]* {2}more: {5}rehydrate help LOG_CORRUPT\n$/)
})
