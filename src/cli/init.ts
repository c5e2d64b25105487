import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadConfig, selectJob } from '../host/config.js'
import { isRehydrateError, type Plan, plan, RehydrateError, type ReplayOptions } from '../index.js'
import type { Context, Handler } from './command.js'
import { configText } from './config-text.js'
import { grouped } from './format.js'
import { asRehydrateError } from './output.js'
import { untilAnswered } from './waiting.js'

const CONFIG = 'rehydrate.config.ts'
const SAMPLE_EVENTS = 1_000
/** The files are written either way: nobody has to wait for brokers that do not answer. */
const SAMPLE_MS = 10_000

/**
 * Writes a configuration and a projection to begin with; what is there already is never touched. Where the log can be read, the projection
 * has a handler for each type of event that a sample of it holds.
 */
export const initCommand: Handler = async (context) => {
  const { io, output, flags } = context
  const setup = setupOf(flags)
  const projection = `${setup.job}.ts`
  for (const name of [CONFIG, projection]) {
    if (!existsSync(join(io.folder, name))) continue
    throw new RehydrateError('USAGE', {
      message: `${name} is there already.`, file: join(io.folder, name),
      fix: 'Go to an empty folder, or give the job another name with --job.',
    })
  }
  const write = (name: string, text: string): void => writeFileSync(join(io.folder, name), text)
  write(projection, projectionText(setup.job, NO_SAMPLE))
  write(CONFIG, configOf(setup, NO_SAMPLE))
  const sample = await sampleOf(context)
  write(projection, projectionText(setup.job, sample))
  write(CONFIG, configOf(setup, sample))
  await output.document({ job: setup.job, files: [CONFIG, projection], types: sample.types, sampled: sample.events, ...sample.problem })
  await output.lines([
    `wrote  ${CONFIG}`,
    `wrote  ${projection}${sampleText(sample)}`,
    ...(sample.problem === null ? [] : [`  the log was not sampled: ${sample.problem.problem}`, `    fix: ${sample.problem.fix}`]),
    `Next: ${sample.compacted ? '' : 'say in the handlers what the events mean, then '}\`rehydrate doctor\`, then \`rehydrate replay\`.`,
  ])
  return 0
}

function sampleText({ types, events, compacted, problem }: Sample): string {
  if (compacted) return ': the topic is compacted, so it keeps the last value of each key'
  if (problem !== null) return ''
  if (types.length === 0) return ': the log is empty, so its handler is an example'
  const which = types.length === 1 ? 'the one type' : `each of ${types.length} types`
  return `, with a handler for ${which} in a sample of ${grouped(events)} events`
}

interface Setup {
  readonly job: string
  /** The adapter to import, and the call that makes the source. */
  readonly source: { readonly from: string; readonly name: string; readonly options: string }
}

function setupOf(flags: Context['flags']): Setup {
  const brokers = flags.text('brokers')
  const topics = flags.text('topics')
  const path = flags.text('path')
  if ((brokers === undefined) !== (topics === undefined) || (brokers !== undefined && path !== undefined)) {
    throw new RehydrateError('USAGE', {
      message: 'init takes --brokers and --topics, or --path, or neither.', expected: '--brokers HOST:PORT --topics NAME, or --path FILES',
    })
  }
  const named = topics?.split(',').map((topic) => topic.trim()).filter((topic) => topic !== '') ?? []
  const job = flags.text('job') ?? jobOf(named[0] ?? 'events')
  if (!/^[A-Za-z_][A-Za-z0-9_-]{0,63}$/.test(job)) {
    throw new RehydrateError('USAGE', {
      message: `--job ${job} is no name for a job.`, expected: 'a letter or _, then letters, digits, _ or -',
    })
  }
  if (brokers === undefined) {
    return { job, source: { from: 'rehydrate/file', name: 'fileLog', options: `path: ${quoted(path ?? './log')}` } }
  }
  // A list of brokers is of one environment: it is looked up where the variable is set, and what was given here is the default.
  const list = named.map(quoted).join(', ')
  const options = `brokers: process.env['KAFKA_BROKERS'] ?? ${quoted(brokers)}, topics: [${list}]`
  return { job, source: { from: 'rehydrate/kafka', name: 'kafka', options } }
}

/** A topic's name as one of a job. */
function jobOf(topic: string): string {
  return topic.replace(/[^A-Za-z0-9_-]/g, '_').replace(/^(?![A-Za-z_])/, '_').slice(0, 64)
}

function configOf({ job, source }: Setup, { shape }: Sample): string {
  const { options } = source
  return configText({
    job: property(job), projection: { name: identifier(job), file: `${job}.ts` },
    source: {
      ...source,
      options: shape === null ? [options]
        : [`${options},`, `// ${shape}`, "// event: { type: { field: '…' } }, // where the parts of an event are"],
    },
  })
}

function projectionText(job: string, { types, compacted, placement }: Sample): string {
  if (compacted) return latestText(job)
  const handlers = (types.length === 0 ? ['SomethingHappened'] : types)
    .map((type) => `    ${property(type)}: (state, event) => ({ ...state, ...event.data }),`)
  return [
    "import { defineReducer } from 'rehydrate'",
    '',
    `export const ${identifier(job)} = defineReducer({`,
    `  name: ${quoted(job)},`,
    '  version: 1, // raise it whenever a handler changes',
    `  collection: ${quoted(job)}, // one entry for each key of the log`,
    ...(placement === null ? [] : placementLines(placement)),
    '  on: {',
    '    // (state before or undefined, event) => state after, or null to delete it: a pure function.',
    ...(types.length === 0 ? ['    // One for each type of event. This one is an example.'] : []),
    ...handlers,
    '  },',
    '})',
    '',
  ].join('\n')
}

