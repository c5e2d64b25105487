import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { codeOf } from '../../src/host/code.js'
import { project, write } from './project.js'

const FILES = {
  'src/orders.ts': [
    "import { defineProjection } from 'rehydrate'",
    "import { readFileSync } from 'node:fs'",
    "import { join } from 'path'",
    "import sum from 'sum'",
    "export * from './totals.js'",
    "import '../common/setup'",
    "const rules = require('./rules.json')",
    "const late = import('./late/index.mjs')",
  ].join('\n'),
  'src/totals.ts': "import { a } from './folder'\nexport const t = 1",
  'src/folder/index.ts': 'export const a = 1',
  'src/rules.json': '{"limit":1}',
  'src/late/index.mts': 'export {}',
  'common/setup.ts': "import '../src/orders.js'\nexport {}",
  'node_modules/sum/package.json': '{"name":"sum","version":"1.0.0"}',
  'src/unrelated.ts': 'export const u = 1',
}

const hashOf = (folder: string): Promise<string | null> => codeOf(join(folder, 'src/orders.ts'))

test('the hash of code does not depend on where the project lies, nor on path or URL', async () => {
  const one = project(FILES)
  const other = project({})
  cpSync(one, join(other, 'deep/er'), { recursive: true })
  const hash = await hashOf(one)
  expect(hash).toMatch(/^sh1:[0-9a-f]{64}$/)
  expect(await hashOf(join(other, 'deep/er'))).toBe(hash)
  expect(await codeOf(pathToFileURL(join(one, 'src/orders.ts')).href)).toBe(hash)
})

test.each(Object.keys(FILES).filter((name) => name !== 'src/unrelated.ts' && !name.startsWith('node_modules')))(
  'a change in %s changes the hash', async (name) => {
    const folder = project(FILES)
    const before = await hashOf(folder)
    write(folder, { [name]: `${FILES[name as keyof typeof FILES]} ` })
    expect(await hashOf(folder)).not.toBe(before)
  },
)

test('another version of an imported package changes the hash; its files and unrelated modules do not', async () => {
  const folder = project(FILES)
  const before = await hashOf(folder)
  write(folder, { 'src/unrelated.ts': 'changed', 'node_modules/sum/index.js': 'changed' })
  expect(await hashOf(folder)).toBe(before)
  write(folder, { 'node_modules/sum/package.json': '{"name":"sum","version":"1.0.1"}' })
  expect(await hashOf(folder)).not.toBe(before)
})

test('moving bytes from one file to another changes the hash', async () => {
  const a = project({ 'src/orders.ts': "import './x.js'\nimport './y.js'", 'src/x.js': 'ab', 'src/y.js': 'c' })
  const b = project({ 'src/orders.ts': "import './x.js'\nimport './y.js'", 'src/x.js': 'a', 'src/y.js': 'bc' })
  expect(await hashOf(a)).not.toBe(await hashOf(b))
})

test('an unknown or unreadable module has no hash', async () => {
  expect(await codeOf(null)).toBe(null)
  expect(await codeOf('/no/such/file.ts')).toBe(null)
})
