import { RehydrateError } from '../errors.js'
import {
  type Cell, type ColumnSpec, type ColumnTypeText, type NullMeaning, COLUMN_KINDS, REST, readDeclarations, refused,
} from './column-declaration.js'
import {
  type Field, type Leaf, type TreeNode, buildTree, encodeField, encodeRow, isAbsent,
} from './column-tree.js'
import { CODECS, canonicalJson, decoderOf, jsonOf, refuseBytes, unfit } from './column-types.js'
import { decode } from './decode.js'
import { compileInt64 } from './int64.js'
import { typeName } from './options.js'
import { shapeOf } from './shape.js'
import { type Value, valueInvalid } from './value.js'
import { CanonicalWriter } from './writer.js'

export type { Cell } from './column-declaration.js'

export interface ColumnOptions {
  readonly type: ColumnTypeText
  /** What NULL means. Default 'refused': the field must be there. */
  readonly null?: NullMeaning
  /** The name in the table. Default: the path with `_` for each point. */
  readonly column?: string
}

/** `'int'`: must be there. `'int?'`: may be absent, which is NULL. `'int | null'`: may be null, which is NULL. */
export type ColumnDeclaration = ColumnTypeText | `${ColumnTypeText}?` | `${ColumnTypeText} | null` | ColumnOptions

/**
 * The columns of a collection, by the path of the field in the value: `landed`, `longestDelay.delay`. An object with columns of
 * its own must be there, and have a required one. A name in a path has none of `.`, `[`, `]`. `'...': 'json'` takes the
 * properties of the value that have no column, in a column `rest`; without it they are COLUMN_UNKNOWN.
 */
export type ColumnDeclarations = Readonly<Record<string, ColumnDeclaration>>

/** A column as a store keeps it. */
export interface StoredColumn {
  readonly name: string
  readonly kind: ColumnSpec['kind']
  /** `decimal(10,2)`; for the others the kind. */
  readonly type: string
  readonly nullable: boolean
  /** 'text': integers must be read as their digits, since a number would round those beyond 2^53; the rest as it is stored. */
  readonly readAs: 'plain' | 'text'
}

/** Compiled columns: what a value is in cells and back, exactly. */
export interface Columns {
  /** In the order of the declaration, and of the cells. */
  readonly names: readonly StoredColumn[]
  /** Paths of the columns of type int64: bigints for handlers. */
  readonly int64: readonly string[]
  /** Plain data for fingerprints and catalogues; `columnsOfShape` takes it. */
  readonly shape: Value
  /** Throws what `toCells` would. */
  check(value: Value): void
  /** VALUE_INVALID with the path for a value that does not fit, COLUMN_UNKNOWN for a property that has no column. */
  toCells(value: Value): Cell[]
  /** The value of cells as `toCells` gives them, or a table by `readAs`. VALUE_INVALID for cells that were never given. */
  fromCells(cells: readonly Cell[]): Value
  /** Appends the canonical bytes of that value, without making it. */
  encodeCells(cells: readonly Cell[], writer: CanonicalWriter): void
}

/** Names that every table has besides the declared ones. */
const TAKEN = new Set(['key', 'hash'])

/** CONFIG_INVALID with the path; `where` names the place: `collections.airports.columns`. */
export function compileColumns(where: string, declared: ColumnDeclarations): Columns {
  const specs = readDeclarations(declared, { where, kinds: COLUMN_KINDS, options: [], own: true })
  const seen = new Map<string, string>()
  for (const { path, column } of specs) {
    const folded = column.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
    if (TAKEN.has(folded)) {
      throw refused(where, path, `every table has a column ${folded} already: { type, column: 'another' }`, column)
    }
    const other = seen.get(folded)
    if (other !== undefined) throw refused(where, path, `its column has the name of the one for ${other}`, column)
    seen.set(folded, path)
  }
  return new CompiledColumns(where, specs)
}

/** The columns that a shape was made of. CONFIG_INVALID where it is none. */
export function columnsOfShape(shape: Value): Columns {
  const where = 'the shape of columns'
  if (!Array.isArray(shape)) {
    throw new RehydrateError('CONFIG_INVALID', { message: `${where} is no array.`, actual: typeName(shape) })
  }
  const declared = (shape as readonly (ColumnOptions & { path: string })[]).map(({ path, ...options }) => [path, options] as const)
  return compileColumns(where, Object.fromEntries(declared))
}

class CompiledColumns implements Columns {
  readonly names: readonly StoredColumn[]
  readonly int64: readonly string[]
  readonly shape: Value
  readonly #tree: TreeNode
  readonly #paths: string
  /** Place of the cell that takes the undeclared properties; −1: there is none. */
  readonly #rest: number
  #writer: CanonicalWriter | null = null

