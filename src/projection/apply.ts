import { RehydrateError, type ErrorCode } from '../errors.js'
import type { EventBatch, RecordedEvent } from '../log/source.js'
import { decode, encode, type Value } from '../value/canonical.js'
import { findBigIntegers } from '../value/json.js'
import { isKey } from '../value/key.js'
import { typeName } from '../value/options.js'
import { unlistable } from '../value/partial.js'
import { pickReads, type Reads } from '../value/reads.js'
import { ANY_TYPE } from './compile.js'
import { isPromise, type Collection, type EventType, type Projection } from './define.js'
import { coversPath, withBigints } from './exact.js'
import { HandlerView, issuePath, type Slot } from './view.js'

/** An event that is ready for its handler: upcast, validated, its keys known. */
export interface PreparedEvent {
  readonly event: RecordedEvent
  readonly type: EventType
  readonly slots: readonly Slot[]
  /** Set where this event is to be run twice: where it can be read again. */
  readonly again: { readonly batch: EventBatch; readonly index: number } | null
}

/** The slot of a key; made where it is new. */
export type SlotOf = (collection: Collection, key: string) => Slot

/** Each 1,000th event is run twice, besides the first of each type. */
const DOUBLE_RUN_EVERY = 1_000

/** Turns records into changes of slots. Everything that runs user code is here; the caller guards purity around it. */
export class EventApplier {
  readonly #projection: Projection
  readonly #view: HandlerView
  readonly #seen = new Set<string>()

  constructor(projection: Projection) {
    this.#projection = projection
    this.#view = new HandlerView(projection)
  }

