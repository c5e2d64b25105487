import { formatHash, hashValue } from '../digest/hash.js'
import { changedReading, type Reading } from '../log/reading.js'
import { encode } from '../value/canonical.js'
import type { EventType, Projection } from './define.js'

/** Hashes of the parts of a projection, so that a change can be named. Each is `sh1:<hex>`. */
export interface Fingerprint {
  /** name, version, order, collections, events (types, versions, keys), policies: each hashed by itself. */
  readonly shape: Readonly<Record<string, string>>
  readonly code: string
  /** 'modules': source bytes of the files reached by relative imports; 'text': the handlers' source text. */
  readonly codeFrom: 'modules' | 'text'
  /** How records became its events; left out where the source did it in its own way. */
  readonly reading?: Reading
}

/**
 * The fingerprint of a projection: every part of its shape hashed by itself, so that a change can be named, and its code.
 * `code` is the hash over its modules' source where the host could find them, else null: then the handlers' own text is taken.
 * `reading` is that of the source.
 */
export function fingerprintOf(projection: Projection, code: string | null, reading: Reading = {}): Fingerprint {
  const shape: Record<string, string> = {}
  for (const [part, value] of Object.entries(projection.shape)) shape[part] = formatHash(hashValue(encode(value)))
  const read = Object.keys(reading).length === 0 ? {} : { reading: { ...reading } }
  return code === null
    ? { shape, code: formatHash(hashValue(encode(handlerText(projection)))), codeFrom: 'text', ...read }
    : { shape, code, codeFrom: 'modules', ...read }
}

/** All in which two fingerprints differ, by name: parts of the shape, 'code', and settings of the reading (`reading.payload`). */
export function changedParts(before: Fingerprint, now: Fingerprint): string[] {
  return [
    ...changedProjection(before, now), ...changedReading(before.reading, now.reading).map(({ name }) => `reading.${name}`),
  ]
}

/** The parts in which two projections differ: names of the shape, and 'code'. */
export function changedProjection(before: Fingerprint, now: Fingerprint): string[] {
  const names = new Set([...Object.keys(before.shape), ...Object.keys(now.shape)])
  const changed = [...names].filter((name) => before.shape[name] !== now.shape[name]).sort()
  if (before.code !== now.code || before.codeFrom !== now.codeFrom) changed.push('code')
  return changed
}

function typesOf({ types, anyType }: Projection): EventType[] {
  return anyType === null ? [...types.values()] : [...types.values(), anyType]
}

function handlerText(projection: Projection): string[] {
  const functions: unknown[] = []
  for (const type of typesOf(projection)) functions.push(type.name, type.handler, type.keys, ...type.upcasters)
  return functions.map(String)
}
