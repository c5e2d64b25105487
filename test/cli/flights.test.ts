import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { prepareLog } from '../../src/cli/flights-log.js'
import { tallyAirports } from '../../src/cli/flights-tally.js'
import {
  firstFlights, flightsOfFixture, flightsOfVega, lineOf, PARTITIONS, partitionOf, type Flight, type FlightData,
} from '../../src/cli/flights.js'

const FIXTURE = join(import.meta.dirname, '../../fixtures/flights/log/flights')

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rehydrate-flights-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

async function all(data: FlightData): Promise<Flight[]> {
  const found: (readonly Flight[])[] = []
  for await (const flights of data.flights()) found.push(flights)
  return found.flat()
}

async function vega(): Promise<FlightData> {
  const data = await flightsOfVega()
  if (data === null) throw new Error('vega-datasets is not installed')
  return data
}

test('a line is the JSON of the flight, without a space', () => {
  const data = { departed: '2001-01-01T14:45', origin: 'SJC', destination: 'SEA', delay: -13, distance: 696 }
  const event = { type: 'FlightLanded', key: 'SEA', recordedAt: 978_360_300_000, data }
  expect(lineOf({ ...data, departedMs: 978_360_300_000 })).toBe(`${JSON.stringify(event)}\n`)
})

test('the data set gives flights in the order of departure, with local time taken as UTC', async () => {
  const flights = await all(firstFlights(await vega(), 1000))
  expect(flights).toHaveLength(1000)
  expect(flights[0]).toEqual({
    departed: '2001-01-01T00:01', departedMs: Date.UTC(2001, 0, 1, 0, 1), origin: 'LAS', destination: 'PHL', delay: 33,
    distance: expect.any(Number),
  })
  const times = flights.map((flight) => flight.departedMs)
  expect(times).toEqual(times.toSorted((a, b) => a - b))
})

test('the fixture holds 10,000 flights, each in the partition of its destination', async () => {
  const lines = Array.from({ length: PARTITIONS }, (_, partition) =>
    gunzipSync(readFileSync(join(FIXTURE, `${partition}.ndjson.gz`))).toString().trimEnd().split('\n'))
  expect(lines.flat()).toHaveLength(10_000)
  for (const [partition, own] of lines.entries()) {
    const events = own.map((line) => JSON.parse(line) as { key: string; data: { destination: string } })
    expect(events.filter(({ key, data }) => partitionOf(key) !== partition || data.destination !== key)).toEqual([])
  }
  expect(await all(flightsOfFixture())).toHaveLength(10_000)
})

test('the fixture is every 300th flight of the data set', async () => {
  // The first of the eleven row groups stands for all.
  const group = 272_727
  const cut = (await all(firstFlights(await vega(), group))).filter((_, row) => row % 300 === 0)
  const fixture = (await all(flightsOfFixture())).slice(0, cut.length)
  expect(fixture.map(lineOf).sort()).toEqual(cut.map(lineOf).sort())
})

test('the log holds every flight once, in order within its partition, with the hash of each file beside it', async () => {
  const data = firstFlights(await vega(), 45_000)
  const progress: number[] = []
  const prepared = await prepareLog(data, folder, (flights) => progress.push(flights))
  const flights = await all(data)
  let bytes = 0
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const file = join(folder, 'log/flights', `${partition}.ndjson`)
    const own = flights.filter((flight) => partitionOf(flight.destination) === partition)
    const text = readFileSync(file, 'utf8')
    expect(text === own.map(lineOf).join('')).toBe(true)
    expect(readFileSync(`${file}.sha256`, 'utf8').trim()).toBe(createHash('sha256').update(text).digest('hex'))
    bytes += text.length
  }
  expect(prepared).toEqual({ flights: 45_000, bytes, built: true })
  expect(progress).toEqual([20_000, 40_000, 45_000])
})

test('a log that is there whole is left alone; one that was cut short is built again', async () => {
  const data = firstFlights(flightsOfFixture(), 500)
  const built = await prepareLog(data, folder, () => {})
  expect(await prepareLog(data, folder, () => {})).toEqual({ ...built, built: false })
  truncateSync(join(folder, 'log/flights/1.ndjson'), 10)
  expect(await prepareLog(data, folder, () => {})).toEqual(built)
  writeFileSync(join(folder, 'log/receipt.json'), '{')
  expect(await prepareLog(data, folder, () => {})).toEqual(built)
})

test('a build that fails half-way leaves nothing behind', async () => {
  const torn: FlightData = {
    ...flightsOfFixture(),
    async *flights() {
      yield (await all(flightsOfFixture())).slice(0, 100)
      throw new Error('the reader broke')
    },
  }
  await expect(prepareLog(torn, folder, () => {})).rejects.toThrow('the reader broke')
  expect(readdirSync(folder)).toEqual([])
})

test('the plain loop counts, sums, and keeps the first of the longest delays and the last arrival', async () => {
  const flight = (departed: string, origin: string, delay: number): Flight =>
    ({ departed, departedMs: 0, origin, destination: 'ORD', delay, distance: 1 })
  const data: FlightData = {
    ...flightsOfFixture(),
    async *flights() {
      yield [flight('a', 'LAX', 15), flight('b', 'SFO', 16)]
      yield [flight('c', 'SEA', 16), flight('d', 'DEN', -3)]
    },
  }
  const { airports, lost } = await tallyAirports(data)
  expect(lost).toEqual({ airport: 'ORD', delay: 15 })
  expect(Object.fromEntries(airports)).toEqual({
    ORD: {
      landed: 4, delayed: 2, delayTotal: 44,
      longestDelay: { delay: 16, departed: 'b', origin: 'SFO' }, lastArrival: { departed: 'd', origin: 'DEN' },
    },
  })
})
