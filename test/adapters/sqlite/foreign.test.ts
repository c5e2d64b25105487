import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sqlite, type ForeignTable, type SqliteTablesOptions } from '../../../adapters/sqlite/index.js'
import { compositeKey, isRehydrateError } from '../../../src/index.js'
import { failureOf } from '../../support/worlds.js'
import { openTable, openTables, otherDatabase, projectionOf, rowsOf, valuesOf } from './foreign-scene.js'

const AIRPORT = `
  CREATE TABLE airport (iata TEXT PRIMARY KEY, landed INTEGER NOT NULL, late INTEGER, name TEXT, updated_at TEXT);
  INSERT INTO airport VALUES ('TXL', 10, 4, 'Tegel', '2020'), ('SFO', 7, 0, NULL, '2021'), ('JFK', 3, 3, 'Kennedy', NULL);
`
/** Numbers from 1. */
const series = (count: number): string => `WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ${count})`
const MAPPING: ForeignTable = { table: 'airport', key: 'iata', columns: { landed: 'landed', delayed: 'late', name: 'name' }, ignore: ['updated_at'] }

async function codeOf(work: Promise<unknown> | (() => unknown)): Promise<string> {
  return (await failureOf(typeof work === 'function' ? Promise.resolve().then(work) : work)).code
}

