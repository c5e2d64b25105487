import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  exports: Record<string, unknown>
  bin: { rehydrate: string }
  dependencies: Record<string, string>
  optionalDependencies: Record<string, string>
}
const subpaths = Object.keys(manifest.exports).filter((name) => name !== './package.json')

/** A project that installed what `npm pack` makes: the tarball unpacked, and the declared dependencies only. */
let project = ''
let installed = ''

beforeAll(() => {
  if (!existsSync(join(ROOT, 'dist/src/index.js'))) throw new Error('Run `npm run build` first; `npm test` does.')
  project = mkdtempSync(join(tmpdir(), 'rehydrate-consumer-'))
  const packed = run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', project], ROOT)
  expect(packed.stderr + packed.stdout).toContain('.tgz')
  const tarball = readdirSync(project).find((name) => name.endsWith('.tgz')) as string
  run('tar', ['-xzf', tarball], project)
  installed = join(project, 'package')
  // The package stands outside node_modules and is linked, as are its dependencies: nothing else can be resolved.
  for (const name of [...Object.keys(manifest.dependencies), ...Object.keys(manifest.optionalDependencies)]) {
    link(join(ROOT, 'node_modules', name), join(installed, 'node_modules', name))
  }
  link(installed, join(project, 'node_modules/rehydrate'))
  link(join(ROOT, 'node_modules/@types/node'), join(project, 'node_modules/@types/node'))
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'consumer', type: 'module' }))
}, 60_000)

afterAll(() => rmSync(project, { recursive: true, force: true }))

function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(target, path)
}

function run(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = process.env) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: 'utf8' })
  return { status, stdout, stderr }
}

const CONSUMER = `
import { defineProjection, replay, RehydrateError, type SealedRun } from 'rehydrate'
import { fileLog } from 'rehydrate/file'
import { memoryStore } from 'rehydrate/memory'
import { writeFileSync } from 'node:fs'
${subpaths.map((subpath, i) => `import * as module${i} from 'rehydrate${subpath.slice(1)}'`).join('\n')}

writeFileSync('orders.ndjson', '{"type":"Placed","key":"a","data":{}}\\n{"type":"Placed","key":"a","data":{}}\\n')
const orders = defineProjection({
  name: 'orders', version: 1, collections: { orders: {} },
  on: {
    Placed(state, { key }) {
      if (key !== null) state.orders.put(key, { placed: (state.orders.get(key)?.placed ?? 0) + 1 })
    },
  },
})
const sealed: SealedRun = await replay({ source: fileLog({ path: 'orders.ndjson' }), projection: orders, store: memoryStore() }).done
console.log(JSON.stringify({
  root: sealed.root,
  applied: sealed.run.applied,
  error: new RehydrateError('USAGE', { message: 'x' }).exitCode,
  modules: [${subpaths.map((_, i) => `module${i}`).join(', ')}].map((found) => Object.keys(found).length > 0),
}))
`

describe('the packed package', () => {
  test('has what it says and nothing of the workshop', () => {
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' }).filter((name) => !name.startsWith('node_modules'))
    for (const name of ['README.md', 'LICENSE', 'docs/errors.md', 'docs/examples/flights/airports.ts', manifest.bin.rehydrate]) {
      expect(files).toContain(name.replace('./', ''))
    }
    expect(files.filter((name) => /(^|\/)(test|bench|node_modules|\.ci)(\/|$)|\.test\./.test(name))).toEqual([])
  })

  test('compiles under nodenext with the strictest checks, its declarations included, and runs', () => {
    writeFileSync(join(project, 'consumer.ts'), CONSUMER)
    const compilerOptions = {
      target: 'ES2023', lib: ['ES2023'], module: 'nodenext', strict: true, skipLibCheck: false, exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true, types: ['node'],
    }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }))
    const compiled = run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', '.'], project)
    expect(compiled.stdout + compiled.stderr).toBe('')
    const ran = run(process.execPath, ['consumer.js'], project)
    expect(ran.stderr).toBe('')
    expect(JSON.parse(ran.stdout)).toEqual({
      root: expect.stringMatching(/^sh1:[0-9a-f]{64}$/), applied: 2, error: 64, modules: subpaths.map(() => true),
    })
  })

  test('has a command that shows its version, its help and the demo, without packages for developers', () => {
    const command = join(installed, manifest.bin.rehydrate)
    const env = { ...process.env, REHYDRATE_CACHE: join(project, 'cache') }
    expect(run(process.execPath, [command, '--version'], project, env)).toMatchObject({ status: 0, stderr: '' })
    expect(run(process.execPath, [command, 'help'], project, env)).toMatchObject({ status: 0, stdout: expect.stringContaining('replay') })
    const shown = run(process.execPath, [command, 'demo', '--json'], project, env)
    expect(shown.stderr).toBe('')
    expect(JSON.parse(shown.stdout)).toMatchObject({ data: 'flights-10k', events: 10_000, agrees: true })
  })
})
