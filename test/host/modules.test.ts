import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fileLog } from '../../adapters/file/index.js'
import { RehydrateError } from '../../src/errors.js'
import { loadModule } from '../../src/host/modules.js'
import * as index from '../../src/index.js'
import { project } from './project.js'

test('rehydrate in a user file is this running package: one class of errors, one everything', async () => {
  const folder = project({
    'config.ts': `
      import * as rehydrate from 'rehydrate'
      import { again } from './other.ts'
      export default { direct: rehydrate.RehydrateError, again }`,
    'other.ts': "import { RehydrateError } from 'rehydrate'\nexport const again: unknown = RehydrateError",
  })
  expect(await loadModule(join(folder, 'config.ts'))).toEqual({ direct: RehydrateError, again: RehydrateError })
  expect(index.RehydrateError).toBe(RehydrateError)
})

test('rehydrate/NAME in a user file is the adapter of this running package', async () => {
  const folder = project({ 'config.ts': "import { fileLog } from 'rehydrate/file'\nexport default fileLog" })
    expect(await loadModule(join(folder, 'config.ts'))).toBe(fileLog)
})

test.each([
  ['a syntax error', 'export const a = 1\nexport const b = (\n', 'Unexpected token'],
  ['an error of the file itself', 'const a: number = 1\n\nthrow new Error("no database")', 'no database'],
  ['a missing import', "import { a } from './missing.js'\nexport default a", 'missing'],
])('%s is CONFIG_LOAD_FAILED and names the file', async (_, source, message) => {
  const file = join(project({ 'config.ts': source }), 'config.ts')
  const error = await loadModule(file).catch((thrown: unknown) => thrown) as RehydrateError
  expect(error).toMatchObject({ code: 'CONFIG_LOAD_FAILED', details: { file } })
  expect(error.message).toContain(message)
})

test('an error while loading names the line', async () => {
  const file = join(project({ 'config.ts': 'type A = 1\nconst a: A = 1\n\nthrow new Error("x")\n' }), 'config.ts')
  await expect(loadModule(file)).rejects.toMatchObject({ details: { file, line: 4 } })
})

test('an error of this package while loading keeps its code and gets the place in the user file', async () => {
  const file = join(project({
    'config.ts': "import { RehydrateError } from 'rehydrate'\n\nthrow new RehydrateError('CONFIG_INVALID', { message: 'x', path: 'p' })",
  }), 'config.ts')
  await expect(loadModule(file)).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: 'x', details: { path: 'p', file, line: 3 } })
})
