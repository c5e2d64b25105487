import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { sources } from '../architecture/sources.js'

const ROOT = resolve(import.meta.dirname, '../..')
const pages = ['', 'docs', 'adapters', 'fixtures'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: folder !== '', encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name)))
  .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))

/** Numbers of a title come from constants of the test. */
const withoutNumbers = (title: string): string => title.replace(/\$\{\w+\}|\d+/g, '#')

describe('the documents', () => {
  test('link only to what is there', () => {
    const dead = pages.flatMap(({ path, text }) => [...text.matchAll(/\]\((?!https?:)([^)#\s]+\.\w+)(?:#[^)]*)?\)/g)]
      .map(([, link]) => link as string)
      .filter((link) => !existsSync(join(ROOT, dirname(path), link)))
      .map((link) => `${path}: ${link}`))
    expect(dead).toEqual([])
  })

  test('name only files of the repository that are there', () => {
    const named = pages.flatMap(({ path, text }) => [...text.matchAll(/(?<![\w/])(?:test|src|adapters|fixtures|docs)\/[\w/.-]*\w/g)]
      .map(([name]) => ({ path, name })))
    const missing = named.filter(({ path, name }) => ![ROOT, join(ROOT, dirname(path))].some((base) => existsSync(join(base, name))))
    expect(missing.filter(({ name }) => !name.includes('NAME'))).toEqual([])
  })

  test('quote titles of tests that are there, for every invariant of ARCHITECTURE.md', () => {
    const titles = withoutNumbers([...sources('test'), ...sources('src')].map(({ text }) => text).join('\n'))
    const text = pages.find(({ path }) => path === 'ARCHITECTURE.md')?.text ?? ''
    const rows = text.slice(text.indexOf('## Invariants'), text.indexOf('## Speed rules')).split('\n').filter((line) => line.startsWith('| '))
    const quoted = rows.flatMap((row) => [...row.matchAll(/\*([^*]+)\*/g)].map((match) => match[1] as string))
    expect(quoted.length).toBeGreaterThan(20)
    expect(quoted.filter((title) => !titles.includes(withoutNumbers(title)))).toEqual([])
  })
})
