import { isDeepStrictEqual } from 'node:util'
import type { FlightData } from './flights.js'

/** What the projection of docs/examples/flights keeps of one airport. */
export interface Airport {
  landed: number
  delayed: number
  delayTotal: number
  longestDelay: { delay: number; departed: string; origin: string }
  lastArrival: { departed: string; origin: string }
}

/** One flight to `airport`, so many minutes late, neither its longest nor its last. */
export interface LostFlight {
  readonly airport: string
  readonly delay: number
}

export interface Tally {
  readonly airports: ReadonlyMap<string, Airport>
  /** A flight whose loss nothing else looks like, where there is one; null where there is none to lose. */
  readonly lost: LostFlight | null
}

/** One airport that two sides count differently; null: it is not there. */
export interface Difference {
  readonly airport: string
  readonly rebuilt: Airport | null
  readonly computed: Airport | null
}

interface Counted {
  readonly airport: Airport
  /** How often each delay came. */
  readonly delays: Map<number, number>
  lastDelay: number
}

/**
 * The airports' state by a plain loop over the flights themselves: what the demo compares with. It shares nothing with the
 * engine, the log or the projection.
 */
export async function tallyAirports(data: FlightData): Promise<Tally> {
  const airports = new Map<string, Counted>()
  for await (const flights of data.flights()) {
    for (const { destination, delay, departed, origin } of flights) {
      const counted = airports.get(destination)
      if (counted === undefined) {
        const airport = {
          landed: 1, delayed: delay > 15 ? 1 : 0, delayTotal: delay,
          longestDelay: { delay, departed, origin }, lastArrival: { departed, origin },
        }
        airports.set(destination, { airport, delays: new Map([[delay, 1]]), lastDelay: delay })
        continue
      }
      const { airport, delays } = counted
      airport.landed++
      if (delay > 15) airport.delayed++
      airport.delayTotal += delay
      if (delay > airport.longestDelay.delay) airport.longestDelay = { delay, departed, origin }
      airport.lastArrival = { departed, origin }
      delays.set(delay, (delays.get(delay) ?? 0) + 1)
      counted.lastDelay = delay
    }
  }
  return { airports: new Map([...airports].map(([code, { airport }]) => [code, airport])), lost: flightToLose(airports) }
}

/** A late flight of the busiest airport that has one whose delay came once; else any that is neither the longest nor the last. */
function flightToLose(airports: ReadonlyMap<string, Counted>): LostFlight | null {
  const busiest = [...airports].sort(([, a], [, b]) => b.airport.landed - a.airport.landed)
  for (const isTelling of [(delay: number, times: number) => delay > 15 && times === 1, (_: number, times: number) => times > 0]) {
    for (const [airport, { airport: { longestDelay }, delays, lastDelay }] of busiest) {
      const found = [...delays].find(([delay, times]) => isTelling(delay, times) && delay !== longestDelay.delay && delay !== lastDelay)
      if (found !== undefined) return { airport, delay: found[0] }
    }
  }
  return null
}

/** By the codes of the airports; null where there is none. */
export function firstDifference(rebuilt: ReadonlyMap<string, Airport>, computed: ReadonlyMap<string, Airport>): Difference | null {
  for (const airport of [...new Set([...rebuilt.keys(), ...computed.keys()])].sort()) {
    const [ours, theirs] = [rebuilt.get(airport) ?? null, computed.get(airport) ?? null]
    if (!isDeepStrictEqual(ours, theirs)) return { airport, rebuilt: ours, computed: theirs }
  }
  return null
}
