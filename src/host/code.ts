import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, extname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compareUtf8 } from '../log/position.js'

/**
 * Hash over the code that a module runs: the source bytes of every module reached by relative imports, each under its path
 * relative to the entry (so that it does not matter where the project lies), then `name@version` of every package imported.
 * `sh1:<hex>`; null where the entry can not be read. Comments count: telling them apart would need each language's parser.
 */
export async function codeOf(module: string | null): Promise<string | null> {
  if (module === null) return null
  const entry = module.startsWith('file:') ? fileURLToPath(module) : module
  const graph = readGraph(entry)
  if (graph.files.size === 0) return null
  const hash = createHash('sha256')
  const files = [...graph.files]
    .map(([file, bytes]) => ({ name: relative(dirname(entry), file).split(sep).join('/'), bytes }))
    .sort((a, b) => compareUtf8(a.name, b.name))
  for (const { name, bytes } of files) hash.update(`file\0${name}\0${bytes.length}\0`).update(bytes)
  for (const name of [...graph.packages].sort(compareUtf8)) hash.update(`package\0${name}\0`)
  return `sh1:${hash.digest('hex')}`
}

export interface ModuleGraph {
  /** Path → source bytes, the entry first. Empty where the entry can not be read. */
  readonly files: ReadonlyMap<string, Uint8Array>
  /** `name@version` of the packages imported by them; without node's own and this one. */
  readonly packages: ReadonlySet<string>
  /** Specifiers of this package that they import: `rehydrate`, `rehydrate/file` … */
  readonly own: ReadonlySet<string>
}

/** Everything that `entry` reaches by relative imports. What can not be resolved is left out: loading it reports that better. */
export function readGraph(entry: string): ModuleGraph {
  const files = new Map<string, Uint8Array>()
  const packages = new Set<string>()
  const own = new Set<string>()
  const todo = [resolve(entry)]
  for (let file = todo.pop(); file !== undefined; file = todo.pop()) {
    if (files.has(file) || !isFile(file)) continue
    const bytes = readFileSync(file)
    files.set(file, bytes)
    if (extname(file) === '.json') continue
    for (const specifier of importsOf(bytes.toString('utf8'))) {
      if (specifier.startsWith('node:')) continue
      if (specifier === 'rehydrate' || specifier.startsWith('rehydrate/')) {
        own.add(specifier)
      } else if (/^(\.|\/|file:|#)/.test(specifier)) {
        const target = resolveFile(file, specifier)
        if (target !== null) todo.push(target)
      } else if (!createRequire(file).resolve.paths(specifier)) {
        continue // one of node's own, without the prefix
      } else {
        packages.add(versionOf(file, specifier))
      }
    }
  }
  return { files, packages, own }
}

/** import … from '…' and export … from '…' · import '…' · import('…') and require('…') */
const IMPORTS = [/\bfrom\s*(['"])([^'"\n]+)\1/g, /\bimport\s*(['"])([^'"\n]+)\1/g, /\b(?:import|require)\s*\(\s*(['"`])([^'"`\n$]+)\1/g]

function importsOf(source: string): Set<string> {
  return new Set(IMPORTS.flatMap((pattern) => [...source.matchAll(pattern)].map((match) => match[2] as string)))
}

const EXTENSIONS = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.tsx', '.jsx', '.json']
const WRITTEN_AS: Readonly<Record<string, readonly string[]>> = {
  '.js': ['.ts', '.tsx'], '.mjs': ['.mts'], '.cjs': ['.cts'], '.jsx': ['.tsx'],
}

/** The file a relative specifier stands for: as written, .js for .ts, without a suffix, or a folder's index. */
function resolveFile(from: string, specifier: string): string | null {
  if (specifier.startsWith('#')) return resolveInternal(from, specifier)
  const path = specifier.startsWith('file:') ? fileURLToPath(specifier) : resolve(dirname(from), specifier.replace(/[?#].*$/, ''))
  const suffix = extname(path)
  const bare = path.slice(0, path.length - suffix.length)
  const candidates = [
    path,
    ...(WRITTEN_AS[suffix] ?? []).map((other) => bare + other),
    ...EXTENSIONS.map((other) => path + other),
    ...EXTENSIONS.map((other) => join(path, `index${other}`)),
  ]
  return candidates.find(isFile) ?? null
}

/** `#name`: what the project's package.json says under "imports". */
function resolveInternal(from: string, specifier: string): string | null {
  try {
    const file = createRequire(from).resolve(specifier)
    return file.includes(`${sep}node_modules${sep}`) ? null : file
  } catch {
    return null
  }
}

/** `name@version` by the nearest node_modules, as Node looks it up; `name@` where it is not installed. */
function versionOf(from: string, specifier: string): string {
  const name = specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    const manifest = join(folder, 'node_modules', name, 'package.json')
    if (existsSync(manifest)) return `${name}@${(JSON.parse(readFileSync(manifest, 'utf8')) as { version?: string }).version ?? ''}`
    if (folder === dirname(folder)) return `${name}@`
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}
