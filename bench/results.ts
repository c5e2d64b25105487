import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { markdown, type Reported } from './report.js'

const FOLDER = fileURLToPath(new URL('../../bench/results/', import.meta.url))
const REPORT = fileURLToPath(new URL('../../bench/RESULTS.md', import.meta.url))

const fileOf = (name: string): string => `${FOLDER}${name}.json`

/** Keeps what a section found until it is run again. */
export function keep(name: string, reported: Reported): void {
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(fileOf(name), `${JSON.stringify(reported, null, 2)}\n`)
}

/** bench/RESULTS.md, of all sections that were ever kept, in the order of the names. */
export function writeReport(names: readonly string[]): void {
  const kept = names.filter((name) => existsSync(fileOf(name)))
  writeFileSync(REPORT, markdown(kept.map((name) => JSON.parse(readFileSync(fileOf(name), 'utf8')) as Reported)))
}
