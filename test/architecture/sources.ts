import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

export const ROOT = resolve(import.meta.dirname, '../..')

export interface SourceFile {
  /** Path from the root of the repository, with `/`. */
  readonly path: string
  readonly text: string
  readonly imports: readonly Import[]
}

export interface Import {
  /** As written: `../errors.js`, `node:fs`, `pino`. */
  readonly specifier: string
  /** Path of the file it names, from the root; null for a package or a module of Node. */
  readonly file: string | null
  /** `import('…')` as an expression: loaded when it is needed. */
  readonly lazy: boolean
  /** `import type … from`: gone at run time. */
  readonly typeOnly: boolean
}

/** Static imports and re-exports (types too), `import('…')`, `require('…')` and `require.resolve('…')`. */
const IMPORT =
  /(?:^|\n)\s*(?:import|export)\b(?:[^'"`;()]*?\bfrom)?\s*(['"])([^'"]+)\1|\b(?:import|require(?:\.resolve)?)\(\s*(['"])([^'"]+)\3\s*\)/g

export function importsOf(path: string, text: string): Import[] {
  return [...withoutComments(text).matchAll(IMPORT)].map((match) => {
    const specifier = (match[2] ?? match[4]) as string
    const file = specifier.startsWith('.') ? join(dirname(path), specifier).replace(/\.js$/, '.ts') : null
    return { specifier, file, lazy: match[4] !== undefined, typeOnly: /^\s*(?:import|export) type\b/.test(match[0]) }
  })
}

/** Comments become blanks, so that lines keep their numbers; strings are left alone. */
export function withoutComments(text: string): string {
  const token = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g
  return text.replace(token, (found) => (found.startsWith('/') ? found.replace(/[^\n]/g, ' ') : found))
}

/** The TypeScript files below a folder, in the order of their paths. */
export function sources(folder: string): SourceFile[] {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.endsWith('.ts') && !name.includes('node_modules')).sort().map((name) => {
    const path = join(folder, name).replaceAll('\\', '/')
    const text = readFileSync(join(ROOT, path), 'utf8')
    return { path, text, imports: importsOf(path, text) }
  })
}