  /**
   * Null: passed over by `unknownEvents: 'skip'`, without parsing the record where its type alone says so.
   * Errors carry partition and offset: EVENT_TYPE_UNKNOWN, EVENT_INVALID, NUMBER_INEXACT, EVENT_KEY_MISSING, KEY_INVALID,
   * FIELD_NOT_DECLARED, and HANDLER_FAILED for a throwing keys function.
   */
  prepare(batch: EventBatch, index: number, slotOf: SlotOf): PreparedEvent | null {
    const type = this.#projection.types.get(batch.typeAt(index)) ?? this.#projection.anyType ?? undefined
    if (type === undefined) return this.#unknown(batch, index, null)
    const event = this.#read(batch, index, type)
    if (event === null) return this.#unknown(batch, index, type)
    const double = event.offset % DOUBLE_RUN_EVERY === 0 || !this.#seen.has(type.name)
    if (double) {
      this.#seen.add(type.name)
      if (type.keys !== null && type.reads !== null) refsOf(this.#read(batch, index, type, true) as RecordedEvent, type, type.keys)
    }
    return { event, type, slots: this.#slotsOf(event, type, slotOf), again: double ? { batch, index } : null }
  }

  /** Runs the handler; `changed` is told of every slot that becomes dirty. A throw leaves nothing. */
  apply(prepared: PreparedEvent, changed: (slot: Slot) => void): void {
    const view = this.#view
    if (prepared.again !== null) this.#runTwice(prepared, prepared.again)
    view.begin(prepared.slots)
    this.#run(prepared.type, prepared.event)
    view.commit(changed)
  }

  #run(type: EventType, event: RecordedEvent): void {
    let result: unknown
    if (type.reads !== null) type.reads.touched.error = null
    try {
      result = type.handler(this.#view.state, event)
    } catch (error) {
      throw atEvent(error, event, 'HANDLER_FAILED', `The handler of ${type.name} threw`)
    }
    try {
      this.#view.assertUnviolated()
      assertUntouched(type.reads)
    } catch (error) {
      throw atEvent(error, event, 'HANDLER_FAILED', `The handler of ${type.name} threw`)
    }
    if (isPromise(result)) {
      throw new RehydrateError('HANDLER_ASYNC', {
        message: `The handler of ${type.name} returned a promise.`, partition: event.partition, offset: event.offset,
      })
    }
  }

  /** Runs the whole way from the record to the writes on copies of the state, twice, and compares. */
  #runTwice(prepared: PreparedEvent, again: { batch: EventBatch; index: number }): void {
    const first = this.#dryRun(prepared.type, this.#read(again.batch, again.index, prepared.type, true), prepared.slots)
    const second = this.#dryRun(prepared.type, this.#read(again.batch, again.index, prepared.type, true), prepared.slots)
    if (first.equals(second)) return
    throw new RehydrateError('NOT_DETERMINISTIC', {
      message: `The handler of ${prepared.type.name} gave two results for one state and event.`,
      partition: prepared.event.partition, offset: prepared.event.offset,
      key: prepared.slots[0]?.key, collection: prepared.slots[0]?.collection.name,
    })
  }

  #dryRun(type: EventType, event: RecordedEvent | null, slots: readonly Slot[]): Buffer {
    const overlay = slots.map((slot) => (slot.value === undefined ? undefined : copyOf(slot.value, slot.collection)))
    this.#view.begin(slots, overlay)
    this.#run(type, event as RecordedEvent)
    const writes = this.#view.writes().map(([slot, value]): Value =>
      value === undefined ? [slot.collection.name, slot.key] : [slot.collection.name, slot.key, value])
    return Buffer.from(encode(writes))
  }

  /**
   * The event as its handler sees it; null where its version is newer than any upcaster leads to. `guarded`: where only some fields are
   * read, to list those that are there is refused too, as it always is for upcasters and schemas.
   */
  #read(batch: EventBatch, index: number, type: EventType, guarded = false): RecordedEvent | null {
    const { reads } = type
    const recorded = reads === null ? batch.event(index) : readsOnly(batch.event(index, reads), reads)
    const newest = type.upcasters.length + 1
    if (recorded.schemaVersion > newest) return null
    const isPlain = recorded.schemaVersion === newest && type.schema === null
    if (isPlain && recorded.bigIntegers === null && type.int64 === null && (!guarded || reads === null)) return recorded
    let data: unknown = exact(recorded, type)
    if (reads !== null && (guarded || !isPlain)) data = unlistable(data)
    for (let version = recorded.schemaVersion; version < newest; version++) data = upcast(recorded, type, version, data)
    if (type.schema !== null) data = validate(recorded, type, data)
    try {
      assertUntouched(reads)
    } catch (error) {
      throw atEvent(error, recorded, 'EVENT_INVALID', `${type.name} could not be read`)
    }
    return { ...recorded, schemaVersion: newest, data }
  }

  #unknown(batch: EventBatch, index: number, type: EventType | null): null {
    if (this.#projection.unknownEvents === 'skip') return null
    const name = batch.typeAt(index)
    const version = type === null ? null : batch.event(index, type.reads ?? undefined).schemaVersion
    const newest = (type?.upcasters.length ?? 0) + 1
    throw new RehydrateError('EVENT_TYPE_UNKNOWN', {
      message: version === null
        ? `The projection ${this.#projection.name} has no handler for events of type ${name}.`
        : `${name} has version ${version}; the projection ${this.#projection.name} knows up to ${newest}.`,
      partition: batch.partition, offset: batch.offsetAt(index),
      expected: [...this.#projection.types.keys()].join(', '), actual: version === null ? name : `${name} version ${version}`,
    })
  }

  #slotsOf(event: RecordedEvent, type: EventType, slotOf: SlotOf): Slot[] {
    const [only] = this.#projection.collections
    if (type.keys === null) {
      if (event.key === null) {
        throw new RehydrateError('EVENT_KEY_MISSING', {
          message: `An event of type ${type.name} has no key.`, partition: event.partition, offset: event.offset,
        })
      }
      return [slotOf(only as Collection, checkedKey(event.key, only as Collection, event))]
    }
    const slots: Slot[] = []
    for (const ref of refsOf(event, type, type.keys)) {
      const collection = this.#projection.collections.find(({ name }) => name === ref?.collection)
      if (collection === undefined) {
        throw keysWrong(event, type, this.#projection.collections.map(({ name }) => name).join(', '), String(ref?.collection))
      }
      const slot = slotOf(collection, checkedKey(ref.key, collection, event))
      if (!slots.includes(slot)) slots.push(slot)
    }
    return slots
  }
}

function refsOf(event: RecordedEvent, type: EventType, keys: NonNullable<EventType['keys']>): { collection?: unknown; key?: unknown }[] {
  let refs: unknown
  try {
    refs = keys(event)
    assertUntouched(type.reads)
  } catch (error) {
    throw atEvent(error, event, 'HANDLER_FAILED', `keys.${type.name} threw`)
  }
  if (isPromise(refs)) {
    throw new RehydrateError('HANDLER_ASYNC', {
      message: `keys.${type.name} returned a promise.`, partition: event.partition, offset: event.offset,
    })
  }
  if (Array.isArray(refs)) return refs as { collection?: unknown; key?: unknown }[]
  throw keysWrong(event, type, 'an array of { collection, key }', typeName(refs))
}

/** Of an event whose source may have parsed all of it, what is read: so that no handler can tell one source from another. */
function readsOnly(event: RecordedEvent, reads: Reads): RecordedEvent {
  reads.touched.error = null
  const data: unknown = pickReads(event.data, reads.root)
  if (data === event.data) return event
  return { ...event, data, bigIntegers: event.bigIntegers === null ? null : findBigIntegers(data) }
}

