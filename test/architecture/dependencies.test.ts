import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT, sources } from './sources.js'

/** Only the demo may look for packages that are there for developers, and does without them where they are not. */
const SOUGHT_BY_THE_DEMO = ['hyparquet', 'hyparquet-compressors', 'vega-datasets']
const DEMO_DATA = 'src/cli/flights.ts'

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  name: string
  dependencies: Record<string, string>
  optionalDependencies: Record<string, string>
}
const required = Object.keys(manifest.dependencies)
const optional = Object.keys(manifest.optionalDependencies)

const packageOf = (specifier: string): string => specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')

const imports = [...sources('src'), ...sources('adapters')].flatMap((file) =>
  file.imports
    .filter((found) => found.file === null && !found.specifier.startsWith('node:') && packageOf(found.specifier) !== manifest.name)
    .filter((found) => !(file.path === DEMO_DATA && found.lazy && SOUGHT_BY_THE_DEMO.includes(packageOf(found.specifier))))
    .map((found) => ({ ...found, path: file.path, name: packageOf(found.specifier) })))

test('every package that src or an adapter imports is declared, for its types too', () => {
  const declared = [...required, ...optional]
  expect(imports.filter(({ name }) => !declared.includes(name)).map(({ path, name }) => `${path}: ${name}`)).toEqual([])
})

test('an optional package is never needed to load a file', () => {
  const needed = imports.filter(({ name, lazy, typeOnly }) => optional.includes(name) && !lazy && !typeOnly)
  expect(needed.map(({ path, name }) => `${path}: ${name}`)).toEqual([])
})

test('every declared package is imported somewhere', () => {
  const used = new Set(imports.map(({ name }) => name))
  expect(required.filter((name) => !used.has(name))).toEqual([])
  // A client that an adapter loads under a name it is given stands there in quotes.
  const adapters = sources('adapters').map(({ text }) => text).join('\n')
  expect(optional.filter((name) => !used.has(name) && !adapters.includes(`'${name}'`))).toEqual([])
})

test('modules of Node are imported by their node: names', () => {
  const bare = imports.filter(({ name }) => ['fs', 'path', 'os', 'crypto', 'util', 'stream', 'events', 'url', 'zlib'].includes(name))
  expect(bare.map(({ path, name }) => `${path}: ${name}`)).toEqual([])
})

test('the lock file names no registry', () => {
  expect(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).not.toMatch(/"resolved": "https?:/)
})
