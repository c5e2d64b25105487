import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { loadConfig, type NamedJob, selectJob } from '../host/config.js'
import { remoteSide } from '../host/remote.js'
import { type CompareOptions, nearest, ndjsonDump, parsePosition, RehydrateError } from '../index.js'
import { type Context, parseAt, usage } from './command.js'
import { openLines } from './lines.js'
import { tokenOf } from './token.js'

type AgainstOptions = Pick<CompareOptions, 'against' | 'againstSource'>

/**
 * What `--against` names: one of the job's configuration, `http(s)://…`, `generation:N`, `job:NAME` (the state of another job),
 * `at:POSITION|TIME` (diff only), or a file of NDJSON lines. USAGE, OPTION_DEFERRED.
 */
async function againstOf(context: Context, job: NamedJob): Promise<AgainstOptions> {
  const text = context.flags.text('against')
  const named = job.verify?.against ?? {}
  const names = Object.keys(named)
  if (text === undefined) {
    const only = names.length === 1 ? named[names[0] as string] : undefined
    if (only !== undefined) return { against: only }
    throw usage('Say what to compare with: --against AGAINST.', { expected: expectedOf(names) })
  }
  if (Object.hasOwn(named, text)) return { against: named[text] as CompareOptions['against'] }
  if (/^https?:\/\//.test(text)) return { against: remoteSide(text, { token: await tokenOf(context) }) }
  const [kind, rest] = splitKind(text)
  if (kind === 'generation') return { against: { generation: generationNumber(rest) } }
  if (kind === 'at') return { against: { at: parseAt('--against', rest) } }
  if (kind === 'job') {
    const { store, source } = selectJob(await loadConfig(context.io.folder, context.flags.text('config')), rest)
    return { against: store, againstSource: source }
  }
  if (kind === 'snapshot') {
    throw new RehydrateError('OPTION_DEFERRED', { message: `--against ${text} is not built yet.`, why: 'It comes with snapshots.' })
  }
  if (/\.(ndjson|jsonl)(\.gz)?$/.test(text)) {
    const path = resolve(context.io.folder, text)
    return { against: ndjsonDump({ name: text, lines: () => openLines(createReadStream(path), path) }) }
  }
  const near = nearest(text, names)
  throw usage(`There is nothing called ${text} to compare with.${near === null ? '' : ` Did you mean ${near}?`}`, {
    expected: expectedOf(names), actual: text,
  })
}

function expectedOf(names: readonly string[]): string {
  return [...names, 'http(s)://HOST:PORT', 'generation:N', 'job:NAME', 'FILE.ndjson'].join(', ')
}

function splitKind(text: string): [string, string] {
  const at = text.indexOf(':')
  return at < 0 ? ['', text] : [text.slice(0, at), text.slice(at + 1)]
}

function generationNumber(text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text)
  throw usage(`generation:${text} names no generation.`, { expected: 'generation:N', actual: text })
}

/** The command line names another side, or the configuration has just one. */
export function hasAgainst({ flags }: Context, job: NamedJob): boolean {
  return flags.has('against') || Object.keys(job.verify?.against ?? {}).length === 1
}

/**
 * Compares as the flags say; the other side is closed after it, also where a signal stops it: another host would keep its view open
 * for some time. A second signal ends the process as it would without us.
 */
export async function comparing<T>(context: Context, job: NamedJob, compare: (options: CompareOptions) => Promise<T>): Promise<T> {
  const other = await againstOf(context, job)
  const stop = new AbortController()
  const unlisten = context.io.onSignal(() => {
    unlisten()
    stop.abort()
  })
  try {
    return await compare({ ...rebuiltOf(context, job), ...other, ...flagsOf(context), signal: stop.signal })
  } finally {
    unlisten()
    if ('generations' in other.against) await other.against.close()
    await other.againstSource?.close()
  }
}

export function rebuiltOf({ flags }: Context, { store, projection, source }: NamedJob): Pick<CompareOptions, 'rebuilt'> {
  const generation = flags.whole('generation')
  return { rebuilt: { store, projection, source, ...(generation === undefined ? {} : { generation }) } }
}

function flagsOf({ flags }: Context): Omit<CompareOptions, 'rebuilt' | 'against'> {
  const at = flags.text('at')
  const againstAt = flags.text('against-at')
  const limit = flags.whole('limit')
  const seconds = flags.whole('deadline')
  if (seconds !== undefined && !flags.has('wait')) throw usage('--deadline goes with --wait.')
  return {
    ...(at === undefined ? {} : { at: parseAt('--at', at) }),
    ...(againstAt === undefined ? {} : { againstAt: parsePosition(againstAt) }),
    ...(limit === undefined ? {} : { limit }),
    ...(flags.has('wait') ? { waitMs: 1_000 * (seconds ?? DEADLINE_SECONDS) } : {}),
    ...(flags.has('scrub') ? { scrub: true } : {}),
  }
}

const DEADLINE_SECONDS = 60
