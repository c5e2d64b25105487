import type { Blame } from '../index.js'
import { grouped } from './format.js'

/** What blame found, in words: never more than "consistent with". */
export function blameText(blame: Blame): string {
  return `${hypothesisText(blame)}${alternativesText(blame)}`
}

function hypothesisText(blame: Blame): string {
  const { hypothesis, events } = blame
  const detail = blame.detail === null ? '' : `, ${blame.detail}`
  const event = eventText(blame)
  switch (hypothesis) {
    case 'lost': return `consistent with the loss of ${event}${detail}, ${howMany(blame)}`
    case 'repeated': return `consistent with ${event} applied twice${detail}, ${howMany(blame)}`
    case 'reordered': return `consistent with ${event} coming after the event that follows it${detail}, ${howMany(blame)}`
    case 'stopped':
      return `consistent with a stop ${blame.offset === null ? 'before its first event' : `after ${event}`}${detail}, ${howMany(blame)}`
    case 'column': return `consistent with ${blame.detail ?? 'a column that keeps less'}${untested(blame)}`
    case 'foreign':
      return `consistent with a write from elsewhere: no single one of its ${grouped(events)} events, lost, repeated, after its neighbour `
        + 'or the last one applied, gives that value, nor does a column that keeps less'
    case 'unknown': return unknownText(blame)
  }
}

/** "the only such event", or how many others explain it equally well; of those that were tested, where not all were. */
function howMany(blame: Blame): string {
  const { candidates } = blame
  return `${candidates === 1 ? 'the only such event' : `one of ${grouped(candidates)} equally likely`}${untested(blame)}`
}

function untested({ exhaustive, events }: Blame): string {
  return exhaustive ? '' : ` so far: not all of its ${grouped(events)} events could be tested`
}

function eventText({ partition, offset, type }: Pick<Blame, 'partition' | 'offset' | 'type'>): string {
  return `${partition ?? '?'}@${offset ?? '?'} (${type ?? '?'})`
}

function alternativesText({ alternatives }: Blame): string {
  if (alternatives.length === 0) return ''
  return ` (or: ${alternatives.map(({ hypothesis, candidates }) => `${hypothesis}, ${grouped(candidates)}`).join('; ')})`
}

const UNKNOWN: Readonly<Record<string, string>> = {
  'bound': 'the bound of handler calls or of events was met before an explanation was found',
  'compacted': 'the log is compacted, so that its earlier events can not be weighed',
  'history incomplete': 'the log does not begin at the first event any more, or never did',
  'rebuilt differs from the log': 'ours is not what the log gives: `rehydrate repair` rewrites it',
}

function unknownText({ reason, folds }: Blame): string {
  return `unknown: ${UNKNOWN[reason ?? ''] ?? reason ?? 'no reason is known'} (${grouped(folds)} handler calls)`
}
