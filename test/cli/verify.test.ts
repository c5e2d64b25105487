import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { write } from '../host/project.js'
import { cli, fakeIo } from './harness.js'
import { ORDERS } from './orders.js'

const CONFIG = `
import { defineConfig } from 'rehydrate'
import { fileLog } from 'rehydrate/file'
import { sqlite } from 'rehydrate/sqlite'
import { orders } from './orders.ts'

const folder = import.meta.dirname
const old = (name, position) => sqlite({
  path: folder + '/' + name, position,
  tables: { orders: { table: 'orders', key: 'id', columns: { total: 'total', paid: { column: 'paid', type: 'bool' } } } },
})

export default defineConfig({
  jobs: {
    orders: {
      source: fileLog({ path: folder + '/log' }), projection: orders, store: sqlite({ path: folder + '/state.db' }),
      verify: { against: {
        sound: old('old.db', { at: '0@6,1@6' }),
        wrong: old('wrong.db', { query: 'SELECT partition, at FROM progress' }),
        unplaced: old('old.db'),
      } },
    },
  },
})
`

let folder = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rehydrate-verify-'))
  write(folder, { ...ORDERS, 'rehydrate.config.ts': CONFIG })
  const replayed = await cli(folder, ['replay', '--json'])
  expect(replayed.exit, replayed.stdout).toBe(0)
  const exported = (await cli(folder, ['export'])).stdout.trim().split('\n').map((line) => JSON.parse(line) as { key: string; value: { total: number; paid: boolean } })
  for (const name of ['old.db', 'wrong.db']) {
    const db = new Database(join(folder, name))
    db.exec('CREATE TABLE orders (id TEXT PRIMARY KEY, total INTEGER NOT NULL, paid INTEGER NOT NULL)')
    db.exec("CREATE TABLE progress (partition TEXT, at INTEGER); INSERT INTO progress VALUES ('0', 6), ('1', 6)")
    for (const { key, value } of exported) db.prepare('INSERT INTO orders VALUES (?, ?, ?)').run(key, value.total, Number(value.paid))
    // A payment that the old service lost.
    if (name === 'wrong.db') db.exec("UPDATE orders SET paid = 0 WHERE id = 'order-1-2'")
    db.close()
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('rehydrate verify', () => {
  test('says MATCH and exits 0 where a table of another program is equal, and that a person said where it stands', async () => {
    const { exit, stdout } = await cli(folder, ['verify', '--against', 'sound'])
    expect(stdout).toMatch(/^orders {2}MATCH: 4 keys are equal\n/)
    expect(stdout).toContain('as it is said of the other side')
    expect(exit).toBe(0)
    const { json } = await cli(folder, ['verify', '--against', 'sound', '--json'])
    expect(json()).toMatchObject({
      job: 'orders', verdict: 'match', grade: 'scrubbed', position: { 0: 6, 1: 6 }, againstPosition: { 0: 6, 1: 6 }, asserted: true, differing: 0,
    })
    expect(json().rebuilt.root).toBe(json().against.root)
  })

  test('says MISMATCH and exits 1 where one field differs', async () => {
    const { exit, stdout } = await cli(folder, ['verify', '--against', 'wrong'])
    expect(stdout).toMatch(/^orders {2}MISMATCH: 1 of 4 keys differs\n/)
    expect(stdout).toContain('next      rehydrate diff orders --against wrong --blame')
    expect(exit).toBe(1)
  })

  test('says INCONCLUSIVE and exits 2 where nobody says where the other side stands', async () => {
    const { exit, stdout, json } = await cli(folder, ['verify', '--against', 'unplaced', '--json'])
    expect(json()).toMatchObject({ verdict: 'inconclusive', reason: { code: 'AGAINST_POSITION_UNKNOWN' }, differing: null })
    expect(exit).toBe(2)
    expect(stdout).not.toContain('order-1-2')
    expect(await cli(folder, ['verify', '--against', 'unplaced', '--against-at', '0@6,1@6', '--json'])).toMatchObject({ exit: 0 })
  })

  test('waits for a side that stands behind until the deadline, and exits 3', async () => {
    const args = ['verify', '--against', 'unplaced', '--against-at', '0@6,1@5', '--wait', '--deadline', '1', '--json']
    const { exit, json } = await cli(folder, args)
    expect(json()).toMatchObject({ verdict: 'inconclusive', reason: { code: 'WAIT_DEADLINE' } })
    expect(exit).toBe(3)
  })

  test('can be stopped while it waits', async () => {
    const io = fakeIo(folder)
    const waiting = cli(folder, ['verify', '--against', 'unplaced', '--against-at', '0@6,1@5', '--wait', '--json'], io)
    await expect.poll(() => io.listening(), { timeout: 10_000 }).toBe(1)
    io.send('SIGINT')
    const { exit, json } = await waiting
    expect(json()).toMatchObject({ error: { code: 'RUN_STOPPED' } })
    expect([exit, io.listening()]).toEqual([130, 0])
  })

  test('takes an export, a generation, and names what it does not know', async () => {
    expect(await cli(folder, ['export', '--out', 'dump.ndjson'])).toMatchObject({ exit: 0 })
    expect(await cli(folder, ['verify', '--against', 'dump.ndjson'])).toMatchObject({ exit: 2 })
    expect(await cli(folder, ['verify', '--against', 'dump.ndjson', '--against-at', '0@6,1@6'])).toMatchObject({ exit: 0 })
    expect(await cli(folder, ['verify', '--against', 'generation:1'])).toMatchObject({ exit: 0 })
    expect(await cli(folder, ['verify', '--against', 'wrogn'])).toMatchObject({ exit: 64, stderr: expect.stringContaining('Did you mean wrong?') })
    expect(await cli(folder, ['verify', '--against', 'at:0@1'])).toMatchObject({ exit: 64 })
    expect(await cli(folder, ['verify', '--against', 'snapshot:latest'])).toMatchObject({ exit: 64 })
    expect(await cli(folder, ['verify'])).toMatchObject({ exit: 64, stderr: expect.stringContaining('--against AGAINST') })
  })

  test('scrubs alone, and folds again', async () => {
    const scrubbed = await cli(folder, ['verify', '--scrub'])
    expect(scrubbed.stdout).toMatch(/^orders {2}every stored byte is what was written\n/)
    expect(scrubbed.exit).toBe(0)
    const { exit, stdout } = await cli(folder, ['verify', '--rebuild'])
    expect(stdout).toMatch(/^orders {2}MATCH: \d rebuilds in other orders and batches gave the sealed root\n/)
    expect(exit).toBe(0)
    // What would not be looked at is refused: a receipt that is not written, a wait for nobody.
    for (const flags of [['--scrub', '--wait'], ['--scrub', '--receipt', 'r.json', '--sign-key', 'key.pem'], ['--rebuild', '--at', '0@1'], ['--rebuild', '--scrub']]) {
      expect(await cli(folder, ['verify', ...flags])).toMatchObject({ exit: 64, stdout: '' })
    }
  })
})

describe('rehydrate diff', () => {
  test('names the key, the field and the event, and exits 1', async () => {
    const { exit, stdout } = await cli(folder, ['diff', '--against', 'wrong', '--blame'])
    expect(stdout).toContain('orders/order-1-2\n  $.paid  rebuilt true  against false\n  blame  consistent with ')
    expect(stdout).toContain('1@5 (Paid)')
    expect(exit).toBe(1)
    const { json } = await cli(folder, ['diff', '--against', 'wrong', '--blame', '--json'])
    expect(json()).toMatchObject({
      total: 1, truncated: false,
      differences: [{
        collection: 'orders', key: 'order-1-2', kind: 'value', fields: [{ path: '$.paid', rebuilt: true, against: false }],
        blame: { partition: '1', offset: 5, type: 'Paid', candidates: 1 },
      }],
    })
  })

  test('keeps an index for blame, says when it is built, and answers the same with it', async () => {
    const args = ['diff', '--against', 'wrong', '--blame', '--json']
    const { differences } = (await cli(folder, args)).json()
    const first = await cli(folder, [...args, '--index', 'offsets'])
    expect(first.stderr).toMatch(/^index {2}built and written to offsets, \d\.\d kB: there was none\n$/)
    expect(first.json().differences).toEqual(differences)
    const second = await cli(folder, [...args, '--index', 'offsets'])
    expect(second).toMatchObject({ exit: 1, stderr: '' })
    expect(second.json().differences).toEqual(differences)
    expect(await cli(folder, ['diff', '--against', 'wrong', '--index', 'offsets'])).toMatchObject({ exit: 64 })
  })

  test('writes the lists as JSON lines', async () => {
    expect(await cli(folder, ['diff', '--against', 'wrong', '--out', 'lists'])).toMatchObject({ exit: 1 })
    const lines = (kind: string): string => readFileSync(join(folder, 'lists', `${kind}.jsonl`), 'utf8')
    expect(JSON.parse(lines('value'))).toMatchObject({ key: 'order-1-2' })
    expect(lines('only-rebuilt')).toBe('')
    expect(existsSync(join(folder, 'lists/value.jsonl.partial'))).toBe(false)
  })

  test('never puts payloads into the log', async () => {
    const io = fakeIo(folder)
    await cli(folder, ['diff', '--against', 'wrong', '--log-level', 'debug', '--json'], io)
    expect(io.text('stderr')).not.toContain('paid')
  })

  test('between two positions shows what changed', async () => {
    const { exit, stdout } = await cli(folder, ['diff', '--against', 'at:0@6,1@2'])
    expect(stdout).toContain('$.paid  rebuilt true  against false')
    expect(exit).toBe(1)
  })
})

describe('rehydrate repair', () => {
  test('prints SQL for a table of another program, which brings it to be equal', async () => {
    const { exit, stdout, stderr } = await cli(folder, ['repair', '--against', 'wrong'])
    expect(exit).toBe(1)
    expect(stderr).toContain('1 key of the other side is not what the log gives')
    const db = new Database(join(folder, 'wrong.db'))
    db.exec(stdout)
    db.close()
    expect(await cli(folder, ['verify', '--against', 'wrong'])).toMatchObject({ exit: 0 })
    expect(await cli(folder, ['repair', '--against', 'wrong'])).toMatchObject({ exit: 0, stderr: expect.stringContaining('nothing to repair') })
  })
})

/** A log of values put under keys, as another person could write it. */
const VALUES = {
  'rehydrate.config.ts': `
import { defineConfig, defineReducer } from 'rehydrate'
import { fileLog } from 'rehydrate/file'
import { sqlite } from 'rehydrate/sqlite'

const projection = defineReducer({ name: 'values', version: 1, collection: 'rows', on: { Put: (_, { data }) => data.value } })
export default defineConfig({
  jobs: Object.fromEntries(['ours', 'theirs'].map((name) => [name, {
    source: fileLog({ path: import.meta.dirname + '/' + name }), projection, store: sqlite({ path: import.meta.dirname + '/' + name + '.db' }),
  }])),
})
`,
}

async function valuesProject(ours: Readonly<Record<string, unknown>>, theirs: Readonly<Record<string, unknown>>): Promise<string> {
  const root = mkdtempSync(join(folder, 'values-'))
  const log = (values: Readonly<Record<string, unknown>>): string =>
    ['{"type":"Put","key":"first","data":{"value":0}}', ...Object.entries(values).map(([key, value]) =>
      JSON.stringify({ type: 'Put', key, data: { value } }))].map((line) => `${line}\n`).join('')
  write(root, { ...VALUES, 'ours/0.ndjson': log(ours), 'theirs/0.ndjson': log(theirs) })
  for (const job of ['ours', 'theirs']) expect(await cli(root, ['replay', job, '--json'])).toMatchObject({ exit: 0 })
  return root
}

describe('what is in a state', () => {
  const hostile = 'a\u001b[2J\nMATCH\u202e\u0007'

  test('does not reach the terminal as anything but text', async () => {
    const root = await valuesProject({ [hostile]: { [hostile]: `\u009b31m${hostile}` } }, { [hostile]: { [hostile]: 1 } })
    for (const args of [['diff', 'ours', '--against', 'job:theirs', '--full'], ['inspect', hostile, '--job', 'ours'], ['explain', hostile, '--job', 'ours']]) {
      const { stdout, stderr } = await cli(root, args)
      expect(`${stdout}${stderr}`).toContain('a\\u{1b}[2J')
      expect(`${stdout}${stderr}`).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]|^MATCH/m)
    }
    const repaired = await cli(root, ['repair', 'ours', '--against', 'job:theirs'])
    expect(repaired.stderr).toContain('input   the two logs part in 0, between 0 and 1')
    const { json } = await cli(root, ['diff', 'ours', '--against', 'job:theirs', '--json'])
    expect(json().differences[0].key).toBe(hostile)
  })

  test('is cut off where it is too much, and that is said', async () => {
    const wide = (value: number) => Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`f${i}`, value]))
    const root = await valuesProject({ x: wide(1), y: 1, z: 1 }, { x: wide(2), y: 2, z: 2 })
    const diff = ['diff', 'ours', '--against', 'job:theirs']
    const [found] = (await cli(root, [...diff, '--json'])).json().differences.filter(({ key }: { key: string }) => key === 'x')
    expect(found).toMatchObject({ fieldsTruncated: true })
    expect(found.fields).toHaveLength(100)
    expect((await cli(root, [...diff, '--full'])).stdout).toContain('more than 100 fields in all')
    expect((await cli(root, [...diff, '--limit', '2'])).stdout).toContain('The comparison stopped at 2 keys; --limit N goes further.')
    expect((await cli(root, [...diff, '--limit', '2', '--json'])).json()).toMatchObject({ truncated: true })
    expect((await cli(root, [...diff, '--limit', '3', '--json'])).json()).toMatchObject({ truncated: false, total: 3 })
    // Of a dump each row is read, so that the number is known, and the list is cut off all the same.
    write(root, { 'dump.ndjson': ['first', 'x', 'y', 'z'].map((key) => `{"collection":"rows","key":"${key}","value":9}\n`).join('') })
    const dump = await cli(root, ['diff', 'ours', '--against', 'dump.ndjson', '--against-at', '0@3', '--limit', '2', '--json'])
    expect(dump.json()).toMatchObject({ total: 4, truncated: true, differences: { length: 2 } })
    const people = await cli(root, ['diff', 'ours', '--against', 'dump.ndjson', '--against-at', '0@3', '--limit', '2'])
    expect(people.stdout).toContain('Looked at are the first 2 keys; --limit N goes further.')
  })

  test('is not written where it can not be, and no half of it stays', async () => {
    const root = await valuesProject({ x: 1 }, { x: 2 })
    write(root, { 'taken': 'a file', 'half/value.jsonl/in-the-way': '' })
    const diff = ['diff', 'ours', '--against', 'job:theirs', '--out']
    expect(await cli(root, [...diff, 'taken'])).toMatchObject({ exit: 64, stderr: expect.stringContaining('could not be written') })
    expect(await cli(root, [...diff, 'half'])).toMatchObject({ exit: 64 })
    expect(existsSync(join(root, 'half/value.jsonl.partial'))).toBe(false)
  })

  test('says what was waived or repaired on either side', async () => {
    const root = await valuesProject({ x: 1, y: 1 }, { x: 1, y: 1 })
    const db = new Database(join(root, 'ours.db'))
    const id = db.prepare("SELECT id FROM collections WHERE name = 'rows'").pluck().get()
    db.exec(`UPDATE entries_${String(id)} SET hash = zeroblob(32) WHERE key = 'x'`)
    db.close()
    expect(await cli(root, ['repair', 'ours'])).toMatchObject({ exit: 1, stderr: expect.stringContaining('not what the log gives: rows/x') })
    expect(await cli(root, ['repair', 'ours', '--execute'])).toMatchObject({ exit: 0, stderr: expect.stringContaining('every stored byte of ours') })
    const verified = await cli(root, ['verify', 'ours', '--against', 'job:theirs'])
    expect(verified).toMatchObject({ exit: 0, stdout: expect.stringMatching(/^ours {2}MATCH: 3 keys are equal\n/) })
    expect(verified.stdout).toContain('accepted  rebuilt: REPAIRED=rows/x')
  })
})
