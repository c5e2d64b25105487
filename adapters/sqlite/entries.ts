import { columnsOfShape, generationRefused, parseJson, RehydrateError, stringifyJson } from '../../src/index.js'
import type { Columns, Value } from '../../src/index.js'
import { bytesTable } from './bytes.js'
import type { Connection } from './client.js'
import { holdsColumns } from './database.js'
import type { EntryTable } from './entry-table.js'
import { assertTableNames, createTypedTable, physicalName, quoted, typedTable } from './typed.js'

/** A row of the table `collections`. */
interface Listed {
  readonly id: number
  readonly name: string
  /** JSON of the shape of its columns; null: it is kept as bytes. */
  readonly columns: string | null
}

/** The tables of one generation, as one connection knows them. */
export class EntryTables {
  readonly #connection: Connection
  readonly #generation: number
  readonly #known = new Map<string, EntryTable>()
  /** What is asked of the table `collections`. */
  readonly #listed: string

  constructor(connection: Connection, generation: number) {
    this.#connection = connection
    this.#generation = generation
    this.#listed = `SELECT id, name, ${holdsColumns(connection) ? 'columns' : 'NULL AS columns'} FROM collections WHERE generation = ?`
  }

  find(collection: string): EntryTable | null {
    const known = this.#known.get(collection)
    if (known !== undefined) return known
    const listed = this.#connection.prepare(`${this.#listed} AND name = ?`).get(this.#generation, collection) as Listed | undefined
    if (listed === undefined) return null
    const table = listed.columns === null
      ? bytesTable(this.#connection, collection, tableName(listed.id))
      : typedTable(this.#connection, collection, this.#generation, readShape(listed.columns, collection))
    this.#known.set(collection, table)
    return table
  }

  /** Within a transaction. Where that is rolled back, call `forget`. */
  findOrCreate(collection: string): EntryTable {
    const present = this.find(collection)
    if (present !== null) return present
    const id = this.#list(collection, null)
    this.#connection.exec(
      `CREATE TABLE ${tableName(id)} (key TEXT NOT NULL PRIMARY KEY, bytes BLOB NOT NULL, hash BLOB NOT NULL) WITHOUT ROWID`,
    )
    return this.findOrCreate(collection)
  }

  /**
   * Makes the typed tables that are not there yet, within a transaction. STORE_GENERATION where the generation was begun with
   * other columns, CONFIG_INVALID where a name is taken.
   */
  declare(tables: ReadonlyMap<string, Columns>): void {
    const present = new Map(this.#catalogue().map((listed) => [listed.name, listed]))
    for (const { name, columns } of present.values()) {
      if (columns !== null && !tables.has(name)) throw otherColumns(this.#generation, name)
    }
    const added = new Map<string, Columns>()
    for (const [name, columns] of tables) {
      const listed = present.get(name)
      if (listed === undefined) added.set(name, columns)
      else if (listed.columns !== shapeText(columns)) throw otherColumns(this.#generation, name)
    }
    assertTableNames(this.#connection, this.#generation, [...tables.keys()], [...added.keys()])
    for (const [name, columns] of added) {
      this.#list(name, shapeText(columns))
      createTypedTable(this.#connection, name, this.#generation, columns)
    }
  }

  forget(): void {
    this.#known.clear()
  }

  /** Collections that hold at least one entry. */
  names(): readonly string[] {
    return this.#catalogue()
      .filter((listed) => this.#connection.prepare(`SELECT 1 FROM ${this.#tableOf(listed)} LIMIT 1`).get() !== undefined)
      .map(({ name }) => name)
  }

  /** The collections that are typed tables. */
  typed(): readonly { readonly name: string; readonly columns: Columns }[] {
    return this.#catalogue().flatMap(({ name, columns }) => (columns === null ? [] : [{ name, columns: readShape(columns, name) }]))
  }

  /** Removes them all, within a transaction. */
  drop(): void {
    for (const listed of this.#catalogue()) this.#connection.exec(`DROP TABLE ${this.#tableOf(listed)}`)
    this.#connection.prepare('DELETE FROM collections WHERE generation = ?').run(this.#generation)
    this.forget()
  }

  #list(collection: string, columns: string | null): number {
    const row = this.#connection
      .prepare('INSERT INTO collections (generation, name, columns) VALUES (?, ?, ?) RETURNING id')
      .get(this.#generation, collection, columns) as { readonly id: number }
    return row.id
  }

  #tableOf({ id, name, columns }: Listed): string {
    return columns === null ? tableName(id) : quoted(physicalName(name, this.#generation))
  }

  #catalogue(): readonly Listed[] {
    return this.#connection.prepare(`${this.#listed} ORDER BY name`).all(this.#generation) as Listed[]
  }
}

/** Free of what users call their collections. */
function tableName(id: number): string {
  return `entries_${id}`
}

function shapeText(columns: Columns): string {
  return stringifyJson(columns.shape)
}

function readShape(text: unknown, collection: string): Columns {
  try {
    return columnsOfShape(parseJson(String(text)) as Value)
  } catch (cause) {
    throw new RehydrateError('STATE_CORRUPT', {
      message: `The columns of ${collection}, as the table collections lists them, are not what was written.`, collection, cause,
    })
  }
}

function otherColumns(generation: number, collection: string): RehydrateError {
  const { code, details } = generationRefused(generation, `was begun with other columns for ${collection}`)
  return new RehydrateError(code, {
    ...details, collection, fix: 'Raise the version of the projection, or rebuild with `rehydrate replay --restart`.',
  })
}
