import type { Position, Progress, SealedRun } from '../index.js'
import type { Airport, Difference } from './flights-tally.js'
import type { FlightData } from './flights.js'

/** What the demos print. */

export function positionJson(position: Position): Record<string, number> {
  return Object.fromEntries([...position].sort(([a], [b]) => (a < b ? -1 : 1)))
}

const number = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

export function count(value: number): string {
  return number.format(value)
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

export function progressLine({ done, total, eventsPerSecond }: Progress): string {
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total)
  return `  replay   ${percent} %  ${count(done)} of ${count(total)}  ${count(eventsPerSecond)}/s`
}

export function sealedLines({ root, position, run, seal, grade }: SealedRun): string {
  const cut = Object.entries(positionJson(position)).map(([partition, offset]) => `${partition}@${offset}`)
  return `  replay   ${count(run.applied)} events in ${seconds(run.durationMs)} (${count(run.eventsPerSecond)}/s) → SQLite, sealed
           at ${cut.join(',')}
  root     ${root}
  seal     ${seal.manifestHash} (${grade.grade})
`
}

/** The rebuilt airports beside those of the plain loop. */
export interface Checked {
  readonly data: FlightData
  readonly airports: ReadonlyMap<string, Airport>
  /** Airports of the plain loop. */
  readonly tallied: number
  readonly tallyMs: number
  readonly difference: Difference | null
}

export function checkLines({ airports, tallied, tallyMs, data, difference }: Checked): string {
  if (difference !== null) {
    return `  check    a plain loop over the ${data.rows} DISAGREES, first at ${difference.airport}
             rebuilt   ${JSON.stringify(difference.rebuilt)}
             computed  ${JSON.stringify(difference.computed)}
`
  }
  return `  check    a plain loop over the ${data.rows} agrees: ${airports.size} of ${tallied} airports (${seconds(tallyMs)})

${tableOf(airports)}
`
}

/** Three airports that say something: the busiest, the least punctual of the larger quarter, and the one that waited longest. */
function tableOf(airports: ReadonlyMap<string, Airport>): string {
  const all = [...airports].sort(([, a], [, b]) => b.landed - a.landed)
  const share = ({ delayed, landed }: Airport): number => delayed / landed
  const most = (rows: typeof all, rank: (airport: Airport) => number): typeof all =>
    rows.toSorted(([, a], [, b]) => rank(b) - rank(a)).slice(0, 1)
  const rows = {
    busiest: all.slice(0, 1),
    latest: most(all.slice(0, Math.ceil(all.length / 4)), share),
    longest: most(all, (airport) => airport.longestDelay.delay),
  }
  const lines = Object.entries(rows).flatMap(([why, row]) => row.map(([code, airport]) => [why, code, ...cellsOf(airport)]))
  const table = [['', 'to', 'landed', 'late', 'average', 'longest delay', 'last arrival (departed)'], ...lines]
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)))
  return table.map((cells) => `  ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ').trimEnd()}\n`).join('')
}

function cellsOf({ landed, delayed, delayTotal, longestDelay, lastArrival }: Airport): string[] {
  // The year is in the headline: with it a row does not fit into 100 columns.
  const day = (departed: string): string => departed.slice('2001-'.length).replace('T', ' ')
  return [
    count(landed), `${((100 * delayed) / landed).toFixed(1)} %`, `${(delayTotal / landed).toFixed(1)} min`,
    `${count(longestDelay.delay)} min from ${longestDelay.origin}, ${day(longestDelay.departed)}`,
    `from ${lastArrival.origin}, ${day(lastArrival.departed)}`,
  ]
}
