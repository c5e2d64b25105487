import { expect, test } from 'vitest'
import { sources } from './sources.js'

const MAX_LINES = 300
const MAX_COLUMNS = 140
/** Titles of tests are sentences, and tables of cases are read across. */
const MAX_COLUMNS_OF_TESTS = 180

/** Longer for a reason, each with its ceiling. This list only gets shorter, and its ceilings only lower. */
const LONGER: Readonly<Record<string, number>> = {
  'src/errors.ts': 485,
}

const files = ['src', 'adapters', 'test', 'bench', 'fixtures', 'docs/examples'].flatMap(sources)
const lengthOf = (text: string): number => text.trimEnd().split('\n').length

test(`no file of src or adapters has more than ${MAX_LINES} lines`, () => {
  const code = files.filter(({ path }) => path.startsWith('src/') || path.startsWith('adapters/'))
  const long = code.filter(({ path, text }) => lengthOf(text) > (LONGER[path] ?? MAX_LINES))
  expect(long.map(({ path, text }) => `${path}: ${lengthOf(text)} lines`)).toEqual([])
})

test('a file that is allowed to be longer still needs to be', () => {
  const lengths = new Map(files.map(({ path, text }) => [path, lengthOf(text)]))
  expect(Object.keys(LONGER).filter((path) => (lengths.get(path) ?? 0) <= MAX_LINES)).toEqual([])
})

test(`no line has more than ${MAX_COLUMNS} characters, in tests ${MAX_COLUMNS_OF_TESTS}`, () => {
  const wide = files.flatMap(({ path, text }) => {
    const most = path.startsWith('test/') ? MAX_COLUMNS_OF_TESTS : MAX_COLUMNS
    return text.split('\n').flatMap((line, i) => (line.length > most ? [`${path}:${i + 1}: ${line.length}`] : []))
  })
  expect(wide).toEqual([])
})
