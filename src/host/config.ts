import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { RehydrateError } from '../errors.js'
import type { EventSource } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { ReplayOptions } from '../replay/api.js'
import { checkLimits } from '../replay/limits.js'
import type { StateStore } from '../store/contract.js'
import type { Against } from '../verify/side.js'
import { checkOptions, nearest, typeName } from '../value/options.js'
import { loadModule } from './modules.js'

/** One rebuild: which log, through which projection, into which store. Flags of the command line win over what stands here. */
export interface Job extends Pick<ReplayOptions, 'until' | 'switch' | 'checkpoint' | 'memoryBytes' | 'batch' | 'limits'> {
  readonly source: EventSource
  readonly projection: Projection
  readonly store: StateStore
  /** What `verify`, `diff` and `repair` compare with, by the names that `--against` takes. */
  readonly verify?: { readonly against?: Readonly<Record<string, Against | StateStore>> }
}

/** What rehydrate.config.ts exports. */
export interface RehydrateConfig {
  readonly jobs: Readonly<Record<string, Job>>
}

/** Types a configuration; what it says is checked when the command line loads it. */
export function defineConfig<const C extends RehydrateConfig>(config: C): C {
  return config
}

export interface NamedJob extends Job {
  readonly name: string
}

export interface LoadedConfig {
  /** Absolute path. */
  readonly file: string
  readonly jobs: ReadonlyMap<string, NamedJob>
}

const NAMES = ['rehydrate.config.ts', 'rehydrate.config.mts', 'rehydrate.config.js', 'rehydrate.config.mjs']

/**
 * Finds and loads the configuration: `file` (relative to `folder`), else the one in `folder`.
 * CONFIG_NOT_FOUND, CONFIG_AMBIGUOUS where there are two, CONFIG_LOAD_FAILED, CONFIG_INVALID, OPTION_DEFERRED. `fresh`: as the files are
 * now, though they were loaded before.
 */
export async function loadConfig(folder: string, file?: string, options: { readonly fresh?: boolean } = {}): Promise<LoadedConfig> {
  const path = file === undefined ? findConfig(folder) : resolve(folder, file)
  if (!existsSync(path)) {
    throw new RehydrateError('CONFIG_NOT_FOUND', { message: `There is no file ${path}.`, file: path })
  }
  return { file: path, jobs: checkConfig(await loadModule(path, options), path) }
}

/** The job of that name; without a name the only one. CONFIG_NOT_FOUND, CONFIG_AMBIGUOUS. */
export function selectJob(config: LoadedConfig, name?: string): NamedJob {
  const names = [...config.jobs.keys()]
  if (name === undefined && names.length > 1) {
    throw new RehydrateError('CONFIG_AMBIGUOUS', {
      message: `${config.file} has ${names.length} jobs; say which one.`, expected: names.join(', '), fix: 'Name the job.',
    })
  }
  const job = config.jobs.get(name ?? names[0] as string)
  if (job !== undefined) return job
  const near = nearest(name as string, names)
  throw new RehydrateError('CONFIG_NOT_FOUND', {
    message: `There is no job ${name}.${near === null ? '' : ` Did you mean ${near}?`}`,
    file: config.file, expected: names.join(', '), actual: name, fix: 'Name one of the jobs of the configuration.',
  })
}

function findConfig(folder: string): string {
  const found = NAMES.filter((name) => existsSync(join(folder, name)))
  if (found.length > 1) {
    throw new RehydrateError('CONFIG_AMBIGUOUS', {
      message: `There are ${found.join(' and ')} in ${folder}.`, fix: 'Keep one of them, or say which is meant with --config FILE.',
    })
  }
  if (found[0] !== undefined) return join(folder, found[0])
  throw new RehydrateError('CONFIG_NOT_FOUND', { message: `There is no rehydrate.config.ts (or .js) in ${folder}.` })
}

