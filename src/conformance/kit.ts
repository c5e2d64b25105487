/** One law, to be run by any test runner: `for (const { name, run } of cases) test(name, run)`. */
export interface ConformanceCase {
  /** A sentence that states the law. */
  readonly name: string
  /** Capabilities the case needs; the kit only hands out those whose needs are met. */
  readonly needs: readonly string[]
  /** Rejects with an Error that says what was expected and what was seen. */
  run(): Promise<void>
}

/** Throws an Error unless both are the same plain data. */
export function expectSame(what: string, actual: unknown, expected: unknown): void {
  const [seen, wanted] = [show(actual), show(expected)]
  if (seen !== wanted) throw new Error(`${what}: expected ${shorten(wanted)}, got ${shorten(seen)}`)
}

export function expectTrue(what: string, holds: boolean): void {
  if (!holds) throw new Error(`Expected: ${what}`)
}

/** Awaits a rejection with one of the codes. */
export async function expectCode(what: string, codes: readonly string[], work: () => Promise<unknown>): Promise<void> {
  let code: unknown = 'nothing'
  try {
    await work()
  } catch (error) {
    code = (error as { code?: unknown }).code ?? String(error)
  }
  if (!codes.includes(code as string)) throw new Error(`${what}: expected an error ${codes.join(' or ')}, got ${String(code)}`)
}

/** JSON text with sorted names, and bigints and maps told apart from what looks like them. */
function show(value: unknown): string {
  return JSON.stringify(value, (_name, item: unknown) => {
    if (typeof item === 'bigint') return `${item}n`
    if (item instanceof Map) return { map: [...item].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)) }
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
  }) ?? 'undefined'
}

function shorten(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 300)}… (${text.length} characters)`
}
