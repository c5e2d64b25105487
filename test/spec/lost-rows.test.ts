import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, describe, expect, test } from 'vitest'
import { memoryLog, type MemoryEvent } from '../../adapters/memory/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { defineReducer } from '../../src/index.js'
import { hashValue } from '../../src/digest/hash.js'
import { encode } from '../../src/value/canonical.js'
import { failureOf, runIn, worldOf } from '../support/worlds.js'

const folder = mkdtempSync(join(tmpdir(), 'lost-rows-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const counts = defineReducer<number>({
  name: 'counts', version: 1, collection: 'counts', ids: { window: 100 }, on: { Add: (n) => (n ?? 0) + 1, Drop: () => null },
})
const add = (partition: number, i: number): MemoryEvent => ({ type: 'Add', key: `${partition}-k${i % 40}`, id: `${i}` })
let files = 0

/** Seals 200 events of two partitions, changes a row of the store behind its back, and goes on with `more`. */
async function afterChange(change: (db: Database.Database, table: (collection: string) => string) => void, more: MemoryEvent[]) {
  const path = join(folder, `${files++}.db`)
  const source = memoryLog({ partitions: { p: Array.from({ length: 100 }, (_, i) => add(0, i)), q: Array.from({ length: 100 }, (_, i) => add(1, i)) } })
  await runIn(worldOf(1), { source, projection: counts, store: sqlite({ path }) })
  const db = new Database(path)
  change(db, (name) => `entries_${String(db.prepare('SELECT id FROM collections WHERE name = ?').pluck().get(name))}`)
  db.close()
  for (const event of more) source.append('p', event)
  return await failureOf(runIn(worldOf(1), { source, projection: counts, store: sqlite({ path }) }))
}

describe('a row that is gone, or replaced whole, is STATE_CORRUPT before it is folded and sealed', () => {
  const next = { ...add(0, 5), id: 'new' }

  test('a lost row, whether the next event writes it or deletes it', async () => {
    for (const event of [next, { ...next, type: 'Drop' }]) {
      const error = await afterChange((db, table) => db.prepare(`DELETE FROM ${table('counts')} WHERE key = '0-k5'`).run(), [event])
      expect(error).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: 'counts', key: '0-k5' } })
      expect(error.message).toContain('lost')
    }
  })

  test('a row that another value and its right hash have taken the place of', async () => {
    const bytes = encode(1_000)
    const error = await afterChange((db, table) =>
      db.prepare(`UPDATE ${table('counts')} SET bytes = ?, hash = ? WHERE key = '0-k5'`).run(bytes, hashValue(bytes)), [next])
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: 'counts', key: '0-k5' } })
  })

  test('a row that appeared', async () => {
    const bytes = encode(1_000)
    const error = await afterChange((db, table) =>
      db.prepare(`INSERT INTO ${table('counts')} VALUES ('0-new', ?, ?)`).run(bytes, hashValue(bytes)), [{ type: 'Add', key: '0-new', id: 'n' }])
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: 'counts', key: '0-new' } })
  })

  test('a lost owner', async () => {
    const error = await afterChange((db, table) => db.prepare(`DELETE FROM ${table('$owners')} WHERE key = 'counts:0-k5'`).run(), [next])
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', details: { collection: '$owners', key: 'counts:0-k5' } })
  })

  test.each(['$ids', '$marks'])('a lost row of %s', async (collection) => {
    const error = await afterChange((db, table) =>
      db.prepare(`DELETE FROM ${table(collection)} WHERE key = (SELECT min(key) FROM ${table(collection)})`).run(), [next])
    expect(error).toMatchObject({ code: 'STATE_CORRUPT', details: { collection } })
  })
})