describe('tables of another program', () => {
  test('are read through a mapping: columns, expressions and keys', async () => {
    const { path } = otherDatabase(AIRPORT)
    const side = await openTable(path, {
      ...MAPPING,
      columns: { landed: { column: 'landed', type: 'int' }, 'late.count': { column: 'late', type: 'int' }, 'late.share': { sql: 'late * 1.0 / landed', type: 'real' } },
      ignore: ['updated_at', 'name'],
      omit: ['longestDelay'],
    })
    expect(await rowsOf(side)).toEqual({
      TXL: { landed: 10, late: { count: 4, share: 0.4 } }, SFO: { landed: 7, late: { count: 0, share: 0 } }, JFK: { landed: 3, late: { count: 3, share: 1 } },
    })
    expect(side).toMatchObject({ kind: 'rows', name: path, standing: null, leftOut: [] })
    expect(side.collections).toEqual(new Map([['things', { omitted: ['longestDelay'] }]]))
  })

  test('give by key what a scan gives, also while a scan is open, and nothing for keys that are not there', async () => {
    for (const sql of [AIRPORT, AIRPORT.replace(');', ') WITHOUT ROWID;')]) {
      const side = await openTable(otherDatabase(sql).path, MAPPING)
      for await (const block of side.scan('things')) {
        expect(block.keys.length).toBe(3)
        expect(await valuesOf(side, ['TXL', 'txl', 'nope', 'JFK'])).toEqual({
          TXL: { landed: 10, delayed: 4, name: 'Tegel' }, JFK: { landed: 3, delayed: 3, name: 'Kennedy' },
        })
        expect(await rowsOf(side)).toHaveProperty('SFO', { landed: 7, delayed: 0 })
      }
      expect(await valuesOf(side, [])).toEqual({})
    }
  })

  test('may be views, and tables without rowid, and rows may be left out by a condition', async () => {
    const { path } = otherDatabase(`${AIRPORT}
      CREATE VIEW busy AS SELECT iata, landed FROM airport WHERE landed > 3;
      CREATE TABLE soft (id INTEGER PRIMARY KEY, v INTEGER, deleted INTEGER) WITHOUT ROWID;
      INSERT INTO soft VALUES (1, 10, 0), (2, 20, 1), (3, 30, 0);
      CREATE TABLE shadow (rowid TEXT, _rowid_ TEXT, oid TEXT); INSERT INTO shadow VALUES ('a', 'b', 'c');
    `)
    const side = await openTables(path, {
      busy: { table: 'busy', key: 'iata', columns: { landed: 'landed' } },
      soft: { table: 'soft', key: 'id', columns: { v: 'v' }, where: 'deleted = 0 -- not these' },
      shadow: { table: 'shadow', key: 'rowid', columns: { a: '_rowid_', b: 'oid' } },
      rest: null,
    })
    expect(await rowsOf(side, 'busy')).toEqual({ TXL: { landed: 10 }, SFO: { landed: 7 } })
    expect(await rowsOf(side, 'soft')).toEqual({ 1: { v: 10 }, 3: { v: 30 } })
    expect(await valuesOf(side, ['1', '2'], 'soft')).toEqual({ 1: { v: 10 } })
    expect(await rowsOf(side, 'shadow')).toEqual({ a: { a: 'b', b: 'c' } })
    expect(side.leftOut).toEqual(['rest'])
    expect(await codeOf(() => side.scan('rest'))).toBe('USAGE')
  })

  test('have every row once, whatever the rowids, the size of rows and the filter', async () => {
    const { path, database } = otherDatabase('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, w INTEGER)')
    const insert = database.prepare('INSERT INTO t VALUES (?, ?, ?)')
    const ids = [-(2n ** 63n), -5n, 2n ** 63n - 1n, ...Array.from({ length: 5_000 }, (_, i) => BigInt(i * 3))]
    database.transaction(() => ids.forEach((id, i) => insert.run(id, 'x'.repeat(i % 40 === 0 ? 50_000 : 3), i)))()
    const mapping = { table: 't', key: 'id', columns: { v: 'v', w: 'w' } }
    expect(Object.keys(await rowsOf(await openTable(path, mapping))).sort()).toEqual(ids.map(String).sort())
    const some = await openTable(path, { ...mapping, where: 'w % 1700 = 1' })
    expect(Object.keys(await rowsOf(some)).length).toBe(ids.filter((_, i) => i % 1_700 === 1).length)
    expect(Object.keys(await rowsOf(await openTable(path, { ...mapping, where: 'w < 0' })))).toEqual([])
  })

  test('with names that look like SQL are read as named', async () => {
    const { path } = otherDatabase(`
      CREATE TABLE "a""b; DROP TABLE x" ("select" TEXT PRIMARY KEY, "fr""om" INT, [or'der] TEXT, "" TEXT);
      INSERT INTO "a""b; DROP TABLE x" VALUES ('k', 1, 'two', NULL);
    `)
    const side = await openTable(path, { table: 'a"b; DROP TABLE x', key: 'select', columns: { a: 'fr"om', b: "or'der" }, ignore: [''] } as ForeignTable)
      .catch((error: unknown) => error)
    // An empty name is no name in a configuration; all others are.
    expect(side).toMatchObject({ code: 'CONFIG_INVALID' })
    const { path: other } = otherDatabase(`
      CREATE TABLE "a""b; DROP TABLE x" ("select" TEXT PRIMARY KEY, "fr""om" INT, [or'der] TEXT);
      INSERT INTO "a""b; DROP TABLE x" VALUES ('k', 1, 'two');
    `)
    const mapping: ForeignTable = { table: 'a"b; DROP TABLE x', key: 'select', columns: { a: 'fr"om', b: "or'der" } }
    expect(await rowsOf(await openTable(other, mapping))).toEqual({ k: { a: 1, b: 'two' } })
  })

  test('in UTF-16 give the same texts', async () => {
    const { path } = otherDatabase("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (k TEXT, v TEXT); INSERT INTO t VALUES ('ключ', 'ü€🔑'), ('b', char(65533))")
    const side = await openTable(path, { table: 't', key: 'k', columns: { v: 'v' } })
    expect(await rowsOf(side)).toEqual({ ключ: { v: 'ü€🔑' }, b: { v: '\uFFFD' } })
    expect(await valuesOf(side, ['ключ'])).toEqual({ ключ: { v: 'ü€🔑' } })
  })
})

