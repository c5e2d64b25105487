import { createHash } from 'node:crypto'
import {
  checkOptions, findBigIntegers, INPUT_BLOCK, milestonesAt, RehydrateError, stringifyJson,
  type Bounds, type EventBatch, type EventSource, type Holes, type Mark, type MarkCheck, type Milestones, type Offset,
  type ReadLimits, type ReadRange, type RecordedEvent, type Value,
} from '../../src/index.js'

/** An event as a test writes it; what is left out is null, version 1, no headers. */
export interface MemoryEvent {
  readonly type: string
  readonly key?: string | null
  readonly data?: Value
  /** ISO 8601 with Z or an offset, or integer ms since 1970. */
  readonly recordedAt?: string | number | null
  readonly schemaVersion?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly id?: string | null
}

/** An offset that holds no event; only a sparse log may have one. */
export interface MemoryHole {
  readonly hole: keyof Holes
}

export type MemoryEntry = MemoryEvent | MemoryHole

export interface MemoryLogOptions {
  /** Entry i of a partition has offset i. */
  readonly partitions: Readonly<Record<string, readonly MemoryEntry[]>>
  /** Default: dense. */
  readonly continuity?: 'dense' | 'sparse'
}

export interface MemoryLog extends EventSource {
  /** Adds an entry, and the partition if it is new; returns its offset. */
  append(partition: string, entry: MemoryEntry): Offset
  /** Another log under the same name: for tests of truncated, rewritten and recreated logs. */
  replace(partition: string, entries: readonly MemoryEntry[]): void
  /** Retention: the first readable offset is `first` from now on. */
  expire(partition: string, first: Offset): void
}

/**
 * A log in memory, for tests and examples. Values are copied and frozen when they are added.
 * Errors: CONFIG_INVALID; of the source LOG_TRUNCATED, LOG_RECREATED, LOG_REWRITTEN.
 */
export function memoryLog(options: MemoryLogOptions): MemoryLog {
  checkOptions('memoryLog()', options, ['partitions', 'continuity'])
  return new MemorySource(options)
}

interface Slot {
  readonly event: RecordedEvent | null
  readonly hole: keyof Holes | null
  /** What is hashed: the entry as JSON text. */
  readonly line: string
}

interface HashedRecord {
  readonly offset: Offset
  readonly hash: string
}

class Partition {
  readonly name: string
  readonly slots: Slot[] = []
  /** The first readable offset. */
  first: Offset = 0
  /** chains[b]: the chain over all blocks before block b. */
  readonly #chains: Buffer[] = [Buffer.alloc(32)]

  constructor(name: string) {
    this.name = name
  }

  get last(): Offset { return this.slots.length - 1 }

  hashAt(offset: Offset): string { return sha256(Buffer.from((this.slots[offset] as Slot).line)).toString('hex') }

  /** The chain up to an offset, inclusive. */
  inputAt(offset: Offset): string {
    const block = this.#chainUpTo(offset)
    return this.#link(block, offset + 1).toString('hex')
  }

