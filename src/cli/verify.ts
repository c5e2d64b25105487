import type { NamedJob } from '../host/config.js'
import {
  audit, type Audit, formatPosition, positionToJson, scrub, stringifyJson, type Value, type Verdict, verify,
} from '../index.js'
import { comparing, hasAgainst } from './against.js'
import { type Context, type Handler, usage } from './command.js'
import { acceptedText, counted, duration, grouped, megabytes, percent, rate, table } from './format.js'
import { withJob } from './job.js'
import { objectJson, valueJson } from './json.js'
import { exitOf, toJson } from './output.js'
import { isWatched, LastLine } from './progress.js'
import { readSigningKey, writeReceipt } from './receipt.js'

export const verifyCommand: Handler = (context) => withJob(context, async (job) => {
  const { flags } = context
  if (flags.has('receipt') !== flags.has('sign-key')) throw usage('--receipt FILE and --sign-key PEM-FILE go together.')
  if (flags.has('rebuild')) {
    goesWithout(context, '--rebuild compares a state with its own log', ['against', 'scrub', ...OF_TWO_SIDES])
    return await auditJob(context, job)
  }
  // The only side of a configuration need not be there for it.
  const meansOther = flags.has('against') || (hasAgainst(context, job) && OF_TWO_SIDES.some((name) => flags.has(name)))
  if (flags.has('scrub') && !meansOther) {
    goesWithout(context, '--scrub without --against looks at our own state only', OF_TWO_SIDES)
    return await scrubJob(context, job)
  }
  const signingKey = flags.has('receipt') ? await readSigningKey(context) : null
  // Whoever relies on a receipt was not there: every byte is read for it.
  const verdict = await comparing(context, job, (options) => verify(flags.has('receipt') ? { ...options, scrub: true } : options))
  await context.output.document(verdictDocument(job.name, verdict))
  await context.output.lines(verdictLines(job.name, verdict, flags.text('against')))
  if (signingKey !== null) await writeReceipt(context, verdict, signingKey)
  return exitOfVerdict(verdict)
})

/** Flags that say something of a comparison with another side. */
const OF_TWO_SIDES = ['at', 'against-at', 'wait', 'deadline', 'limit', 'receipt']

/** What is given is never passed over. */
function goesWithout({ flags }: Context, why: string, names: readonly string[]): void {
  const given = names.find((name) => flags.has(name))
  if (given !== undefined) throw usage(`${why}; it goes without --${given}.`)
}

/** 0 match · 1 mismatch · otherwise that of the reason: 2, or 3 where the time was up. */
export function exitOfVerdict({ verdict, reason }: Verdict): number {
  if (reason !== null) return exitOf(reason.code)
  return verdict === 'match' ? 0 : 1
}

export function verdictDocument(job: string, verdict: Verdict): object {
  const { position, againstPosition, reason, ...rest } = verdict
  return {
    job, ...rest, ...(reason === null ? {} : { reason }),
    position: positionToJson(position), againstPosition: againstPosition === null ? null : positionToJson(againstPosition),
  }
}

export function verdictLines(job: string, verdict: Verdict, against?: string): string[] {
  const { rebuilt, collections, position, againstPosition, asserted, grade, traffic, reason } = verdict
  const other = against ?? verdict.against.name
  const keys = Object.values(collections).reduce((sum, { rebuilt: ours, against: theirs, equal }) =>
    sum + (equal === null ? 0 : Math.max(ours?.count ?? 0, theirs?.count ?? 0)), 0)
  const differing = `${verdict.truncated ? 'at least ' : ''}${grouped(verdict.differing ?? 0)} of ${counted(keys, 'key')}`
  const headline = verdict.verdict === 'match' ? `MATCH: ${counted(keys, 'key')} ${keys === 1 ? 'is' : 'are'} equal`
    : verdict.verdict === 'mismatch' ? `MISMATCH: ${differing} ${verdict.differing === 1 ? 'differs' : 'differ'}`
    : `INCONCLUSIVE (${reason?.code ?? ''})`
  const where = formatPosition(position) || 'the start'
  const there = againstPosition === null ? 'unknown' : formatPosition(againstPosition) || 'the start'
  const rows: [string, string][] = [
    ['position', where !== there ? `${where}; the other side: ${there}`
      : `${where}, ${asserted ? 'as it is said of the other side' : 'both'}`],
    ['rebuilt', rebuilt.root ?? 'unknown'],
    ['against', `${verdict.against.root ?? 'unknown'}  ${other}`],
    ...caveatRows(verdict),
  ]
  if (grade !== null) rows.push(['grade', grade])
  rows.push(...inputRows(verdict))
  if (traffic !== null) rows.push(['exchanged', `${megabytes(traffic.bytes)} in ${traffic.requests} requests`])
  if (verdict.verdict === 'mismatch') rows.push(['next', `rehydrate diff ${job} --against ${other} --blame`])
  if (reason !== null) rows.push(['why', reason.message], ['fix', reason.fix])
  rows.push(['took', duration(verdict.durationMs)])
  return [`${job}  ${headline}`, ...table(rows)]
}

