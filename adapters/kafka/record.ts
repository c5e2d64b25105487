import type { Offset } from '../../src/index.js'
import type { RawRecord } from './mapping.js'
import type { RecordHeader, Records } from './records.js'

/**
 * A record in the columns of its batch: views of its bytes are made only where they are asked for. It stands at one record after the
 * other, so that none need be made for each.
 */
export class ColumnRecord implements RawRecord {
  #records: Records | null = null
  #index = 0
  #value: Buffer | null | undefined = undefined

  moveTo(records: Records, index: number): void {
    this.#records = records
    this.#index = index
    this.#value = undefined
  }

  get bytes(): Buffer { return this.#there.bytes }

  get keyFrom(): number { return this.#there.keyFrom(this.#index) }

  get keyTo(): number { return this.#there.keyTo(this.#index) }

  get valueFrom(): number { return this.#there.valueFrom(this.#index) }

  get valueTo(): number { return this.#there.valueTo(this.#index) }

  get offset(): Offset { return this.#there.offsetAt(this.#index) }

  get timestampMs(): number | null {
    const timestamp = this.#there.timestampAt(this.#index)
    return timestamp === -1 ? null : timestamp
  }

  get within(): this { return this }

  get key(): Buffer | null { return this.#there.keyAt(this.#index) }

  get value(): Buffer | null {
    if (this.#value === undefined) this.#value = this.#there.valueAt(this.#index)
    return this.#value
  }

  get headers(): readonly RecordHeader[] { return this.#there.headersAt(this.#index) }

  get #there(): Records { return this.#records as Records }
}
