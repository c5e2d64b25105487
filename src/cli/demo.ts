import { copyFile, mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { loadConfig, selectJob, type NamedJob } from '../host/config.js'
import { packageRoot } from '../host/modules.js'
import { openState, RehydrateError, replay, type Position, type Progress, type SealedRun, type State } from '../index.js'
import { prepareLog, type PreparedLog } from './flights-log.js'
import { proveAgainstOld, type Proof } from './demo-proof.js'
import { tallyAirports, type Airport, type Tally } from './flights-tally.js'
import { firstFlights, flightsOfFixture, flightsOfVega, PARTITIONS, type FlightData } from './flights.js'
import { layOldService } from './old-service.js'

export interface DemoOptions {
  /** One JSON document instead of text. */
  readonly json: boolean
  /** Only the first so many flights, from 1; default all. */
  readonly events?: number
  /** The 10,000 flights of this package, even where the 3 million are installed. */
  readonly small?: boolean
  /** Folder for the log, the example files and the state; default `cacheFolder(process.env)`. */
  readonly cache?: string
  readonly out: (text: string) => void
  /** How it goes, to be shown over the last one; null: the line is over. Default: not shown. */
  readonly live?: (line: string | null) => void
  readonly signal?: AbortSignal
}

/** REHYDRATE_CACHE, else rehydrate in the user's cache folder (XDG_CACHE_HOME, ~/.cache). */
export function cacheFolder(env: Readonly<Record<string, string | undefined>>): string {
  const own = env['REHYDRATE_CACHE']
  if (own !== undefined && own !== '') return own
  const xdg = env['XDG_CACHE_HOME']
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.cache'), 'rehydrate')
}

/** What the projection of the example says, and how far it is from the plain loop. */
interface Outcome {
  readonly data: FlightData
  readonly folder: string
  readonly log: PreparedLog
  readonly logMs: number
  readonly sealed: SealedRun
  readonly airports: ReadonlyMap<string, Airport>
  readonly tallied: number
  readonly tallyMs: number
  readonly difference: Difference | null
}

interface Difference {
  readonly airport: string
  readonly rebuilt: Airport | null
  readonly computed: Airport | null
}

/**
 * The first session: a real log becomes a sealed state, which is compared with a plain loop over the data itself. The folder it
 * leaves is a project of its own, with log, projection, configuration and state. Returns the exit code: 1 where the two differ.
 */
export async function demo(options: DemoOptions): Promise<number> {
  const live = options.live ?? ((): void => {})
  const data = await chooseData(options)
  const folder = join(options.cache ?? cacheFolder(process.env), data.name)
  if (!options.json) options.out(`${data.title}\n`)

  const startedMs = performance.now()
  const log = await prepareLog(data, folder, (flights) => {
    if (options.signal?.aborted === true) throw stopped()
    live(`  log      ${count(flights)} events written`)
  })
  const logMs = performance.now() - startedMs
  live(null)
  if (!options.json) options.out(logLine(folder, log, logMs))

  await layExample(folder)
  const job = selectJob(await loadConfig(folder))
  const sealed = await rebuild(job, live, options.signal)
  if (!options.json) options.out(sealedLines(sealed))

  const airports = await readAirports(job)
  const tallyStartedMs = performance.now()
  live(`  check    a plain loop over the ${data.rows} …`)
  const computed = await tallyAirports(data)
  live(null)
  const tallyMs = performance.now() - tallyStartedMs
  const difference = firstDifference(airports, computed.airports)
  const outcome = { data, folder, log, logMs, sealed, airports, tallied: computed.airports.size, tallyMs, difference }
  if (!options.json) options.out(checkLines(outcome))
  const proof = difference === null ? await prove(folder, computed, sealed.position, options) : null
  if (options.json) options.out(`${JSON.stringify({ ...documentOf(outcome), old: proof === null ? null : proofDocument(proof) })}\n`)
  else if (difference === null) options.out(closingLines(folder))
  return difference === null ? proof?.exitCode ?? 0 : 1
}

/** The state against a database that another program wrote: null where there are too few flights to lose one. */
async function prove(folder: string, { airports, lost }: Tally, position: Position, options: DemoOptions): Promise<Proof | null> {
  if (lost === null) return null
  await layOldService(join(folder, 'old.db'), airports, lost, position)
  if (!options.json) options.out('An "old service" has a database of its own, old.db, written with plain SQL. Is ours equal to it?\n\n')
  return await proveAgainstOld(folder, options.json, options.out)
}

/** The documents that the commands printed. */
function proofDocument({ printed, exitCode }: Proof): object {
  const [before, diff, repair, after] = printed.map((text): unknown => JSON.parse(text))
  return { before, diff, repair, after, exitCode }
}

function stopped(): RehydrateError {
  const safe = 'The part of the log that was written is gone.'
  return new RehydrateError('RUN_STOPPED', { message: 'Stopped while the log was written.', safe, fix: 'The same command begins again.' })
}

async function chooseData({ events, small }: DemoOptions): Promise<FlightData> {
  const data = (small === true ? null : await flightsOfVega()) ?? flightsOfFixture()
  return events === undefined ? data : firstFlights(data, events)
}

/** Lays the example beside the log, over what an earlier demo (or a curious user) left. */
async function layExample(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const name of ['airports.ts', 'rehydrate.config.ts']) {
    await copyFile(join(packageRoot(), 'docs', 'examples', 'flights', name), join(folder, name))
  }
}