describe('keys', () => {
  test('that are integers are their digits, all 64 bits of them, whatever the column is', async () => {
    for (const type of ['INTEGER', 'TEXT', '', 'NUMERIC']) {
      const { path } = otherDatabase(`CREATE TABLE t (k ${type}, v INT); INSERT INTO t VALUES (9007199254740993, 1), (-7, 2), (0, 3)`)
      const side = await openTable(path, { table: 't', key: 'k', columns: { v: 'v' } })
      expect(await rowsOf(side)).toEqual({ '9007199254740993': { v: 1 }, '-7': { v: 2 }, 0: { v: 3 } })
      expect(await valuesOf(side, ['9007199254740993', '007', '-7', '0.0', '1e0'])).toEqual({ '9007199254740993': { v: 1 }, '-7': { v: 2 } })
    }
  })

  test('of several columns are what compositeKey makes of them', async () => {
    const { path } = otherDatabase(`CREATE TABLE t (a TEXT, b INT, v INT); INSERT INTO t VALUES ('x"y', 5, 1), ('', 9007199254740993, 2), ('5', 5, 3)`)
    const side = await openTable(path, { table: 't', key: { columns: ['a', 'b'] }, columns: { v: 'v' } })
    const first = compositeKey('x"y', 5)
    expect(await rowsOf(side)).toEqual({ [first]: { v: 1 }, '["",9007199254740993]': { v: 2 }, [compositeKey('5', 5)]: { v: 3 } })
    const asked = [first, '["",9007199254740993]', '[5,"5"]', '["5", 5]', '["5",5,1]', '{}', 'no json', '[null,5]']
    expect(await valuesOf(side, asked)).toEqual({ [first]: { v: 1 }, '["",9007199254740993]': { v: 2 } })
  })

  test('may be an expression', async () => {
    const { path } = otherDatabase(AIRPORT)
    const side = await openTable(path, { ...MAPPING, key: { sql: "'apt-' || lower(iata)" } })
    expect(Object.keys(await rowsOf(side)).sort()).toEqual(['apt-jfk', 'apt-sfo', 'apt-txl'])
    expect(Object.keys(await valuesOf(side, ['apt-sfo', 'SFO']))).toEqual(['apt-sfo'])
  })

  test('are found exactly where the column folds case or looks like a number', async () => {
    const { path } = otherDatabase("CREATE TABLE t (k TEXT COLLATE NOCASE, v INT); INSERT INTO t VALUES ('a', 1), ('b', 2), ('B', 3), ('a' || char(0) || 'z', 4)")
    const side = await openTable(path, { table: 't', key: 'k', columns: { v: 'v' } })
    expect(await valuesOf(side, ['A', 'B', 'a\0z'])).toEqual({ B: { v: 3 }, 'a\0z': { v: 4 } })
  })

  test('that no state can have are KEY_INVALID: NULL, reals, bytes, empty and too long', async () => {
    for (const value of ['NULL', '1.5', "X'00'", "''", `'${'x'.repeat(1_025)}'`]) {
      const { path } = otherDatabase(`CREATE TABLE t (k, v INT); INSERT INTO t VALUES (${value}, 1)`)
      expect(await failureOf(rowsOf(await openTable(path, { table: 't', key: 'k', columns: { v: 'v' } })))).toMatchObject({
        code: 'KEY_INVALID', message: expect.stringContaining('t: a row has'),
      })
      const composite = rowsOf(await openTable(path, { table: 't', key: { columns: ['k', 'v'] }, columns: { w: { sql: 'v', type: 'int' } } }))
      if (value === "''") expect(await composite).toEqual({ '["",1]': { w: 1 } })
      else expect(await codeOf(composite)).toBe('KEY_INVALID')
    }
  })

  test('are looked up in any order and number, like a map', async () => {
    const { path, database } = otherDatabase('CREATE TABLE t (a INT, b TEXT, v INT, PRIMARY KEY (a, b))')
    const insert = database.prepare('INSERT INTO t VALUES (?, ?, ?)')
    database.transaction(() => { for (let i = 0; i < 3_000; i++) insert.run((i * 7) % 3_000, `b${i % 3}`, i) })()
    const composite = await openTable(path, { table: 't', key: { columns: ['a', 'b'] }, columns: { v: 'v' } })
    const single = await openTable(path, { table: 't', key: 'a', columns: { v: 'v' }, ignore: ['b'] })
    for (const side of [composite, single]) {
      const all = await rowsOf(side)
      await fc.assert(fc.asyncProperty(fc.shuffledSubarray(Object.keys(all)), async (keys) => {
        expect(await valuesOf(side, [...keys, 'absent'])).toEqual(Object.fromEntries(keys.map((key) => [key, all[key]])))
      }), { numRuns: 5 })
    }
  })
})