const JOB_OPTIONS = ['source', 'projection', 'store', 'until', 'switch', 'checkpoint', 'memoryBytes', 'batch', 'limits', 'verify']
const JOB_DEFERRED = {
  snapshots: 'They come with the snapshot commands.',
}
/** What is said for each run, and not for the job. */
const RUN_ONLY: Readonly<Record<string, string>> = { shard: '--shard I/N', shards: '--shard I/N', workers: '--workers N' }

function checkConfig(config: unknown, file: string): Map<string, NamedJob> {
  try {
    checkOptions('The configuration', config, ['jobs'])
    const jobs = (config as { jobs?: unknown }).jobs
    checkJobs(jobs)
    return new Map(Object.entries(jobs).map(([name, job]) => [name, checkJob(name, job)]))
  } catch (error) {
    if (error instanceof RehydrateError) throw new RehydrateError(error.code, { ...error.details, file })
    throw error
  }
}

function checkJobs(jobs: unknown): asserts jobs is Record<string, unknown> {
  if (typeof jobs !== 'object' || jobs === null || Array.isArray(jobs) || Object.keys(jobs).length === 0) {
    throw invalid('jobs', 'an object with at least one job', jobs)
  }
}

function checkJob(name: string, given: unknown): NamedJob {
  const where = `jobs.${name}`
  try {
    refuseRunOnly(given)
    checkOptions(where, given, JOB_OPTIONS, JOB_DEFERRED)
    if ((given as Partial<Job>).limits !== undefined) checkLimits((given as Job).limits ?? {})
  } catch (error) {
    // The path inside the file, not inside the job.
    if (!(error instanceof RehydrateError) || error.details.path === undefined) throw error
    throw new RehydrateError(error.code, { ...error.details, path: `${where}.${error.details.path}` })
  }
  const job = given as Partial<Record<keyof Job, unknown>>
  if (!hasMethods(job.source, 'bounds', 'read', 'check')) throw invalid(`${where}.source`, 'a source, e.g. fileLog({ path })', job.source)
  if ((job.projection as Partial<Projection> | undefined)?.kind !== 'projection') {
    throw invalid(`${where}.projection`, 'what defineProjection() or defineReducer() returns', job.projection)
  }
  if (!hasMethods(job.store, 'generations', 'open')) throw invalid(`${where}.store`, 'a store, e.g. sqlite({ path })', job.store)
  checkVerify(`${where}.verify`, (given as { verify?: unknown }).verify)
  return { ...(given as Job), name }
}

function refuseRunOnly(given: unknown): void {
  const name = Object.keys(RUN_ONLY).find((option) => typeof given === 'object' && given !== null && option in given)
  if (name === undefined) return
  const fix = `Say it on the command line: rehydrate replay ${RUN_ONLY[name]}.`
  throw new RehydrateError('CONFIG_INVALID', { message: `${name} is of a run, not of a job.`, path: name, fix })
}

function checkVerify(where: string, given: unknown): void {
  if (given === undefined) return
  checkOptions(where, given, ['against'])
  const against = (given as { against?: unknown }).against ?? {}
  if (typeof against !== 'object' || Array.isArray(against)) {
    throw invalid(`${where}.against`, 'an object of what to compare with, by name', against)
  }
  for (const [name, side] of Object.entries(against as object)) {
    if (!/^[A-Za-z_][A-Za-z0-9_-]*$/.test(name)) throw invalid(`${where}.against.${name}`, 'named with letters, digits, _ and -', name)
    if (isAgainst(side)) continue
    throw invalid(`${where}.against.${name}`, 'a store, or tables of one, e.g. sqlite({ path, position, tables })', side)
  }
}

function isAgainst(side: unknown): boolean {
  return hasMethods(side, 'open') && ((side as Partial<Against>).kind === 'against' || hasMethods(side, 'generations'))
}

function hasMethods(value: unknown, ...names: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
}

function invalid(path: string, expected: string, actual: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', { message: `${path} must be ${expected}.`, path, expected, actual: typeName(actual) })
}
