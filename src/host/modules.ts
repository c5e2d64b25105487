import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { isRehydrateError, RehydrateError } from '../errors.js'
import { readGraph } from './code.js'

/**
 * Loads a JavaScript or TypeScript module of the user; its default export, else the module itself. `rehydrate` and
 * `rehydrate/*` in it are this running package, wherever the file lies, so that there is one instance of everything.
 * `fresh`: as the files are now, though they were loaded before. CONFIG_LOAD_FAILED with file and line where it does not load; errors
 * of this package pass, with the place added.
 */
export async function loadModule(file: string, { fresh = false }: { readonly fresh?: boolean } = {}): Promise<unknown> {
  const { createJiti } = await import('jiti')
  const jiti = createJiti(pathToFileURL(file).href, {
    virtualModules: await ownModules(readGraph(file).own),
    fsCache: cacheFolder(file) ?? false,
    moduleCache: !fresh,
  })
  try {
    return await jiti.import(file, { default: true })
  } catch (error) {
    throw loadFailed(file, error)
  }
}

/** Root folder of the running package, with its package.json. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}

/** Name and version of this package. */
export function packageVersion(): { name: string; version: string } {
  const { name, version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { name: string; version: string }
  return { name, version }
}

/** The modules of this package under the names that others import them by. */
async function ownModules(wanted: ReadonlySet<string>): Promise<Record<string, unknown>> {
  const root = packageRoot()
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: Record<string, { default?: string }> }
  // Without a build (tests) this file is src/host/modules.ts, and the others stand beside it as .ts.
  const built = !import.meta.url.endsWith('.ts')
  const modules: Record<string, unknown> = {}
  for (const [subpath, { default: target }] of Object.entries(manifest.exports)) {
    const name = `rehydrate${subpath.slice(1)}`
    // Packages that import `rehydrate` themselves need the main one even where the project's files don't.
    if (target === undefined || (name !== 'rehydrate' && !wanted.has(name))) continue
    const file = join(root, built ? target : target.replace('./dist/', './').replace(/\.js$/, '.ts'))
    modules[name] = await import(pathToFileURL(file).href)
  }
  return modules
}

/** Compiled modules are kept in the project's own node_modules only: a shared temporary folder is anybody's to write to. */
function cacheFolder(file: string): string | null {
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'node_modules'))) return join(folder, 'node_modules', '.cache', 'rehydrate')
  }
  return null
}

function loadFailed(file: string, error: unknown): RehydrateError {
  const place = placeOf(error) ?? { file }
  if (isRehydrateError(error)) return new RehydrateError(error.code, { ...error.details, ...place })
  const text = error instanceof Error ? (error.message.split('\n')[0] as string).trim() : String(error)
  return new RehydrateError('CONFIG_LOAD_FAILED', { message: `${place.file} could not be loaded: ${text}`, ...place, cause: error })
}

/** The first place in a user's file that the error names: in its message (syntax errors) or on its stack. */
function placeOf(error: unknown): { file: string; line: number } | null {
  if (!(error instanceof Error)) return null
  for (const line of [error.message, ...(error.stack ?? '').split('\n').slice(1)].join('\n').split('\n')) {
    const match = /(?:file:\/\/)?((?:\/|[A-Za-z]:\\)[^():]+\.[cm]?[jt]sx?):(\d+)(?::\d+)?/.exec(line) ??
      /((?:\/|[A-Za-z]:\\)[^():]+\.[cm]?[jt]sx?): .*\((\d+):\d+\)/.exec(line)
    const file = match?.[1]
    if (file === undefined || file.startsWith(packageRoot()) || file.includes('node_modules')) continue
    return { file, line: Number(match?.[2]) }
  }
  return null
}
