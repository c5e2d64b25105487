import type { EventBatch, Holes } from '../log/source.js'
import { offsetIn, type Offset } from '../log/position.js'
import type { PreparedEvent } from '../projection/apply.js'
import { gapsOf } from '../replay/accept.js'
import type { World } from '../replay/api.js'
import { assertWithin } from '../replay/end.js'
import { beginningOf, type RefoldOptions, type RefoldReading } from '../replay/refold.js'
import { DEFAULT_LIMITS } from '../replay/settings.js'
import { partitionTurns } from '../replay/ordered-turns.js'
import type { Turn, Turns } from '../replay/turn.js'
import type { KeyOffsets } from './key-offsets.js'

/** Events are given so many at a time. */
const CHUNK_EVENTS = 500
/** What is told of an event that is listed and not there any more. */
const GONE: Holes = { control: 0, aborted: 0, filtered: 0, compactedOrLost: 1 }

/**
 * The events that an index lists, by their ordinals (rising), ready for their handlers, in the order of the fold. Each partition is read
 * once, from the first of them to the last, and nothing else is parsed. Errors of reading as in a replay.
 */
export async function* listedEvents(
  options: RefoldOptions, offsets: KeyOffsets, ordinals: readonly number[], reading: RefoldReading, world: World,
): AsyncGenerator<PreparedEvent[], void> {
  const stop = new AbortController()
  const readers = await openReaders(options, offsets, ordinals, reading, stop.signal)
  try {
    let ready: PreparedEvent[] = []
    for (const ordinal of ordinals) {
      const { partition, offset } = offsets.placeOf(ordinal)
      const record = await (readers.get(partition) as ListedReader).find(offset)
      options.signal?.throwIfAborted()
      if (record === null) {
        reading.onHoles?.(GONE, partition)
        continue
      }
      const prepared = prepare(record, reading, world)
      if (prepared !== null) ready.push(prepared)
      if (ready.length < CHUNK_EVENTS) continue
      yield ready
      ready = []
    }
    yield ready
  } finally {
    stop.abort()
    await Promise.all([...readers.values()].map((reader) => reader.close()))
  }
}

function prepare({ batch, index }: ListedRecord, { applier, slotOf, wanted }: RefoldReading, world: World): PreparedEvent | null {
  if (wanted !== undefined && !wanted(batch, index)) return null
  world.purity.enter()
  try {
    return applier.prepare(batch, index, slotOf)
  } finally {
    world.purity.leave()
  }
}

async function openReaders(
  options: RefoldOptions, offsets: KeyOffsets, ordinals: readonly number[], reading: RefoldReading, signal: AbortSignal,
): Promise<ReadonlyMap<string, ListedReader>> {
  const { source, upTo, accepted = [] } = options
  const bounds = await source.bounds({ following: true })
  assertWithin('The position', upTo, bounds, new Map())
  const beginning = beginningOf(bounds, upTo, accepted)
  const ranges = new Map<string, { readonly first: Offset; last: Offset }>()
  for (const ordinal of ordinals) {
    const { partition, offset } = offsets.placeOf(ordinal)
    const range = ranges.get(partition)
    if (range === undefined) ranges.set(partition, { first: offset, last: offset })
    else range.last = offset
  }
  const gaps = gapsOf(accepted)
  return new Map([...ranges].map(([partition, { first, last }]) => {
    const after = Math.max(first - 1, offsetIn(beginning, partition))
    const turns = partitionTurns({
      source, from: new Map([[partition, after]]), upTo: new Map([[partition, last]]), marks: new Map(), limits: DEFAULT_LIMITS, signal,
      gaps, pick: () => 0, waiting: () => {},
    })
    return [partition, new ListedReader(partition, turns, reading)]
  }))
}

interface ListedRecord {
  readonly batch: EventBatch
  readonly index: number
}

/** Reads a partition once, forwards. */
class ListedReader {
  readonly #partition: string
  readonly #turns: Turns
  readonly #onHoles: RefoldReading['onHoles']
  #turn: Turn | null = null
  #index = 0

  constructor(partition: string, turns: Turns, { onHoles }: RefoldReading) {
    this.#partition = partition
    this.#turns = turns
    this.#onHoles = onHoles
  }

  /** Null where the record is not there any more. Offsets are asked for in rising order. */
  async find(offset: Offset): Promise<ListedRecord | null> {
    while (this.#turn === null || this.#turn.through < offset) {
      const turn = await this.#turns.next()
      if (turn === null) return null
      this.#turn = turn
      this.#index = turn.from
      if (turn.holes !== null) this.#onHoles?.(turn.holes, this.#partition)
    }
    const { batch, to } = this.#turn
    while (this.#index < to && batch.offsetAt(this.#index) < offset) this.#index++
    return this.#index < to && batch.offsetAt(this.#index) === offset ? { batch, index: this.#index } : null
  }

  async close(): Promise<void> {
    await this.#turns.close()
  }
}