describe('column types', () => {
  const read = async (type: object | string, ...values: string[]): Promise<unknown[]> => {
    const rows = values.map((value, i) => `(${i}, ${value})`).join(', ')
    const { path } = otherDatabase(`CREATE TABLE t (k INTEGER PRIMARY KEY, v); INSERT INTO t VALUES ${rows}`)
    const column = typeof type === 'string' ? { type } : type
    const side = await openTable(path, { table: 't', key: 'k', columns: { v: { column: 'v', ...column } } } as unknown as ForeignTable)
    return Object.values(await rowsOf(side)).map((row) => (row as { v: unknown }).v)
  }

  test('give the value that the projection would hold', async () => {
    expect(await read('text', "'a'", "'ü' || char(0) || 'x'")).toEqual(['a', 'ü\0x'])
    expect(await read({ type: 'text', trim: 'end' }, "'a  '")).toEqual(['a'])
    expect(await read('int', '5', '-9007199254740991')).toEqual([5, -9007199254740991])
    expect(await read('int64', '5', '9223372036854775807', "'-9223372036854775808'")).toEqual([5, 2n ** 63n - 1n, -(2n ** 63n)])
    expect(await read('real', '0.1', '1e300', '-0.0', '5', '1e15')).toEqual([0.1, 1e300, 0, 5, 1e15])
    expect(await read('bool', '0', '1', "'true'", "'f'")).toEqual([false, true, true, false])
    expect(await read('bytes', "X'00ff'", "'0aFF'", "X''")).toEqual([new Uint8Array([0, 255]), new Uint8Array([10, 255]), new Uint8Array()])
    expect(await read('json', `'{"a": [1, 9007199254740993]}'`)).toEqual([{ a: [1, 9007199254740993n] }])
    expect(await read('decimal(20,2)', "'1.50'", '7', '9007199254740993')).toEqual(['1.5', '7', '9007199254740993'])
    expect(await read('date', "'2024-02-29'")).toEqual(['2024-02-29'])
    expect(await read('uuid', "'0123456789ABCDEF0123456789abcdef'", "X'00112233445566778899aabbccddeeff'"))
      .toEqual(['01234567-89ab-cdef-0123-456789abcdef', '00112233-4455-6677-8899-aabbccddeeff'])
    expect(await read('stored', '5', '0.5', "'t'", "X'01'", 'NULL')).toEqual([5, 0.5, 't', new Uint8Array([1]), undefined])
    expect(await read('int?', 'NULL')).toEqual([undefined])
    expect(await read('int | null', 'NULL')).toEqual([null])
  })

  test('of times have units and zones, and none is guessed', async () => {
    const at = Date.UTC(2024, 0, 31, 12) * 1_000
    expect(await read('timestamp', "'2024-01-31T12:00:00Z'", "'2024-01-31 14:00:00+02:00'")).toEqual([at, at])
    for (const [unit, digits] of [['s', 6], ['ms', 3], ['us', 0]] as const) {
      expect(await read({ type: 'timestamp', unit }, String(at).slice(0, 16 - digits))).toEqual([at])
    }
    expect(await read({ type: 'timestamp', zone: '+02:00' }, "'2024-01-31 14:00:00'")).toEqual([at])
    expect(await read({ type: 'timestamp', zone: 'UTC' }, "'2024-01-31 12:00:00.000'")).toEqual([at])
    expect(await codeOf(read('timestamp', '1'))).toBe('VALUE_INVALID')
    expect(await codeOf(read('timestamp', "'2024-01-31 12:00:00'"))).toBe('VALUE_INVALID')
  })

  test('refuse what does not fit, naming table, row, column and path', async () => {
    const misfits: [object | string, string][] = [
      ['text', '5'], ['int', "'5'"], ['int', '1.5'], ['int64', '1.5'], ['real', "'x'"], ['real', '9e999'], ['bool', '2'], ['bytes', "'xyz'"],
      ['json', "'{'"], ['decimal(4,2)', "'123.4'"], ['decimal(4,2)', '1.5'], ['date', "'2023-02-29'"], ['uuid', "X'00'"],
      [{ type: 'timestamp', unit: 's' }, '1.0000001'], ['int', 'NULL'],
    ]
    for (const [type, value] of misfits) {
      expect(await failureOf(read(type, value)), `${JSON.stringify(type)} ${value}`).toMatchObject({
        code: 'VALUE_INVALID', message: expect.stringMatching(/^t, row "0", column v: \$\.v /), details: { collection: 'things', key: '0', path: '$.v' },
      })
    }
    expect(await codeOf(read('stored', '9e999'))).toBe('VALUE_INVALID')
    expect(await codeOf(read('stored', '9007199254740993'))).toBe('NUMBER_INEXACT')
  })

  test('never take text that is no UTF-8 for other such text, in values and in keys', async () => {
    const open = (k: string, v: string) => {
      const { path } = otherDatabase(`CREATE TABLE t (k TEXT, v TEXT); INSERT INTO t VALUES (${k}, ${v})`)
      return openTable(path, { table: 't', key: 'k', columns: { v: 'v' } })
    }
    expect(await rowsOf(await open('char(65533)', 'char(65533)'))).toEqual({ '\uFFFD': { v: '\uFFFD' } })
    for (const [k, v] of [["'k'", "CAST(X'ff' AS TEXT)"], ["CAST(X'ff' AS TEXT)", "'v'"]] as const) {
      expect(await failureOf(rowsOf(await open(k, v)))).toMatchObject({ code: 'VALUE_INVALID', details: { collection: 'things' } })
    }
    expect(await codeOf(valuesOf(await open("'k'", "CAST(X'ff' AS TEXT)"), ['k']))).toBe('VALUE_INVALID')
  })
})

