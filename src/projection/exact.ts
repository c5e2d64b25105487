import type { Int64Paths } from '../value/canonical.js'
import { copyObject } from '../value/partial.js'

/** True where a path as the sources write it (`$.items[2].n`) is one of the declared ones. */
export function coversPath(declared: Int64Paths | null, path: string): boolean {
  let node: Int64Paths | null = declared
  for (const [, name] of path.matchAll(/\.([^.[\]]+)|\[\d+\]/g)) {
    if (node === null) return false
    node = name === undefined ? node.elements : (node.properties.get(name) ?? null)
  }
  return node !== null && node.here
}

/** A copy of `data` in which every declared field that holds a whole number holds it as a bigint. The rest is shared. */
export function withBigints(data: unknown, declared: Int64Paths): unknown {
  if (declared.here && Number.isSafeInteger(data)) return BigInt(data as number)
  if (Array.isArray(data)) {
    const { elements } = declared
    return elements === null ? data : data.map((item) => withBigints(item, elements))
  }
  if (typeof data !== 'object' || data === null) return data
  const copy = copyObject(data)
  for (const [name, inner] of declared.properties) {
    if (Object.hasOwn(copy, name)) copy[name] = withBigints(copy[name], inner)
  }
  return copy
}
