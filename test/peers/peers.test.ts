import { execFileSync, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestOfLines } from '../../src/digest/dump.js'
import { formatHash } from '../../src/digest/hash.js'

const path = (file: string): string => fileURLToPath(new URL(file, import.meta.url))
const peers: [string, string, string[]][] = [
  ['Python', 'python3', [path('reference.py')]],
  ['Java', 'java', [path('Reference.java')]],
]

async function ours(lines: readonly string[]): Promise<string> {
  const { root, collections } = await digestOfLines(lines)
  const sorted = [...collections].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  return [`root ${formatHash(root)}`, ...sorted.map(([name, c]) => `collection ${JSON.stringify(name)} ${c.count} ${formatHash(c.root)}`), '']
    .join('\n')
}

/** Everything that once made two implementations disagree. */
function hostileLines(count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const value = `{"id":${i},"n":${-i * 100_000},"f":${i / 3},"big":${2n ** 60n + BigInt(i)},"neg":-${2n ** 62n + BigInt(i)},`
      + `"s":${JSON.stringify('é'.repeat(i % 50))},"a":[1,null,true,"x",{"10":1,"9":2,"b":3,"":4,"__proto__":{"x":1}}],`
      + `"z":${i % 2 === 0 ? '-0.0' : '1.0'},"t":1e20,"m":1152921504606846976.0,"w":18446744073709551615,"d":${1 + (i % 9)}.${i}e${(i % 600) - 300},`
      + `"\\u00fc":"\\ud83d\\ude00","\\uffee":1,"\\ud83d\\ude00":2,"e\\u0301":[],"\\u0000":{}}`
    const key = JSON.stringify(`k${i}${i % 7 === 0 ? 'ü😀' : ''}`)
    return `{"collection":${JSON.stringify(['orders', 'ümläut', 'a"b\\', '\uffee', '😀'][i % 5])},"key":${key},"value":${value}}`
  })
}

/** JSON.stringify writes a double from 1e19 to 1e21 as an integer of more than 64 bits, which all refuse. */
const isReadable = (value: unknown): boolean => !/\d{20}/.test(JSON.stringify(value))

const dump = fc.uniqueArray(
  fc.record({
    collection: fc.constantFrom('a', 'b', 'é'),
    key: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
    value: fc.jsonValue({ maxDepth: 4, stringUnit: 'grapheme', noUnicodeString: false } as object).filter(isReadable),
  }),
  { maxLength: 150, selector: ({ collection, key }) => `${collection} ${key}` },
)

describe.each(peers)('the reference implementation in %s', (language, command, args) => {
  const isThere = spawnSync(command, ['--version']).status === 0
  if (!isThere && process.env['CI'] === 'true') it('is run in CI', () => { expect.fail(`${command} is missing`) })
  if (!isThere) console.warn(`SKIPPED: ${command} is not installed, so the state hash was not compared with ${language}.`)
  const run = (lines: readonly string[]): string => execFileSync(command, args, { input: lines.join('\n'), encoding: 'utf8' })

  it.skipIf(!isThere)('agrees on a hostile map of 4,000 entries', async () => {
    const lines = hostileLines(4000)
    expect(run(lines)).toBe(await ours(lines))
  }, 30_000)

  it.skipIf(!isThere)('agrees on random maps', async () => {
    for (const records of fc.sample(dump, 3)) {
      const lines = records.map((record) => JSON.stringify(record))
      expect(run(lines)).toBe(await ours(lines))
    }
  }, 60_000)

  it.skipIf(!isThere)('refuses what we refuse', () => {
    for (const value of ['"\\ud800"', '18446744073709551616', '1e400', '['.repeat(65) + ']'.repeat(65)]) {
      expect(spawnSync(command, args, { input: `{"key":"a","value":${value}}` }).status).not.toBe(0)
    }
  }, 60_000)
})
