import type { EventSource } from '../log/source.js'
import type { Clock, Plan } from './api.js'
import type { RunLimits } from './limits.js'

/** So long a piece of the log is read, at the most, before it counts: connections are made, and code is cold. */
const WARM_MS = 500
/** … and so long a piece that counts. */
const SAMPLE_MS = 300
/** Reading and parsing take about this share of a rebuild; fold, commits, hashes and the seal take the rest. Measured: bench/RESULTS.md. */
const READING_SHARE = 0.4

/**
 * How long a rebuild may take, from reading and parsing the beginning of what is to be read, and by its limit of bytes per second. Null
 * where there is nothing.
 */
export async function estimate(
  source: EventSource, partitions: Plan['partitions'], events: number, limits: RunLimits, clock: Clock,
): Promise<Plan['estimate']> {
  const first = partitions.find(({ from, upTo }) => upTo >= from)
  if (first === undefined) return null
  const stop = new AbortController()
  let sample = { startedMs: clock.monotonicMs(), read: 0, bytes: 0, elapsedMs: 0 }
  let isWarm = false
  for await (const batch of source.read(first.partition, { after: first.from - 1, upTo: first.upTo, mark: null }, limits, stop.signal)) {
    for (let i = 0; i < batch.length; i++) batch.event(i)
    sample.read += batch.length
    sample.bytes += batch.bytes
    const nowMs = clock.monotonicMs()
    sample.elapsedMs = nowMs - sample.startedMs
    if (isWarm && sample.elapsedMs >= SAMPLE_MS) stop.abort()
    if (!isWarm && sample.elapsedMs >= WARM_MS && batch.through < first.upTo) {
      isWarm = true
      sample = { startedMs: nowMs, read: 0, bytes: 0, elapsedMs: 0 }
    }
  }
  const { read, bytes, elapsedMs } = sample
  if (read === 0 || elapsedMs === 0) return null
  const { bytesPerSecond } = limits
  const allowed = bytesPerSecond === null || bytes === 0 ? Infinity : (bytesPerSecond * read) / bytes
  const eventsPerSecond = Math.max(1, Math.round(Math.min((read / elapsedMs) * 1_000 * READING_SHARE, allowed)))
  return { eventsPerSecond, ms: Math.round((events * 1_000) / eventsPerSecond) }
}
