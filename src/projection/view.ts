import { RehydrateError } from '../errors.js'
import { lend, normalise, type Value } from '../value/canonical.js'
import { isPromise, type Collection, type CollectionView, type Projection, type Schema } from './define.js'

/** One state key in memory. The working set owns it; a handler reaches it through the view only. */
export class Slot {
  readonly collection: Collection
  readonly key: string
  /** Undefined: no such entry. Always normalised and frozen. */
  value: Value | undefined = undefined
  /** The order domain that touched this key first; null where that is not kept or not known yet. */
  owner: string | null = null
  /** The owner that the store holds; null: none. */
  storedOwner: string | null = null
  /** Differs from what the store holds. */
  dirty = false
  /** Bytes of the value as the store holds it; 0: it holds none, as far as is known. */
  encodedBytes = 0
  /** What the store gave when the key was read: its hash as latin1, null: absent; undefined: not read since it was last written. */
  was: string | null | undefined = undefined

  constructor(collection: Collection, key: string) {
    this.collection = collection
    this.key = key
  }
}

const UNWRITTEN = Symbol('unwritten')

/**
 * What a handler sees of the state during one event: reads show its own writes, and nothing takes effect before `commit`.
 * One view serves a whole run; `begin` points it at the next event.
 */
export class HandlerView {
  /** `state` as handlers get it. */
  readonly state: Readonly<Record<string, CollectionView>>
  #slots: readonly Slot[] = []
  #writes: (Value | undefined | typeof UNWRITTEN)[] = []
  #overlay: readonly (Value | undefined)[] | null = null
  #violation: RehydrateError | null = null

  constructor(projection: Projection) {
    const state: Record<string, CollectionView> = Object.create(null)
    for (const collection of projection.collections) state[collection.name] = this.#viewOf(collection)
    this.state = Object.freeze(state)
  }

  /** `overlay`, where given, is read in place of the slots' values (index by index). */
  begin(slots: readonly Slot[], overlay: readonly (Value | undefined)[] | null = null): void {
    this.#slots = slots
    this.#overlay = overlay
    this.#violation = null
    const writes = this.#writes
    writes.length = slots.length
    for (let i = 0; i < slots.length; i++) writes[i] = UNWRITTEN
  }

  /** Throws what the handler was told, where it caught and swallowed it. */
  assertUnviolated(): void {
    if (this.#violation !== null) throw this.#violation
  }

  /** The writes of this event, as [slot, value] in slot order; undefined deletes. */
  writes(): [Slot, Value | undefined][] {
    const list: [Slot, Value | undefined][] = []
    for (let i = 0; i < this.#slots.length; i++) {
      const value = this.#writes[i]
      if (value !== UNWRITTEN) list.push([this.#slots[i] as Slot, value as Value | undefined])
    }
    return list
  }

  /** Makes the writes take effect and tells `changed` of each slot that was clean before. */
  commit(changed: (slot: Slot) => void): void {
    const slots = this.#slots
    for (let i = 0; i < slots.length; i++) {
      const value = this.#writes[i]
      if (value === UNWRITTEN) continue
      const slot = slots[i] as Slot
      slot.value = value as Value | undefined
      if (!slot.dirty) {
        slot.dirty = true
        changed(slot)
      }
    }
  }

  #viewOf(collection: Collection): CollectionView {
    const find = (key: string): number => {
      const slots = this.#slots
      for (let i = 0; i < slots.length; i++) {
        const slot = slots[i] as Slot
        if (slot.key === key && slot.collection === collection) return i
      }
      throw this.#violate(undeclared(collection, key, slots))
    }
    const write = (i: number, value: Value | undefined): void => { this.#writes[i] = value }
    return Object.freeze({
      get: (key: string): unknown => {
        const i = find(key)
        const written = this.#writes[i]
        const value = written !== UNWRITTEN ? written
          : this.#overlay === null ? (this.#slots[i] as Slot).value : this.#overlay[i]
        return value === undefined ? undefined : lend(value as Value)
      },
      put: (key: string, value: unknown): void => {
        const i = find(key)
        try {
          const checked = collection.schema === null ? value : validated(collection.schema, value)
          const kept = normalise(checked, collection.int64 === null ? undefined : { int64: collection.int64 })
          collection.columns?.check(kept)
          write(i, kept)
        } catch (error) {
          throw this.#violate(placed(error, collection, key))
        }
      },
      delete: (key: string): void => write(find(key), undefined),
    })
  }

  #violate(error: RehydrateError): RehydrateError {
    this.#violation ??= error
    return error
  }
}

function undeclared(collection: Collection, key: unknown, slots: readonly Slot[]): RehydrateError {
  const declared = slots.map((slot) => `${slot.collection.name}/${slot.key}`).join(', ')
  return new RehydrateError('KEY_NOT_DECLARED', {
    message: `The handler touched ${collection.name}/${String(key)}, which keys(event) does not name.`,
    collection: collection.name, key: String(key), expected: declared, actual: `${collection.name}/${String(key)}`,
  })
}

function validated(schema: Schema, value: unknown): unknown {
  const result = schema['~standard'].validate(value)
  if (isPromise(result)) {
    throw new RehydrateError('VALUE_INVALID', { message: 'The schema of a collection is asynchronous.' })
  }
  if (result.issues === undefined) return result.value
  const issue = result.issues[0]
  throw new RehydrateError('VALUE_INVALID', {
    message: `The value does not fit the schema of its collection: ${issue?.message ?? 'refused'}.`,
    path: issuePath(issue?.path),
  })
}

/** `$.items[2].price` from the path of a Standard Schema issue. */
export function issuePath(path: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined): string {
  let text = '$'
  for (const part of path ?? []) {
    const key = typeof part === 'object' ? part.key : part
    text += typeof key === 'number' ? `[${key}]` : `.${String(key)}`
  }
  return text
}

function placed(error: unknown, collection: Collection, key: string): RehydrateError {
  if (error instanceof RehydrateError) {
    return new RehydrateError(error.code, { collection: collection.name, key, ...error.details })
  }
  return new RehydrateError('VALUE_INVALID', {
    message: `The schema of ${collection.name} threw.`, collection: collection.name, key, cause: error,
  })
}
