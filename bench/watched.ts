import type { Against, DigestSide } from '../src/index.js'

/** What went on at the other side of a comparison. */
export interface Seen {
  /** When both sides were open and their hellos read, and when the first of them was closed; of performance.now(). */
  openedAtMs: number
  closingAtMs: number
  requests: number
  /** Keys that were asked for and what was given for them, pages and values. */
  bytes: number
  helloBytes: number
  /** Over HTTP: bodies of requests and answers after the hello. */
  httpBytes: number | null
}

/** The same side, with an eye on it. It must be one with a digest. */
export function watched(against: Against): { readonly against: Against; readonly seen: Seen } {
  const seen: Seen = { openedAtMs: 0, closingAtMs: 0, requests: 0, bytes: 0, helloBytes: 0, httpBytes: null }
  const count = (keys: readonly string[], found: ReadonlyMap<string, Uint8Array>): void => {
    seen.requests++
    for (const key of keys) seen.bytes += Buffer.byteLength(key)
    for (const { length } of found.values()) seen.bytes += length
  }
  const open = async (...options: Parameters<Against['open']>): Promise<DigestSide> => {
    const side = await against.open(...options) as DigestSide
    const opening = side.traffic()
    seen.helloBytes = opening?.bytes ?? JSON.stringify(side.hello).length
    seen.openedAtMs = performance.now()
    return {
      ...side,
      async pages(keys) {
        const found = await side.pages(keys)
        count(keys, found)
        return found
      },
      async values(collection, keys) {
        const found = await side.values(collection, keys)
        count(keys, found)
        return found
      },
      async close() {
        seen.closingAtMs = performance.now()
        const traffic = side.traffic()
        if (traffic !== null) seen.httpBytes = traffic.bytes - (opening?.bytes ?? 0)
        await side.close()
      },
    }
  }
  return { against: { kind: 'against', name: against.name, open }, seen }
}
