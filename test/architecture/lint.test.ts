import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from './sources.js'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rehydrate-lint-'))
  copyFileSync(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** How many faults oxlint finds in one line of code at a path. */
function faults(path: string, line: string): number {
  mkdirSync(join(folder, path, '..'), { recursive: true })
  writeFileSync(join(folder, path), `${line}\n`)
  const oxlint = join(ROOT, 'node_modules/oxlint/bin/oxlint')
  const { stdout } = spawnSync(process.execPath, [oxlint, '--format=json', path], { cwd: folder, encoding: 'utf8' })
  return (JSON.parse(stdout) as { diagnostics: unknown[] }).diagnostics.length
}

const worldly = [
  "export { readFileSync } from 'node:fs'",
  "import { connect } from 'node:net'\nexport const x = connect",
  "import { spawn } from 'node:child_process'\nexport const x = spawn",
  "import { setTimeout } from 'node:timers/promises'\nexport const x = setTimeout",
  'export const x = process.pid',
  'export const x = (): number => Date.now()',
  'export const x = (): number => Math.random()',
  'export const x = (): unknown => setTimeout(() => x, 1)',
  'export const x = (): unknown => fetch("")',
  'export const x = (): void => console.log("")',
  'export const x = (): number => performance.now()',
]

test.each(worldly)('in the engine, oxlint refuses: %s', (line) => {
  expect(faults('src/replay/planted.ts', line)).toBeGreaterThan(0)
})

test.each(worldly.filter((line) => !line.includes('console')))('in src/host it does not: %s', (line) => {
  expect(faults('src/host/planted.ts', line)).toBe(0)
})

test('node:crypto is for src/digest only', () => {
  const line = "import { createHash } from 'node:crypto'\nexport const x = createHash"
  expect(faults('src/digest/planted.ts', line)).toBe(0)
  expect(faults('src/store/planted.ts', line)).toBe(1)
})