  constructor(where: string, specs: readonly ColumnSpec[]) {
    this.names = specs.map(({ column, kind, type, path, ...spec }) =>
      ({ name: column, kind, type, nullable: path === REST || spec.null !== 'refused', readAs: kind === 'int64' ? 'text' : 'plain' }))
    this.int64 = specs.filter(({ kind }) => kind === 'int64').map(({ path }) => path)
    this.shape = specs.map(({ path, type, column, ...spec }) => ({ path, type, null: spec.null, column }))
    this.#rest = specs.findIndex(({ path }) => path === REST)
    this.#paths = specs.map(({ path }) => path).join(', ')
    const leaves = specs.map((spec, index): Leaf => ({ spec, index, decode: decoderOf(spec) }))
    this.#tree = buildTree(where, leaves.filter(({ index }) => index !== this.#rest))
  }

  check(value: Value): void {
    this.#take(this.#tree, value, null)
  }

  toCells(value: Value): Cell[] {
    const cells = new Array<Cell>(this.names.length).fill(null)
    this.#take(this.#tree, value, cells)
    return cells
  }

  fromCells(cells: readonly Cell[]): Value {
    const writer = (this.#writer ??= new CanonicalWriter(1_024))
    writer.reset()
    this.encodeCells(cells, writer)
    return decode(writer.bytes.subarray(0, writer.length), { int64: compileInt64(this.int64) })
  }

  encodeCells(cells: readonly Cell[], writer: CanonicalWriter): void {
    const rest = this.#rest < 0 ? null : cells[this.#rest]!
    if (rest === null) encodeRow(this.#tree, cells, writer)
    else this.#encodeWithRest(cells, restOf(rest), writer)
  }

  /** Walks the value along the columns; cells null: only checks. */
  #take(node: TreeNode, value: Value | undefined, cells: Cell[] | null): void {
    if (!isObject(value)) {
      throw unfit(value, 'an object, whose fields have columns', node.at)
    }
    let taken = 0
    const { fields } = node
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!
      const { name } = field
      const item = field.inherited && !Object.hasOwn(value, name) ? undefined : value[name]
      if (item !== undefined) taken++
      if (field.leaf === null) this.#take(field.node!, item, cells)
      else takeField(field.leaf, item, cells)
    }
    if (Object.keys(value).length !== taken) this.#takeRest(node, value, cells)
  }

  #takeRest(node: TreeNode, value: PlainObject, cells: Cell[] | null): void {
    const known = new Set(node.fields.map(({ name }) => name))
    const others = Object.entries(value).filter(([name, item]) => item !== undefined && !known.has(name))
    const [first] = others
    if (first === undefined) return
    if (node !== this.#tree || this.#rest < 0) {
      const path = `${node.at}.${first[0]}`
      throw new RehydrateError('COLUMN_UNKNOWN', { message: `${path} has no column.`, path, expected: this.#paths, actual: first[0] })
    }
    const rest = Object.fromEntries(others)
    if (cells === null) refuseBytes(rest, '$')
    else cells[this.#rest] = canonicalJson(rest, '$')
  }

  #encodeWithRest(cells: readonly Cell[], rest: PlainObject, writer: CanonicalWriter): void {
    const declared = new Map<string, Field>(this.#tree.fields.map((field) => [field.name, field]))
    const present = this.#tree.fields.filter((field) => !isAbsent(field, cells)).map(({ name }) => name)
    const doubled = Object.keys(rest).find((name) => declared.has(name))
    if (doubled !== undefined) {
      throw valueInvalid(`$.${doubled}`, 'has a column of its own, and stands among those that have none')
    }
    const { names, encoded } = shapeOf([...present, ...Object.keys(rest)])
    writer.mapHead(names.length)
    names.forEach((name, i) => {
      const field = declared.get(name)
      if (field !== undefined) return encodeField(field, cells, writer)
      writer.raw(encoded[i]!)
      writer.write(rest[name]!)
    })
  }
}

type PlainObject = { readonly [name: string]: Value }

function isObject(value: Value | undefined): value is PlainObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

function takeField({ spec, index }: Leaf, item: Value | undefined, cells: Cell[] | null): void {
  const { kind, at } = spec as ColumnSpec
  const isNull = item === undefined ? spec.null === 'absent' : item === null && spec.null === 'null'
  if (isNull) return
  if (item === undefined) throw valueInvalid(at, 'is absent, and must be there', `Declare it '${spec.type}?' where it may be absent.`)
  // JSON has a text for null, so that a column of it can hold null besides NULL.
  if (item === null && kind !== 'json') {
    throw valueInvalid(at, 'is null', `Declare it '${spec.type} | null' where it may be null.`)
  }
  if (cells !== null) cells[index] = CODECS[kind].toCell(item as NonNullable<Value>, at, spec as ColumnSpec)
  else if (kind === 'json') refuseBytes(item, at)
  else CODECS[kind].toCell(item as NonNullable<Value>, at, spec as ColumnSpec)
}

/** The undeclared properties: at least one, else the cell would be NULL. */
function restOf(cell: Exclude<Cell, null>): PlainObject {
  const rest = typeof cell === 'string' ? jsonOf(cell, '$') : null
  if (rest !== null && isObject(rest) && Object.keys(rest).length > 0) return rest
  throw valueInvalid('$', 'has no properties in its column for the rest')
}
