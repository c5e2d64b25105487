import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { literal } from '../../../adapters/sqlite/foreign-sql.js'
import type { ForeignTable } from '../../../adapters/sqlite/index.js'
import { encode, type Mend, type RowSide, type Value } from '../../../src/index.js'
import { openTable, otherDatabase, rowsOf } from './foreign-scene.js'

/** What brings the rows that a side has to the wanted ones. */
async function mendsTo(side: RowSide, wanted: Readonly<Record<string, Value>>, only?: readonly string[]): Promise<readonly string[]> {
  const held = await rowsOf(side)
  const keys = only ?? [...new Set([...Object.keys(held), ...Object.keys(wanted)])]
  const bytes = (values: Readonly<Record<string, Value>>, key: string): Uint8Array | null =>
    (Object.hasOwn(values, key) ? encode(values[key]!) : null)
  const changes = keys.map((key): Mend => ({ collection: 'things', key, should: bytes(wanted, key), is: bytes(held, key) }))
  return side.mend!(changes.filter(({ should, is }) => should === null || is === null || Buffer.compare(should, is) !== 0))
}

const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constantFrom("it's", 'a\0b', 'x\ny', '--', '";', '12', '1e5', '\uFFFD', ' '))
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const safe = fc.maxSafeInteger().map(BigInt)
const real = fc.double({ noNaN: true, noDefaultInfinity: true }).filter((one) => Math.abs(one) <= 2 ** 53 || Math.abs(one) >= 2 ** 64 || one % 1 !== 0)
const bytes = fc.uint8Array({ maxLength: 6 }).map((array) => Buffer.from(array))
const second = fc.integer({ min: -9_000_000_000, max: 9_000_000_000 })
const iso = (ms: number): string => new Date(ms).toISOString().slice(0, 23)

/** Per column how it is declared in the table and in the mapping, and what the other program writes into it. */
const COLUMNS: Record<string, [declared: string, mapped: object, raw: fc.Arbitrary<unknown>]> = {
  txt: ['VARCHAR(9)', { type: 'text' }, text],
  whole: ['INT', { type: 'int' }, safe],
  big: ['INTEGER', { type: 'int64' }, int64],
  digits: ['TEXT', { type: 'int64' }, int64.map(String)],
  measure: ['REAL', { type: 'real' }, real],
  flag: ['BOOLEAN', { type: 'bool' }, fc.constantFrom(0n, 1n)],
  letter: ['CHAR(1)', { type: 'bool' }, fc.constantFrom('t', 'f')],
  blob: ['BLOB', { type: 'bytes' }, bytes],
  hex: ['TEXT', { type: 'bytes' }, bytes.map((one) => one.toString('hex'))],
  doc: ['TEXT', { type: 'json' }, fc.oneof(text, fc.boolean(), fc.constantFrom([1, { a: null }], { b: 'x' }, 0.5, null)).map((one) => JSON.stringify(one))],
  price: ['TEXT', { type: 'decimal(20,2)' }, safe.map((one) => `${one}.50`)],
  cents: ['NUMERIC', { type: 'decimal(20,0)' }, safe],
  seconds: ['INTEGER', { type: 'timestamp', unit: 's' }, second.map(BigInt)],
  millis: ['INTEGER', { type: 'timestamp', unit: 'ms' }, second.map((one) => BigInt(one) * 1_000n + 7n)],
  days: ['REAL', { type: 'timestamp', unit: 's' }, second.map((one) => one + 0.5)],
  local: ['DATETIME', { type: 'timestamp', zone: '+02:00' }, second.map((one) => iso(one * 1_000).replace('T', ' '))],
  zulu: ['TEXT', { type: 'timestamp' }, second.map((one) => `${iso(one * 1_000)}Z`)],
  day: ['DATE', { type: 'date' }, second.map((one) => iso(one * 1_000).slice(0, 10))],
  uuid: ['TEXT', { type: 'uuid' }, fc.uuid()],
  uuid16: ['BLOB', { type: 'uuid' }, fc.uuid().map((one) => Buffer.from(one.replaceAll('-', ''), 'hex'))],
  any: ['', { type: 'stored' }, fc.oneof(safe, real, text, bytes, fc.constant(null))],
  maybe: ['TEXT', { type: 'text?' }, fc.option(text)],
  'deep.none': ['INT', { type: 'int | null' }, fc.option(safe)],
}
const row = fc.record(Object.fromEntries(Object.entries(COLUMNS).map(([name, [, , raw]]) => [name, raw])))
const names = Object.keys(COLUMNS)
const quoted = names.map((name) => `"${name}"`)

