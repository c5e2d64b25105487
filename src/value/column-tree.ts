import { type Cell, type ColumnSpec, refused } from './column-declaration.js'
import { shapeOf } from './shape.js'
import { type Value, pathText, valueInvalid } from './value.js'
import type { CanonicalWriter } from './writer.js'

/** The value of a cell that is not NULL; VALUE_INVALID or NUMBER_INEXACT at `at` for a cell that holds none of this type. */
export type DecodeCell = (cell: Exclude<Cell, null>, at: string) => Value

export interface Leaf {
  readonly spec: ColumnSpec<string>
  /** Place of its cell in a row. */
  readonly index: number
  readonly decode: DecodeCell
}

export interface Field {
  readonly name: string
  /** The name as canonical bytes. */
  readonly encoded: Uint8Array
  /** Either a column or an object with columns of its own. */
  readonly leaf: Leaf | null
  readonly node: TreeNode | null
  /** A name that every object inherits, such as `constructor`. */
  readonly inherited: boolean
}

/** An object whose fields are columns; fields in canonical order. */
export interface TreeNode {
  /** `$.longestDelay`. */
  readonly at: string
  readonly fields: readonly Field[]
  /** Some of the fields may be absent. */
  readonly sparse: boolean
}

/** CONFIG_INVALID where a path goes through another's field, or an object could be empty and so look absent. */
export function buildTree(where: string, leaves: readonly Leaf[]): TreeNode {
  return nodeOf(where, leaves, 0, '$')
}

function nodeOf(where: string, leaves: readonly Leaf[], depth: number, at: string): TreeNode {
  const byName = new Map<string, Leaf[]>()
  for (const leaf of leaves) {
    const name = leaf.spec.steps[depth]!
    const others = byName.get(name)
    if (others === undefined) byName.set(name, [leaf])
    else others.push(leaf)
  }
  const { names, encoded } = shapeOf([...byName.keys()])
  const fields = names.map((name, i) => fieldOf(where, name, encoded[i]!, byName.get(name)!, depth))
  const sparse = fields.some(({ leaf }) => leaf !== null && leaf.spec.null === 'absent')
  if (depth > 0 && fields.every(({ leaf }) => leaf !== null && leaf.spec.null === 'absent')) {
    const path = leaves[0]!.spec.steps.slice(0, depth).join('.')
    throw refused(where, path, 'at least one of its columns must be required: without any, {} and an absent object look alike')
  }
  return { at, fields, sparse }
}

function fieldOf(where: string, name: string, encoded: Uint8Array, leaves: readonly Leaf[], depth: number): Field {
  const own = leaves.find(({ spec }) => spec.steps.length === depth + 1)
  const inherited = name in Object.prototype
  if (own === undefined) {
    const at = pathText([...leaves[0]!.spec.steps], depth + 1)
    return { name, encoded, leaf: null, node: nodeOf(where, leaves, depth + 1, at), inherited }
  }
  const other = leaves.find((leaf) => leaf !== own)
  if (other === undefined) return { name, encoded, leaf: own, node: null, inherited }
  throw refused(where, other.spec.path, `contradicts the column ${own.spec.path}, which keeps that field as a whole`)
}

/** Writes the canonical bytes of the object whose columns the cells are, without building it. */
export function encodeRow(node: TreeNode, cells: readonly Cell[], writer: CanonicalWriter): void {
  const { fields } = node
  let count = fields.length
  if (node.sparse) for (const field of fields) if (isAbsent(field, cells)) count--
  writer.mapHead(count)
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!
    if (!node.sparse || !isAbsent(field, cells)) encodeField(field, cells, writer)
  }
}

export function isAbsent({ leaf }: Field, cells: readonly Cell[]): boolean {
  return leaf !== null && leaf.spec.null === 'absent' && cells[leaf.index] === null
}

/** Name and value of a field that is not absent. */
export function encodeField({ encoded, leaf, node }: Field, cells: readonly Cell[], writer: CanonicalWriter): void {
  writer.raw(encoded)
  if (leaf === null) return encodeRow(node!, cells, writer)
  const cell = cells[leaf.index]!
  if (cell !== null) writer.write(leaf.decode(cell, leaf.spec.at))
  else if (leaf.spec.null === 'null') writer.write(null)
  else throw valueInvalid(leaf.spec.at, 'is NULL, and its column takes none')
}
