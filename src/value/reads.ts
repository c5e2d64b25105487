import { RehydrateError } from '../errors.js'
import { makerOf, type ObjectMaker, type Touched } from './partial.js'

/** The fields of an event's data that a projection reads, compiled: `amount`, `customer.id`, `items[].sku`. */
export interface Reads {
  /** As declared, sorted, none twice. */
  readonly paths: readonly string[]
  readonly root: ReadNode
  /** The first touch of a field that is not declared, since it was set to null last: a handler may swallow the error it got. */
  readonly touched: Touched
}

/**
 * What is read of one value. Of an object the fields, of an array the elements; of a value of another kind than the paths suppose
 * (an array where fields are declared, a text, a number) all of it.
 */
export interface ReadNode {
  /** All of the value is read. */
  readonly whole: boolean
  readonly names: readonly string[]
  /** By place in `names`. */
  readonly fields: readonly ReadNode[]
  readonly elements: ReadNode | null
  /** Makes the objects that hold these fields; null where no field is declared, but elements are. */
  readonly maker: ObjectMaker | null
}

interface Building {
  whole: boolean
  readonly fields: Map<string, Building>
  elements: Building | null
}

const PATH = /^[^.[\]]+(\[\])*(\.[^.[\]]+(\[\])*)*$/

/**
 * Compiles paths such as `amount`, `customer.id` and `items[].sku` (`[]`: every element). A path reads all that is under it. No path at
 * all: nothing of the data is read. Names with `.`, `[` or `]` can not be declared: declare what holds them. CONFIG_INVALID for anything
 * that is not a path. `of` says in errors whose data it is; null: what comes is a plain object, which does not guard its fields.
 */
export function compileReads(paths: readonly string[], of: string | null): Reads {
  const root = newNode()
  for (const path of paths) {
    if (typeof path !== 'string' || !PATH.test(path) || path.split(/[.[]/).includes('__proto__')) {
      throw new RehydrateError('CONFIG_INVALID', {
        message: `${JSON.stringify(path)} is not a path to a field that can be read.`, path: 'reads',
        fix: 'Write paths like "amount", "customer.id" or "items[].sku".',
      })
    }
    let node = root
    for (const step of path.replaceAll('[]', '.[]').split('.')) {
      if (step === '[]') node = node.elements ??= newNode()
      else node = childOf(node, step)
    }
    node.whole = true
  }
  const sorted = [...new Set(paths)].sort()
  const touched: Touched = { error: null }
  return { paths: sorted, root: finish(root, '$', of === null ? null : { of, declared: sorted, touched }), touched }
}

/** An object of which `names` are read whole, and of the field `data` what `reads` says. It is a plain object, its data guarded. */
export function envelopeReads(names: readonly string[], data: string, reads: Reads): ReadNode {
  const all = [...names, data]
  return { whole: false, names: all, fields: [...names.map(() => WHOLE), reads.root], elements: null, maker: makerOf(all, '$', null) }
}

/** What is read of a value that is parsed already. Objects of which only some fields are read are new ones; the rest is shared. */
export function pickReads(value: unknown, node: ReadNode): unknown {
  if (node.whole || typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  const { elements, maker } = node
  if (Array.isArray(value)) return elements === null ? value : value.map((item) => pickReads(item, elements))
  if (maker === null || maker.made(value)) return value
  const values = node.names.map((name, i) => {
    return Object.hasOwn(value, name) ? pickReads((value as Record<string, unknown>)[name], node.fields[i] as ReadNode) : maker.absent
  })
  return maker.make(values)
}

type Guarded = { readonly of: string; readonly declared: readonly string[]; readonly touched: Touched }

function finish(node: Building, path: string, guarded: Guarded | null): ReadNode {
  if (node.whole) return WHOLE
  const names = [...node.fields.keys()]
  return {
    whole: false,
    names,
    fields: names.map((name) => finish(node.fields.get(name) as Building, `${path}.${name}`, guarded)),
    elements: node.elements === null ? null : finish(node.elements, `${path}[]`, guarded),
    maker: names.length === 0 && node.elements !== null ? null : makerOf(names, path, guarded),
  }
}

const WHOLE: ReadNode = { whole: true, names: [], fields: [], elements: null, maker: null }

function newNode(): Building {
  return { whole: false, fields: new Map(), elements: null }
}

function childOf(node: Building, name: string): Building {
  let child = node.fields.get(name)
  if (child === undefined) node.fields.set(name, child = newNode())
  return child
}
