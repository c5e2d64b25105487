import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { memoryLog, memoryStore } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import {
  defineReducer, diff, findDifferences, ndjsonDump, repair, verify, type Against, type Difference, type StateStore, type Value,
} from '../../src/index.js'
import { hostWorld } from '../../src/host/world.js'
import { decide } from '../../src/verify/verdict.js'
import { accountLog, accounts } from '../support/accounts.js'
import { built, drop, padded, put, table } from '../support/states.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

const folder = mkdtempSync(join(tmpdir(), 'verdict-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const lines = (...rows: readonly object[]) => async function* () { for (const row of rows) yield JSON.stringify(row) }

describe('a verdict', () => {
  test('is match where two rebuilds of one log give one root, however they were made', async () => {
    const log = () => memoryLog({ partitions: accountLog(5, 3, 300) })
    const [a, b] = [memoryStore(), memoryStore()]
    await runIn(worldOf(1), { source: log(), projection: accounts, store: a })
    await runIn(worldOf(2), { source: log(), projection: accounts, store: b, batch: { events: 7 } })
    const verdict = await verify({ rebuilt: { store: a, projection: accounts }, against: b })
    expect(verdict).toMatchObject({ verdict: 'match', reason: null, grade: 'scrubbed', differing: 0, asserted: false, input: { is: 'same' } })
    expect(verdict.rebuilt.root).toBe(verdict.against.root)
    expect(verdict.againstPosition).toEqual(verdict.position)
  })

  test('is mismatch where they differ, with the count, and says that the inputs part, and where', async () => {
    const a = await built([put('x', 1), put('y', 1), put('z', 1)])
    const b = await built([put('x', 1), put('y', 2), put('z', 1)])
    expect(await verify({ rebuilt: { store: a.store, projection: table }, against: b.store })).toMatchObject({
      verdict: 'mismatch', differing: 1, truncated: false, input: { is: 'different', partition: 'log', from: 0, to: 2 },
    })
    const rebuilt = { ...a, projection: table }
    expect(await verify({ rebuilt, against: b.store, againstSource: b.source })).toMatchObject({ input: { is: 'different', from: 1, to: 1 } })
  })

  test('of a mismatch over one input says that it is not the input', async () => {
    const events = [put('x', 1), put('y', 1)]
    const other = defineReducer<number>({ name: 'table', version: 1, collection: 'rows', on: { Put: (_, { data }) => data.value + 1 } })
    const [a, b] = [await built(events), await built(events, memoryStore(), other)]
    expect(await verify({ rebuilt: { store: a.store, projection: table }, against: b.store })).toMatchObject({
      verdict: 'mismatch', differing: 2, input: { is: 'same' },
    })
  })

  test('is inconclusive at different positions, and names what to do', async () => {
    const a = await built([put('x', 1), put('y', 1)])
    const b = await built([put('x', 1)])
    const verdict = await verify({ rebuilt: { store: a.store, projection: table }, against: b.store })
    expect(verdict).toMatchObject({ verdict: 'inconclusive', reason: { code: 'POSITIONS_DIFFER' }, grade: null, differing: null })
    expect(verdict.reason?.fix).toContain('--at log@0')
  })

  test('is inconclusive where nobody says where the other side stands, unless a person does; then it says so', async () => {
    const a = await built([put('x', 1)])
    const against = ndjsonDump({ name: 'dump', lines: lines({ key: 'x', value: 1 }) })
    const rebuilt = { store: a.store, projection: table }
    expect(await verify({ rebuilt, against })).toMatchObject({ verdict: 'inconclusive', reason: { code: 'AGAINST_POSITION_UNKNOWN' } })
    const againstAt = new Map([['log', 0]])
    expect(await verify({ rebuilt, against, againstAt })).toMatchObject({ verdict: 'match', asserted: true, againstPosition: againstAt })
    expect(await verify({ rebuilt, against, againstAt: new Map([['log', 5]]) }))
      .toMatchObject({ verdict: 'inconclusive', reason: { code: 'POSITIONS_DIFFER' } })
  })

  test('is none where a row of the other side can not be read: AGAINST_INVALID, naming it', async () => {
    const a = await built([put('x', 1)])
    const against = ndjsonDump({
      name: 'dump', position: { at: 'log@0' }, lines: async function* () { yield '{"key":"x","value":123456789012345678901234567890}' },
    })
    expect(await failureOf(verify({ rebuilt: { store: a.store, projection: table }, against }))).toMatchObject({
      code: 'AGAINST_INVALID', exitCode: 2, details: { line: 1 }, why: 'NUMBER_INEXACT in dump.',
    })
  })

  test('is inconclusive between logs that begin with different records, whatever the roots are', async () => {
    const a = await built([put('x', 1), put('y', 1)])
    const b = await built([put('y', 1), put('x', 1)])
    expect(await verify({ rebuilt: { store: a.store, projection: table }, against: b.store })).toMatchObject({
      verdict: 'inconclusive', reason: { code: 'LOGS_DIFFER' }, input: { is: 'different', partition: 'log' },
    })
  })

  test('a position on a word that the other side disproves is USAGE', async () => {
    const a = await built([put('x', 1)])
    const failed = verify({ rebuilt: { store: a.store, projection: table }, against: a.store, againstAt: new Map([['log', 9]]) })
    expect(await failureOf(failed)).toMatchObject({ code: 'USAGE' })
  })

  test('of a generation never sealed there is none', async () => {
    expect(await failureOf(verify({ rebuilt: { store: memoryStore(), projection: table }, against: memoryStore() })))
      .toMatchObject({ code: 'STORE_NOT_FOUND' })
    const a = await built([put('x', 1)])
    expect(await failureOf(verify({ rebuilt: { store: a.store, projection: table }, against: { generation: 7 } })))
      .toMatchObject({ code: 'STORE_NOT_FOUND' })
  })

  test('compares generations of one store', async () => {
    const a = await built([put('x', 1), put('y', 2)])
    await runIn(worldOf(1), { source: a.source, projection: table, store: a.store, restart: true })
    expect(await verify({ rebuilt: { store: a.store, projection: table }, against: { generation: 1 } })).toMatchObject({ verdict: 'match' })
  })

  test('stops counting at its limit, and says so', async () => {
    const [a, b] = [1, 2].map((value) => Array.from({ length: 500 }, (_, i) => put(`k${i}`, value)))
    const [x, y] = [await built([put('first', 0), ...a!]), await built([put('first', 0), ...b!])]
    const rebuilt = { store: x.store, projection: table }
    const verdict = await verify({ rebuilt, against: y.store, limit: 20 })
    expect(verdict).toMatchObject({ verdict: 'mismatch', truncated: true })
    expect(verdict.differing).toBeGreaterThanOrEqual(20)
    const found = await findDifferences({ rebuilt: { store: x.store, projection: table }, against: y.store, limit: 20 })
    expect(found.differences).toHaveLength(20)
    // All that differ are found: nothing was cut off.
    expect(await findDifferences({ rebuilt, against: y.store, limit: 500 })).toMatchObject({ verdict: { truncated: false, differing: 500 } })
    expect(await verify({ rebuilt, against: y.store, limit: 0 })).toMatchObject({ verdict: 'mismatch', truncated: true })
    for (const limit of [-1, Number.NaN, 0.5]) {
      expect(await failureOf(verify({ rebuilt, against: y.store, limit }))).toMatchObject({ code: 'CONFIG_INVALID', details: { path: 'limit' } })
    }
  })

  test('is none where a row of the other side comes twice: AGAINST_INVALID', async () => {
    const a = await built([put('x', 1)])
    const against = ndjsonDump({ name: 'dump', position: { at: 'log@0' }, lines: lines({ key: 'x', value: 1 }, { key: 'x', value: 1 }) })
    expect(await failureOf(verify({ rebuilt: { store: a.store, projection: table }, against }))).toMatchObject({
      code: 'AGAINST_INVALID', why: 'VALUE_INVALID in dump.', details: { key: 'x' },
    })
  })

  test('is none where every collection is left out', async () => {
    const a = await built([put('x', 1)])
    const against: Against = {
      kind: 'against', name: 'nothing',
      open: async () => ({
        kind: 'rows', name: 'nothing', standing: { position: new Map([['log', 0]]), known: 'asserted' }, collections: new Map(), leftOut: ['rows'],
        scan: async function* () {}, values: async () => new Map(), mend: null, close: async () => {},
      }),
    }
    expect(await failureOf(verify({ rebuilt: { store: a.store, projection: table }, against }))).toMatchObject({ code: 'CONFIG_INVALID' })
  })

  test('shows no value of ours that is not the one whose hash was compared', async () => {
    const path = join(folder, 'replaced.db')
    const a = await built([put('first', 0), put('x', 1), put('y', 2)], sqlite({ path }))
    const b = await built([put('first', 0), put('x', 1), put('y', 3)])
    const db = new Database(path)
    const rows = `entries_${String(db.prepare("SELECT id FROM collections WHERE name = 'rows'").pluck().get())}`
    db.exec(`UPDATE ${rows} SET (bytes, hash) = (SELECT bytes, hash FROM ${rows} WHERE key = 'x') WHERE key = 'y'`)
    db.close()
    const found = findDifferences({ rebuilt: { store: a.store, projection: table }, against: b.store })
    expect(await failureOf(found)).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: 'rows', key: 'y' } })
    // Fields that are left out are no reason to look less.
    const against: Against = {
      kind: 'against', name: 'fewer',
      open: async () => ({
        kind: 'rows', name: 'fewer', standing: { position: new Map([['log', 2]]), known: 'asserted' },
        collections: new Map([['rows', { omitted: ['note'] }]]), leftOut: [],
        scan: async function* () { yield { keys: ['first', 'x', 'y'], bytes: Uint8Array.of(0, 1, 1), ends: [1, 2, 3] } },
        values: async () => new Map(), mend: null, close: async () => {},
      }),
    }
    expect(await failureOf(verify({ rebuilt: { store: a.store, projection: table }, against }))).toMatchObject({ code: 'STATE_CORRUPT' })
  })

  test('is not asked of another log than the one a state was built from', async () => {
    const a = await built([put('first', 0), put('x', 1), put('y', 1)])
    const source = memoryLog({ partitions: { log: [put('first', 0), put('x', 2), put('y', 2)] } })
    const rebuilt = { store: a.store, projection: table, source }
    const at = new Map([['log', 1]])
    expect(await failureOf(verify({ rebuilt, at, against: a.store }))).toMatchObject({ code: 'LOG_REWRITTEN' })
    expect(await failureOf(findDifferences({ rebuilt, at, against: { at: new Map([['log', 0]]) } }))).toMatchObject({ code: 'LOG_REWRITTEN' })
  })

  test('says nothing of the input where one side has not read a partition', async () => {
    const [a, b] = [memoryStore(), memoryStore()]
    await runIn(worldOf(1), { source: memoryLog({ partitions: { p: [put('x', 1)], q: [put('y', 1)] } }), projection: table, store: a })
    await runIn(worldOf(1), { source: memoryLog({ partitions: { p: [put('x', 1)], r: [put('y', 1)] } }), projection: table, store: b })
    expect(await verify({ rebuilt: { store: a, projection: table }, against: b })).toMatchObject({
      verdict: 'inconclusive', reason: { code: 'POSITIONS_DIFFER' }, input: { is: 'unknown' },
    })
  })

  test('takes options of the right form only', async () => {
    const a = await built([put('x', 1)])
    const rebuilt = { store: a.store, projection: table }
    for (const against of [undefined, null, 'old']) {
      expect(await failureOf(verify({ rebuilt, against: against as never }))).toMatchObject({ code: 'CONFIG_INVALID', details: { path: 'against' } })
    }
    expect(await failureOf(verify({ rebuilt, against: a.store, waitMs: Number.NaN }))).toMatchObject({ code: 'CONFIG_INVALID' })
  })

  test('that is stopped on the way is RUN_STOPPED, wherever that is', async () => {
    const [a, b] = [await built([put('x', 1), put('y', 1)]), await built([put('x', 1)])]
    const rebuilt = { ...a, projection: table }
    const dump = ndjsonDump({ name: 'dump', position: { at: 'log@1' }, lines: lines({ key: 'x', value: 1 }) })
    const stop = new AbortController()
    const waiting = failureOf(verify({ rebuilt, against: b.store, waitMs: 60_000, signal: stop.signal }))
    const aborting = setTimeout(() => stop.abort(), 50)
    expect(await waiting).toMatchObject({ code: 'RUN_STOPPED' })
    clearTimeout(aborting)
    const { signal } = stop
    for (const against of [a.store, dump]) {
      expect(await failureOf(verify({ rebuilt, against, signal }))).toMatchObject({ code: 'RUN_STOPPED' })
      expect(await failureOf(repair({ rebuilt, against, signal }))).toMatchObject({ code: 'RUN_STOPPED' })
    }
  })

  test('leaves no side open that was opened for it, whatever comes', async () => {
    const [a, b] = [await built([put('x', 1), put('y', 1)]), await built([put('x', 1)])]
    let open = 0
    const counted = (store: StateStore, fails = false): StateStore => ({
      capabilities: store.capabilities, generations: () => store.generations(), close: () => store.close(),
      switchTo: (generation, expected) => store.switchTo(generation, expected), drop: (generation) => store.drop(generation),
      async open(options) {
        const session = await store.open(options)
        open++
        let closed = false
        return {
          checkpoint: session.checkpoint, writer: session.writer, commit: session.commit.bind(session), beat: session.beat.bind(session),
          load: async (collection, keys) => {
            if (fails && collection === '$digest') throw new Error('the disk is gone')
            return await session.load(collection, keys)
          },
          scan: session.scan.bind(session), collections: session.collections.bind(session),
          async close() {
            if (!closed) open--
            closed = true
            await session.close()
          },
        }
      },
    })
    const rebuilt = { ...a, store: counted(a.store), projection: table }
    const at = new Map([['log', 9]])
    await failureOf(verify({ rebuilt, against: counted(b.store), againstAt: at }))
    await verify({ rebuilt, against: counted(b.store), waitMs: 300 })
    await verify({ rebuilt, against: counted(b.store), at: new Map([['log', 0]]) })
    await failureOf(findDifferences({ rebuilt, against: counted((await built([put('x', 1), put('y', 2)])).store, true) }))
    await failureOf(verify({ rebuilt, against: counted(b.store), at }))
    await findDifferences({ rebuilt, at: new Map([['log', 1]]), against: { at: new Map([['log', 0]]) } })
    await repair({ rebuilt, against: { generation: 1 }, execute: true })
    expect(open).toBe(0)
  })
})

