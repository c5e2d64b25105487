import { createReadStream } from 'node:fs'
import { access } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { createGunzip } from 'node:zlib'
import { packageRoot } from '../host/modules.js'

/** One row of the data set: a flight that landed. */
export interface Flight {
  /** Departure in local time, `2001-01-31T23:59`; the data set names no zone. */
  readonly departed: string
  /** The same, taken as UTC, in milliseconds since 1970. */
  readonly departedMs: number
  /** Minutes late at arrival; negative: early. */
  readonly delay: number
  /** Miles. */
  readonly distance: number
  /** Airport codes. */
  readonly origin: string
  readonly destination: string
}

/** Where flights come from. Every walk gives the same flights in the same order, ascending by departure. */
export interface FlightData {
  /** Of its folder in the cache. */
  readonly name: string
  /** For people: what this is. */
  readonly title: string
  /** … and what it is made of. */
  readonly rows: string
  flights(): AsyncIterable<readonly Flight[]>
}

/** The log has this many partitions; a flight is in the one of its destination, so that an airport's order is the log's. */
export const PARTITIONS = 4
const TITLE = 'US flights, January to June 2001'
const DATA_SET = 'data/flights-3m.parquet'

/** FNV-1a over the code's characters: any fixed hash would do, as long as it never changes. */
export function partitionOf(airport: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < airport.length; i++) hash = Math.imul(hash ^ airport.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % PARTITIONS
}

/** A flight as a line of the log, with its newline. Airport codes need no escapes; the readers see to that. */
export function lineOf({ departed, departedMs, origin, destination, delay, distance }: Flight): string {
  const places = `"origin":"${origin}","destination":"${destination}"`
  const data = `{"departed":"${departed}",${places},"delay":${delay},"distance":${distance}}`
  return `{"type":"FlightLanded","key":"${destination}","recordedAt":${departedMs},"data":${data}}\n`
}

/** The 3 million flights of `vega-datasets` where it and the Parquet reader are installed; else null. */
export async function flightsOfVega(): Promise<FlightData | null> {
  try {
    await import('hyparquet')
    await import('hyparquet-compressors')
    const file = join(dirname(createRequire(import.meta.url).resolve('vega-datasets')), '..', DATA_SET)
    await access(file)
    return { name: 'flights', title: `${TITLE} (vega-datasets)`, rows: 'Parquet rows', flights: () => readParquet(file) }
  } catch {
    return null
  }
}

/** The 10,000 flights that come with this package. */
export function flightsOfFixture(): FlightData {
  return { name: 'flights-10k', title: `${TITLE} (the cut that comes with this package)`, rows: 'lines', flights: readFixture }
}

/** Only the first `count` flights. */
export function firstFlights(data: FlightData, count: number): FlightData {
  const flights = async function* (): AsyncGenerator<readonly Flight[]> {
    let left = count
    for await (const some of data.flights()) {
      yield some.slice(0, left)
      left -= some.length
      if (left <= 0) return
    }
  }
  return { ...data, name: `${data.name}-first-${count}`, flights }
}

async function* readParquet(path: string): AsyncGenerator<readonly Flight[]> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetRead } = await import('hyparquet')
  const { compressors } = await import('hyparquet-compressors')
  const file = await asyncBufferFromFile(path)
  const metadata = await parquetMetadataAsync(file)
  const toMs = { timestampFromMicroseconds: (micros: bigint) => Number(micros / 1000n) }
  let rowStart = 0
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows)
    const columns = new Map<string, ArrayLike<unknown>>()
    await parquetRead({
      file, metadata, compressors, rowStart, rowEnd, parsers: toMs,
      onChunk: (chunk) => {
        if (chunk.rowStart !== rowStart || chunk.rowEnd !== rowEnd) throw new Error(`${path}: a column came in parts.`)
        columns.set(chunk.columnName, chunk.columnData)
      },
    })
    yield flightsOf(columns, rowEnd - rowStart)
    rowStart = rowEnd
  }
}

function flightsOf(columns: ReadonlyMap<string, ArrayLike<unknown>>, length: number): Flight[] {
  const column = (name: string): ArrayLike<unknown> => {
    const values = columns.get(name)
    if (values === undefined) throw new Error(`The data set has no column ${name}.`)
    return values
  }
  const [date, delay, distance] = [column('date'), column('delay'), column('distance')]
  const [origin, destination] = [column('origin'), column('destination')]
  const flights: Flight[] = []
  let [minuteMs, minute] = [Number.NaN, '']
  for (let i = 0; i < length; i++) {
    const departedMs = Number(date[i])
    if (departedMs !== minuteMs) [minuteMs, minute] = [departedMs, new Date(departedMs).toISOString().slice(0, 16)]
    flights.push({
      departed: minute, departedMs,
      delay: Number(delay[i]), distance: Number(distance[i]),
      origin: codeOf(origin[i]), destination: codeOf(destination[i]),
    })
  }
  return flights
}

const codes = new Set<unknown>()

function codeOf(value: unknown): string {
  if (codes.has(value)) return value as string
  if (typeof value !== 'string' || !/^[A-Z0-9]{3}$/.test(value)) throw new Error(`${String(value)} is no airport code.`)
  codes.add(value)
  return value
}

/** Merged by departure, as the rows of the data set are. Flights of one airport lie in one partition, so their order is kept. */
async function* readFixture(): AsyncGenerator<readonly Flight[]> {
  const flights: Flight[] = []
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const bytes = createReadStream(join(fixtureLog(), `${partition}.ndjson.gz`)).pipe(createGunzip())
    for await (const line of createInterface({ input: bytes })) {
      const { recordedAt, data } = JSON.parse(line) as { recordedAt: number; data: Omit<Flight, 'departedMs'> }
      flights.push({ ...data, departedMs: recordedAt })
    }
  }
  yield flights.sort((a, b) => a.departedMs - b.departedMs)
}

function fixtureLog(): string {
  return join(packageRoot(), 'fixtures', 'flights', 'log', 'flights')
}
