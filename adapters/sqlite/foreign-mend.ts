import { decode, encode, type Mend, type Value } from '../../src/index.js'
import { rawFor, stored } from './foreign-invert.js'
import type { ForeignTableReader, RawRow } from './foreign-table.js'
import { isExactly, literal, quoteName, type Raw } from './foreign-sql.js'

/**
 * One transaction of SQL that brings keys to their values. Each statement names what the row held when it was read, so that a row that
 * was changed since is left alone. What can not be written back (expressions, views, fields without a column) is said in a comment.
 */
export function mendStatements(readerOf: (collection: string) => ForeignTableReader, changes: readonly Mend[]): string[] {
  if (changes.length === 0) return []
  const byCollection = new Map<string, Mend[]>()
  for (const change of changes) {
    const those = byCollection.get(change.collection)
    if (those === undefined) byCollection.set(change.collection, [change])
    else those.push(change)
  }
  const statements = [...byCollection].flatMap(([collection, those]) => {
    const reader = readerOf(collection)
    const rows = reader.rawRows(those.filter(({ is }) => is !== null).map(({ key }) => key))
    const mender = new TableMender(reader)
    return those.flatMap((change) => mender.statements(change, rows.get(change.key)))
  })
  return ['BEGIN;', ...statements, 'COMMIT;']
}

interface Column {
  readonly path: string
  /** Null: an expression, or a column that SQLite computes. */
  readonly column: string | null
  /** What it holds now; undefined: not known. */
  readonly is: Raw | undefined
  readonly isDifferent: boolean
  /** What it should hold; undefined: nothing that can be written does. */
  readonly should: Raw | undefined
}

class TableMender {
  readonly #reader: ForeignTableReader
  readonly #samples = new Map<string, Raw | undefined>()

  constructor(reader: ForeignTableReader) {
    this.#reader = reader
  }

  statements({ key, should, is }: Mend, row: RawRow | undefined): string[] {
    const { table, isView } = this.#reader.plan
    if (isView) return [comment(key, `${table} is a view: change the tables below it`)]
    if (should === null) return this.#delete(key, row)
    const wanted = decode(should)
    const columns = this.#columns(wanted, is === null ? undefined : decode(is), row)
    const notes = this.#notes(key, wanted, columns)
    return [...notes, ...(is === null ? this.#insert(key, columns) : this.#update(key, columns, row))]
  }

  #delete(key: string, row: RawRow | undefined): string[] {
    if (row === undefined) return [comment(key, 'its row was not found')]
    return [`DELETE FROM ${this.#table()} WHERE ${this.#unchanged(row)};`]
  }

  #update(key: string, columns: readonly Column[], row: RawRow | undefined): string[] {
    if (row === undefined) return [comment(key, 'its row was not found')]
    const changed = this.#assignments(columns.filter(({ isDifferent }) => isDifferent))
    if (changed.size === 0) return []
    const set = [...changed].map(([column, value]) => `${quoteName(column)} = ${literal(value)}`).join(', ')
    return [`UPDATE ${this.#table()} SET ${set} WHERE ${this.#unchanged(row)};`]
  }

  #insert(key: string, columns: readonly Column[]): string[] {
    const { plan } = this.#reader
    const forms = plan.key.valuesOf(key)
    if (forms === null) return [comment(key, 'its key is an expression, or no key of this table: insert the row by hand')]
    const values = new Map<string, Raw>()
    for (const [i, column] of plan.key.columns.entries()) {
      const value = this.#keyValue(column, forms[i]!)
      if (value === undefined) return [comment(key, `the column ${column} can not hold it: insert the row by hand`)]
      values.set(column, value)
    }
    for (const [column, value] of this.#assignments(columns)) values.set(column, value)
    const names = [...values.keys()].map(quoteName).join(', ')
    const note = plan.where === null ? [] : [comment(key, `the new row must meet ${oneLine(plan.where)}`)]
    return [...note, `INSERT INTO ${this.#table()} (${names}) VALUES (${[...values.values()].map(literal).join(', ')});`]
  }

