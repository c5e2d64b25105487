import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { write } from '../host/project.js'
import { cli, fakeIo } from './harness.js'
import { lines, ordersProject } from './orders.js'

const HASH = expect.stringMatching(/^sh1:[0-9a-f]{64}$/)
const END = { 0: 6, 1: 6 }

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 2_000 && !done(); i++) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(done()).toBe(true)
}

test('replay --json prints the document of interface §4, and a second run the same root and manifest', async () => {
  const folder = ordersProject()
  const ran = await cli(folder, ['replay', '--json'])
  expect(ran.exit).toBe(0)
  expect(ran.json()).toMatchObject({
    job: 'orders', outcome: 'sealed', position: END, root: HASH, manifest: HASH, collections: { orders: { count: 4, root: HASH } },
    grade: 'scrubbed', applied: 14, duplicates: 0, holes: { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 }, accepted: [],
    durationMs: expect.any(Number), eventsPerSecond: expect.any(Number), generation: 1, live: true, complete: true,
  })
  const again = await cli(folder, ['replay', 'orders', '--json', '--restart'])
  expect(again.json()).toMatchObject({ root: ran.json().root, manifest: ran.json().manifest, generation: 2 })
})

test('plan says what a replay would read, and the first refusal decides its exit code', async () => {
  const folder = ordersProject()
  const ran = await cli(folder, ['plan', '--json'])
  expect([ran.exit, ran.json()]).toEqual([0, expect.objectContaining({
    job: 'orders', events: 14, bytes: expect.any(Number), refusals: [],
    estimate: { eventsPerSecond: expect.any(Number), ms: expect.any(Number) }, generation: 1, start: 'new',
    partitions: ['0', '1'].map((partition) => ({ partition, first: 0, from: 0, upTo: 6, bytes: expect.any(Number), compacted: false })),
  })])
  write(folder, { 'log/1.ndjson': lines(1, 3).replace('{', '{"offset":5,') })
  const refused = await cli(folder, ['plan', '--json'])
  expect([refused.exit, refused.json().refusals[0]]).toEqual([7, expect.objectContaining({ code: 'HISTORY_INCOMPLETE' })])
  expect((await cli(folder, ['plan'])).stdout).toContain('refused HISTORY_INCOMPLETE')
  expect((await cli(folder, ['plan', '--accept', 'HISTORY_INCOMPLETE=1@5'])).exit).toBe(0)
})

test('status is empty, then sealed with its lag, and idle after a stop', async () => {
  const folder = ordersProject()
  expect((await cli(folder, ['status', '--json'])).json()).toEqual({
    job: 'orders', phase: 'empty', position: {}, end: END, lag: 14, root: null, generation: null, live: null,
    checkpointAt: null, accepted: [], writer: null,
  })
  await cli(folder, ['replay', '--until', '0@6,1@2'])
  const ran = await cli(folder, ['status', '--json'])
  expect(ran.json()).toMatchObject({ phase: 'sealed', position: { 0: 6, 1: 2 }, end: END, lag: 4, root: HASH, generation: 1, live: 1 })
  expect(ran.json().writer).toMatchObject({ owner: expect.stringContaining(String(process.pid)), alive: false })
  expect((await cli(folder, ['status'])).stdout).toMatch(/^orders {2}sealed {2}71.4 %\n/)
})

test('status still prints what the store knows when the log is gone', async () => {
  const folder = ordersProject()
  await cli(folder, ['replay'])
  write(folder, { 'log/0.ndjson.gz': 'two files of one name' })
  const ran = await cli(folder, ['status', '--json'])
  expect(ran.exit).toBe(64)
  expect(ran.json()).toMatchObject({ position: END, end: null, lag: null, error: { code: 'CONFIG_AMBIGUOUS' } })
})

