import { RehydrateError } from '../errors.js'
import type { EventSource } from '../log/source.js'
import type { Projection } from '../projection/define.js'

/**
 * SCHEMA_INCOMPATIBLE for declared reads that no event can have, where the log has schemas of its types. A field may be declared for many
 * types of which only some have it. What an upcaster makes is in no schema of the log, so that types with one may have any field.
 */
export async function refuseLacking(source: EventSource, projection: Projection, refuse: (error: RehydrateError) => void): Promise<void> {
  if (source.lacking === undefined) return
  const lackedBy = new Map<string, string[]>()
  const readOf = new Map<string, number>()
  for (const { name, reads, upcasters } of projection.types.values()) {
    const paths = reads?.paths ?? []
    for (const path of paths) readOf.set(path, (readOf.get(path) ?? 0) + 1)
    const lacked = paths.length === 0 || upcasters.length > 0 ? [] : await source.lacking(name, paths)
    for (const path of lacked) lackedBy.set(path, [...lackedBy.get(path) ?? [], name])
  }
  for (const [path, types] of lackedBy) if (types.length === readOf.get(path)) refuse(lacking(path, types))
}

function lacking(path: string, types: readonly string[]): RehydrateError {
  return new RehydrateError('SCHEMA_INCOMPATIBLE', {
    message: `The projection reads ${path} of ${types.join(', ')}, and no version of the schema has such a field.`, path, actual: types,
    why: 'A field that no schema of the registry has is in no event, so that no handler would ever see it.',
    fix: 'Correct `reads`. Names are as events have them: of Protobuf in lowerCamelCase.',
  })
}
