import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Finding } from '../../src/index.js'
import { cli } from './harness.js'
import { lines, ORDERS, ordersProject } from './orders.js'

const findingsOf = async (folder: string): Promise<{ exit: number; findings: Finding[] }> => {
  const ran = await cli(folder, ['doctor', '--json'])
  return { exit: ran.exit, findings: (ran.json() as { findings: Finding[] }).findings }
}

test('doctor finds nothing bad in a project that can be replayed, and changes nothing in it', async () => {
  const folder = ordersProject()
  const { exit, findings } = await findingsOf(folder)
  expect(exit).toBe(0)
  expect(findings.map(({ is, what }) => `${is} ${what}`)).toEqual(['good node', 'good projection', 'good store', 'good plan'])
  expect(findings.at(-1)?.text).toContain('14 offsets in 2 partitions are to be read')
  const ran = await cli(folder, ['doctor'])
  expect(ran.stdout).toContain('orders  nothing stands in the way of a replay')
  expect((await cli(folder, ['status', '--json'])).json()).toMatchObject({ phase: 'empty' })
})

test('doctor tells every refusal of the plan with what to do about it, and exits 1', async () => {
  const folder = ordersProject({
    'log/0.ndjson': lines(0, 3).replace('"data"', '"offset":41,"data"'), 'log/1.ndjson': lines(1, 3).replace('"data"', '"offset":7,"data"'),
  })
  const { exit, findings } = await findingsOf(folder)
  expect(exit).toBe(1)
  const bad = findings.filter(({ is }) => is === 'bad')
  expect(bad.map(({ text }) => text.split(':')[0])).toEqual(['HISTORY_INCOMPLETE', 'HISTORY_INCOMPLETE'])
  expect(bad[0]?.fix).toContain('--accept HISTORY_INCOMPLETE=0@41')
  expect((await cli(folder, ['doctor'])).stdout).toContain('orders  2 things stand in the way of a replay')
})

test('doctor says that the log can not be read, and still tells the rest', async () => {
  const { exit, findings } = await findingsOf(ordersProject({
    'rehydrate.config.ts': ORDERS['rehydrate.config.ts'].replace("'/log'", "'/nowhere'"),
  }))
  expect(exit).toBe(1)
  expect(findings.map(({ is, what }) => `${is} ${what}`)).toEqual(['good node', 'good projection', 'good store', 'bad plan'])
  expect(findings.at(-1)?.text).toMatch(/^SOURCE_UNREACHABLE: /)
})

test('doctor says once that the log does not answer, and asks it nothing more', async () => {
  const { exit, findings } = await findingsOf(ordersProject({
    'rehydrate.config.ts': ORDERS['rehydrate.config.ts'].replace("from 'rehydrate/file'", "from './down.ts'"),
    'down.ts': `
import { RehydrateError } from 'rehydrate'
const down = async () => { throw new RehydrateError('SOURCE_UNREACHABLE', { message: 'Nobody is there.' }) }
export const fileLog = () => ({
  continuity: 'sparse', check: down, bounds: down, read: down, close: async () => {}, diagnose: async () => [{ is: 'bad', what: 'asked', text: 'Asked.' }],
})
`,
  }))
  expect(exit).toBe(1)
  expect(findings.filter(({ is }) => is === 'bad')).toEqual([
    { is: 'bad', what: 'plan', text: 'SOURCE_UNREACHABLE: Nobody is there.', fix: expect.any(String) },
  ])
})

test('doctor finds a generation that is damaged', async () => {
  const folder = ordersProject()
  expect((await cli(folder, ['replay'])).exit).toBe(0)
  const { default: Database } = await import('better-sqlite3')
  const database = new Database(join(folder, 'state.db'))
  const [{ name: table }] = database.prepare<[], { name: string }>(
    "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'checkpoint'").all() as [{ name: string }]
  database.exec(`UPDATE ${table} SET checkpoint = substr(checkpoint, 1, 20)`)
  database.close()
  const { exit, findings } = await findingsOf(folder)
  expect(exit).toBe(1)
  expect(findings.find(({ what }) => what === 'store')).toMatchObject({ is: 'bad', text: expect.stringMatching(/^STATE_CORRUPT: /) })
})
