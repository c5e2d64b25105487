import { describe, expect, test } from 'vitest'
import { memoryLog } from '../../../adapters/memory/index.js'
import { sqlite, type ForeignTable } from '../../../adapters/sqlite/index.js'
import { defineProjection, encode, findDifferences, replay, verify, type Mend, type RowSide } from '../../../src/index.js'
import { otherDatabase } from './foreign-scene.js'

const projection = defineProjection({
  name: 'accounts', version: 1,
  collections: { accounts: { columns: { balance: 'int64', owner: 'text?', openedAt: 'timestamp', last: 'json' } }, seen: {} },
  keys: { Moved: (event) => [{ collection: 'accounts', key: event.key! }, { collection: 'seen', key: event.key! }] },
  on: {
    Moved(state, { key, data, offset }) {
      const before = state.accounts.get(key!) ?? { balance: 0n, openedAt: data.atMs * 1_000 }
      state.accounts.put(key!, { ...before, balance: before.balance + BigInt(data.cents), ...(data.owner && { owner: data.owner }), last: data })
      state.seen.put(key!, offset)
    },
  },
})

const LOG = Array.from({ length: 300 }, (_, i) => ({
  type: 'Moved', key: `acc-${i % 40}`, data: { cents: (i * 37) % 101, atMs: 1_700_000_000_000 + i, ...(i % 3 === 0 && { owner: `O'${i}` }) },
}))

/** What an old service would have written, by its own code. */
function oldService(): ReturnType<typeof otherDatabase> {
  const made = otherDatabase(`CREATE TABLE account (id TEXT PRIMARY KEY, cents INTEGER, name TEXT, opened_ms INTEGER, changed TEXT);
    CREATE TABLE applied (partition TEXT, last_offset INTEGER); INSERT INTO applied VALUES ('p', 299)`)
  const move = made.database.prepare(`INSERT INTO account VALUES (@key, @cents, @owner, @atMs, 'now')
    ON CONFLICT (id) DO UPDATE SET cents = cents + excluded.cents, name = coalesce(excluded.name, name)`)
  for (const { key, data } of LOG) move.run({ key, owner: null, ...data })
  return made
}

const TABLE: ForeignTable = {
  table: 'account', key: 'id', ignore: ['changed'], omit: ['last'],
  columns: { balance: 'cents', owner: 'name', openedAt: { column: 'opened_ms', unit: 'ms' } },
}

describe('a state against the tables of an old service', () => {
  const built = async () => {
    const source = memoryLog({ partitions: { p: LOG } })
    const store = sqlite({ path: otherDatabase('').path.replace('other.db', 'state.db') })
    await replay({ source, projection, store, until: 'head' }).done
    return { rebuilt: { store, projection, source } }
  }
  const against = (path: string) => sqlite({ path, tables: { accounts: TABLE, seen: null }, position: { query: 'SELECT * FROM applied' } })

  test('is equal, with the types that the projection declares, and without what was left out', async () => {
    const { rebuilt } = await built()
    const verdict = await verify({ rebuilt, against: against(oldService().path) })
    expect(verdict).toMatchObject({ verdict: 'match', reason: null, asserted: false, differing: 0 })
    expect(verdict.collections).toMatchObject({ accounts: { equal: true, omitted: ['last'] }, seen: { equal: null } })
  })

  test('differs in the rows that differ, and is equal after their statements were run', async () => {
    const { rebuilt } = await built()
    const { path, database } = oldService()
    database.exec("UPDATE account SET cents = cents + 1 WHERE id = 'acc-7'; DELETE FROM account WHERE id = 'acc-9'; INSERT INTO account VALUES ('acc-x', 1, NULL, 5, '')")
    const { verdict, differences } = await findDifferences({ rebuilt, against: against(path) })
    expect(verdict).toMatchObject({ verdict: 'mismatch', differing: 3 })
    expect(differences.map(({ key, kind, fields }) => [key, kind, fields.map((field) => field.path)]).sort()).toEqual([
      ['acc-7', 'value', ['$.balance']], ['acc-9', 'only-rebuilt', []], ['acc-x', 'only-against', []],
    ])
    const side = (await against(path).open({ projection, signal: new AbortController().signal })) as RowSide
    const statements = side.mend!(differences.map((one): Mend => ({
      collection: one.collection, key: one.key,
      should: one.rebuilt === undefined ? null : encode(one.rebuilt), is: one.against === undefined ? null : encode(one.against),
    })))
    await side.close()
    expect(statements.filter((line) => line.startsWith('--'))).toEqual([])
    database.exec(statements.join('\n'))
    expect(await verify({ rebuilt, against: against(path) })).toMatchObject({ verdict: 'match' })
  })

  test('at another position, or at none, says nothing', async () => {
    const { rebuilt } = await built()
    const { path, database } = oldService()
    database.exec('UPDATE applied SET last_offset = 298')
    expect(await verify({ rebuilt, against: against(path) })).toMatchObject({ verdict: 'inconclusive', reason: { code: 'POSITIONS_DIFFER' } })
    const unknown = sqlite({ path, tables: { accounts: TABLE, seen: null } })
    expect(await verify({ rebuilt, against: unknown })).toMatchObject({ verdict: 'inconclusive', reason: { code: 'AGAINST_POSITION_UNKNOWN' } })
  })
})
