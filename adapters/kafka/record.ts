import type { Offset } from '../../src/index.js'
import type { RawRecord } from './mapping.js'
import type { RecordHeader, Records } from './records.js'

const NO_HEADERS: readonly RecordHeader[] = Object.freeze([])

/** A record in the columns of its batch: views of its bytes are made only where they are asked for. */
export class ColumnRecord implements RawRecord {
  readonly bytes: Buffer
  readonly keyFrom: number
  readonly keyTo: number
  readonly valueFrom: number
  readonly valueTo: number
  readonly #records: Records
  readonly #index: number
  #value: Buffer | null | undefined = undefined

  constructor(records: Records, index: number) {
    this.bytes = records.bytes
    this.keyFrom = records.keyFrom(index)
    this.keyTo = records.keyTo(index)
    this.valueFrom = records.valueFrom(index)
    this.valueTo = records.valueTo(index)
    this.#records = records
    this.#index = index
  }

  get offset(): Offset { return this.#records.offsetAt(this.#index) }

  get timestampMs(): number | null {
    const timestamp = this.#records.timestampAt(this.#index)
    return timestamp === -1 ? null : timestamp
  }

  get within(): this { return this }

  get key(): Buffer | null { return this.#records.keyAt(this.#index) }

  get value(): Buffer | null {
    if (this.#value === undefined) this.#value = this.#records.valueAt(this.#index)
    return this.#value
  }

  get headers(): readonly RecordHeader[] {
    // The count of headers comes right after the value, and last in a record without any.
    return this.bytes[this.#records.headersFrom(this.#index)] === 0 ? NO_HEADERS : this.#records.headersAt(this.#index)
  }
}
