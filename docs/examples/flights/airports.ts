import { defineProjection } from 'rehydrate'

export interface Airport {
  readonly landed: number
  /** More than 15 minutes late. */
  readonly delayed: number
  /** Minutes; flights that came early count negative. */
  readonly delayTotal: number
  /** The first of the worst: shows whether values and order are right. */
  readonly longestDelay: { readonly delay: number; readonly departed: string; readonly origin: string }
  /** Shows whether the order is right. */
  readonly lastArrival: { readonly departed: string; readonly origin: string }
}

export const airports = defineProjection({
  name: 'flights',
  version: 1,
  collections: { airports: {} }, // under the event's key, which is the destination
  on: {
    FlightLanded(state, event) {
      const { destination, delay, departed, origin } = event.data
      const airport: Airport | undefined = state.airports.get(destination)
      const longest = airport?.longestDelay
      state.airports.put(destination, {
        landed: (airport?.landed ?? 0) + 1,
        delayed: (airport?.delayed ?? 0) + (delay > 15 ? 1 : 0),
        delayTotal: (airport?.delayTotal ?? 0) + delay,
        longestDelay: longest === undefined || delay > longest.delay ? { delay, departed, origin } : longest,
        lastArrival: { departed, origin },
      })
    },
  },
})
