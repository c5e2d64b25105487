import {
  checkOptions, cloudEventData, cloudEventParts, functionText, partsByFields, RehydrateError, suspectDigits,
  type EnvelopeParts, type FieldMapping, type Reading, type RecordedEvent,
} from '../../src/index.js'
import type { LinePage } from './lines.js'
import { parseLine, recordOf, type LineForm } from './record.js'

/** Of a line that is any JSON object. */
export type FileEnvelope = 'cloudevents' | FieldMapping | ((line: any) => EnvelopeParts)

const PARTS = ['type', 'key', 'data', 'id', 'recordedAt', 'schemaVersion']

/** CONFIG_INVALID. */
export function checkEnvelope(envelope: FileEnvelope): void {
  if (envelope === 'cloudevents' || typeof envelope === 'function') return
  if (typeof envelope !== 'object') {
    const expected = "'cloudevents', { type: { field: 'path.to.it' }, … } or a function"
    throw new RehydrateError('CONFIG_INVALID', {
      message: `fileLog(): envelope must be ${expected}.`, path: 'envelope', expected, actual: envelope,
    })
  }
  checkOptions('fileLog(): envelope', envelope, PARTS)
  for (const part of PARTS) {
    const selector: unknown = envelope[part as keyof FieldMapping]
    if (selector === undefined && part !== 'type') continue
    const field = typeof selector === 'object' && selector !== null ? (selector as { field?: unknown }).field : undefined
    if (typeof field === 'string' && field !== '' && Object.keys(selector as object).length === 1) continue
    throw new RehydrateError('CONFIG_INVALID', {
      message: `fileLog(): envelope.${part} must be { field: 'path.to.it' }.`, path: `envelope.${part}`, actual: selector,
    })
  }
}

/** What a state remembers of it. */
export function readingOf(envelope: FileEnvelope): Reading {
  if (typeof envelope === 'string') return { envelope }
  if (typeof envelope === 'function') return { envelope: functionText(envelope) }
  const mapped = Object.entries(envelope) as [string, { readonly field: string } | undefined][]
  return Object.fromEntries(mapped.flatMap(([part, place]) => (place === undefined ? [] : [[`envelope.${part}`, `field ${place.field}`]])))
}

/** Lines in an envelope of others: nothing is known of them before they are parsed. */
export class EnvelopedLines implements LineForm {
  readonly #envelope: FileEnvelope

  constructor(envelope: FileEnvelope) {
    this.#envelope = envelope
  }

  typeAt(): null { return null }

  keyAt(): undefined { return undefined }

  agrees(): true { return true }

  parse(page: LinePage, line: number): RecordedEvent {
    const isSuspect = suspectDigits(page.buffer, page.start(line), page.end(line))
    const { type, key, data, id, recordedAt, schemaVersion, headers } = this.#open(page, line, parseLine(page, line, isSuspect))
    return recordOf(page, line, { type, key, data, id, recordedAt, schemaVersion, headers }, isSuspect)
  }

  #open(page: LinePage, line: number, fields: object): EnvelopeParts {
    const envelope = this.#envelope
    if (envelope === 'cloudevents') {
      const refuse = (what: string, actual?: unknown): Error => page.corrupt(line, what, { actual })
      const attributes = fields as Readonly<Record<string, unknown>>
      return cloudEventParts(attributes, cloudEventData(attributes, refuse), refuse)
    }
    if (typeof envelope !== 'function') return partsByFields(envelope, fields)
    try {
      return { ...envelope(fields) }
    } catch (cause) {
      const place = page.placeOf(line)
      const what = String((cause as Error | null)?.message ?? cause)
      throw new RehydrateError('EVENT_INVALID', {
        message: `The envelope function of fileLog() threw at ${place.partition}@${place.offset}: ${what}`, ...place, cause,
      })
    }
  }
}
