import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { canHaveKafka, kafkaBroker } from '../support/kafka.js'

const ROOT = resolve(import.meta.dirname, '../..')
const CLI = join(ROOT, 'dist/src/cli/main.js')
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
const FILES = ['accounts.ts', 'rebuild.ts', 'rehydrate.config.ts', 'log/accounts.ndjson']

/** The code block that follows the first place where a text stands at the end of a paragraph. */
function blockAfter(text: string): string {
  const found = new RegExp(`${text.replace(/[.*/$]/g, '\\$&')}\`?:?\\n\\n\`\`\`\\w*\\n([^]*?\\n)\`\`\``).exec(readme)
  if (found === null) throw new Error(`README.md has no code block after ${text}.`)
  return found[1] as string
}

let folder = ''
beforeAll(() => {
  if (!existsSync(CLI)) throw new Error('Run `npm run build` first; `npm test` does.')
  folder = mkdtempSync(join(tmpdir(), 'rehydrate-readme-'))
  mkdirSync(join(folder, 'log'))
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(ROOT, join(folder, 'node_modules/rehydrate'))
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  for (const file of FILES) writeFileSync(join(folder, file), blockAfter(file))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function run(args: readonly string[], input = ''): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8', input })
  return `${stdout}${status === 0 ? '' : `${stderr}${status}`}`
}

/** Durations and rates are of the machine. */
const still = (text: string): string => text.replace(/in \d+ ms \(\d+\/s\)/g, 'in N ms (N/s)')

/** So is the Node, the cluster, and what follows from its id. */
const stillOfKafka = (text: string): string => still(text).replace(/Node\.js [\d.]+\./, 'Node.js N.').replace(/Cluster \S+/, 'Cluster N')
  .replace(/manifest {4}\S+/, 'manifest    N').replace(/\bin (?:less than|about) \d+ \w+\./, 'in N.').replace(/expires in [\w ]+ at/, 'expires in N at')
  .replace(/needs about \d+ \w+\./, 'needs about N.')

describe.skipIf(!canHaveKafka('the Kafka session of README.md'))('the Kafka session of README.md', () => {
  test('prints what stands there', async () => {
    const broker = await kafkaBroker()
    const topic = await broker.makeTopic({ name: 'accounts', partitions: 3, config: { 'retention.ms': '604800000' } })
    const events = blockAfter('`log/accounts.ndjson`').trim().split('\n').map((line) => {
      const { type, key, data } = JSON.parse(line)
      return { key, value: JSON.stringify({ type, data }) }
    })
    await broker.produce(topic, events)
    folder = join(folder, 'kafka')
    mkdirSync(folder)
    try {
      const init = /^rehydrate (init .*?) +#/m.exec(readme)?.[1]?.replace('127.0.0.1:9092', broker.brokers.join()).split(' ') ?? []
      expect(run([CLI, ...init])).toContain('accounts.ts, with a handler for each of 2 types in a sample of 3 events')
      const seen = `$ rehydrate doctor\n${run([CLI, 'doctor'])}$ rehydrate replay\n${run([CLI, 'replay', '--log-level', 'silent'])}`
      expect(stillOfKafka(seen)).toBe(stillOfKafka(/```\n(\$ rehydrate doctor\n[^]*?)```/.exec(readme)?.[1] ?? ''))
    } finally {
      folder = join(folder, '..')
      await broker.dispose()
    }
  }, 120_000)
})

describe('the first pages of README.md', () => {
  test('the first code stands by line 25', () => {
    expect(readme.split('\n').findIndex((line) => line.startsWith('```ts'))).toBeLessThan(25)
  })

  test('the library example prints what stands there', () => {
    expect(run([join(ROOT, 'node_modules/jiti/lib/jiti-cli.mjs'), 'rebuild.ts'])).toBe(blockAfter('`rebuild.ts` prints'))
  })

  test('the commands print what stands there', () => {
    const session = /```\n(\$ rehydrate replay\n[^]*?)```/.exec(readme)?.[1] ?? ''
    const seen = [
      `$ rehydrate replay\n${run([CLI, 'replay', '--log-level', 'silent'])}`,
      `$ rehydrate explain alice\n${run([CLI, 'explain', 'alice'])}`,
      `$ rehydrate export | rehydrate digest -\n${run([CLI, 'digest', '-'], run([CLI, 'export']))}`,
    ].join('')
    expect(still(seen)).toBe(still(session))
  })

  test('a changed first line is refused as it stands there', () => {
    const log = join(folder, 'log/accounts.ndjson')
    writeFileSync(log, readFileSync(log, 'utf8').replace('100', '900'))
    const shown = run([CLI, 'replay']).replace(/^accounts .*\n/gm, '')
    expect(`$ rehydrate replay ; echo $?\n${shown}\n`).toBe(/```\n(\$ rehydrate replay ; [^]*?)```/.exec(readme)?.[1])
  })
})