describe('where the other side stands', () => {
  const standing = async (position: SqliteTablesOptions['position'], sql = '') => {
    const { path } = otherDatabase(`${AIRPORT} CREATE TABLE at (p TEXT, o); ${sql}`)
    const side = await openTable(path, MAPPING, position === undefined ? {} : { position })
    return side.standing && { ...side.standing, position: Object.fromEntries(side.standing.position) }
  }
  const query = 'SELECT p, o FROM at'

  test('is asserted, proved by a query in the transaction of the rows, or not known', async () => {
    expect(await standing(undefined)).toBeNull()
    expect(await standing({ at: 'a/0@5,b@7' })).toEqual({ known: 'asserted', position: { 'a/0': 5, b: 7 } })
    expect(await standing({ query }, "INSERT INTO at VALUES ('a/0', 5), ('b', 7), ('c', -1)")).toEqual({ known: 'proved', position: { 'a/0': 5, b: 7 } })
    expect(await standing({ query: "SELECT 'a/0@5,b@7'" })).toEqual({ known: 'proved', position: { 'a/0': 5, b: 7 } })
    expect(await standing({ query: "SELECT ''" })).toEqual({ known: 'proved', position: {} })
  })

  test('is unknown where the query says nothing, and refused where it says something else', async () => {
    expect(await codeOf(standing({ query }))).toBe('AGAINST_POSITION_UNKNOWN')
    expect(await codeOf(standing({ query: 'SELECT NULL' }))).toBe('AGAINST_POSITION_UNKNOWN')
    expect(await codeOf(standing({ query }, "INSERT INTO at VALUES ('a', NULL)"))).toBe('AGAINST_POSITION_UNKNOWN')
    for (const values of ["('a', 1.5)", "('a', -2)", "('a', 9007199254740993)", "('a', '5')", "(NULL, 5)", "('a', 1), ('a', 2)"]) {
      expect(await codeOf(standing({ query }, `INSERT INTO at VALUES ${values}`)), values).toBe('CONFIG_INVALID')
    }
    for (const wrong of ['SELECT 1, 2, 3', 'SELECT 5', "SELECT 'nonsense'", 'SELECT nothing', 'nonsense', 'DELETE FROM at', 'SELECT 1; SELECT 2']) {
      expect(await codeOf(standing({ query: wrong })), wrong).toBe('CONFIG_INVALID')
    }
  })

  test('can not be a slot or a marker yet', async () => {
    for (const position of [{ slot: 's' }, { marker: 'm' }]) {
      expect(await codeOf(() => sqlite({ path: 'x', tables: {}, position } as never))).toBe('OPTION_DEFERRED')
    }
    expect(await codeOf(() => sqlite({ path: 'x', position: { at: 'a@1' } } as never))).toBe('CONFIG_INVALID')
  })
})