test('what export writes has the root of the seal, from a file, a .gz and stdin', async () => {
  const folder = ordersProject()
  const { root, collections } = (await cli(folder, ['replay', '--json'])).json()
  const stdout = (await cli(folder, ['export'])).stdout
  expect(stdout.split('\n')).toEqual([
    '{"collection":"orders","key":"order-0-1","value":{"paid":true,"total":1}}',
    '{"collection":"orders","key":"order-0-2","value":{"paid":true,"total":2}}',
    '{"collection":"orders","key":"order-1-1","value":{"paid":true,"total":1}}',
    '{"collection":"orders","key":"order-1-2","value":{"paid":true,"total":2}}',
    '',
  ])
  const exported = await cli(folder, ['export', '--out', 'state.ndjson', '--json'])
  expect(exported.json()).toMatchObject({ out: 'state.ndjson', entries: 4, root, position: END })
  expect(readFileSync(join(folder, 'state.ndjson'), 'utf8')).toBe(stdout)
  writeFileSync(join(folder, 'state.ndjson.gz'), gzipSync(stdout))
  for (const args of [['state.ndjson'], ['state.ndjson.gz'], ['-']]) {
    const ran = await cli(folder, ['digest', ...args, '--json'], fakeIo(folder, { stdin: stdout }))
    expect([ran.exit, ran.json()]).toEqual([0, { root, collections }])
  }
})

test('export writes the whole file or leaves everything as it was', async () => {
  const folder = ordersProject()
  const ran = await cli(folder, ['export', '--out', 'state.ndjson'])
  expect(ran.exit).toBe(2)
  expect(ran.stderr).toMatch(/^error STORE_NOT_FOUND/)
  await cli(folder, ['replay'])
  expect((await cli(folder, ['export', '--out', 'no/such/folder/x'])).exit).toBe(64)
  expect(readdirSync(folder).filter((name) => name.includes('.part') || name === 'state.ndjson')).toEqual([])
})

test('digest refuses what is no such line, with the line', async () => {
  const folder = ordersProject({ 'bad.ndjson': '{"key":"a","value":1}\nnot json\n' })
  expect((await cli(folder, ['digest', 'bad.ndjson', '--json'])).json()).toMatchObject({ error: { code: 'VALUE_INVALID', line: 2 } })
  expect((await cli(folder, ['digest', 'missing', '--json'])).json()).toMatchObject({ error: { code: 'USAGE' } })
})

test('inspect prints a value now and then; an absent key is exit 1', async () => {
  const folder = ordersProject()
  await cli(folder, ['replay'])
  const now = await cli(folder, ['inspect', 'order-0-1', '--json'])
  expect([now.exit, now.json()]).toEqual([0, {
    collection: 'orders', key: 'order-0-1', present: true, generation: 1, position: END, value: { total: 1, paid: true },
  }])
  const then = await cli(folder, ['inspect', 'order-0-0', '--at', '0@2,1@2', '--json'])
  expect(then.json()).toMatchObject({ present: true, position: { 0: 2, 1: 2 }, at: '0@2,1@2', value: { total: 0, paid: false } })
  const byTime = await cli(folder, ['inspect', 'order-0-0', '--at', '2026-01-01T00:00:06Z', '--json'])
  expect(byTime.json()).toMatchObject({ present: true, value: { total: 0, paid: true } })
  const absent = await cli(folder, ['inspect', 'order-0-0', '--json'])
  expect([absent.exit, absent.json()]).toEqual([1, expect.objectContaining({ present: false, value: null })])
  expect((await cli(folder, ['inspect', 'x', '--at', 'yesterday'])).exit).toBe(64)
  const unknown = await cli(folder, ['inspect', 'x', '--collection', 'order', '--json'])
  expect(unknown.json()).toMatchObject({ error: { code: 'USAGE', expected: 'orders' } })
})

test('explain lists the events that made a value, as a document and as lines', async () => {
  const folder = ordersProject()
  await cli(folder, ['replay'])
  const events = [
    { partition: '0', offset: 0, type: 'Placed', value: { total: 0, paid: false } },
    { partition: '0', offset: 3, type: 'Paid', value: { total: 0, paid: true } },
    { partition: '0', offset: 6, type: 'Cancelled', value: null },
  ]
  expect((await cli(folder, ['explain', 'order-0-0', '--json'])).json()).toMatchObject({ collection: 'orders', key: 'order-0-0', events })
  const ran = await cli(folder, ['explain', 'order-0-0', '--jsonl'])
  expect(ran.stdout.trimEnd().split('\n').map((line) => JSON.parse(line))).toEqual(events)
})