describe('waiting', () => {
  const first = [put('x', 1), put('y', 1)]
  const more = [put('x', 2), drop('y'), put('z', 3)]

  test('folds ours forward in memory to where the other side stands, and stops nobody', async () => {
    const a = await built(first)
    const source = memoryLog({ partitions: { log: [...first, ...more] } })
    const b = await built([...first, ...more])
    const before = (await a.store.generations())[0]?.checkpoint?.manifestHash
    const verdict = await verify({ rebuilt: { store: a.store, projection: table, source }, against: b.store, waitMs: 1 })
    expect(verdict).toMatchObject({ verdict: 'match', position: new Map([['log', 4]]) })
    expect((await a.store.generations())[0]?.checkpoint?.manifestHash).toBe(before)
  })

  test('waits for our own log, where the other side has read further than it reaches', async () => {
    const a = await built(first)
    const b = await built([...first, ...more])
    expect(await verify({ rebuilt: { ...a, projection: table }, against: b.store, waitMs: 1 })).toMatchObject({
      verdict: 'inconclusive', reason: { code: 'WAIT_DEADLINE', message: 'After 0 s the other side stands at log@4, beyond the end of our log.' },
    })
    const source = memoryLog({ partitions: { log: first } })
    const waiting = verify({ rebuilt: { store: a.store, projection: table, source }, against: b.store, waitMs: 20_000 })
    for (const event of more) source.append('log', event)
    expect(await waiting).toMatchObject({ verdict: 'match' })
  })

  test('waits for a side that is behind, until the time is up: exit 3', async () => {
    const [a, b] = [await built([...first, ...more]), await built(first)]
    const late = await verify({ rebuilt: { ...a, projection: table }, against: b.store, waitMs: 300 })
    expect(late).toMatchObject({ verdict: 'inconclusive', reason: { code: 'WAIT_DEADLINE' } })
    const waiting = verify({ rebuilt: { ...a, projection: table }, against: b.store, waitMs: 20_000 })
    await runIn(worldOf(1), { source: a.source, projection: table, store: b.store })
    expect(await waiting).toMatchObject({ verdict: 'match' })
  })
})

