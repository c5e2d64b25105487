import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadConfig, selectJob } from '../host/config.js'
import { type EventSource, isRehydrateError, RehydrateError } from '../index.js'
import type { Context, Handler } from './command.js'
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
  write(CONFIG, configText(setup, NO_SAMPLE))
  const sample = await sampleOf(context)
  write(projection, projectionText(setup.job, sample))
  write(CONFIG, configText(setup, sample))
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
  const job = flags.text('job') ?? (named[0] ?? 'events').replace(/[^A-Za-z0-9_-]/g, '_')
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

function configText({ job, source: { from, name, options } }: Setup, { shape }: Sample): string {
  return [
    "import { join } from 'node:path'",
    "import { defineConfig } from 'rehydrate'",
    `import { ${name} } from '${from}'`,
    "import { sqlite } from 'rehydrate/sqlite'",
    `import { ${identifier(job)} } from './${job}.ts'`,
    '',
    'export default defineConfig({',
    '  jobs: {',
    `    ${property(job)}: {`,
    ...(shape === null ? [`      source: ${name}({ ${options} }),`] : [
      `      source: ${name}({`,
      `        ${options},`,
      `        // ${shape}`,
      "        // event: { type: { field: '…' } }, // where the parts of an event are",
      '      }),',
    ]),
    `      projection: ${identifier(job)},`,
    "      store: sqlite({ path: join(import.meta.dirname, 'state.db') }),",
    '    },',
    '  },',
    '})',
    '',
  ].join('\n')
}

function projectionText(job: string, { types, compacted }: Sample): string {
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
    '  on: {',
    '    // (state before or undefined, event) => state after, or null to delete it: a pure function.',
    ...(types.length === 0 ? ['    // One for each type of event. This one is an example.'] : []),
    ...handlers,
    '  },',
    '})',
    '',
  ].join('\n')
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
  /** What is said of a record whose parts were not found; null: they were, or there is none. */
  readonly shape: string | null
  /** Why there is no sample. */
  readonly problem: { readonly problem: string; readonly fix: string } | null
}

const NO_SAMPLE: Sample = { types: [], events: 0, compacted: false, shape: null, problem: null }

/** The log as the new configuration names it. That it can't be read yet is no reason not to begin. */
async function sampleOf(context: Context): Promise<Sample> {
  const { io } = context
  try {
    const job = selectJob(await loadConfig(io.folder, CONFIG, { fresh: true }))
    try {
      return await untilAnswered(context, job.name, within(SAMPLE_MS, readSample(job.source)))
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

async function readSample(source: EventSource): Promise<Sample> {
  const types = new Set<string>()
  const all = [...await source.bounds()]
  if (all.some(([, { compacted }]) => compacted === true)) return { ...NO_SAMPLE, compacted: true }
  const bounds = all.filter(([, { first, last }]) => last >= first)
  const most = Math.ceil(SAMPLE_EVENTS / Math.max(1, bounds.length))
  let events = 0
  for (const [partition, { first, last }] of bounds) {
    const range = { after: first - 1, upTo: Math.min(last, first + most - 1), mark: null }
    for await (const batch of source.read(partition, range, { events: most, bytes: 1 << 20 }, new AbortController().signal)) {
      for (let i = 0; i < batch.length; i++) types.add(batch.typeAt(i))
      events += batch.length
    }
  }
  return { ...NO_SAMPLE, types: [...types].sort(), events }
}

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n')}'`

const property = (name: string): string => (/^[A-Za-z_$][A-Za-z0-9_$]*$/.test(name) ? name : quoted(name))

/** A name as a variable. */
function identifier(name: string): string {
  const camel = name.replace(/-+(.)?/g, (_, next: string | undefined) => next?.toUpperCase() ?? '')
  return RESERVED.has(camel) ? `${camel}_` : camel
}

const RESERVED = new Set([
  'class', 'default', 'delete', 'export', 'import', 'new', 'package', 'private', 'public', 'return', 'switch', 'var',
])
