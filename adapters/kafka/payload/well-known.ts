import { fractionOf, isoTime } from './time.js'
import { Unreadable } from './unreadable.js'

type Fields = Readonly<Record<string, unknown>>

const PREFIX = 'google.protobuf.'
/** Ten thousand years: what a Duration may be. */
const MAX_SECONDS = 315_576_000_000

export function isWellKnown(name: string): boolean {
  return name.startsWith(PREFIX)
}

/** What the JSON form of Protobuf makes of the messages of google.protobuf; all others, Any and FieldMask too, are what they are. */
export function wellKnown(name: string, fields: Fields): unknown {
  if (!isWellKnown(name)) return fields
  switch (name.slice(PREFIX.length)) {
    case 'Timestamp': return isoTime(Number(fields['seconds']), Number(fields['nanos']))
    case 'Duration': return durationOf(Number(fields['seconds']), Number(fields['nanos']))
    case 'DoubleValue': case 'FloatValue': case 'Int64Value': case 'UInt64Value': case 'Int32Value': case 'UInt32Value':
    case 'BoolValue': case 'StringValue': case 'BytesValue': return fields['value']
    case 'Struct': return fields['fields']
    case 'ListValue': return fields['values']
    case 'Value': return Object.hasOwn(fields, 'nullValue') ? null : Object.values(fields)[0] ?? null
    default: return fields
  }
}

function durationOf(seconds: number, nanoseconds: number): string {
  const isOne = Math.abs(seconds) <= MAX_SECONDS && Math.abs(nanoseconds) < 1_000_000_000 && seconds * nanoseconds >= 0
  if (!isOne) throw new Unreadable(`has a duration of ${seconds} seconds and ${nanoseconds} nanoseconds, which is none`)
  const sign = seconds < 0 || nanoseconds < 0 ? '-' : ''
  return `${sign}${Math.abs(seconds)}${fractionOf(Math.abs(nanoseconds))}s`
}