describe('nothing is implied', () => {
  const refusal = async (change: Partial<ForeignTable>) => failureOf(openTable(otherDatabase(AIRPORT).path, { ...MAPPING, ...change }))

  test('every collection is named, and none that the projection does not have', async () => {
    const { path } = otherDatabase(AIRPORT)
    const projection = projectionOf({ airports: {}, routes: {} })
    const open = (tables: SqliteTablesOptions['tables']) => failureOf(openTables(path, tables, {}, projection))
    expect(await open({ airports: MAPPING })).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('routes') })
    expect(await open({ airport: MAPPING, routes: null })).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('Did you mean airports?') })
  })

  test('every column is read, the key, or ignored', async () => {
    expect(await refusal({ ignore: [] })).toMatchObject({
      code: 'COLUMN_UNKNOWN', message: expect.stringContaining('updated_at'), fix: expect.stringContaining("ignore: ['updated_at']"),
    })
    const { path } = otherDatabase(AIRPORT)
    // What an expression or a condition reads is read.
    await openTable(path, { ...MAPPING, columns: { landed: { sql: 'airport.landed + late', type: 'int' } }, where: "name <> ''" })
    const { path: generated } = otherDatabase('CREATE TABLE t (k TEXT, v INT, g INT GENERATED ALWAYS AS (v * 2) VIRTUAL)')
    expect(await codeOf(openTable(generated, { table: 't', key: 'k', columns: { v: 'v' } }))).toBe('COLUMN_UNKNOWN')
  })

  test('tables and columns exist', async () => {
    expect(await refusal({ table: 'airports' })).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('Did you mean airport?') })
    for (const change of [{ key: 'iato' }, { columns: { landed: 'lande' } }, { ignore: ['updated'] }, { key: { columns: ['iata', 'lete'] } }] as const) {
      expect(await refusal(change)).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringMatching(/airport has no column/) })
    }
    expect(await refusal({ columns: { landed: 'LANDED', late: 'late', name: 'name' } })).toMatchObject({ message: expect.stringContaining('Did you mean landed?') })
    expect(await refusal({ ignore: ['updated_at', 'landed'] })).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('read and ignored') })
  })

  test('expressions are ones', async () => {
    for (const change of [
      { columns: { ...MAPPING.columns, x: { sql: 'nothing + 1', type: 'int' } } }, { where: 'landed >' }, { key: { sql: 'f(' } },
      { where: '1); DELETE FROM airport; --' }, { columns: { ...MAPPING.columns, x: { sql: '"nothing"', type: 'text' } } },
    ] as Partial<ForeignTable>[]) expect(await refusal(change), JSON.stringify(change)).toMatchObject({ code: 'CONFIG_INVALID' })
  })

  test('options are of their kind', async () => {
    const wrong: unknown[] = [
      { table: '' }, { key: '' }, { key: {} }, { key: { columns: [] } }, { key: { columns: ['a'], sql: 'b' } }, { key: 5 }, { columns: {} }, { columns: [] },
      { ignore: 'x' }, { ignore: [5] }, { omit: ['landed'] }, { where: '' }, { wehre: 'x' }, { columns: { landed: { column: 'landed', type: 'integer' } } },
      { columns: { landed: 5 } },
    ]
    for (const change of wrong) expect(await codeOf(refusal(change as Partial<ForeignTable>).then((error) => Promise.reject(error))), JSON.stringify(change)).toBe('CONFIG_INVALID')
    const given: unknown[] = [
      { path: '' }, { path: ':memory:' }, { tables: [] }, { tables: { things: 5 } }, { pageSizeBytes: 512 }, { position: {} },
      { position: { at: 'x' } }, { position: { at: 5 } }, { position: { query: '' } }, { position: { at: 'a@1', query: 'x' } }, { position: 'a@1' },
    ]
    for (const options of given) {
      expect(await codeOf(() => sqlite({ path: 'x', tables: { things: MAPPING }, ...(options as object) } as never)), JSON.stringify(options)).toBe('CONFIG_INVALID')
    }
  })

  test('the file is there, and a database', async () => {
    const { path } = otherDatabase(AIRPORT)
    expect(await codeOf(openTable(`${path}.not`, MAPPING))).toBe('STORE_NOT_FOUND')
    writeFileSync(`${path}.txt`, 'not a database, though it is longer than the header of one would be'.repeat(20))
    expect(await failureOf(openTable(`${path}.txt`, MAPPING))).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('not a SQLite database') })
    mkdirSync(join(path, '..', 'directory'))
    expect(await codeOf(openTable(join(path, '..', 'directory'), MAPPING))).toBe('STORE_FAILED')
  })
})

