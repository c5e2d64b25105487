import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig, selectJob } from '../../src/host/config.js'
import { project } from './project.js'

const SOURCE = '{ bounds() {}, read() {}, check() {} }'
const STORE = '{ generations() {}, open() {} }'
const JOB = `{ source: ${SOURCE}, projection: { kind: 'projection' }, store: ${STORE} }`
const configOf = (jobs: string): string => `export default { jobs: ${jobs} }`
const load = (source: string): ReturnType<typeof loadConfig> => loadConfig(project({ 'rehydrate.config.js': source }))

test.each(['ts', 'mts', 'js', 'mjs'])('rehydrate.config.%s is found in the folder', async (suffix) => {
  const folder = project({ [`rehydrate.config.${suffix}`]: configOf(`{ flights: ${JOB} }`) })
  const config = await loadConfig(folder)
  expect(config.file).toBe(join(folder, `rehydrate.config.${suffix}`))
  expect(selectJob(config).name).toBe('flights')
})

test('no file is CONFIG_NOT_FOUND, two are CONFIG_AMBIGUOUS, and --config settles it', async () => {
  await expect(loadConfig(project({}))).rejects.toMatchObject({ code: 'CONFIG_NOT_FOUND' })
  const source = configOf(`{ flights: ${JOB} }`)
  const folder = project({ 'rehydrate.config.ts': source, 'rehydrate.config.js': source })
  await expect(loadConfig(folder)).rejects.toMatchObject({ code: 'CONFIG_AMBIGUOUS' })
  expect((await loadConfig(folder, 'rehydrate.config.js')).jobs.size).toBe(1)
  await expect(loadConfig(folder, 'other.ts')).rejects.toMatchObject({ code: 'CONFIG_NOT_FOUND' })
})

test.each([
  ['unknown key at the top', `export default { job: {} }`, 'CONFIG_INVALID', { path: 'job', message: /Did you mean jobs\?/ }],
  [
    'unknown key in a job', configOf(`{ a: { ...${JOB}, stroe: 1 } }`), 'CONFIG_INVALID',
    { path: 'jobs.a.stroe', message: /Did you mean store\?/ },
  ],
  ['no jobs', configOf('{}'), 'CONFIG_INVALID', { path: 'jobs' }],
  ['jobs of another type', configOf('[]'), 'CONFIG_INVALID', { path: 'jobs' }],
  ['a job without source', configOf('{ a: {} }'), 'CONFIG_INVALID', { path: 'jobs.a.source' }],
  [
    'a projection that is none', configOf(`{ a: { source: ${SOURCE}, projection: {}, store: ${STORE} } }`), 'CONFIG_INVALID',
    { path: 'jobs.a.projection' },
  ],
  ['a store that is none', configOf(`{ a: { ...${JOB}, store: {} } }`), 'CONFIG_INVALID', { path: 'jobs.a.store' }],
  ['snapshots, not built yet', configOf(`{ a: { ...${JOB}, snapshots: 1 } }`), 'OPTION_DEFERRED', { path: 'jobs.a.snapshots' }],
  ...['shard', 'shards', 'workers'].map((name) =>
    [`${name}, which is of a run`, configOf(`{ a: { ...${JOB}, ${name}: 1 } }`), 'CONFIG_INVALID', { path: `jobs.a.${name}` }] as const),
  [
    'a limit that is none', configOf(`{ a: { ...${JOB}, limits: { bytesPerSecond: '10 MB' } } }`), 'CONFIG_INVALID',
    { path: 'jobs.a.limits.bytesPerSecond' },
  ],
] as const)('%s is refused with its path and file', async (_, source, code, { path, ...rest }) => {
  const error = await load(source).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code, details: { path, file: expect.stringContaining('rehydrate.config.js') } })
  if ('message' in rest) expect((error as Error).message).toMatch(rest.message)
})

test('a job name may be left out only where there is one; an unknown one gets the nearest', async () => {
  const config = await load(configOf(`{ orders: ${JOB}, flights: ${JOB} }`))
  expect(selectJob(config, 'flights').name).toBe('flights')
  expect(() => selectJob(config)).toThrow(expect.objectContaining({ code: 'CONFIG_AMBIGUOUS' }))
  expect(() => selectJob(config, 'fligths')).toThrow(expect.objectContaining({
    code: 'CONFIG_NOT_FOUND', message: 'There is no job fligths. Did you mean flights?',
  }))
})
