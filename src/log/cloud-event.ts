import type { EnvelopeParts } from './envelope.js'

type Attributes = Readonly<Record<string, unknown>>
/** Makes the error of what is wrong, a predicate: "is no CloudEvent: …". */
type Refuse = (what: string, actual?: unknown) => Error

/** What becomes a part of the event of its own, or is its data. */
const PARTS = new Set(['specversion', 'type', 'id', 'time', 'data', 'data_base64'])

/**
 * A CloudEvent 1.0 as the parts of an event. Key: `partitionkey`, else `subject`. Id: of source and id together, since ids are unique in a
 * source only. recordedAt: `time`. Headers: all other attributes, extensions too, as texts. Throws what `refuse` makes.
 */
export function cloudEventParts(attributes: Attributes, data: unknown, refuse: Refuse): EnvelopeParts {
  const text = (name: string): string | null => {
    const value = attributes[name]
    if (value === undefined || value === null) return null
    if (typeof value === 'string' && value !== '') return value
    throw refuse(`is no CloudEvent: its ${name} is not a text, or is empty`, value)
  }
  const required = (name: string): string => {
    const value = text(name)
    if (value === null) throw refuse(`is no CloudEvent: it has no ${name}`)
    return value
  }
  const version = required('specversion')
  if (version !== '1.0') throw refuse('is a CloudEvent of a version that is not 1.0', version)
  return {
    type: required('type'),
    key: text('partitionkey') ?? text('subject'),
    data,
    // As compositeKey() writes it.
    id: JSON.stringify([required('source'), required('id')]),
    // RFC 3339 allows small letters.
    recordedAt: text('time')?.toUpperCase() ?? null,
    headers: headersOf(attributes, refuse),
  }
}

/** The data of a CloudEvent in its JSON form; null where it has none. */
export function cloudEventData(event: Attributes, refuse: Refuse): unknown {
  const base64 = event['data_base64']
  if (base64 === undefined || base64 === null) return event['data'] ?? null
  if (event['data'] !== undefined) throw refuse('is no CloudEvent: it has data and data_base64')
  const isBase64 = typeof base64 === 'string' && base64.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(base64)
  if (!isBase64) throw refuse('is no CloudEvent: its data_base64 is not Base64')
  return new Uint8Array(Buffer.from(base64, 'base64'))
}

function headersOf(attributes: Attributes, refuse: Refuse): Readonly<Record<string, string>> {
  const headers: [string, string][] = []
  for (const [name, value] of Object.entries(attributes)) {
    if (PARTS.has(name) || value === null || value === undefined) continue
    if (typeof value === 'object') throw refuse(`is no CloudEvent: its ${name} is an object`)
    headers.push([name, String(value)])
  }
  return Object.fromEntries(headers)
}