test('integers beyond 2^53 are printed exactly', async () => {
  const folder = ordersProject({
    'orders.ts': `import { defineProjection } from 'rehydrate'
      export const orders = defineProjection({
        name: 'orders', version: 1, collections: { orders: {} }, events: { Placed: { int64: ['total'] } },
        on: { Placed(state, e) { state.orders.put(e.key, { total: e.data.total }) } },
      })`,
    'log/0.ndjson': '{"type":"Placed","key":"a","data":{"total":9007199254740993}}\n',
    'log/1.ndjson': '',
  })
  const { root } = (await cli(folder, ['replay', '--json'])).json()
  expect((await cli(folder, ['inspect', 'a', '--json'])).stdout).toContain('"value":{"total":9007199254740993}')
  const exported = (await cli(folder, ['export'])).stdout
  expect((await cli(folder, ['digest', '-', '--json'], fakeIo(folder, { stdin: exported }))).json().root).toBe(root)
})

test('a handler that throws is exit 8 with the place; --accept leaves that event out and the seal says so', async () => {
  const folder = ordersProject({ 'log/0.ndjson': lines(0, 3).replace('"total":1', '"total":"bad"') })
  const failed = await cli(folder, ['replay', '--json'])
  expect([failed.exit, failed.json().error]).toEqual([8, expect.objectContaining({
    code: 'HANDLER_FAILED', partition: '0', offset: 1, fix: expect.stringContaining('--accept HANDLER_FAILED=0@1'),
  })])
  const accepted = await cli(folder, ['replay', '--json', '--accept', 'HANDLER_FAILED=0@1'])
  expect([accepted.exit, accepted.json()]).toEqual([0, expect.objectContaining({
    outcome: 'sealed', complete: false, accepted: [expect.objectContaining({ code: 'HANDLER_FAILED', partition: '0' })],
  })])
  const then = await cli(folder, ['inspect', 'order-0-1', '--at', '0@2', '--json'])
  expect(then.json()).toMatchObject({ present: false })
})

test.each([
  ['Date.now()', '', 'Date.now()'],
  ['crypto.randomUUID()', "import { randomUUID } from 'node:crypto'", 'randomUUID()'],
])('a handler of a TypeScript module that calls %s is IMPURE_HANDLER with the event', async (what, head, call) => {
  const folder = ordersProject({
    'orders.ts': `${head}
      import { defineProjection } from 'rehydrate'
      export const orders = defineProjection({
        name: 'orders', version: 1, collections: { orders: {} }, unknownEvents: 'skip',
        on: { Paid(state, e) { state.orders.put(e.key!, { at: ${call} }) } },
      })`,
  })
  const ran = await cli(folder, ['replay', '--json'])
  expect([ran.exit, ran.json().error]).toEqual([8, expect.objectContaining({ code: 'IMPURE_HANDLER', partition: '0', offset: 3 })])
  expect(ran.stdout).toContain(what)
})

test('generation: switch is printed first and done with --execute; the live one is not dropped', async () => {
  const folder = ordersProject()
  await cli(folder, ['replay'])
  await cli(folder, ['replay', '--restart'])
  const live = async (): Promise<unknown[]> => {
    const { generations } = (await cli(folder, ['generation', 'list', '--json'])).json()
    return generations.map((row: any) => [row.generation, row.live, row.root !== null])
  }
  expect(await live()).toEqual([[1, false, true], [2, true, true]])
  const printed = await cli(folder, ['generation', 'switch', '1', '--json'])
  expect([printed.exit, printed.json()]).toEqual([0, expect.objectContaining({ generation: 1, previous: 2, executed: false })])
  expect(await live()).toEqual([[1, false, true], [2, true, true]])
  expect((await cli(folder, ['generation', 'switch', '1', '--execute', '--json'])).json()).toMatchObject({ executed: true })
  expect(await live()).toEqual([[1, true, true], [2, false, true]])
  expect((await cli(folder, ['generation', 'drop', '1', '--json'])).json()).toMatchObject({ error: { code: 'STORE_GENERATION' } })
  expect((await cli(folder, ['generation', 'drop', '2', '--json'])).json()).toMatchObject({ generation: 2, executed: true })
  expect(await live()).toEqual([[1, true, true]])
  expect((await cli(folder, ['generation', 'drop', 'x'])).exit).toBe(64)
})

