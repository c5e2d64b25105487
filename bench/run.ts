/**
 * `npm run bench`: a short set, told on the screen. `npm run bench -- --full`: the whole one, kept in bench/results and written to
 * bench/RESULTS.md. `--only NAME,NAME`: these sections; the others stay as they were found. `--rounds N`: other than 2, or 3.
 */
import { parseArgs } from 'node:util'
import { comparing, digests } from './comparing.js'
import { againstBaselines, autocommit, memory, otherWays } from './folding.js'
import { hashing, pauses, start } from './others.js'
import { kafkaFold, kafkaSource } from './kafka.js'
import { blaming, scrubbing, typedTables } from './proving.js'
import { declaredReads } from './reading.js'
import { markdown, occasion, type Reported, type Section } from './report.js'
import { keep, writeReport } from './results.js'
import { FULL, SHORT, type Scale } from './scale.js'
import { removeStates } from './states.js'

const SECTIONS: Readonly<Record<string, (scale: Scale) => Section>> = {
  fold: againstBaselines, reads: declaredReads, autocommit, partitions: otherWays, memory, pause: pauses, hash: hashing, start,
  compare: comparing, digests, blame: blaming, scrub: scrubbing, tables: typedTables,
  'kafka-source': kafkaSource, kafka: kafkaFold,
}

const { values } = parseArgs({
  options: { full: { type: 'boolean', default: false }, rounds: { type: 'string' }, only: { type: 'string' } },
})
const names = values.only?.split(',') ?? Object.keys(SECTIONS)
const unknown = names.find((name) => !Object.hasOwn(SECTIONS, name))
if (unknown !== undefined) throw new Error(`There is no section ${unknown}; there are ${Object.keys(SECTIONS).join(', ')}.`)
const sized = values.full ? FULL : SHORT
const scale: Scale = { ...sized, rounds: Number(values.rounds ?? sized.rounds) }
const command = ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')
const reported: Reported[] = []
try {
  for (const name of names) {
    const at = occasion(command)
    const section = SECTIONS[name]?.(scale)
    if (section === undefined) continue
    reported.push({ at, section })
    if (!values.full) continue
    // After each: a run that was stopped has told what it found.
    keep(name, { at, section })
    writeReport(Object.keys(SECTIONS))
  }
} finally {
  removeStates()
}
process.stdout.write(markdown(reported))
