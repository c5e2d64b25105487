import { describe, expect, test } from 'vitest'
import { importsOf, sources, withoutComments, type SourceFile } from './sources.js'

/** A folder (or file) of src imports only from those to its left, types included. */
const LAYERS = [
  'errors', 'value', 'digest', 'log', 'projection', 'store', 'replay', 'verify', 'conformance', 'host', 'testing', 'index', 'cli',
]
/** Left of `host`, the world is touched only through arguments. */
const PURE = LAYERS.slice(0, LAYERS.indexOf('host'))
/** What the composition root may know. */
const CLI_IMPORTS = ['index', 'host', 'cli']
/** The demo is the one place in src that may name an adapter. */
const DEMO = 'src/cli/demo.ts'

const engine = sources('src')
const adapters = sources('adapters')

function layerOf(path: string): string {
  return (path.split('/')[1] ?? '').replace(/\.ts$/, '')
}

function refusalsOf(file: SourceFile): string[] {
  const own = layerOf(file.path)
  return file.imports.flatMap(({ specifier, file: target }) => {
    if (target === null) return []
    const refuse = (why: string): string[] => [`${file.path} imports ${specifier}: ${why}`]
    if (target.startsWith('adapters/')) return file.path === DEMO ? [] : refuse('src names no adapter')
    if (!target.startsWith('src/')) return refuse('outside src')
    const layer = layerOf(target)
    if (!LAYERS.includes(layer)) return refuse('not a known layer')
    if (own === layer) return []
    if (layer === 'conformance' && own !== 'testing') return refuse('conformance is for others, by the exports of the package')
    if (own === 'cli') return CLI_IMPORTS.includes(layer) ? [] : refuse(`cli imports only ${CLI_IMPORTS.join(', ')}`)
    return LAYERS.indexOf(layer) < LAYERS.indexOf(own) ? [] : refuse(`${layer} is not to the left of ${own}`)
  })
}

/** The files of one cycle, the first named twice; null where there is none. */
function cycleIn(files: readonly SourceFile[]): string[] | null {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): string[] | null => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path]
    if (done.has(path)) return null
    for (const { file } of byPath.get(path)?.imports ?? []) {
      const cycle = file === null ? null : visit(file, [...trail, path])
      if (cycle !== null) return cycle
    }
    done.add(path)
    return null
  }
  for (const { path } of files) {
    const cycle = visit(path, [])
    if (cycle !== null) return cycle
  }
  return null
}

describe('layers', () => {
  test('every folder of src is a layer', () => {
    expect(engine.map((file) => layerOf(file.path)).filter((layer) => !LAYERS.includes(layer))).toEqual([])
  })

  test('a folder of src imports only from folders to its left, and names no adapter', () => {
    expect(engine.flatMap(refusalsOf)).toEqual([])
  })

  test('an adapter imports only the public index, its own folder, its client and Node', () => {
    const refused = adapters.flatMap(({ path, imports }) => imports.flatMap(({ specifier, file }) => {
      const own = path.split('/').slice(0, 2).join('/')
      return file === null || file === 'src/index.ts' || file.startsWith(`${own}/`) ? [] : [`${path} imports ${specifier}`]
    }))
    expect(refused).toEqual([])
  })

  test('no files import each other in a circle', () => {
    expect(cycleIn([...engine, ...adapters])).toBeNull()
  })

  test('every relative import names a file that is there', () => {
    const known = new Set([...engine, ...adapters].map((file) => file.path))
    const missing = [...engine, ...adapters].flatMap(({ path, imports }) =>
      imports.filter(({ file }) => file !== null && !known.has(file)).map(({ specifier }) => `${path}: ${specifier}`))
    expect(missing).toEqual([])
  })

  test('left of host nobody asks for the present time', () => {
    // What oxlint can not say; the other ways to touch the world are in .oxlintrc.json.
    const asks = /\bnew Date\s*(?:\(\s*\)|(?![\w(\s]))|(?<!new\s)(?<![.\w])Date\(/
    const asking = engine.filter((file) => PURE.includes(layerOf(file.path)) && asks.test(withoutComments(file.text)))
    expect(asking.map((file) => file.path)).toEqual([])
  })
})

describe('the reader of imports', () => {
  test('sees static, type-only, multi-line, re-exporting, side-effect and lazy imports, and no comments', () => {
    const text = `
import { a } from './a.js'
import type { B } from '../log/b.js'
import {
  c,
  d,
} from './c.js'
export * from './e.js'
import './f.js'
// import { no } from './no.js'
/* import './no.js' */
const text = "import './string.js'"
const lazy = await import('pino')
type T = import('./g.js').T
`
    expect(importsOf('src/value/x.ts', text)).toEqual([
      { specifier: './a.js', file: 'src/value/a.ts', lazy: false, typeOnly: false },
      { specifier: '../log/b.js', file: 'src/log/b.ts', lazy: false, typeOnly: true },
      { specifier: './c.js', file: 'src/value/c.ts', lazy: false, typeOnly: false },
      { specifier: './e.js', file: 'src/value/e.ts', lazy: false, typeOnly: false },
      { specifier: './f.js', file: 'src/value/f.ts', lazy: false, typeOnly: false },
      { specifier: 'pino', file: null, lazy: true, typeOnly: false },
      { specifier: './g.js', file: 'src/value/g.ts', lazy: true, typeOnly: false },
    ])
  })

  test('finds a cycle', () => {
    const file = (path: string, text: string): SourceFile => ({ path, text, imports: importsOf(path, text) })
    const circle = [
      file('src/a.ts', "import './b.js'"),
      file('src/b.ts', "import type { C } from './c.js'"),
      file('src/c.ts', "export * from './a.js'"),
    ]
    expect(cycleIn(circle)).toEqual(['src/a.ts', 'src/b.ts', 'src/c.ts', 'src/a.ts'])
    expect(cycleIn(circle.slice(0, 2))).toBeNull()
  })

  test('refuses what points to the right', () => {
    const text = "import { run } from '../replay/run.js'\nimport { x } from '../../adapters/file/index.js'"
    expect(refusalsOf({ path: 'src/log/x.ts', text, imports: importsOf('src/log/x.ts', text) })).toEqual([
      'src/log/x.ts imports ../replay/run.js: replay is not to the left of log',
      'src/log/x.ts imports ../../adapters/file/index.js: src names no adapter',
    ])
  })
})