function databaseOf(rows: Readonly<Record<string, Readonly<Record<string, unknown>>>>, key: string) {
  const columns = names.map((name, i) => `${quoted[i]} ${COLUMNS[name]![0]}`).join(', ')
  const made = otherDatabase(`CREATE TABLE t (${key}, ${columns}, extra TEXT DEFAULT 'kept')`)
  const marks = (count: number): string => Array.from({ length: count }, () => '?').join(', ')
  for (const [name, cells] of Object.entries(rows)) {
    const keys = key.includes('k2') ? (JSON.parse(name) as unknown[]) : [name]
    const into = ['k', ...(keys.length === 2 ? ['k2'] : []), ...quoted].join(', ')
    made.database.prepare(`INSERT INTO t (${into}) VALUES (${marks(keys.length + names.length)})`).run(...keys, ...names.map((one) => cells[one]))
  }
  return made
}

const mapping = (key: ForeignTable['key']): ForeignTable => ({
  table: 't', key, ignore: ['extra'],
  columns: Object.fromEntries(names.map((name) => [name, { column: name, ...COLUMNS[name]![1] } as never])),
})

test('a literal is read back as the very value, of the same storage class', () => {
  const { database } = otherDatabase('')
  fc.assert(fc.property(fc.oneof(int64, fc.double({ noNaN: true }), text, bytes, fc.constantFrom(null, 5, -(2n ** 63n), 1e20, 5e-324, -0)), (value) => {
    const [cell, type] = database.prepare(`SELECT ${literal(value)}, typeof(${literal(value)})`).safeIntegers().raw().get() as [unknown, string]
    const expected = value === null ? 'null' : typeof value === 'bigint' ? 'integer' : typeof value === 'number' ? 'real' : typeof value === 'string' ? 'text' : 'blob'
    expect([type, cell]).toEqual([expected, value === 0 ? 0 : value])
  }), { numRuns: 2_000 })
})

