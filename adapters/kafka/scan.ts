import { isAscii, isUtf8 } from 'node:buffer'
import { compileReads, envelopeReads, JsonScanner, suspectDigits, UNREADABLE, type Reads } from '../../src/index.js'
import type { EventMapping, RawRecord, Selector } from './mapping.js'
import { ENVELOPE_PARTS } from './fields.js'

const FIELD = /^[^.[\]]+(\.[^.[\]]+)*$/

interface Scanners {
  /** For records whose type is known without their value. */
  readonly data: JsonScanner
  /** For those that may be envelopes; null where fields of the value are mapped, which takes all of it. */
  readonly envelope: JsonScanner | null
}

/** Values of plain JSON: all of them, or only what a projection reads of them and the mapping needs besides. */
export class ValueScans {
  /** Fields of the value that are mapped; null: something is mapped that takes all of the value. */
  readonly #fields: readonly string[] | null
  /** Where the data lies in the value; null: the value is the data. */
  readonly #data: string | null
  readonly #scanners = new WeakMap<Reads, Scanners>()
  #lastReads: Reads | null = null
  #last: Scanners | null = null
  /** The value read last holds, or may hold, bigints. */
  isWide = false

  constructor(mapping: EventMapping) {
    const selectors = Object.values(mapping).filter((selector: Selector | undefined) => selector !== undefined) as Selector[]
    const fields = selectors.flatMap((selector) => (typeof selector === 'object' && 'field' in selector ? [selector.field] : []))
    const { data } = mapping
    this.#data = typeof data === 'object' && 'field' in data ? data.field : null
    const isPlain = selectors.every((selector) => typeof selector === 'object') && (data === undefined || this.#data !== null)
      && fields.every((field) => FIELD.test(field) && !field.split('.').includes('__proto__'))
    this.#fields = isPlain ? fields.filter((field) => field !== this.#data) : null
  }

  /** Of a record with a value. UNREADABLE where all of it must be read, be it only to learn why it can't. */
  scan(record: RawRecord, reads: Reads, isTyped = false): unknown {
    if (this.#fields === null) return UNREADABLE
    const { data, envelope } = reads === this.#lastReads && this.#last !== null ? this.#last : this.#of(reads, this.#fields)
    const scanner = isTyped ? data : envelope
    const { within } = record
    const bytes = within === undefined ? record.value : within.bytes
    if (scanner === null || bytes === null) return UNREADABLE
    const from = within === undefined ? 0 : within.valueFrom
    const to = within === undefined ? bytes.length : within.valueTo
    const scanned = scanner.scan(bytes, from, to)
    this.isWide = scanner.hasBigints
    return scanner.isAscii || isUtf8(bytes.subarray(from, to)) ? scanned : UNREADABLE
  }

  /** All of a value, where it is plain JSON without long numbers; else UNREADABLE. */
  parse(record: RawRecord): unknown {
    const { value } = record
    this.isWide = false
    if (value === null || !isAscii(value) || suspectDigits(value, 0, value.length)) return UNREADABLE
    try {
      return JSON.parse(value.toString('latin1'))
    } catch {
      return UNREADABLE
    }
  }

  #of(reads: Reads, fields: readonly string[]): Scanners {
    this.#lastReads = reads
    const known = this.#scanners.get(reads)
    if (known !== undefined) return (this.#last = known)
    const isMapped = this.#data !== null || fields.length > 0
    this.#last = isMapped
      ? { data: new JsonScanner(compileReads([...fields, ...pathsUnder(this.#data, reads.paths)], null).root), envelope: null }
      : { data: new JsonScanner(reads.root), envelope: new JsonScanner(envelopeReads(ENVELOPE_PARTS, 'data', reads)) }
    this.#scanners.set(reads, this.#last)
    return this.#last
  }
}

/** Of data of which nothing is read it must still be told whether it is there. */
function pathsUnder(data: string | null, paths: readonly string[]): readonly string[] {
  if (data === null) return paths
  return paths.length === 0 ? [data] : paths.map((path) => `${data}.${path}`)
}
