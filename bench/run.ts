/**
 * `npm run bench`: a short set, told on the screen. `npm run bench -- --full`: the whole one, written to bench/RESULTS.md.
 * `--rounds N`: other than 3.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { againstBaselines, autocommit, memory, otherWays } from './folding.js'
import { hashing, pauses, start } from './others.js'
import { markdown, occasion, type Section } from './report.js'
import { FULL, SHORT, type Scale } from './scale.js'

const RESULTS = fileURLToPath(new URL('../../bench/RESULTS.md', import.meta.url))

const { values } = parseArgs({ options: { full: { type: 'boolean', default: false }, rounds: { type: 'string' } } })
const sized = values.full ? FULL : SHORT
const scale: Scale = { ...sized, rounds: Number(values.rounds ?? sized.rounds) }
const at = occasion(['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' '))
const sections: Section[] = []
for (const section of [againstBaselines, autocommit, otherWays, memory, pauses, hashing, start]) {
  sections.push(section(scale))
  // After each: a run that was stopped has told what it found.
  if (values.full) writeFileSync(RESULTS, markdown(at, sections))
}
process.stdout.write(markdown(at, sections))
