import { isObject, RehydrateError, type Offset } from '../../../src/index.js'

export interface Place {
  readonly partition: string
  readonly offset: Offset
}

/** A record of which it can not be told what event it is. */
export function unknownShape(place: Place, what: string, actual?: unknown, cause?: unknown): RehydrateError {
  const fields = isObject(actual) ? ` Its fields: ${Object.keys(actual).slice(0, 20).join(', ')}.` : ''
  return new RehydrateError('EVENT_SHAPE_UNKNOWN', {
    message: `The record ${place.partition}@${place.offset} ${what}.${fields}`,
    ...place,
    ...(!isObject(actual) && actual !== undefined && { actual }),
    why: 'An event is a record with a header `type` or `ce_type`, or one whose JSON value has `type` and `data`.',
    fix: "Say where the parts are: event: { type: { header: '…' } | { field: '…' } | (record) => …, key, data, id, recordedAt }.",
    cause,
  })
}

/** A record whose bytes are not what its payload format, or its schema, says. */
export function invalidPayload(place: Place, what: string, actual?: unknown): RehydrateError {
  return new RehydrateError('EVENT_INVALID', {
    message: `The record ${place.partition}@${place.offset} ${what}.`,
    ...place,
    why: 'Its bytes are not what the payload option, or the schema of the registry, says that they are.',
    fix: 'Mend the options payload and registry of kafka(), or leave this one event out: '
      + `--accept EVENT_INVALID=${place.partition}@${place.offset}.`,
    ...(actual !== undefined && { actual }),
  })
}