/** Throws what user code was told, where it caught and swallowed it. */
function assertUntouched(reads: Reads | null): void {
  if (reads !== null && reads.touched.error !== null) throw reads.touched.error
}

/** An error of user code, with the place. Our own errors keep their code. */
function atEvent(error: unknown, event: RecordedEvent, code: ErrorCode, what: string): RehydrateError {
  const place = { partition: event.partition, offset: event.offset }
  if (error instanceof RehydrateError) return new RehydrateError(error.code, { ...place, ...error.details })
  const text = error instanceof Error ? error.message : typeof error === 'object' && error !== null ? 'an object' : String(error)
  const waiver = `--accept ${code}=${event.partition}@${event.offset}`
  return new RehydrateError(code, {
    ...place, cause: error,
    message: `${what} at ${event.partition}@${event.offset}: ${text}`,
    fix: `Mend it and raise the version of the projection, or leave this one event out with ${waiver}.`,
  })
}

function upcast(event: RecordedEvent, type: EventType, version: number, data: unknown): unknown {
  let result: unknown
  try {
    result = (type.upcasters[version - 1] as (data: unknown, event: RecordedEvent) => unknown)(data, event)
  } catch (error) {
    throw atEvent(error, event, 'EVENT_INVALID', `The upcaster of ${type.name} from version ${version} threw`)
  }
  if (!isPromise(result)) return result
  throw new RehydrateError('HANDLER_ASYNC', {
    message: `The upcaster of ${type.name} from version ${version} returned a promise.`,
    partition: event.partition, offset: event.offset,
  })
}

function validate(event: RecordedEvent, type: EventType, data: unknown): unknown {
  let result
  try {
    result = (type.schema as NonNullable<EventType['schema']>)['~standard'].validate(data)
  } catch (error) {
    throw atEvent(error, event, 'EVENT_INVALID', `The schema of ${type.name} threw`)
  }
  if (isPromise(result)) {
    throw new RehydrateError('HANDLER_ASYNC', {
      message: `The schema of ${type.name} is asynchronous.`, partition: event.partition, offset: event.offset,
    })
  }
  if (result.issues === undefined) return result.value
  const issue = result.issues[0]
  const path = issuePath(issue?.path)
  throw new RehydrateError('EVENT_INVALID', {
    message: `${type.name} at ${event.partition}@${event.offset} does not fit its schema at ${path}: ${issue?.message ?? 'refused'}.`,
    partition: event.partition, offset: event.offset, path,
    fix: `Mend the schema and raise the version of the projection, or leave this one event out with `
      + `--accept EVENT_INVALID=${event.partition}@${event.offset}.`,
  })
}

/** Declared int64 fields become bigints; an integer beyond 2^53 anywhere else is refused. */
function exact(event: RecordedEvent, type: EventType): unknown {
  for (const path of event.bigIntegers ?? []) {
    if (coversPath(type.int64, path)) continue
    throw new RehydrateError('NUMBER_INEXACT', {
      message: `${path} of ${type.name} at ${event.partition}@${event.offset} is an integer beyond 2^53.`,
      partition: event.partition, offset: event.offset, path,
      fix: type.name === ANY_TYPE ? "Declare the column in `int64`, or as 'int64' in `columns`."
        : `Declare it: events: { ${type.name}: { int64: ['${path.replace(/^\$\.?/, '').replace(/\[\d+\]/g, '[]')}'] } }.`,
    })
  }
  return type.int64 === null ? event.data : withBigints(event.data, type.int64)
}

function checkedKey(key: unknown, collection: Collection, event: RecordedEvent): string {
  if (typeof key === 'string' && isKey(key)) return key
  const shown = typeof key === 'string' ? (key === '' ? 'an empty string' : `a string of ${key.length} UTF-16 units`) : typeName(key)
  throw new RehydrateError('KEY_INVALID', {
    message: `The key for ${collection.name} at ${event.partition}@${event.offset} is ${shown}.`,
    partition: event.partition, offset: event.offset, collection: collection.name,
    expected: 'a well-formed, non-empty string of at most 1,024 UTF-8 bytes', actual: shown,
  })
}

function keysWrong(event: RecordedEvent, type: EventType, expected: string, actual: string): RehydrateError {
  return new RehydrateError('KEY_INVALID', {
    message: `keys.${type.name} does not return what it must at ${event.partition}@${event.offset}.`,
    partition: event.partition, offset: event.offset, expected, actual,
  })
}

function copyOf(value: Value, collection: Collection): Value {
  return decode(encode(value), collection.int64 === null ? undefined : { int64: collection.int64 })
}
