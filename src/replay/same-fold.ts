import { RehydrateError } from '../errors.js'
import { changedReading } from '../log/reading.js'
import type { EventSource } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import { changedParts, changedProjection, fingerprintOf, type Fingerprint } from '../projection/fingerprint.js'
import type { Accepted } from '../store/checkpoint.js'
import type { Waivers } from './accept.js'
import type { World } from './api.js'

/** PROJECTION_CHANGED where a state would go on as another fold than it was begun as. What was waived of that. */
export function checkSameFold(
  before: Fingerprint, now: Fingerprint, { codeChanged, readingChanged }: Waivers, refuse: (error: RehydrateError) => void,
): Accepted[] {
  const accepted: Accepted[] = []
  const parts = changedProjection(before, now)
  const onlyCode = parts.every((part) => part === 'code')
  if (parts.length > 0 && onlyCode && codeChanged) accepted.push({ code: 'PROJECTION_CHANGED', detail: 'code' })
  else if (parts.length > 0) refuse(projectionChanged(parts, before, now, onlyCode))
  const settings = changedReading(before.reading, now.reading)
  if (settings.length > 0 && readingChanged) accepted.push({ code: 'PROJECTION_CHANGED', detail: 'reading' })
  else if (settings.length > 0) refuse(readingIsChanged(settings))
  return accepted
}

/** PROJECTION_CHANGED where a state was built by another fold than that of a projection over a source. */
export async function assertSameFold(
  builtWith: Fingerprint, { source, projection }: { readonly source: EventSource; readonly projection: Projection }, world: World,
): Promise<void> {
  const now = fingerprintOf(projection, await world.codeOf(projection), source.reading)
  const parts = changedProjection(builtWith, now)
  const settings = changedReading(builtWith.reading, now.reading)
  if (parts.length + settings.length === 0) return
  const changed = changedParts(builtWith, now).join(', ')
  throw new RehydrateError('PROJECTION_CHANGED', {
    message: parts.length === 0 ? otherEvents(settings)
      : `The state was built with another projection: ${changed} changed. Its events would give other values.`,
    why: 'What a state was made of is found by folding the log again, as it was folded then.',
    fix: 'Go back to the projection and the options of the source that the state was built with; or build a new one with these: '
      + '`rehydrate replay --restart`.',
  })
}

function projectionChanged(parts: readonly string[], before: Fingerprint, now: Fingerprint, onlyCode: boolean): RehydrateError {
  const hashesOf = ({ code, shape }: Fingerprint): string =>
    parts.map((part) => (part === 'code' ? code : shape[part] ?? 'absent')).join(', ')
  return new RehydrateError('PROJECTION_CHANGED', {
    message: `The projection changed under the same version: ${parts.join(', ')}.`,
    expected: hashesOf(before), actual: hashesOf(now),
    fix: onlyCode
      ? 'Raise its version, which opens a new generation. If the fold did not change: --accept PROJECTION_CHANGED=code.'
      : 'Raise its version, which opens a new generation.',
  })
}

type ChangedSettings = ReturnType<typeof changedReading>

function readingIsChanged(settings: ChangedSettings): RehydrateError {
  const valuesOf = (side: 'was' | 'is'): string => settings.map((setting) => `${setting.name} ${textOf(setting[side])}`).join(', ')
  return new RehydrateError('PROJECTION_CHANGED', {
    message: otherEvents(settings),
    expected: valuesOf('was'), actual: valuesOf('is'),
    why: 'Events before and after the position would be of two kinds, and no log has such a fold.',
    fix: 'Go back to the source\'s options as they were; or raise the version of the projection, or --restart: both build anew. '
      + 'If the events are the same ones: --accept PROJECTION_CHANGED=reading.',
  })
}

function otherEvents(settings: ChangedSettings): string {
  const changes = settings.map(({ name, was, is }) => `${name} was ${textOf(was)}, and is ${textOf(is)}`).join('; ')
  return `The log makes other events of its records than those that the state was built from: ${changes}.`
}

function textOf(setting: string | null): string {
  return setting === null ? 'not given' : `"${setting}"`
}