/** Whether the cause lies in what was read or in what was made of it. */
export function inputRows({ input, verdict }: Verdict): [string, string][] {
  if (input?.is === 'different') {
    const { partition = '', from = 0, to = from } = input
    const where = from === to ? `at ${grouped(from)}` : `between ${grouped(from)} and ${grouped(to)}`
    return [['input', `the two logs part in ${partition}, ${where}`]]
  }
  return input?.is === 'same' && verdict === 'mismatch' ? [['input', 'both read the same events: the folds differ, or a store']] : []
}

/** What was not compared, waived or not proved is said, always. */
function caveatRows({ collections, rebuilt, against }: Verdict): [string, string][] {
  const leftOut = Object.entries(collections).filter(([, { equal }]) => equal === null).map(([name]) => name)
  const omitted = Object.entries(collections).flatMap(([name, collection]) => collection.omitted.map((path) => `${name}.${path}`))
  const all = [...leftOut, ...omitted]
  const rows: [string, string][] = all.length === 0 ? [] : [['without', all.join(', ')]]
  for (const [name, { accepted, identity }] of Object.entries({ rebuilt, against })) {
    const unproved = Object.keys(identity).filter((partition) => identity[partition]?.proved === false)
    if (accepted.length > 0) rows.push(['accepted', `${name}: ${accepted.map(acceptedText).join(', ')}`])
    if (unproved.length > 0) rows.push(['unproved', `${name}: that ${unproved.join(', ')} is still the log that was read`])
  }
  return rows
}

/** Without another side: whether the stored bytes are the ones the seal speaks of. */
async function scrubJob(context: Context, job: NamedJob): Promise<number> {
  const generation = context.flags.whole('generation')
  const { root, manifestHash, position, entries, bytes } = await scrub({
    store: job.store, ...(generation === undefined ? {} : { generation }),
  })
  const json = positionToJson(position)
  await context.output.document({
    job: job.name, verdict: 'match', grade: 'scrubbed', position: json, againstPosition: null,
    rebuilt: { root, manifest: manifestHash }, against: null, differing: 0, entries, bytes,
  })
  await context.output.lines([
    `${job.name}  every stored byte is what was written`,
    ...table([
      ['position', formatPosition(position) || 'the start'],
      ['root', root],
      ['read', `${grouped(entries)} entries, ${megabytes(bytes)}`],
    ]),
  ])
  return 0
}

async function auditJob(context: Context, job: NamedJob): Promise<number> {
  const generation = context.flags.whole('generation')
  const line = isWatched(context.io) && context.output.logLevel === undefined ? new LastLine(context.io) : null
  const found = await audit({
    store: job.store, projection: job.projection, source: job.source, ...(generation === undefined ? {} : { generation }),
    tell: (event, round) => {
      if (event.kind === 'progress') line?.show(`  rebuild ${round}  ${percent(event.done, event.total)}  ${rate(event.eventsPerSecond)}`)
    },
  }).finally(() => line?.end())
  if (context.output.reader !== 'person') await context.output.write(`${auditJson(job.name, found)}\n`)
  await context.output.lines(auditLines(job.name, found))
  return found.verdict === 'match' ? 0 : 1
}

/** Values of the state in it: integers are exact, also beyond 2^53. */
function auditJson(job: string, { position, difference, sealed, rebuilt, ...rest }: Audit): string {
  const head = toJson({
    job, ...rest, grade: null, position: positionToJson(position), againstPosition: positionToJson(position),
    rebuilt: sealed, against: rebuilt,
  })
  return `${head.slice(0, -1)},"difference":${difference === null ? 'null' : auditDifferenceJson(difference)}}`
}

function auditDifferenceJson({ sealed, rebuilt, ...rest }: NonNullable<Audit['difference']>): string {
  const fields = Object.entries(rest).map(([name, text]) => [name, toJson(text)])
  return objectJson({ ...Object.fromEntries(fields), sealed: valueJson(sealed) ?? 'null', rebuilt: valueJson(rebuilt) ?? 'null' })
}

function auditLines(job: string, found: Audit): string[] {
  const { difference, order, rounds, position, why, sealed, rebuilt } = found
  const rows: [string, string][] = [['position', formatPosition(position) || 'the start'], ['sealed', sealed.root]]
  if (difference === null) return [`${job}  MATCH: ${rounds} rebuilds in other orders and batches gave the sealed root`, ...table(rows)]
  rows.push(['rebuilt', `${rebuilt?.root ?? 'a handler threw'} (${difference.interleaving})`])
  rows.push(['key', `${difference.collection}/${difference.key}`])
  rows.push(['', `sealed  ${shownValue(difference.sealed)}`], ['', `rebuilt ${shownValue(difference.rebuilt)}`])
  if (why !== null) rows.push(['why', why])
  if (order !== null) rows.push(['order', `${eventText(order.first)} before ${eventText(order.second)}, or after it`])
  return [`${job}  MISMATCH: a rebuild gave another state`, ...table(rows)]
}

function eventText({ partition, offset, type }: { partition: string; offset: number; type: string }): string {
  return `${partition}@${offset} (${type})`
}

function shownValue(value: Value | undefined): string {
  return value === undefined ? 'absent' : stringifyJson(value)
}