test.each([
  ['SIGTERM', 143], ['SIGINT', 130],
] as const)('%s ends a run after a checkpoint: stopped, exit %d; only the first signal is taken', async (signal, exit) => {
  const folder = ordersProject()
  const io = fakeIo(folder)
  const running = cli(folder, ['replay', '--until', 'follow', '--jsonl'], io)
  await until(() => io.text('stdout').includes('"kind":"sealed"'))
  expect(io.listening()).toBe(1)
  io.send(signal)
  expect(io.listening()).toBe(0)
  const ran = await running
  expect(ran.exit).toBe(exit)
  expect(JSON.parse(ran.stdout.trimEnd().split('\n').at(-1) as string)).toMatchObject({
    kind: 'stopped', job: 'orders', outcome: 'stopped', position: END, root: HASH, manifest: HASH, applied: 14,
  })
})

test('--jsonl streams what happens, the seal last, with positions as objects', async () => {
  const ran = await cli(ordersProject(), ['replay', '--jsonl'])
  const events = ran.stdout.trimEnd().split('\n').map((line) => JSON.parse(line))
  expect(events.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['phase', 'checkpoint', 'sealed']))
  expect(events.find(({ kind }) => kind === 'sealed')).toMatchObject({ sealed: { outcome: 'sealed', position: END, root: HASH } })
  expect(events.find(({ kind }) => kind === 'checkpoint').position).toEqual(END)
})

test('--log-level turns stderr into JSON lines, and silent into nothing', async () => {
  const info = await cli(ordersProject(), ['replay', '--log-level', 'info'])
  const logged = info.stderr.trimEnd().split('\n').map((line) => JSON.parse(line))
  expect(logged.map(({ msg }) => msg)).toContain('sealed')
  expect(info.stderr).not.toContain('total')
  expect((await cli(ordersProject(), ['replay', '--log-level', 'silent'])).stderr).toBe('')
})

test('every failure before a run is a document too', async () => {
  const folder = ordersProject({ 'broken.ts': 'export default {' })
  const codes = [['--config', 'broken.ts'], ['--config', 'none.ts'], ['ordres'], ['--until', 'x']].map(async (args) =>
    (await cli(folder, ['replay', ...args, '--json'])).json().error.code)
  expect(await Promise.all(codes)).toEqual(['CONFIG_LOAD_FAILED', 'CONFIG_NOT_FOUND', 'CONFIG_NOT_FOUND', 'USAGE'])
  const deferred = await cli(folder, ['snapshot', '--json'])
  expect([deferred.exit, deferred.json().error.code]).toEqual([64, 'OPTION_DEFERRED'])
})

test('help prints the table, a command and a code, for people and programs', async () => {
  const overview = await cli('/', ['help'])
  expect(overview.stdout).toContain('replay      rebuild the state from the log')
  expect((await cli('/', [])).stdout).toBe(overview.stdout)
  expect((await cli('/', ['replay', '--help'])).stdout).toBe((await cli('/', ['help', 'replay'])).stdout)
  expect((await cli('/', ['help', 'LOG_GAP'])).stdout).toContain('--accept LOG_GAP=PARTITION@FROM..TO')
  expect((await cli('/', ['help', '--json'])).json().commands.map(({ name }: any) => name)).toContain('digest')
  expect((await cli('/', ['help', 'LOG_GAB', '--json'])).json().error.message).toContain('Did you mean LOG_GAP?')
})

/** Changes the SQLite file of a project behind the back of the store. */
function tamper(folder: string, change: (db: Database.Database) => void): void {
  const db = new Database(join(folder, 'state.db'))
  change(db)
  db.close()
}