function placementLines({ hash, counts }: Placement): string[] {
  return [
    '  // Each record is proved to lie where its key belongs, so the state need not remember the partition of each key.',
    `  // When the topic grows, add its new number of partitions: counts: [${counts.join()}, …].`,
    `  partitioner: { hash: ${quoted(hash)}, counts: [${counts.join()}] },`,
  ]
}

/** Whatever a cleaner leaves of a key, its last value is there. */
function latestText(job: string): string {
  return [
    "import { latest } from 'rehydrate'",
    '',
    '/** The topic is compacted: its cleaner leaves the last record of a key, so that is what a state of it can be. */',
    `export const ${identifier(job)} = latest({ name: ${quoted(job)}, version: 1 })`,
    '',
  ].join('\n')
}

interface Sample {
  readonly types: readonly string[]
  readonly events: number
  /** Partitions of it are compacted. */
  readonly compacted: boolean
  /** The partitioner that puts every key of the sample where it lies; null: none does, or the sample has too few keys to tell. */
  readonly placement: Placement | null
  /** What is said of a record whose parts were not found; null: they were, or there is none. */
  readonly shape: string | null
  /** Why there is no sample. */
  readonly problem: { readonly problem: string; readonly fix: string } | null
}

interface Placement {
  readonly hash: string
  readonly counts: readonly number[]
}

const NO_SAMPLE: Sample = { types: [], events: 0, compacted: false, placement: null, shape: null, problem: null }
/** By chance so many keys do not all lie where a hash would put them. */
const SURE_KEYS = 30

/** The log as the new configuration names it. That it can't be read yet is no reason not to begin. */
async function sampleOf(context: Context): Promise<Sample> {
  const { io } = context
  try {
    const job = selectJob(await loadConfig(io.folder, CONFIG, { fresh: true }))
    try {
      return await untilAnswered(context, job.name, within(SAMPLE_MS, readSample(job)))
    } finally {
      await Promise.all([job.source.close(), job.store.close()])
    }
  } catch (thrown) {
    const error = asRehydrateError(thrown)
    if (!isRehydrateError(thrown)) throw error
    const shape = error.code === 'EVENT_SHAPE_UNKNOWN' ? error.message : null
    return { ...NO_SAMPLE, shape, problem: { problem: error.message, fix: error.fix } }
  }
}

/** SOURCE_UNREACHABLE where it takes longer. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const stop = new AbortController()
  const late = sleep(ms, null, { signal: stop.signal }).then((): never => {
    throw new RehydrateError('SOURCE_UNREACHABLE', { message: `The log has not answered within ${ms / 1_000} s.` })
  })
  // Whichever is not waited for any more may still fail.
  late.catch(() => {})
  work.catch(() => {})
  return await Promise.race([work, late]).finally(() => stop.abort())
}

async function readSample({ source, projection, store }: ReplayOptions): Promise<Sample> {
  const types = new Set<string>()
  const keys = new Set<string | null>()
  const all = [...await source.bounds()]
  if (all.some(([, { compacted }]) => compacted === true)) return { ...NO_SAMPLE, compacted: true }
  const bounds = all.filter(([, { first, last }]) => last >= first)
  const most = Math.ceil(SAMPLE_EVENTS / Math.max(1, bounds.length))
  let events = 0
  for (const [partition, { first, last }] of bounds) {
    const range = { after: first - 1, upTo: Math.min(last, first + most - 1), mark: null }
    for await (const batch of source.read(partition, range, { events: most, bytes: 1 << 20 }, new AbortController().signal)) {
      for (let i = 0; i < batch.length; i++) {
        types.add(batch.typeAt(i))
        keys.add(batch.keyAt(i))
      }
      events += batch.length
    }
  }
  const isOneTopic = new Set(all.map(([partition]) => partition.slice(0, partition.lastIndexOf('/')))).size === 1
  const isSure = isOneTopic && keys.size >= SURE_KEYS && !keys.has(null)
  const placement = isSure ? placementOf(await plan({ source, projection, store })) : null
  return { ...NO_SAMPLE, types: [...types].sort(), events, placement }
}

/** Of a topic that grew, more is to be decided than a sample can say. */
function placementOf({ placement }: Plan): Placement | null {
  if (placement === null || placement.hash === null || placement.counts.length > 1) return null
  return { hash: placement.hash, counts: placement.counts }
}

const quoted = (text: string): string => `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`

const property = (name: string): string => (/^[A-Za-z_$][A-Za-z0-9_$]*$/.test(name) ? name : quoted(name))

/** A name as a variable. */
function identifier(name: string): string {
  const camel = name.replace(/-+(.)?/g, (_, next: string | undefined) => next?.toUpperCase() ?? '')
  return RESERVED.has(camel) ? `${camel}_` : camel
}

/** No names of variables in a module; then those that the two files have already. */
const RESERVED = new Set((
  'arguments await break case catch class const continue debugger default delete do else enum eval export extends false finally for '
  + 'function if implements import in instanceof interface let new null package private protected public return static super switch '
  + 'this throw true try typeof var void while with yield '
  + 'defineConfig defineReducer fileLog join kafka latest process sqlite'
).split(' '))
