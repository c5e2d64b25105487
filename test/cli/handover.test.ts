import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { adviceFor } from '../../src/cli/job.js'
import { write } from '../host/project.js'
import { groupedProject } from './handover-project.js'
import { cli } from './harness.js'
import { lines } from './orders.js'

const MAIN = join(import.meta.dirname, '../../dist/src/cli/main.js')

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('Run `npm run build` first; `npm test` does.')
})

const groupOf = (folder: string): any => JSON.parse(readFileSync(join(folder, 'group.json'), 'utf8'))
const GIVE = ['handover', '--group', 'service', '--execute']

test('handover prints its plan, does it with --execute, and from then on replay is HANDED_OVER until handover --back', async () => {
  const folder = groupedProject()
  await cli(folder, ['replay'])
  const planned = await cli(folder, ['handover', '--group', 'service', '--json'])
  expect([planned.exit, planned.json()]).toEqual([0, {
    job: 'orders', group: 'service', outcome: 'planned', generation: 1, root: expect.stringMatching(/^sh1:/), manifest: expect.stringMatching(/^sh1:/),
    before: null, state: 'Empty', members: [], others: [], refusals: [], position: { 0: 6, 1: 6 },
    partitions: [0, 1].map((partition) => ({ partition: String(partition), before: null, offset: 7, behind: 0, atOpenTransaction: false })),
  }])
  expect(existsSync(join(folder, 'group.json'))).toBe(false)
  const given = await cli(folder, GIVE)
  expect([given.exit, given.stdout.split('\n')[0]]).toEqual([0, 'orders  handed over to the group service'])
  expect(groupOf(folder).position).toEqual({ 0: 6, 1: 6 })
  const again = await cli(folder, GIVE.slice(0, -1))
  expect([again.exit, again.stdout.split('\n')[0]]).toEqual([0, 'orders  was handed over before to the group service'])
  expect(again.stdout).not.toContain('Nothing was changed')
  expect(again.stdout).toMatch(/next +start the consumers of the group/)
  // As a coordinator forgets what a group without members has committed, some day.
  const group = readFileSync(join(folder, 'group.json'), 'utf8')
  write(folder, { 'group.json': group.replace('"1":6', '"another/0":6') })
  expect((await cli(folder, GIVE)).stdout).toMatch(/next +offsets of the group have expired: `rehydrate handover orders --back --execute`/)
  write(folder, { 'group.json': group })
  const refused = await cli(folder, ['replay', '--json'])
  expect([refused.exit, refused.json().error]).toEqual([5, expect.objectContaining({ code: 'HANDED_OVER', actual: 'service' })])
  expect((await cli(folder, ['plan', '--json'])).json().refusals).toMatchObject([{ code: 'HANDED_OVER' }])
  expect((await cli(folder, ['status', '--json'])).json().phase).toBe('handedOver')
  expect((await cli(folder, ['verify', '--scrub', '--json'])).json()).toMatchObject({ verdict: 'match' })
  const asked = await cli(folder, ['handover', '--back'])
  expect(asked.stdout).toContain('Nothing was changed. The same command with --execute does it.')
  expect((await cli(folder, ['handover', '--back', '--execute', '--json'])).json()).toMatchObject({ outcome: 'ours', group: 'service' })
  write(folder, { 'log/0.ndjson': `${lines(0, 3)}${lines(5, 1)}` })
  expect((await cli(folder, ['replay', '--json'])).json()).toMatchObject({ outcome: 'sealed', position: { 0: 9, 1: 6 }, generation: 1 })
})

test('a group with members refuses it, both ways, and the refusal decides the exit code of the plan', async () => {
  const folder = groupedProject({ 'group.json': '{"members":["service-1"],"position":{"0":3,"payments/0":8}}' })
  const planned = await cli(folder, ['handover', '--group', 'service'])
  expect(planned.exit).toBe(5)
  expect(planned.stdout).toContain('refused GROUP_ACTIVE')
  expect(planned.stdout).toContain('payments/0: left alone')
  expect(planned.stdout).toContain('offset 7, was 4')
  expect((await cli(folder, [...GIVE, '--json'])).json().error).toMatchObject({ code: 'GROUP_ACTIVE', actual: 'service-1' })
})

test('advice names the job that the command line named', async () => {
  const folder = groupedProject()
  await cli(folder, GIVE)
  const advice = async (...args: string[]): Promise<string> => (await cli(folder, [...args, '--json'])).json().error.fix
  expect(await advice('replay', 'orders')).toContain('`rehydrate handover orders --back`')
  expect(await advice('replay')).toContain('`rehydrate handover --back`')
  const context = { positionals: new Map([['JOB', 'a$&']]), flags: { text: () => undefined } } as never
  expect(['`rehydrate plan` finds it', '`rehydrate replay a$&` goes on'].map((fix) => adviceFor(context, fix)))
    .toEqual(['`rehydrate plan a$&` finds it', '`rehydrate replay a$&` goes on'])
})

test('a deadline that lies beyond what timers know is waited for', async () => {
  const given = await cli(groupedProject(), [...GIVE, '--wait', '--deadline', '3000000', '--json'])
  expect([given.exit, given.json().outcome]).toEqual([0, 'handedOver'])
})

test('what does not belong together is USAGE', async () => {
  const folder = groupedProject()
  for (const args of [[], ['--group', 'g', '--max-lag', '3'], ['--back', '--wait'], ['--group', 'g', '--deadline', '1']]) {
    expect((await cli(folder, ['handover', ...args, '--json'])).json().error.code).toBe('USAGE')
  }
})

test('SIGKILL between any two steps leaves a state that the same command completes; before that, replay or the group goes on, never both', async () => {
  const killed: string[] = []
  const sealed = groupedProject()
  expect((await cli(sealed, ['replay'])).exit).toBe(0)
  for (let at = 0; ; at++) {
    const folder = groupedProject()
    cpSync(sealed, folder, { recursive: true })
    const child = spawnSync('node', [MAIN, ...GIVE], { cwd: folder, encoding: 'utf8', env: { ...process.env, KILL_AT: String(at) } })
    if (child.signal === null) {
      expect(child.status).toBe(0)
      break
    }
    expect(child.signal).toBe('SIGKILL')
    const boundary = readFileSync(join(folder, 'boundaries.txt'), 'utf8').trim()
    killed.push(boundary)
    const groupGoesOn = existsSync(join(folder, 'group.json'))
    const replayed = await cli(folder, ['replay', '--json'])
    expect([0, 5]).toContain(replayed.exit)
    expect(groupGoesOn && replayed.exit === 0).toBe(false)
    if (replayed.exit === 5) expect(replayed.json().error.fix).toMatch(/handover/)
    const finished = await cli(folder, [...GIVE, '--json'])
    expect([finished.exit, finished.json().outcome]).toEqual([0, 'handedOver'])
    expect(groupOf(folder).position).toEqual({ 0: 6, 1: 6 })
  }
  const steps = ['group.describe', 'store.commit', 'group.commit', 'group.describe', 'store.commit']
  expect(killed.slice(-10)).toEqual(steps.flatMap((step) => [`before ${step}`, `after ${step}`]))
}, 180_000)
