import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, describe, expect, test } from 'vitest'
import { memoryLog, type MemoryLog } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { defineProjection, isRehydrateError, scrub, verify, type Projection } from '../../src/index.js'
import { startRun } from '../../src/replay/run.js'
import { accountLog, accounts } from '../support/accounts.js'
import { failureOf, runIn, seeded, worldOf } from '../support/worlds.js'

const folder = mkdtempSync(join(tmpdir(), 'tampering-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The same fold, its accounts kept as a table with columns. */
const typed: Projection = defineProjection({
  name: 'accounts', version: 1,
  collections: { accounts: { columns: { balance: 'int', moves: 'int', chain: 'int' } }, closed: { columns: { times: 'int', last: 'json | null' } } },
  keys: { Moved: (e) => accounts.types.get('Moved')!.keys!(e) as [], Closed: (e) => accounts.types.get('Closed')!.keys!(e) as [] },
  on: { Moved: (state, e) => void accounts.types.get('Moved')!.handler(state, e), Closed: (state, e) => void accounts.types.get('Closed')!.handler(state, e) },
})

/** Columns of the catalogue that say who writes, not what is kept. */
const BOOKKEEPING = ['epoch', 'incarnation', 'owner', 'sinceMs', 'beatMs', 'lock']

interface Cell { readonly table: string; readonly column: string; readonly rowid: string; readonly where: string; readonly key: unknown }

/** Every cell of the file that has to do with the state, or so many of each column. */
function cellsOf(path: string, most: number, random: () => number, passedOver: readonly string[] = BOOKKEEPING): Cell[] {
  const db = new Database(path, { readonly: true })
  const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").pluck().all() as string[]
  const cells = tables.flatMap((table) => {
    const columns = db.prepare(`SELECT name, pk FROM pragma_table_info('${table}')`).all() as { name: string; pk: number }[]
    const primary = columns.find(({ pk }) => pk === 1)!.name
    const keys = db.prepare(`SELECT "${primary}" FROM "${table}"`).pluck().all()
    return columns.filter(({ name }) => !passedOver.includes(name)).flatMap(({ name }) => {
      const chosen = keys.length <= most ? keys : Array.from({ length: most }, () => keys[Math.floor(random() * keys.length)])
      return chosen.map((key): Cell => ({ table, column: name, rowid: primary, where: `"${primary}" = ?`, key }))
    })
  })
  db.close()
  return cells
}

/** Changes one cell to something close by. False where there is nothing to change. */
function tamper(path: string, { table, column, where, key }: Cell, random: () => number): boolean {
  const db = new Database(path)
  try {
    const before = db.prepare(`SELECT "${column}" FROM "${table}" WHERE ${where}`).pluck().get(key)
    const after = changed(before, random)
    db.pragma('ignore_check_constraints = ON')
    db.prepare(`UPDATE "${table}" SET "${column}" = ? WHERE ${where}`).run(after, key)
    return true
  } catch (error) {
    // A name or number that is taken already: the database itself refused.
    if (error instanceof Error && /constraint/i.test(error.message)) return false
    throw error
  } finally {
    db.close()
  }
}

function changed(value: unknown, random: () => number): unknown {
  if (typeof value === 'number') return value + 1
  if (typeof value === 'string') return value === '' ? 'x' : `${value.slice(0, -1)}${value.endsWith('1') ? '2' : '1'}`
  if (value === null) return 1
  const bytes = Buffer.from(value as Buffer)
  const at = Math.floor(random() * bytes.length)
  bytes[at] = bytes[at]! ^ (1 << Math.floor(random() * 8))
  return bytes
}

const log = (): MemoryLog => memoryLog({ partitions: accountLog(3, 2, 400) })

describe('one changed cell anywhere in a SQLite state', () => {
  for (const [name, projection] of [['bytes', accounts], ['typed tables', typed]] as const) {
    test(`is found by a scrub, kept as ${name}`, { timeout: 120_000 }, async () => {
      const random = seeded(7)
      const path = join(folder, `sealed-${name.replace(' ', '-')}.db`)
      await runIn(worldOf(1), { source: log(), projection, store: sqlite({ path }) })
      await scrub({ store: sqlite({ path }) })
      const missed: Cell[] = []
      let tampered = 0
      for (const cell of cellsOf(path, 12, random)) {
        const copy = join(folder, 'copy.db')
        copyFileSync(path, copy)
        if (!tamper(copy, cell, random)) continue
        tampered++
        const error = await scrub({ store: sqlite({ path: copy }) }).then(() => null, (thrown: unknown) => thrown)
        if (!isRehydrateError(error)) missed.push(cell)
      }
      expect(tampered).toBeGreaterThan(100)
      expect(missed).toEqual([])
    })

    test(`between checkpoints is found by the run that goes on, or by the scrub after it, kept as ${name}`, { timeout: 120_000 }, async () => {
      const random = seeded(11)
      const stopAt = (until: string) => ({ until, switch: 'manual' as const })
      const path = join(folder, `half-${name.replace(' ', '-')}.db`)
      await runIn(worldOf(1), { source: log(), projection, store: sqlite({ path }), ...stopAt('moves/0@199,moves/1@199') })
      const missed: Cell[] = []
      let tampered = 0
      // What a run to come makes live, or seals, it marks so itself.
      for (const cell of cellsOf(path, 4, random, [...BOOKKEEPING, 'live', 'everSealed'])) {
        const copy = join(folder, 'copy.db')
        copyFileSync(path, copy)
        if (!tamper(copy, cell, random)) continue
        tampered++
        const store = sqlite({ path: copy })
        const halted = await runIn(worldOf(2), { source: log(), projection, store }).then(() => null, (thrown: unknown) => thrown)
        if (halted !== null) {
          expect(isRehydrateError(halted)).toBe(true)
          continue
        }
        const [row] = await store.generations()
        // A name of the catalogue that led to a fresh generation is not that state any more.
        const error = await scrub({ store, generation: row!.generation }).then(() => null, (thrown: unknown) => thrown)
        if (!isRehydrateError(error)) missed.push(cell)
      }
      expect(tampered).toBeGreaterThan(40)
      expect(missed).toEqual([])
    })
  }
})

test('one changed cell of a table of another program is a mismatch of that one key, or a row that can not be read', { timeout: 60_000 }, async () => {
  const random = seeded(5)
  const [path, old] = [join(folder, 'mine.db'), join(folder, 'old.db')]
  await runIn(worldOf(1), { source: log(), projection: typed, store: sqlite({ path }) })
  const db = new Database(old)
  db.exec(`ATTACH '${path}' AS mine`)
  db.exec('CREATE TABLE account AS SELECT key, balance, moves, chain FROM mine.accounts')
  db.exec('CREATE TABLE gone AS SELECT key, times, last FROM mine.closed')
  db.exec('CREATE UNIQUE INDEX account_key ON account (key); CREATE UNIQUE INDEX gone_key ON gone (key)')
  db.close()
  const against = (file: string) => sqlite({
    path: file, position: { at: 'moves/0@399,moves/1@399' },
    tables: {
      accounts: { table: 'account', key: 'key', columns: { balance: 'balance', moves: 'moves', chain: 'chain' } },
      closed: { table: 'gone', key: 'key', columns: { times: 'times', last: 'last' } },
    },
  })
  const rebuilt = { store: sqlite({ path }), projection: typed }
  expect(await verify({ rebuilt, against: against(old) })).toMatchObject({ verdict: 'match' })
  const copy = join(folder, 'old-copy.db')
  for (const [name, keyed] of [['account', ['key', 'balance', 'moves', 'chain']], ['gone', ['key', 'times', 'last']]] as const) {
    const reader = new Database(old, { readonly: true })
    const keys = reader.prepare(`SELECT key FROM ${name}`).pluck().all()
    reader.close()
    for (const column of keyed) {
      for (let i = 0; i < 5; i++) {
        copyFileSync(old, copy)
        const key = keys[Math.floor(random() * keys.length)]
        if (!tamper(copy, { table: name, column, rowid: 'key', where: 'key = ?', key }, random)) continue
        const verdict = await verify({ rebuilt, against: against(copy) }).catch((error: unknown) => error)
        if (isRehydrateError(verdict)) expect(verdict.code).toBe('AGAINST_INVALID')
        else expect(verdict).toMatchObject({ verdict: 'mismatch', differing: column === 'key' ? 2 : 1 })
      }
    }
  }
})

test('one changed cell, or a lost row, of a state that was never sealed yet is found by the run that goes on', { timeout: 120_000 }, async () => {
  const random = seeded(13)
  const path = join(folder, 'pending.db')
  const run = startRun({ source: log(), projection: accounts, store: sqlite({ path }), batch: { events: 20 }, checkpoint: { bytes: 2_000 } }, worldOf(1))
  let checkpoints = 0
  for await (const { kind } of run) {
    if (kind !== 'checkpoint' || ++checkpoints < 5) continue
    await run.close()
    break
  }
  expect(await failureOf(run.done)).toMatchObject({ code: 'RUN_STOPPED' })
  const goOn = (from: string) => runIn(worldOf(2), { source: log(), projection: accounts, store: sqlite({ path: from }) })
  const copy = join(folder, 'copy.db')
  const missed: Cell[] = []
  for (const cell of cellsOf(path, 5, random, [...BOOKKEEPING, 'live', 'everSealed'])) {
    for (const isLost of cell.column === 'bytes' ? [true, false] : [false]) {
      copyFileSync(path, copy)
      if (isLost) lose(copy, cell)
      else if (!tamper(copy, cell, random)) continue
      const halted = await goOn(copy).then(() => null, (thrown: unknown) => thrown)
      const error = halted ?? await scrub({ store: sqlite({ path: copy }) }).then(() => null, (thrown: unknown) => thrown)
      if (!isRehydrateError(error)) missed.push(cell)
    }
  }
  // A name of the catalogue that led to a fresh generation is not that state any more.
  expect(missed.filter(({ table }) => table.startsWith('entries'))).toEqual([])
  expect(await goOn(path)).toMatchObject({ grade: { grade: 'scrubbed' } })
})

function lose(path: string, { table, where, key }: Cell): void {
  const db = new Database(path)
  db.prepare(`DELETE FROM "${table}" WHERE ${where}`).run(key)
  db.close()
}

test('a scrub names the entry', async () => {
  const path = join(folder, 'named.db')
  await runIn(worldOf(1), { source: log(), projection: accounts, store: sqlite({ path }) })
  const db = new Database(path)
  const id = db.prepare("SELECT id FROM collections WHERE name = 'accounts'").pluck().get()
  const key = db.prepare(`SELECT key FROM entries_${id} LIMIT 1`).pluck().get() as string
  db.prepare(`DELETE FROM entries_${id} WHERE key = ?`).run(key)
  db.close()
  expect(await failureOf(scrub({ store: sqlite({ path }) }))).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: 'accounts', key } })
})