  /** The first form that the column keeps as it is, the usual one of the table before others; undefined: it keeps none. */
  #keyValue(column: string, forms: readonly Raw[]): Raw | undefined {
    const { types, generated } = this.#reader.plan
    if (generated.has(column)) return undefined
    const sample = this.#sample(column)
    const kept = forms.filter((form) => stored(form, types.get(column) ?? '') === form)
    return kept.find((form) => typeof form === typeof sample) ?? kept[0]
  }

  #columns(wanted: Value, held: Value | undefined, row: RawRow | undefined): Column[] {
    const { columns, declared, types, generated } = this.#reader.plan
    return columns.columns.map(({ path, source }, i) => {
      const [should, is] = [fieldAt(wanted, path), held === undefined ? undefined : fieldAt(held, path)]
      const isDifferent = held === undefined || !isSame(should, is)
      if ('sql' in source || generated.has(source.column)) return { path, column: null, is: undefined, isDifferent, should: undefined }
      const now = row?.cells[i]
      const sample = now === undefined || now === null ? this.#sample(source.column) : now
      const place = { options: declared[i]!, declaredType: types.get(source.column) ?? '', sample }
      return { path, column: source.column, is: now, isDifferent, should: isDifferent ? rawFor(should, place) : now }
    })
  }

  /** Column → value, without what can not be written. */
  #assignments(columns: readonly Column[]): Map<string, Raw> {
    return new Map(columns.flatMap(({ column, should }) => (column === null || should === undefined ? [] : [[column, should] as const])))
  }

  #notes(key: string, wanted: Value, columns: readonly Column[]): string[] {
    const { plan } = this.#reader
    const unwritten = columns.filter(({ isDifferent, should }) => isDifferent && should === undefined).map(({ path, column }) => {
      const why = column === null ? ': it is computed from other columns' : ` to the column ${column}`
      return comment(key, `${path} can not be written back${why}`)
    })
    const covered = [...columns.map(({ path }) => path), ...plan.omitted]
    const homeless = fieldsOf(wanted, '').filter((path) => !covered.some((one) => path === one || path.startsWith(`${one}.`)))
    return [...unwritten, ...homeless.map((path) => comment(key, `${path} has no column`))]
  }

  /** The row by its key, still as it was read. */
  #unchanged({ condition, cells }: RawRow): string {
    const { columns, key, where, isCollated } = this.#reader.plan
    const held = new Map(columns.columns.flatMap(({ source }, i) =>
      ('column' in source && !key.columns.includes(source.column) ? [[source.column, cells[i] as Raw] as const] : [])))
    const old = [...held].map(([column, value]) => isExactly(quoteName(column), value, isCollated))
    return [condition, ...(where === null ? [] : [`(${where}\n)`]), ...old].join(' AND ')
  }

  #table(): string {
    return quoteName(this.#reader.plan.table)
  }

  #sample(column: string): Raw | undefined {
    if (!this.#samples.has(column)) this.#samples.set(column, this.#reader.sample(column))
    return this.#samples.get(column)
  }
}

function comment(key: string, what: string): string {
  return `-- ${oneLine(JSON.stringify(key))}: ${oneLine(what)}`
}

function oneLine(text: string): string {
  return text.replace(/[\r\n\u2028\u2029]+/g, ' ')
}

type Plain = { readonly [name: string]: Value }

function isPlain(value: Value | undefined): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

function fieldAt(value: Value, path: string): Value | undefined {
  let at: Value | undefined = value
  for (const step of path.split('.')) at = isPlain(at) && Object.hasOwn(at, step) ? at[step] : undefined
  return at
}

function isSame(a: Value | undefined, b: Value | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.compare(encode(a), encode(b)) === 0
}

/** Paths of all that is not an object of fields. */
function fieldsOf(value: Value, path: string): string[] {
  if (!isPlain(value)) return [path]
  return Object.entries(value).flatMap(([name, item]) => fieldsOf(item, path === '' ? name : `${path}.${name}`))
}