/** State → what differs, by comparing two maps. */
function bruteForce(ours: ReadonlyMap<string, Value>, theirs: ReadonlyMap<string, Value>): string[] {
  return [...new Set([...ours.keys(), ...theirs.keys()])].flatMap((key) => {
    const [a, b] = [ours.get(key), theirs.get(key)]
    const kind = a === undefined ? 'only-against' : b === undefined ? 'only-rebuilt' : 'value'
    return JSON.stringify(a) === JSON.stringify(b) ? [] : [`${key} ${kind} ${JSON.stringify(a)} ${JSON.stringify(b)}`]
  }).sort()
}

const shown = ({ key, kind, rebuilt, against }: Difference): string => `${key} ${kind} ${JSON.stringify(rebuilt)} ${JSON.stringify(against)}`

const states = fc.array(fc.record({
  key: fc.integer({ min: 0, max: 400 }).map((n) => `k${n}`), value: fc.constantFrom<Value>(1, 2, [null], { a: 1 }), gone: fc.boolean(),
}), { maxLength: 400 })

test('a diff is what comparing two maps gives, between stores, and against a dump', { timeout: 120_000 }, async () => {
  await fc.assert(fc.asyncProperty(states, states, fc.boolean(), async (common, own, fromCommon) => {
    const theirsOwn = fromCommon ? [...common, ...own] : own
    const [left, right] = [common, theirsOwn].map((list) => list.map(({ key, value, gone }) => (gone ? drop(key) : put(key, value))))
    const length = Math.max(left!.length, right!.length) + 1
    const maps = [left!, right!].map((events) => {
      const map = new Map<string, Value>()
      for (const { type, key, data } of padded(events, length)) {
        if (type === 'Drop') map.delete(key as string)
        else map.set(key as string, (data as { value: Value }).value)
      }
      return map
    })
    const [a, b] = [await built(padded(left!, length)), await built(padded(right!, length))]
    const expected = bruteForce(maps[0]!, maps[1]!)
    const rebuilt = { store: a.store, projection: table }
    const found: string[] = []
    for await (const difference of diff({ rebuilt, against: b.store })) found.push(shown(difference))
    expect(found.sort()).toEqual(expected)
    const dump = ndjsonDump({
      name: 'dump', lines: lines(...[...maps[1]!].map(([key, value]) => ({ key, value }))), position: { at: `log@${length}` },
    })
    const dumped: string[] = []
    for await (const difference of diff({ rebuilt, against: dump })) dumped.push(shown(difference))
    expect(dumped.sort()).toEqual(expected)
  }), { numRuns: 40 })
})

test('a diff between two positions is what changed between them', async () => {
  const a = await built([put('x', 1), put('y', 1), put('x', 2), drop('y'), put('z', 3)])
  const rebuilt = { ...a, projection: table }
  const found: string[] = []
  for await (const difference of diff({ rebuilt, at: new Map([['log', 3]]), against: { at: new Map([['log', 1]]) } })) found.push(shown(difference))
  expect(found.sort()).toEqual(['x value 2 1', 'y only-against undefined 1'])
  const since: string[] = []
  for await (const difference of diff({ rebuilt, against: { at: new Map([['log', 1]]) } })) since.push(shown(difference))
  expect(since.sort()).toEqual(['x value 2 1', 'y only-against undefined 1', 'z only-rebuilt 3 undefined'])
  expect(await failureOf(decide({ rebuilt, against: { at: new Map([['log', 1]]) } }, hostWorld()))).toMatchObject({ code: 'USAGE' })
  for (const more of [{ waitMs: 1 }, { againstAt: new Map([['log', 1]]) }]) {
    expect(await failureOf(findDifferences({ rebuilt, against: { at: new Map([['log', 1]]) }, ...more }))).toMatchObject({ code: 'CONFIG_INVALID' })
  }
})
