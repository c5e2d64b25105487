import type { Columns } from '../value/columns.js'
import type { Projection } from './define.js'

/** The collections that are kept as tables with columns, as a store is told of them. */
export function tablesOf({ collections }: Projection): ReadonlyMap<string, Columns> {
  return new Map(collections.flatMap(({ name, columns }) => (columns === null ? [] : [[name, columns] as const])))
}