describe('one consistent read', () => {
  for (const mode of ['WAL', 'DELETE']) {
    test(`sees one moment, while another program writes (journal mode ${mode})`, async () => {
      const { path, database } = otherDatabase(`PRAGMA journal_mode = ${mode}; ${AIRPORT} CREATE TABLE at (p TEXT, o INT); INSERT INTO at VALUES ('a', 1)`)
      const many = database.prepare(`${series(5_000)} INSERT INTO airport SELECT 'A' || n, n, 0, NULL, NULL FROM s`)
      if (mode === 'DELETE') many.run()
      const side = await openTable(path, MAPPING, { position: { query: 'SELECT p, o FROM at' } })
      const before = await rowsOf(side)
      const write = (): void => void database.exec("DELETE FROM airport WHERE iata = 'TXL'; UPDATE airport SET landed = landed + 1; UPDATE at SET o = 2")
      if (mode === 'WAL') {
        write()
        many.run()
      } else {
        // A reader keeps writers of a rollback journal waiting; nothing it reads changes.
        database.pragma('busy_timeout = 0')
        expect(write).toThrow(/locked/)
      }
      expect(await rowsOf(side)).toEqual(before)
      expect(await valuesOf(side, ['TXL'])).toEqual({ TXL: before['TXL'] })
      expect(side.standing?.position).toEqual(new Map([['a', 1]]))
      await side.close()
      await side.close()
      if (mode === 'WAL') expect(await rowsOf(await openTable(path, MAPPING))).not.toHaveProperty('TXL')
      else write()
    })
  }

  test('changes nothing in the file', async () => {
    const { path, database } = otherDatabase(AIRPORT)
    const hash = (): unknown => new Database(path, { readonly: true }).prepare("SELECT group_concat(sql || name) FROM sqlite_schema").pluck().get()
    const [before, changes] = [hash(), database.pragma('data_version')]
    const side = await openTable(path, { ...MAPPING, where: 'random() IS NOT NULL' })
    await rowsOf(side)
    await side.close()
    expect([hash(), database.pragma('data_version')]).toEqual([before, changes])
  })

  test('ends when it is aborted', async () => {
    const { path } = otherDatabase(AIRPORT)
    const abort = new AbortController()
    const side = await sqlite({ path, tables: { things: MAPPING } }).open({ projection: projectionOf({ things: {} }), signal: abort.signal })
    abort.abort(new Error('enough'))
    await expect((async () => { for await (const _block of side.kind === 'rows' ? side.scan('things') : []); })()).rejects.toThrow('enough')
    await side.close()
  })

  test('of a damaged file is AGAINST_INVALID', async () => {
    const { path, database } = otherDatabase(`CREATE TABLE t (k TEXT, v TEXT); ${series(200)} INSERT INTO t SELECT n, hex(randomblob(500)) FROM s`)
    database.close()
    const { readFileSync } = await import('node:fs')
    const bytes = readFileSync(path)
    bytes.fill(0xff, 4_096 * 3, 4_096 * 20)
    writeFileSync(path, bytes)
    const error = await openTable(path, { table: 't', key: 'k', columns: { v: 'v' } }).then(rowsOf).catch((reason: unknown) => reason)
    expect(isRehydrateError(error) && error.code).toBe('AGAINST_INVALID')
  })
})
