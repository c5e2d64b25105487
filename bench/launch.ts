import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder } from '../src/cli/cache-folder.js'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const FOLDER = join(cacheFolder(process.env), 'bench')
/** Every result of every run, one JSON line each, in the cache. */
const KEPT = join(FOLDER, 'trials.ndjson')

/** Runs a module of bench/ in a process of its own, with an empty folder to work in; what it told. Throws where it failed. */
export function launch<T>(module: string, input: object): T {
  const folder = emptyFolder('trial-')
  try {
    const output = execFileSync(process.execPath, [join(HERE, module), JSON.stringify({ ...input, folder })], {
      encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'],
    })
    appendFileSync(KEPT, `${JSON.stringify({ at: new Date().toISOString(), module, input, result: JSON.parse(output) })}\n`)
    return JSON.parse(output) as T
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** A new folder in the cache. */
export function emptyFolder(prefix: string): string {
  mkdirSync(FOLDER, { recursive: true })
  return mkdtempSync(join(FOLDER, prefix))
}

/** Milliseconds that node takes for these arguments. */
export function timeNode(args: readonly string[]): number {
  const startMs = performance.now()
  const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' })
  if (status !== 0) throw new Error(`node ${args.join(' ')} exited with ${status}`)
  return performance.now() - startMs
}

export interface Variant<T> {
  readonly name: string
  readonly run: () => T
}

/** A B C A B C …: what disturbs the machine for a while disturbs all of them. */
export function interleaved<T>(rounds: number, variants: readonly Variant<T>[]): Map<string, T[]> {
  const results = new Map<string, T[]>(variants.map(({ name }) => [name, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const { name, run } of variants) {
      process.stderr.write(`${new Date().toISOString().slice(11, 19)}  ${name}, ${round} of ${rounds}\n`)
      results.get(name)?.push(run())
    }
  }
  return results
}
