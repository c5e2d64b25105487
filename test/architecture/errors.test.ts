import { describe, expect, test } from 'vitest'
import { ERRORS, type ErrorCode } from '../../src/errors.js'
import { sources } from './sources.js'

const codes = Object.keys(ERRORS) as ErrorCode[]

/** Codes that stand in quotes in one of the texts. */
function namedIn(texts: readonly string[]): Set<string> {
  return new Set(texts.flatMap((text) => [...text.matchAll(/['"`]([A-Z][A-Z0-9_]+)['"`]/g)].map((match) => match[1] as string)))
}

const GROUPS: readonly (readonly [exit: number, title: string])[] = [
  [1, 'Differs, or refused by policy'],
  [2, 'Fault or unknown'],
  [3, 'Not yet'],
  [5, 'Lost the race'],
  [7, 'The source lost data'],
  [8, 'The projection'],
  [64, 'Usage and configuration'],
  [130, 'Stopped'],
]

function errorPage(): string {
  const page = [
    '# Errors',
    '',
    'Every failure carries one of these codes: on screen, in `--json` as `error.code`, and in the library as the `code` of a',
    '`RehydrateError`. `rehydrate help CODE` prints the same. A code with *can be accepted* may be waived by name with',
    '`--accept CODE=WHERE`; what was waived stands in the seal for good.',
    '',
    '<!-- Made from src/errors.ts by `npm run docs`. -->',
  ]
  for (const [exit, title] of GROUPS) {
    const group = codes.filter((code) => ERRORS[code].exit === exit)
    if (group.length === 0) continue
    const shown = exit === 130 ? '130 (Ctrl-C) or 143 (SIGTERM)' : String(exit)
    page.push('', `## Exit ${shown}: ${title.toLowerCase()}`)
    for (const code of group) {
      const { summary, safe, fix, acceptable } = ERRORS[code]
      page.push('', `### ${code}`, '', `${summary}${acceptable ? ' *Can be accepted.*' : ''}`, '', `- Safe: ${safe}`, `- Do: ${fix}`)
    }
  }
  return `${page.join('\n')}\n`
}

describe('every error code', () => {
  test('is thrown somewhere in src or an adapter', () => {
    const code = [...sources('src'), ...sources('adapters')].filter(({ path }) => path !== 'src/errors.ts')
    const thrown = namedIn(code.map(({ text }) => text))
    expect(codes.filter((name) => !thrown.has(name))).toEqual([])
  })

  test('is expected by a test', () => {
    const tests = sources('test').filter(({ path }) => !path.startsWith('test/architecture/'))
    const expected = namedIn(tests.map(({ text }) => text))
    expect(codes.filter((name) => !expected.has(name))).toEqual([])
  })

  test('is in docs/errors.md, which is made from the table (npm run docs)', async () => {
    expect(codes.filter((code) => !GROUPS.some(([exit]) => exit === ERRORS[code].exit))).toEqual([])
    await expect(errorPage()).toMatchFileSnapshot('../../docs/errors.md')
  })

  test('that is quoted is one of the table', () => {
    const looksLikeOne = /^(?:LOG|STORE|CONFIG|HANDLER|EVENT|SOURCE|KEY|STATE|RUN)_[A-Z_]+$/
    const quoted = namedIn([...sources('src'), ...sources('adapters')].map(({ text }) => text))
    expect([...quoted].filter((name) => looksLikeOne.test(name) && !Object.hasOwn(ERRORS, name))).toEqual([])
  })
})