/** From the first event, into a new generation; those of earlier demos are dropped. */
async function rebuild(job: NamedJob, live: (line: string | null) => void, signal: AbortSignal | undefined): Promise<SealedRun> {
  const { source, projection, store } = job
  await using run = replay({ source, projection, store, restart: true, ...(signal === undefined ? {} : { signal }) })
  for await (const event of run) {
    if (event.kind === 'progress') live(progressLine(event))
  }
  const sealed = await run.done
  live(null)
  for (const { generation, live: isLive } of await store.generations()) {
    if (!isLive) await store.drop(generation)
  }
  return sealed
}

async function readAirports({ store, projection }: NamedJob): Promise<Map<string, Airport>> {
  const state: State = await openState(store, { projection })
  try {
    const airports = new Map<string, Airport>()
    for (let after: string | null = null; ;) {
      const page = await state.scan('airports', after, 1000)
      for (const { key, value } of page) airports.set(key, value as unknown as Airport)
      after = page.at(-1)?.key ?? null
      if (after === null) return airports
    }
  } finally {
    await state.close()
  }
}

function firstDifference(rebuilt: ReadonlyMap<string, Airport>, computed: ReadonlyMap<string, Airport>): Difference | null {
  for (const airport of [...new Set([...rebuilt.keys(), ...computed.keys()])].sort()) {
    const [ours, theirs] = [rebuilt.get(airport) ?? null, computed.get(airport) ?? null]
    if (!isDeepStrictEqual(ours, theirs)) return { airport, rebuilt: ours, computed: theirs }
  }
  return null
}

function documentOf({ data, folder, log, sealed, airports, tallied, difference }: Outcome): Record<string, unknown> {
  const { applied, durationMs, eventsPerSecond } = sealed.run
  return {
    data: data.name, folder, events: log.flights, bytes: log.bytes, position: positionJson(sealed.position), root: sealed.root,
    manifest: sealed.seal.manifestHash, grade: sealed.grade.grade, airports: airports.size, computed: tallied,
    agrees: difference === null, difference, applied, durationMs, eventsPerSecond,
  }
}

function positionJson(position: Position): Record<string, number> {
  return Object.fromEntries([...position].sort(([a], [b]) => (a < b ? -1 : 1)))
}

const number = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

function count(value: number): string {
  return number.format(value)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function logLine(folder: string, { flights, bytes, built }: PreparedLog, ms: number): string {
  const how = built ? `written in ${seconds(ms)}` : 'there from an earlier time'
  return `  log      ${count(flights)} events in ${PARTITIONS} partitions, ${count(bytes / 1e6)} MB, ${how}
           ${join(folder, 'log')}
`
}

function progressLine({ done, total, eventsPerSecond }: Progress): string {
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total)
  return `  replay   ${percent} %  ${count(done)} of ${count(total)}  ${count(eventsPerSecond)}/s`
}

function sealedLines({ root, position, run, seal, grade }: SealedRun): string {
  const cut = Object.entries(positionJson(position)).map(([partition, offset]) => `${partition}@${offset}`)
  return `  replay   ${count(run.applied)} events in ${seconds(run.durationMs)} (${count(run.eventsPerSecond)}/s) → SQLite, sealed
           at ${cut.join(',')}
  root     ${root}
  seal     ${seal.manifestHash} (${grade.grade})
`
}

function checkLines(outcome: Outcome): string {
  const { airports, tallied, tallyMs, data, difference } = outcome
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

function closingLines(folder: string): string {
  return `The folder is a project of its own: log, projection (30 lines), configuration, state. Try next:

  cd ${folder}
  alias rehydrate='node ${join(packageRoot(), 'dist', 'src', 'cli', 'main.js')}'
  rehydrate status
  rehydrate inspect ORD            # the state of one airport
  rehydrate verify --rebuild       # fold the log again in other orders: the same root?
  rehydrate replay                 # nothing to do: the log has not grown
  rehydrate replay --restart       # again from the first event: the same root
  …change 15 to 30 in airports.ts  # the next replay refuses, until its version is raised

\`rehydrate demo\` puts everything back.
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
