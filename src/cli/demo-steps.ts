import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { NamedJob } from '../host/config.js'
import { packageRoot } from '../host/modules.js'
import { openState, RehydrateError, replay, type SealedRun, type State } from '../index.js'
import { count, progressLine, type Checked } from './demo-text.js'
import { prepareLog, type PreparedLog } from './flights-log.js'
import { firstDifference, tallyAirports, type Airport, type Tally } from './flights-tally.js'
import { firstFlights, flightsOfFixture, flightsOfVega, type FlightData } from './flights.js'

/** What the demos are made of. */

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
  readonly live?: Live
  readonly signal?: AbortSignal
}

/** Shows how it goes. */
export type Live = (line: string | null) => void

export async function chooseData({ events, small }: Pick<DemoOptions, 'events' | 'small'>): Promise<FlightData> {
  const data = (small === true ? null : await flightsOfVega()) ?? flightsOfFixture()
  return events === undefined ? data : firstFlights(data, events)
}

/** The log as files in the folder, made unless they are there. */
export function layLog(data: FlightData, folder: string, live: Live, signal: AbortSignal | undefined): Promise<PreparedLog> {
  return prepareLog(data, folder, (flights) => {
    if (signal?.aborted === true) throw stopped()
    live(`  log      ${count(flights)} events written`)
  })
}

export function stopped(): RehydrateError {
  const safe = 'The part of the log that was written is gone.'
  return new RehydrateError('RUN_STOPPED', { message: 'Stopped while the log was written.', safe, fix: 'The same command begins again.' })
}

/** Lays files of the example into a folder, over what an earlier demo (or a curious user) left. */
export async function layExample(folder: string, names: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const name of names) await copyFile(join(packageRoot(), 'docs', 'examples', 'flights', name), join(folder, name))
}

/** From the first event, into a new generation; those of earlier demos are dropped. */
export async function rebuild(job: NamedJob, live: Live, signal: AbortSignal | undefined): Promise<SealedRun> {
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

/** The rebuilt airports against a plain loop over the data itself. */
export async function check(job: NamedJob, data: FlightData, live: Live): Promise<Checked & { readonly tally: Tally }> {
  const airports = await readAirports(job)
  const startedMs = performance.now()
  live(`  check    a plain loop over the ${data.rows} …`)
  const tally = await tallyAirports(data)
  live(null)
  const tallyMs = performance.now() - startedMs
  const difference = firstDifference(airports, tally.airports)
  return { data, airports, tallied: tally.airports.size, tallyMs, difference, tally }
}