  earlierAt(offset: Offset): Milestones {
    this.#chainUpTo(offset)
    return milestonesAt(offset, (before) => (this.#chains[before / INPUT_BLOCK] as Buffer).toString('hex'))
  }

  /** Closes all blocks before that of an offset; returns its block. */
  #chainUpTo(offset: Offset): number {
    const block = Math.floor(offset / INPUT_BLOCK)
    for (let next = this.#chains.length; next <= block; next++) this.#chains.push(this.#link(next - 1, next * INPUT_BLOCK))
    return block
  }

  #link(block: number, end: Offset): Buffer {
    const lines = this.slots.slice(block * INPUT_BLOCK, end).map(({ line }) => `${line}\n`).join('')
    return sha256(Buffer.concat([this.#chains[block] as Buffer, sha256(Buffer.from(lines))]))
  }
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}

class MemorySource implements MemoryLog {
  readonly continuity: 'dense' | 'sparse'
  readonly #partitions = new Map<string, Partition>()

  constructor({ partitions, continuity = 'dense' }: MemoryLogOptions) {
    this.continuity = continuity
    for (const [name, entries] of Object.entries(partitions)) this.replace(name, entries)
  }

  append(name: string, entry: MemoryEntry): Offset {
    const partition = this.#partitions.get(name) ?? new Partition(name)
    const offset = partition.slots.length
    partition.slots.push(this.#slotOf(name, offset, entry))
    this.#partitions.set(name, partition)
    return offset
  }

  replace(name: string, entries: readonly MemoryEntry[]): void {
    this.#partitions.set(name, new Partition(name))
    for (const entry of entries) this.append(name, entry)
  }

  expire(name: string, first: Offset): void {
    const partition = this.#partitions.get(name)
    if (partition !== undefined) partition.first = first
  }

  async bounds(): Promise<ReadonlyMap<string, Bounds>> {
    return new Map([...this.#partitions].map(([name, { first, last }]) => [name, { first, last }]))
  }

  async check(
    marks: ReadonlyMap<string, { readonly mark: Mark; readonly at: Offset }>,
  ): Promise<ReadonlyMap<string, MarkCheck>> {
    return new Map([...marks].map(([name, { mark, at }]) => [name, checkMark(this.#partitions.get(name), mark, at)]))
  }

  async *read(
    name: string, range: ReadRange, limits: ReadLimits, signal: AbortSignal,
  ): AsyncGenerator<EventBatch, void, void> {
    const partition = this.#partitions.get(name)
    if (range.upTo <= range.after) return
    if (partition === undefined || partition.last < range.upTo) throw refusal(name, range.upTo, 'LOG_TRUNCATED', 'The log ends before it.')
    if (range.mark !== null) {
      const check = checkMark(partition, range.mark, range.after)
      if (check.is === 'different') throw refusal(name, range.after, check.code, check.why)
    }
    const first = range.mark === null ? firstOf(partition) : (proofOf(range.mark)?.first ?? firstOf(partition))
    const isChained = range.mark === null ? range.after < partition.first : range.mark.input !== null
    for (let from = Math.max(range.after + 1, partition.first); from <= range.upTo;) {
      if (signal.aborted) return
      const batch = new MemoryBatch(partition, from, range.upTo, limits, first, isChained)
      yield batch
      from = batch.through + 1
    }
  }

  async close(): Promise<void> {}

  #slotOf(partition: string, offset: Offset, entry: MemoryEntry): Slot {
    if ('hole' in entry) {
      if (this.continuity === 'sparse') return { event: null, hole: entry.hole, line: stringifyJson({ hole: entry.hole }) }
      throw new RehydrateError('CONFIG_INVALID', {
        message: `memoryLog(): ${partition}@${offset} is a hole, and the log is dense.`, partition, offset,
        fix: "Say continuity: 'sparse'.",
      })
    }
    const { type, key = null, schemaVersion = 1, id = null } = entry
    const recordedAtMs = typeof entry.recordedAt === 'string' ? Date.parse(entry.recordedAt) : (entry.recordedAt ?? null)
    if (recordedAtMs !== null && !Number.isSafeInteger(recordedAtMs)) {
      throw new RehydrateError('CONFIG_INVALID', {
        message: `memoryLog(): recordedAt of ${partition}@${offset} is no time.`, partition, offset, actual: entry.recordedAt,
      })
    }
    const data = frozen(structuredClone(entry.data ?? null))
    const headers = frozen({ ...entry.headers })
    const event = { partition, offset, type, schemaVersion, key, data, bigIntegers: findBigIntegers(data), recordedAtMs, headers, id }
    return { event, hole: null, line: stringifyJson({ type, schemaVersion, key, data, recordedAtMs, headers, id }) }
  }
}

/** At most `limits.events` events from `from` on, with the holes among and right after them. */
class MemoryBatch implements EventBatch {
  readonly partition: string
  readonly length: number
  readonly through: Offset
  readonly holes: Holes
  readonly bytes: number
  readonly #log: Partition
  readonly #events: readonly RecordedEvent[]
  readonly #first: HashedRecord
  readonly #isChained: boolean
  readonly #from: Offset

  constructor(log: Partition, from: Offset, upTo: Offset, limits: ReadLimits, first: HashedRecord, isChained: boolean) {
    const events: RecordedEvent[] = []
    let bytes = 0
    let offset = from
    for (; offset <= upTo; offset++) {
      const { event, line } = log.slots[offset] as Slot
      if (event !== null && events.length > 0 && (events.length >= limits.events || bytes + line.length > limits.bytes)) break
      bytes += line.length
      if (event !== null) events.push(event)
    }
    this.partition = log.name
    this.length = events.length
    this.through = offset - 1
    this.holes = holesIn(log, from, this.through)
    this.bytes = bytes
    this.#log = log
    this.#events = events
    this.#first = first
    this.#isChained = isChained
    this.#from = from
  }

  holesBefore(i: number): Holes {
    return holesIn(this.#log, this.#from, this.offsetAt(i) - 1)
  }

  offsetAt(i: number): Offset { return this.event(i).offset }
  typeAt(i: number): string { return this.event(i).type }
  keyAt(i: number): string | null { return this.event(i).key }
  event(i: number): RecordedEvent { return this.#events[i] as RecordedEvent }

  markAt(i: number): Mark {
    const offset = this.offsetAt(i)
    const proof = { first: { ...this.#first }, last: { offset, hash: this.#log.hashAt(offset) } }
    if (!this.#isChained) return { id: this.#first.hash, input: null, proof }
    return { id: this.#first.hash, input: this.#log.inputAt(offset), earlier: this.#log.earlierAt(offset), proof }
  }
}

/** Both bounds inclusive. */
function holesIn(log: Partition, from: Offset, to: Offset): Holes {
  const holes = { control: 0, aborted: 0, filtered: 0, compactedOrLost: 0 }
  for (let offset = from; offset <= to; offset++) {
    const { hole } = log.slots[offset] as Slot
    if (hole !== null) holes[hole]++
  }
  return holes
}

function firstOf(partition: Partition): HashedRecord {
  return { offset: partition.first, hash: partition.hashAt(partition.first) }
}

function proofOf(mark: Mark): { readonly first: HashedRecord; readonly last: HashedRecord } | null {
  const proof = mark.proof as unknown as { first?: HashedRecord; last?: HashedRecord } | null
  return proof?.first === undefined || proof.last === undefined ? null : { first: proof.first, last: proof.last }
}

function checkMark(partition: Partition | undefined, mark: Mark, at: Offset): MarkCheck {
  const proof = proofOf(mark)
  if (proof === null || proof.last.offset > at) return { is: 'unprovable', why: 'The mark was not taken from a memory log at this offset.' }
  if (partition === undefined) return { is: 'different', code: 'LOG_TRUNCATED', why: 'The partition is gone.' }
  const { first, last } = proof
  const isSame = (record: HashedRecord): boolean => partition.hashAt(record.offset) === record.hash
  const isPresent = last.offset >= partition.first && last.offset <= partition.last
  const isLastSame = isPresent && isSame(last) && (mark.input === null || partition.inputAt(last.offset) === mark.input)
  const isFirstOther = partition.last < 0 ? false : partition.first === first.offset && !isSame(first)
  if (isFirstOther && !(isPresent && isSame(last))) {
    return { is: 'different', code: 'LOG_RECREATED', why: `The first record (offset ${first.offset}) is another one.` }
  }
  if (at > partition.last) {
    return { is: 'different', code: 'LOG_TRUNCATED', why: `The log ends at ${partition.last}, before ${at}.` }
  }
  if (at < partition.first - 1) {
    return { is: 'different', code: 'LOG_TRUNCATED', why: `The log begins at ${partition.first} now, after ${at + 1}.` }
  }
  if (!isPresent) return { is: 'unprovable', why: `The record at ${last.offset} is gone.` }
  return isLastSame
    ? { is: 'same' }
    : { is: 'different', code: 'LOG_REWRITTEN', why: `The record at ${last.offset}, or one before it, has other content.` }
}

function refusal(
  partition: string, offset: Offset, code: Extract<MarkCheck, { is: 'different' }>['code'], why: string,
): RehydrateError {
  return new RehydrateError(code, { message: `Partition ${partition} can not be read at ${offset}: ${why}`, partition, offset, why })
}

/** Bytes can not be frozen. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  for (const item of Object.values(value)) frozen(item)
  return Object.freeze(value)
}