const flipCheckpoint = (generation: number) => (db: Database.Database): void => {
  const row = db.prepare('SELECT checkpoint FROM generations WHERE generation = ?').get(generation) as { checkpoint: Buffer }
  const at = row.checkpoint.length >> 1
  row.checkpoint.writeUInt8(row.checkpoint.readUInt8(at) ^ 1, at)
  db.prepare('UPDATE generations SET checkpoint = ? WHERE generation = ?').run(row.checkpoint, generation)
}

test('a damaged checkpoint is STATE_CORRUPT to those who look: never a generation that has not begun', async () => {
  const folder = ordersProject()
  await cli(folder, ['replay'])
  tamper(folder, flipCheckpoint(1))
  const status = await cli(folder, ['status', '--json'])
  expect([status.exit, status.json()]).toEqual([2, { error: expect.objectContaining({ code: 'STATE_CORRUPT' }) }])
  const list = await cli(folder, ['generation', 'list', '--json'])
  expect([list.exit, list.json()]).toMatchObject([2, { generations: [{ generation: 1, root: null, error: { code: 'STATE_CORRUPT' } }] }])
  expect((await cli(folder, ['generation', 'list'])).stdout).toContain('STATE_CORRUPT')
})

test('a replay does not pass over a damaged live generation for an older one', async () => {
  const folder = ordersProject()
  await cli(folder, ['replay'])
  await cli(folder, ['replay', '--restart'])
  tamper(folder, flipCheckpoint(2))
  expect((await cli(folder, ['replay', '--json'])).json()).toMatchObject({ error: { code: 'STATE_CORRUPT' } })
  expect((await cli(folder, ['replay', '--restart', '--json'])).json()).toMatchObject({ generation: 3, live: true })
  expect((await cli(folder, ['replay', '--json'])).json(), 'the damaged one may rest').toMatchObject({ generation: 3 })
})

test('an export of a state that has lost a row is STATE_CORRUPT, and leaves no file', async () => {
  const folder = ordersProject()
  await cli(folder, ['replay'])
  tamper(folder, (db) => {
    const id = db.prepare("SELECT id FROM collections WHERE name = 'orders'").pluck().get()
    db.prepare(`DELETE FROM entries_${String(id)} WHERE key = 'order-0-1'`).run()
  })
  const ran = await cli(folder, ['export', '--out', 'state.ndjson', '--json'])
  expect([ran.exit, ran.json()]).toMatchObject([2, { error: { code: 'STATE_CORRUPT', collection: 'orders', expected: 4, actual: 3 } }])
  expect(readdirSync(folder)).not.toContain('state.ndjson')
  expect((await cli(folder, ['export'])).exit).toBe(2)
})

test('a cut at a time over events without one says what it needs, whatever the order of the projection', async () => {
  const folder = ordersProject({ 'log/1.ndjson': '{"type":"Placed","key":"x","data":{"total":1}}\n' })
  const { error } = (await cli(folder, ['replay', '--until', '2026-01-02', '--json'])).json()
  expect(error).toMatchObject({ code: 'RECORDED_AT_MISSING', partition: '1', offset: 0, why: expect.stringContaining('cut at a time') })
  expect(error.fix).not.toContain("order: 'partition'")
})

test('explain does not pass off other values as those of the state', async () => {
  const folder = ordersProject()
  await cli(folder, ['replay'])
  const explained = async (): Promise<unknown> => (await cli(folder, ['explain', 'order-0-1', '--json'])).json()
  const log = readFileSync(join(folder, 'log/0.ndjson'), 'utf8')
  write(folder, { 'log/0.ndjson': log.replace('"key":"order-0-1","data":{"total":1}', '"key":"order-0-1","data":{"total":7}') })
  expect(await explained()).toMatchObject({ error: { code: 'LOG_REWRITTEN', partition: '0' } })
  write(folder, { 'log/0.ndjson': log })
  expect(await explained()).toMatchObject({ events: [{ value: { total: 1 } }, { value: { paid: true } }] })
  const code = readFileSync(join(folder, 'orders.ts'), 'utf8')
  write(folder, { 'orders.ts': code.replace('version: 1', 'version: 2') })
  expect(await explained()).toMatchObject({ error: { code: 'PROJECTION_CHANGED' } })
})
