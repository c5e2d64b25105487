import {
  formatPosition, handOver, positionToJson, takeBack, type GroupPartition, type HandOver, type HandOverOptions, type Position,
} from '../index.js'
import { type Context, type Handler, usage } from './command.js'
import { grouped, table } from './format.js'
import { adviceFor, openReporter, withJob } from './job.js'
import { exitOf } from './output.js'
import { replayOptions } from './plan.js'

type Refusal = Pick<HandOver['refusals'][number], 'code' | 'message' | 'fix'>

export const handoverCommand: Handler = (context) => withJob(context, async (job) => {
  const { flags, output } = context
  const isBack = flags.has('back')
  const wait = waitOf(context)
  const group = flags.text('group')
  if (group === undefined && !isBack) {
    throw usage('handover takes --group G, the consumer group that is to go on.', { expected: '--group G' })
  }
  if (isBack && wait !== undefined) throw usage('--back takes no --wait: our state goes on from where it stands.')
  const { source, projection, store } = job
  const execute = flags.has('execute')
  const done = isBack
    ? await takeBack({ source, projection, store, execute, ...(group === undefined ? {} : { group }) })
    : await handedOver(context, job.name, { ...jobOptions(context, job), execute, group: group as string, ...(wait && { wait }) })
  const refusals = done.refusals.map(({ code, message, fix }) => ({ code, message, fix: adviceFor(context, fix) }))
  await output.document(documentOf(job.name, done, refusals))
  await output.lines(screen(job.name, done, isBack, refusals))
  const [refusal] = refusals
  return refusal === undefined ? 0 : exitOf(refusal.code)
})

function jobOptions(context: Context, job: Parameters<typeof replayOptions>[1]): Omit<HandOverOptions, 'group'> {
  const { until: _until, restart: _restart, takeover: _takeover, ...options } = replayOptions(context, job)
  return options
}

async function handedOver(context: Context, job: string, options: HandOverOptions): Promise<HandOver> {
  const stop = new AbortController()
  const unlisten = context.io.onSignal((received) => {
    unlisten()
    stop.abort(received)
  })
  const reporter = await openReporter(context, job)
  try {
    return await handOver({ ...options, signal: stop.signal, tell: (event) => reporter.event(event) })
  } finally {
    reporter.end()
    unlisten()
  }
}

function waitOf({ flags }: Context): HandOverOptions['wait'] {
  const [maxLag, deadline] = [flags.whole('max-lag'), flags.whole('deadline')]
  if (flags.has('wait')) {
    return { ...(maxLag === undefined ? {} : { maxLag }), ...(deadline === undefined ? {} : { deadlineMs: deadline * 1_000 }) }
  }
  if (maxLag !== undefined || deadline !== undefined) throw usage('--max-lag and --deadline belong to --wait.')
  return undefined
}

/** Offsets of groups are printed as Kafka has them: the next one to read. */
function documentOf(job: string, { partitions, ...done }: HandOver, refusals: readonly Refusal[]): object {
  return {
    job, ...done, position: positionToJson(positionOf(partitions)),
    partitions: partitions.map(({ partition, committed, position, behind, atOpenTransaction }) =>
      ({ partition, before: committed === null ? null : committed + 1, offset: position + 1, behind, atOpenTransaction })),
    refusals,
  }
}

function positionOf(partitions: readonly GroupPartition[]): Position {
  return new Map(partitions.map(({ partition, position }) => [partition, position]))
}

function screen(job: string, done: HandOver, isBack: boolean, refusals: readonly Refusal[]): string[] {
  const { group, outcome, partitions, others, members, state, before } = done
  const position = formatPosition(positionOf(partitions)) || 'the start of an empty log'
  if (outcome === 'ours') {
    const how = group === null ? 'was not handed over' : `is taken back from the group ${group}`
    return [`${job}  ${how}`, ...table([...groupRows(done), ['next', `\`rehydrate replay ${job}\` goes on behind ${position}`]])]
  }
  const headline = outcome === 'handedOver'
    ? `${before === 'done' ? 'was handed over before' : 'handed over'} to the group ${group}`
    : isBack ? `would be taken back from the group ${group}` : `would be handed over to the group ${group}`
  return [
    `${job}  ${headline}`,
    ...table([
      ['position', position],
      ['root', done.root ?? 'none yet: it is sealed first'],
      ['group', `${state ?? 'unknown'}, ${members.length === 0 ? 'no members' : `members ${members.join(', ')}`}`],
      ...groupRows(done),
      ...(others.length === 0 ? [] : [['others', `${others.join(', ')}: left alone`] as const]),
      ...(outcome === 'handedOver' && members.length === 0 ? [['next', nextText(job, done)] as const] : []),
    ]),
    ...refusals.flatMap(({ code, message, fix }) => [`  refused ${code}  ${message}`, `    fix: ${fix}`]),
    ...(outcome === 'planned' ? ['Nothing was changed. The same command with --execute does it.'] : []),
  ]
}

/** Where the group lost an offset after it was set, its consumers would begin anywhere. */
function nextText(job: string, { before, partitions }: HandOver): string {
  const isLost = before === 'done' && partitions.some(({ committed }) => committed === null)
  return isLost
    ? `offsets of the group have expired: \`rehydrate handover ${job} --back --execute\`, then hand it over again`
    : 'start the consumers of the group'
}

function groupRows({ group, outcome, before, partitions }: HandOver): [string, string][] {
  if (group === null) return []
  // A group that goes on from here, or has: its offsets are its own.
  const isShown = outcome === 'ours' || before === 'done'
  return partitions.map(({ partition, committed, position, behind, atOpenTransaction }) => {
    const was = committed === null ? 'nothing committed' : `${grouped(committed + 1)}`
    const left = behind === 0 ? '' : `, ${grouped(behind)} behind the end`
    const open = atOpenTransaction ? '; it waits there for the end of an open transaction' : ''
    return [partition, isShown ? `the group stands at ${was}` : `offset ${grouped(position + 1)}, was ${was}${left}${open}`]
  })
}
