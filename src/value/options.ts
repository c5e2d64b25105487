import { RehydrateError } from '../errors.js'

/**
 * Checks the names in an object of options. Throws OPTION_DEFERRED for a name that is designed but not built (never ignored),
 * CONFIG_INVALID with the nearest known name for one that is not known. `where` names the object: `fileLog()`, `jobs.flights`.
 */
export function checkOptions(
  where: string,
  given: unknown,
  known: readonly string[],
  deferred: Readonly<Record<string, string>> = {},
): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new RehydrateError('CONFIG_INVALID', { message: `${where} takes an object of options.`, actual: typeName(given) })
  }
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue
    if ((given as Record<string, unknown>)[name] === undefined) continue
    if (Object.hasOwn(deferred, name)) {
      throw new RehydrateError('OPTION_DEFERRED', {
        message: `${where}: the option ${name} is not built yet.`, path: name, why: deferred[name],
      })
    }
    const near = nearest(name, known)
    throw new RehydrateError('CONFIG_INVALID', {
      message: `${where}: unknown option ${name}.${near === null ? '' : ` Did you mean ${near}?`}`,
      path: name, expected: known.join(', '), actual: name,
    })
  }
}

/** The known name closest to `name`, or null where none is close (more than two edits, or half of it). */
export function nearest(name: string, known: readonly string[]): string | null {
  let best: string | null = null
  let bestEdits = Math.min(3, Math.ceil(name.length / 2) + 1)
  for (const candidate of known) {
    const edits = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (edits < bestEdits) {
      best = candidate
      bestEdits = edits
    }
  }
  return best
}

/** How a value is called in a message. */
export function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return typeof value
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
