import { isRehydrateError, RehydrateError } from '../errors.js'
import { formatHash, hashValue } from '../digest/hash.js'
import type { Offset } from '../log/position.js'
import type { RecordedEvent } from '../log/source.js'
import { encode, type Value } from '../value/canonical.js'

/** Event ids of the last `window` offsets of each partition: `PARTITION:OFFSET` → [id, content hash]. */
export const IDS = '$ids'

interface Seen {
  offset: Offset
  readonly content: string
}

/**
 * Remembers the ids of the last `window` offsets of each partition, by offset and never by time, so that a rebuild drops the same
 * repeats. What changed since the last commit is handed out by `takeChanges`.
 */
export class IdWindow {
  readonly #window: number
  readonly #partitions = new Map<string, Map<string, Seen>>()
  #puts = new Map<string, Value>()
  #deletes = new Set<string>()

  constructor(window: number, kept: ReadonlyMap<string, readonly [id: string, content: string]>) {
    this.#window = window
    const rows = [...kept].map(([key, [id, content]]) => {
      const cut = key.lastIndexOf(':')
      return { partition: key.slice(0, cut), offset: Number(key.slice(cut + 1)), id, content }
    })
    // Map order is expiry order.
    rows.sort((a, b) => a.offset - b.offset)
    for (const { partition, offset, id, content } of rows) this.#of(partition).set(id, { offset, content })
  }

  /** True for a repeat within the window, which is to be dropped. EVENT_ID_REUSED where the content differs. */
  isRepeat(event: RecordedEvent): boolean {
    if (this.#window === 0) return false
    this.#expire(event.partition, event.offset - this.#window)
    if (event.id === null) return false
    const seen = this.#of(event.partition)
    const before = seen.get(event.id)
    const content = contentHash(event)
    if (before !== undefined && before.content !== content) throw reused(event, before.offset)
    if (before !== undefined) {
      this.#forget(event.partition, before.offset)
      // Deleted first, so that it goes to the end: the newest expires last.
      seen.delete(event.id)
    }
    seen.set(event.id, { offset: event.offset, content })
    const key = `${event.partition}:${event.offset}`
    this.#deletes.delete(key)
    this.#puts.set(key, [event.id, content])
    return before !== undefined
  }

  takeChanges(): { readonly puts: ReadonlyMap<string, Value>; readonly deletes: readonly string[] } {
    const changes = { puts: this.#puts, deletes: [...this.#deletes] }
    this.#puts = new Map()
    this.#deletes = new Set()
    return changes
  }

  #expire(partition: string, through: Offset): void {
    const seen = this.#of(partition)
    for (const [id, { offset }] of seen) {
      if (offset > through) return
      seen.delete(id)
      this.#forget(partition, offset)
    }
  }

  #forget(partition: string, offset: Offset): void {
    const key = `${partition}:${offset}`
    // An entry made and gone between two commits was never stored, but its key may have been kept by an earlier one.
    this.#puts.delete(key)
    this.#deletes.add(key)
  }

  #of(partition: string): Map<string, Seen> {
    let seen = this.#partitions.get(partition)
    if (seen === undefined) this.#partitions.set(partition, (seen = new Map()))
    return seen
  }
}

function contentHash(event: RecordedEvent): string {
  const content: Value = [event.type, event.schemaVersion, event.key, event.data as Value, event.recordedAtMs, event.headers]
  try {
    return formatHash(hashValue(encode(content)))
  } catch (error) {
    if (!isRehydrateError(error)) throw error
    const { partition, offset } = event
    throw new RehydrateError(error.code, { ...error.details, partition, offset })
  }
}

function reused(event: RecordedEvent, firstOffset: Offset): RehydrateError {
  return new RehydrateError('EVENT_ID_REUSED', {
    message: `${event.partition}@${event.offset} carries the id of ${event.partition}@${firstOffset}, with other content.`,
    partition: event.partition, offset: event.offset,
    expected: `the content of ${event.partition}@${firstOffset}`, actual: 'other content',
  })
}
