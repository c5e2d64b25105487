import { readFileSync } from 'node:fs'

/** What a stretch of work cost this process. */
export interface Cost {
  readonly wallMs: number
  /** User and system, of all threads. */
  readonly cpuMs: number
  /** The most memory the process had held when the work ended. */
  readonly maxRssBytes: number
  /** What the process wrote to files, write-ahead logs included; null where the system does not tell. */
  readonly writtenBytes: number | null
}

/** By which a state is compared with another one's. */
export interface Check {
  readonly keys: number
  /** Sums over all keys. */
  readonly changes: number
  readonly totalCents: number
  /** Root of the collection. */
  readonly root: string
}

export async function measured<T>(work: () => Promise<T>): Promise<{ readonly value: T; readonly cost: Cost }> {
  const written = writtenBytes()
  const cpu = process.cpuUsage()
  const startMs = performance.now()
  const value = await work()
  const wallMs = performance.now() - startMs
  const { user, system } = process.cpuUsage(cpu)
  const writtenNow = writtenBytes()
  const cost = {
    wallMs,
    cpuMs: (user + system) / 1_000,
    maxRssBytes: process.resourceUsage().maxRSS * 1_024,
    writtenBytes: written === null || writtenNow === null ? null : writtenNow - written,
  }
  return { value, cost }
}

/** Linux only: bytes handed to write calls, whether or not they have reached the disk. */
function writtenBytes(): number | null {
  try {
    return Number(/^wchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1] ?? Number.NaN)
  } catch {
    return null
  }
}

/** What run.ts asked of this process. */
export function trialInput<T>(): T {
  return JSON.parse(process.argv[2] as string) as T
}

/** The one line that run.ts reads. */
export function tellResult(result: object): void {
  process.stdout.write(`${JSON.stringify(result)}\n`)
}

/** A stretch of work that waits for its first event: the way to it is told, and not counted. */
export class Stretch {
  readonly #startedMs = performance.now()
  #firstMs: number | null = null
  #cpu = process.cpuUsage()

  /** The first call counts. */
  first(): void {
    if (this.#firstMs !== null) return
    this.#firstMs = performance.now()
    this.#cpu = process.cpuUsage()
  }

  end(): { readonly wallMs: number; readonly cpuMs: number; readonly firstMs: number; readonly maxRssBytes: number } {
    const firstMs = this.#firstMs ?? performance.now()
    const { user, system } = process.cpuUsage(this.#cpu)
    return {
      wallMs: performance.now() - firstMs, cpuMs: (user + system) / 1_000, firstMs: firstMs - this.#startedMs,
      maxRssBytes: process.resourceUsage().maxRSS * 1_024,
    }
  }
}
