import type { FlightData } from './flights.js'

/** What the projection of docs/examples/flights keeps of one airport. */
export interface Airport {
  landed: number
  delayed: number
  delayTotal: number
  longestDelay: { delay: number; departed: string; origin: string }
  lastArrival: { departed: string; origin: string }
}

/**
 * The airports' state by a plain loop over the flights themselves: what the demo compares with. It shares nothing with the
 * engine, the log or the projection.
 */
export async function tallyAirports(data: FlightData): Promise<Map<string, Airport>> {
  const airports = new Map<string, Airport>()
  for await (const flights of data.flights()) {
    for (const { destination, delay, departed, origin } of flights) {
      const airport = airports.get(destination)
      if (airport === undefined) {
        airports.set(destination, {
          landed: 1,
          delayed: delay > 15 ? 1 : 0,
          delayTotal: delay,
          longestDelay: { delay, departed, origin },
          lastArrival: { departed, origin },
        })
        continue
      }
      airport.landed++
      if (delay > 15) airport.delayed++
      airport.delayTotal += delay
      if (delay > airport.longestDelay.delay) airport.longestDelay = { delay, departed, origin }
      airport.lastArrival = { departed, origin }
    }
  }
  return airports
}
