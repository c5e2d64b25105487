import { placeOf } from '../log/domains.js'
import { hashFunction } from '../log/partitioner.js'
import type { Bounds, EventSource, ReadLimits } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { PlannedPlacement } from './api.js'

/** So many records of each end of a partition are looked at, and of all together. */
const SAMPLE_RECORDS = 500
const SAMPLE_ALL = 40_000
/** Of topics with more partitions only two counts are tried together. */
const TRIPLES_UP_TO = 32

interface Sampled {
  readonly key: string
  readonly index: number
}

/**
 * Which partitioner, with which numbers of partitions over time, explains where the keys of a log lie: from a sample of both ends of each
 * partition. Null where that does not matter: by the order of the projection, because the partitioner is declared, or because there are
 * not several partitions with keys.
 */
export async function findPlacement(
  source: EventSource, { order, placement }: Projection, bounds: ReadonlyMap<string, Bounds>, limits: ReadLimits,
): Promise<PlannedPlacement | null> {
  if (order !== 'copartition' && (order !== 'partition' || placement !== null)) return null
  const filled = [...bounds].filter(([, { first, last }]) => last >= first)
  if (filled.length < 2 || filled.some(([partition]) => placeOf(partition) === null)) return null
  const most = Math.max(1, Math.min(SAMPLE_RECORDS, Math.floor(SAMPLE_ALL / (2 * filled.length))))
  const sample: Sampled[] = []
  for (const [partition, bound] of filled) {
    const { index } = placeOf(partition) as { readonly index: number }
    for (const key of await keysAtEnds(source, partition, bound, most, limits)) sample.push({ key, index })
  }
  if (new Set(sample.map(({ index }) => index)).size < 2) return null
  const count = 1 + Math.max(...[...bounds.keys()].map((partition) => placeOf(partition)?.index ?? 0))
  return explain(sample, count)
}

async function keysAtEnds(
  source: EventSource, partition: string, { first, last }: Bounds, most: number, limits: ReadLimits,
): Promise<string[]> {
  const head = { after: first - 1, upTo: Math.min(last, first - 1 + most), mark: null }
  const tail = { after: Math.max(head.upTo, last - most), upTo: last, mark: null }
  const keys: string[] = []
  const signal = new AbortController().signal
  for (const range of [head, tail]) {
    if (range.upTo <= range.after) continue
    for await (const batch of source.read(partition, range, limits, signal)) {
      for (let i = 0; i < batch.length; i++) {
        const key = batch.keyAt(i)
        if (key !== null) keys.push(key)
      }
    }
  }
  return keys
}

/** The partitioner and the fewest counts that explain the whole sample; else how much the best one explains. */
function explain(sample: readonly Sampled[], count: number): PlannedPlacement {
  let best: PlannedPlacement = { hash: null, counts: [], sampled: sample.length, explained: 0, movedKeys: 0 }
  for (const hash of ['murmur2', 'crc32'] as const) {
    const hashOf = hashFunction(hash)
    const hashed = sample.map(({ key, index }) => ({ hash: hashOf(Buffer.from(key)), index }))
    for (const counts of candidates(count)) {
      const explained = hashed.filter((one) => counts.some((size) => one.hash % size === one.index)).length
      if (explained === sample.length) return { hash, counts, sampled: sample.length, explained, movedKeys: movedShare(hashed, counts) }
      if (explained > best.explained) best = { ...best, explained }
    }
  }
  return best
}

/** The number there is now, and the numbers it may have grown from: the fewest first, the larger first. */
function* candidates(count: number): Generator<number[]> {
  yield [count]
  for (let before = count - 1; before > 0; before--) yield [before, count]
  if (count > TRIPLES_UP_TO) return
  for (let before = count - 1; before > 1; before--) {
    for (let first = before - 1; first > 0; first--) yield [first, before, count]
  }
}

function movedShare(hashed: readonly { readonly hash: number }[], counts: readonly number[]): number {
  const keys = new Set(hashed.map(({ hash }) => hash))
  const moved = [...keys].filter((hash) => counts.some((count) => hash % count !== hash % (counts[0] as number)))
  return keys.size === 0 ? 0 : moved.length / keys.size
}
