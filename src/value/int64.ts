import { RehydrateError } from '../errors.js'

/** Compiled paths of fields that always hold a 64-bit integer as a bigint. */
export interface Int64Paths {
  /** True where a path ends here. */
  readonly here: boolean
  readonly properties: ReadonlyMap<string, Int64Paths>
  /** What holds for every element of an array here. */
  readonly elements: Int64Paths | null
}

interface Building {
  here: boolean
  properties: Map<string, Building>
  elements: Building | null
}

const PATH = /^[^.[\]]+(\[\])*(\.[^.[\]]+(\[\])*)*$/

/**
 * Compiles paths such as `a.b` and `items[].n` (`[]`: every element). Names with `.`, `[` or `]` can not be declared.
 * CONFIG_INVALID for anything else.
 */
export function compileInt64(paths: readonly string[]): Int64Paths {
  const root = newNode()
  for (const path of paths) {
    if (!PATH.test(path)) {
      throw new RehydrateError('CONFIG_INVALID', {
        message: `${JSON.stringify(path)} is not a path to an int64 field.`,
        fix: 'Write paths like "amount", "order.total" or "items[].id".',
      })
    }
    let node = root
    for (const step of path.replaceAll('[]', '.[]').split('.')) {
      if (step === '[]') node = node.elements ??= newNode()
      else node = childOf(node, step)
    }
    node.here = true
  }
  return root
}

function newNode(): Building {
  return { here: false, properties: new Map(), elements: null }
}

function childOf(node: Building, name: string): Building {
  let child = node.properties.get(name)
  if (child === undefined) node.properties.set(name, child = newNode())
  return child
}
