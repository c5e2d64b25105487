import { ERRORS, RehydrateError, isAcceptable } from '../errors.js'
import { formatPartition, parsePartition, type Offset } from '../log/position.js'
import type { AcceptedGap } from '../log/sequence.js'
import type { Accepted } from '../store/checkpoint.js'
import { nearest } from '../value/options.js'

/** What a person waived with `--accept CODE=WHERE`, ready to be asked. */
export interface Waivers {
  /** Events left out: partition → offset → the code that was waived. */
  readonly leftOut: ReadonlyMap<string, ReadonlyMap<Offset, 'HANDLER_FAILED' | 'EVENT_INVALID'>>
  readonly gaps: ReadonlyMap<string, readonly AcceptedGap[]>
  /** Partition → the history before this offset may be missing (exclusive). */
  readonly historyBefore: ReadonlyMap<string, Offset>
  /** PROJECTION_CHANGED=code: the code may differ, the shape may not. */
  readonly codeChanged: boolean
  /** PROJECTION_CHANGED=reading: how records become events may be said in other words. */
  readonly readingChanged: boolean
}

/** Reads `CODE=WHERE` texts. USAGE naming the one that is wrong, and what its code takes. */
export function parseWaivers(texts: readonly string[]): Waivers {
  const leftOut = new Map<string, Map<Offset, 'HANDLER_FAILED' | 'EVENT_INVALID'>>()
  const gaps = new Map<string, AcceptedGap[]>()
  const historyBefore = new Map<string, Offset>()
  let codeChanged = false
  let readingChanged = false
  for (const text of texts) {
    const cut = text.indexOf('=')
    const code = cut < 0 ? text : text.slice(0, cut)
    const where = cut < 0 ? '' : text.slice(cut + 1)
    switch (code) {
      case 'HANDLER_FAILED':
      case 'EVENT_INVALID': {
        const { partition, from } = placeOf(text, where, /^(.+)@(\d+)$/, 'PARTITION@OFFSET')
        getOrMake(leftOut, partition, () => new Map()).set(from, code)
        break
      }
      case 'LOG_GAP': {
        const { partition, from, to } = placeOf(text, where, /^(.+)@(\d+)\.\.(\d+)$/, 'PARTITION@FROM..TO')
        getOrMake(gaps, partition, () => []).push({ from, to })
        break
      }
      case 'HISTORY_INCOMPLETE': {
        const { partition, from } = placeOf(text, where, /^(.+)@(\d+)$/, 'PARTITION@OFFSET')
        historyBefore.set(partition, from)
        break
      }
      case 'PROJECTION_CHANGED':
        if (where === 'code') codeChanged = true
        else if (where === 'reading') readingChanged = true
        else throw wrong(text, 'PROJECTION_CHANGED=code or PROJECTION_CHANGED=reading')
        break
      default: throw notAcceptable(code)
    }
  }
  return { leftOut, gaps, historyBefore, codeChanged, readingChanged }
}

/**
 * The `CODE=WHERE` texts that waive again what a manifest lists: events left out, gaps, missing history. What says how the state was
 * made (PROJECTION_CHANGED, REPAIRED) waives nothing of a log.
 */
export function waiverTexts(accepted: readonly Accepted[]): string[] {
  return accepted.flatMap(({ code, partition, from, to }) => {
    if (partition === undefined) return []
    const name = formatPartition(partition)
    switch (code) {
      case 'HANDLER_FAILED':
      case 'EVENT_INVALID': return from === undefined ? [] : [`${code}=${name}@${from}`]
      case 'LOG_GAP': return from === undefined || to === undefined ? [] : [`${code}=${name}@${from}..${to}`]
      case 'HISTORY_INCOMPLETE': return to === undefined ? [] : [`${code}=${name}@${to + 1}`]
      default: return []
    }
  })
}

/** The same waiver is listed once, in a fixed order: the manifest depends on what was waived, not on when. */
export function mergeAccepted(before: readonly Accepted[], more: readonly Accepted[]): Accepted[] {
  const all = new Map([...before, ...more].map((accepted) => [JSON.stringify(inOrder(accepted)), inOrder(accepted)]))
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, accepted]) => accepted)
}

/** The gaps among what was waived before, and `more`. */
export function gapsOf(accepted: readonly Accepted[], more: Waivers['gaps'] = new Map()): Waivers['gaps'] {
  const gaps = new Map([...more].map(([partition, list]): [string, AcceptedGap[]] => [partition, [...list]]))
  for (const { code, partition, from, to } of accepted) {
    if (code !== 'LOG_GAP' || partition === undefined || from === undefined || to === undefined) continue
    getOrMake(gaps, partition, () => []).push({ from, to })
  }
  return gaps
}

function inOrder({ code, partition, from, to, detail }: Accepted): Accepted {
  return {
    code,
    ...(partition === undefined ? {} : { partition }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(detail === undefined ? {} : { detail }),
  }
}

function placeOf(text: string, where: string, form: RegExp, expected: string): { partition: string; from: Offset; to: Offset } {
  const match = form.exec(where)
  if (match === null) throw wrong(text, `${text.split('=')[0]}=${expected}`)
  const from = Number(match[2])
  const to = Number(match[3] ?? match[2])
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || to < from) throw wrong(text, `${text.split('=')[0]}=${expected}`)
  return { partition: parsePartition(match[1] as string), from, to }
}

function wrong(text: string, expected: string): RehydrateError {
  return new RehydrateError('USAGE', { message: `--accept ${text} does not say where.`, expected, actual: text })
}

function notAcceptable(code: string): RehydrateError {
  const acceptable = Object.keys(ERRORS).filter(isAcceptable)
  const known = Object.hasOwn(ERRORS, code)
  const near = nearest(code, acceptable)
  return new RehydrateError('USAGE', {
    message: known ? `${code} can not be accepted.` : `--accept ${code}: there is no such code.${near ? ` Did you mean ${near}?` : ''}`,
    expected: acceptable.join(', '), actual: code,
  })
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) map.set(key, (value = make()))
  return value
}