describe('SQL that mends a table of another program', () => {
  const keyText = text.filter((one) => one !== '')
  for (const [what, key, declared, keys] of [
    ['a text', 'k', 'k TEXT PRIMARY KEY', keyText],
    ['an integer', 'k', 'k INTEGER PRIMARY KEY', int64.map(String)],
    ['a text and an integer', { columns: ['k', 'k2'] }, 'k TEXT, k2 INT', fc.tuple(text, fc.integer()).map((parts) => JSON.stringify(parts))],
  ] as const) {
    test(`brings it to any other state, for all types of columns (key: ${what})`, async () => {
      await fc.assert(fc.asyncProperty(
        fc.dictionary(keys, row, { maxKeys: 4, noNullPrototype: true }), fc.dictionary(keys, row, { maxKeys: 4, noNullPrototype: true }), fc.boolean(),
        async (before, after, isShared) => {
          const wanted = isShared ? { ...after, ...Object.fromEntries(Object.keys(before).map((one, i) => [one, Object.values(after)[i] ?? before[one]!])) } : after
          const { path, database } = databaseOf(before, declared)
          const side = await openTable(path, mapping(key))
          const rows = await rowsOf(await openTable(databaseOf(wanted, declared).path, mapping(key)))
          const statements = await mendsTo(side, rows)
          await side.close()
          expect(statements.filter((one) => one.startsWith('--'))).toEqual([])
          database.exec(statements.join('\n'))
          const mended = await openTable(path, mapping(key))
          expect(await rowsOf(mended)).toEqual(rows)
          expect(await mendsTo(mended, rows)).toEqual([])
        },
      ), { numRuns: 30 })
    }, 60_000)
  }

  const AIRPORT = `CREATE TABLE airport (iata TEXT PRIMARY KEY, landed INT, late INT, note TEXT DEFAULT 'kept');
    INSERT INTO airport (iata, landed, late) VALUES ('TXL', 41207, 5), ('SFO', 7, 1)`
  const PLAIN: ForeignTable = { table: 'airport', key: 'iata', columns: { landed: 'landed', late: 'late' }, ignore: ['note'] }

  test('sets only the columns that differ, and names what the row held', async () => {
    const { path } = otherDatabase(AIRPORT)
    const side = await openTable(path, PLAIN)
    expect(await mendsTo(side, { TXL: { landed: 41_208, late: 5 }, JFK: { landed: 1, late: 0 } })).toEqual([
      'BEGIN;',
      `UPDATE "airport" SET "landed" = 41208 WHERE "iata" IS 'TXL' AND "landed" IS 41207 AND "late" IS 5;`,
      `DELETE FROM "airport" WHERE "iata" IS 'SFO' AND "landed" IS 7 AND "late" IS 1;`,
      `INSERT INTO "airport" ("iata", "landed", "late") VALUES ('JFK', 1, 0);`,
      'COMMIT;',
    ])
    expect(side.mend!([])).toEqual([])
  })

  test('leaves a row alone that changed since it was read', async () => {
    const { path, database } = otherDatabase(`PRAGMA journal_mode = WAL; ${AIRPORT}`)
    const side = await openTable(path, PLAIN)
    const statements = await mendsTo(side, { TXL: { landed: 41_208, late: 5 } })
    database.exec("UPDATE airport SET landed = 50000 WHERE iata = 'TXL'; UPDATE airport SET late = 2 WHERE iata = 'SFO'")
    database.exec(statements.join('\n'))
    expect(database.prepare('SELECT iata, landed, late FROM airport').raw().all()).toEqual([['TXL', 50_000, 5], ['SFO', 7, 2]])
  })

  test('says in a comment what can not be written back', async () => {
    const { path, database } = otherDatabase(`${AIRPORT}; CREATE VIEW v AS SELECT * FROM airport`)
    const computed: ForeignTable = { ...PLAIN, columns: { landed: 'landed', share: { sql: 'late * 1.0 / landed', type: 'real' } }, ignore: ['note', 'late'] }
    const side = await openTable(path, computed)
    const statements = await mendsTo(side, { TXL: { landed: 10, share: 0.25, other: { x: 1 } }, SFO: { landed: 7, share: 1 / 7 } })
    expect(statements).toEqual([
      'BEGIN;',
      '-- "TXL": share can not be written back: it is computed from other columns',
      '-- "TXL": other.x has no column',
      `UPDATE "airport" SET "landed" = 10 WHERE "iata" IS 'TXL' AND "landed" IS 41207;`,
      'COMMIT;',
    ])
    await side.close()
    database.exec(statements.join('\n'))
    expect(await mendsTo(await openTable(path, { ...PLAIN, table: 'v' }), {})).toEqual([
      'BEGIN;', '-- "TXL": v is a view: change the tables below it', '-- "SFO": v is a view: change the tables below it', 'COMMIT;',
    ])
    const inexact: ForeignTable = { ...PLAIN, columns: { landed: { column: 'landed', type: 'timestamp', unit: 's' }, late: { column: 'late', type: 'decimal(9,2)' } } }
    expect(await mendsTo(await openTable(path, inexact), { TXL: { landed: 10_000_000, late: '5.5' }, SFO: { landed: 7_000_000, late: '1' } })).toEqual([
      'BEGIN;', '-- "TXL": late can not be written back to the column late', 'COMMIT;',
    ])
    const byExpression = await openTable(path, { ...PLAIN, key: { sql: 'lower(iata)' } })
    expect(await mendsTo(byExpression, { txl: { landed: 11, late: 5 }, sfo: { landed: 7, late: 1 }, jfk: { landed: 1, late: 1 } })).toEqual([
      'BEGIN;',
      `UPDATE "airport" SET "landed" = 11 WHERE (lower(iata)\n) IS 'txl' AND "landed" IS 10 AND "late" IS 5;`,
      '-- "jfk": its key is an expression, or no key of this table: insert the row by hand',
      'COMMIT;',
    ])
  })

  test('touches only rows that the mapping counts', async () => {
    const { path, database } = otherDatabase(`CREATE TABLE t (k TEXT, v INT, gone INT); INSERT INTO t VALUES ('a', 1, 0), ('a', 1, 1), ('b', 2, 0)`)
    const side = await openTable(path, { table: 't', key: 'k', columns: { v: 'v' }, where: 'gone = 0' })
    const statements = await mendsTo(side, { a: { v: 5 }, c: { v: 3 } })
    expect(statements).toContain('-- "c": the new row must meet gone = 0')
    await side.close()
    database.exec(statements.join('\n'))
    expect(database.prepare('SELECT * FROM t').raw().all()).toEqual([['a', 5, 0], ['a', 1, 1], ['c', 3, null]])
  })

  test('touches no other row where a collation takes two keys, or two texts, for the same', async () => {
    const rows = `INSERT INTO t VALUES ('A', 'x', 1), ('a', 'x', 1), ('B', 'y', 1), ('B ', 'y', 1)`
    const made = `CREATE TABLE t (k TEXT COLLATE NOCASE, s TEXT COLLATE RTRIM, v INT); ${rows}`
    const mappings: [table: ForeignTable, keyOf: (k: string, s: string) => string][] = [
      [{ table: 't', key: 'k', columns: { s: 's', v: 'v' } }, (k) => k],
      [{ table: 't', key: { sql: 'k COLLATE RTRIM' }, columns: { s: 's', v: 'v' } }, (k) => k],
      [{ table: 't', key: { columns: ['s', 'k'] }, columns: { v: 'v' } }, (k, s) => JSON.stringify([s, k])],
    ]
    for (const [table, keyOf] of mappings) {
      const { path, database } = otherDatabase(made)
      const side = await openTable(path, table)
      const held = await rowsOf(side)
      const kept = { [keyOf('a', 'x')]: held[keyOf('a', 'x')]!, [keyOf('B', 'y')]: held[keyOf('B', 'y')]! }
      const statements = await mendsTo(side, { ...kept, [keyOf('B ', 'y')]: { ...(held[keyOf('B ', 'y')] as object), v: 2 } })
      await side.close()
      database.exec(statements.join('\n'))
      expect(database.prepare('SELECT * FROM t').raw().all()).toEqual([['a', 'x', 1], ['B', 'y', 1], ['B ', 'y', 2]])
    }
  })

  test('inserts no row under another key than the one that is missing', async () => {
    const whole = otherDatabase('CREATE TABLE t (k INTEGER PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)')
    const table: ForeignTable = { table: 't', key: 'k', columns: { v: 'v' } }
    const wanted = Object.fromEntries(['1', '007', '9223372036854775807', '-5', '1.0'].map((key) => [key, { v: 1 }]))
    expect(await mendsTo(await openTable(whole.path, table), wanted)).toEqual([
      'BEGIN;', '-- "007": the column k can not hold it: insert the row by hand',
      'INSERT INTO "t" ("k", "v") VALUES (9223372036854775807, 1);', 'INSERT INTO "t" ("k", "v") VALUES (-5, 1);',
      '-- "1.0": the column k can not hold it: insert the row by hand', 'COMMIT;',
    ])
    const pair = otherDatabase('CREATE TABLE t (a TEXT, b INT, v INT)')
    const pairs = { ...table, key: { columns: ['a', 'b'] } }
    expect(await mendsTo(await openTable(pair.path, pairs), { '["x",7]': { v: 1 }, '[7,7]': { v: 1 }, '["x","7"]': { v: 1 } })).toEqual([
      'BEGIN;', 'INSERT INTO "t" ("a", "b", "v") VALUES (\'x\', 7, 1);', '-- "[7,7]": the column a can not hold it: insert the row by hand',
      '-- "[\\"x\\",\\"7\\"]": the column b can not hold it: insert the row by hand', 'COMMIT;',
    ])
  })

  test('does not write into columns that SQLite computes', async () => {
    const { path, database } = otherDatabase(`CREATE TABLE t (k TEXT, v INT, twice INT AS (v * 2), l TEXT AS (lower(k)) STORED);
      INSERT INTO t VALUES ('A', 1)`)
    const side = await openTable(path, { table: 't', key: 'k', columns: { v: 'v', twice: 'twice' }, ignore: ['l'] })
    const statements = await mendsTo(side, { A: { v: 3, twice: 6 }, B: { v: 4, twice: 8 } })
    const byGenerated = await openTable(path, { table: 't', key: 'l', columns: { v: 'v' }, ignore: ['k', 'twice'] })
    expect(await mendsTo(byGenerated, { a: { v: 1 }, b: { v: 1 } })).toContain('-- "b": the column l can not hold it: insert the row by hand')
    await Promise.all([side.close(), byGenerated.close()])
    database.exec(statements.join('\n'))
    expect(statements).toContain('-- "A": twice can not be written back: it is computed from other columns')
    expect(database.prepare('SELECT k, v, twice FROM t').raw().all()).toEqual([['A', 3, 6], ['B', 4, 8]])
  })

  test('quotes names and texts that look like SQL', async () => {
    const { path, database } = otherDatabase(`CREATE TABLE "a""b" ("or""der" TEXT, "sel'ect" TEXT); INSERT INTO "a""b" VALUES ('k''1', 'x')`)
    const table: ForeignTable = { table: 'a"b', key: 'or"der', columns: { v: "sel'ect" } }
    const wanted = { "k'1": { v: `'); DROP TABLE "a""b"; --\0\n` }, 'n\0ew': { v: '' } }
    const side = await openTable(path, table)
    const statements = await mendsTo(side, wanted)
    await side.close()
    database.exec(statements.join('\n'))
    expect(await rowsOf(await openTable(path, table))).toEqual(wanted)
  })
})
