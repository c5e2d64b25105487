/** The sections on comparing two states: by every means, and with maintained digests in detail. */
import type { SqlInput } from './baselines/sql-difference.js'
import { interleaved, launch, type Variant } from './launch.js'
import { DIFFERING, differingKeys } from './parcels.js'
import { reladiff, sqldiff, type Peer } from './peers.js'
import type { Section, Target } from './report.js'
import type { Scale } from './scale.js'
import { statesOf, type States } from './states.js'
import { median } from './statistics.js'
import type { DigestsCall, DigestsInput, DigestsResult } from './trials/digests.js'
import type { Found } from './trials/table.js'

const count = (value: number): string => Math.round(value).toLocaleString('en')
const seconds = (ms: number): string => (ms / 1_000).toFixed(3)
const kilobytes = (bytes: number): string => (bytes / 1_000).toFixed(1)
const milliseconds = (ms: number): string => ms.toFixed(2)

const over = <T>(results: readonly T[] | undefined, figure: (result: T) => number): number => median((results ?? []).map(figure))

const EXCHANGED_BYTES = 30_000
const FASTER_THAN_PEERS = 30
const ROWS_PER_CPU_SECOND = 250_000

/** In one process, where it is later calls that count. */
const CALLS = 20

type Other = DigestsInput['other']

/** All of them name the same keys. Throws otherwise: nothing is to be compared then. */
function assertFound(name: string, found: readonly string[], expected: readonly string[]): void {
  if (JSON.stringify(found) === JSON.stringify(expected)) return
  throw new Error(`${name} found ${found.length} keys that differ, not the ${expected.length} that do: ${found.slice(0, 20).join(', ')}`)
}

const OURS = 'rehydrate, digests maintained on both sides'
const OURS_LATER = `${OURS}, later calls of a process`
const OURS_TABLE = 'rehydrate, against a table that it did not write'
const JOIN = 'FULL OUTER JOIN, IS NOT by columns'
const EXCEPT = 'EXCEPT both ways'
const NOT_RUN = 'dolt: not part of this bench (it keeps tables in a form of its own: `brew install dolt`)'

const told = (name: string, other: Other): string => `${name}: ${other === 'equal' ? 'equal' : `${DIFFERING} differing`}`

function ours({ folder: states, keys }: States, other: Other): Variant<Found>[] {
  const compare = (calls: number): DigestsResult => launch<DigestsResult>('trials/digests.js', { states, other, over: 'process', calls })
  return [
    { name: told(OURS, other), run: () => compare(1) },
    {
      name: told(OURS_LATER, other),
      run: () => {
        const result = compare(CALLS)
        return { ...result, wallMs: over(result.calls.slice(1), ({ wallMs }) => wallMs), cpuMs: result.cpuMs / CALLS }
      },
    },
    { name: told(OURS_TABLE, other), run: () => launch<Found>('trials/table.js', { states, keys, other }) },
  ]
}

function peers({ folder: states }: States): { readonly variants: readonly Variant<Found>[]; readonly missing: readonly Peer[] } {
  const sql = (name: string, by: SqlInput['by']): Variant<Found> =>
    ({ name, run: () => launch<Found>('baselines/sql-difference.js', { states, by }) })
  const programs = [['sqldiff', sqldiff()], ['reladiff', reladiff()]] as const
  const installed = programs.flatMap(([peer, { name, path }]): Variant<Found>[] =>
    (path === null ? [] : [{ name, run: () => launch<Found>('baselines/peer.js', { states, peer, path }) }]))
  return {
    variants: [sql(JOIN, 'join'), sql(EXCEPT, 'except'), ...installed],
    missing: programs.flatMap(([, program]) => (program.path === null ? [program] : [])),
  }
}

export function comparing(scale: Scale): Section {
  const states = statesOf(scale.comparedKeys, { tables: true })
  const { variants, missing } = peers(states)
  const results = interleaved<Found>(scale.rounds, [...ours(states, 'equal'), ...ours(states, 'differing'), ...variants])
  for (const [name, list] of results) {
    for (const { keys } of list) assertFound(name, keys, name.endsWith(': equal') ? [] : differingKeys(states.keys))
  }
  const wallMs = (name: string): number => over(results.get(name), (result) => result.wallMs)
  const rate = (name: string): number => over(results.get(name), ({ cpuMs }) => (states.keys * 1_000) / cpuMs)
  const mine = wallMs(told(OURS, 'differing'))
  const row = ([name, list]: [string, readonly Found[]]): string[] => [
    name, seconds(wallMs(name)), seconds(over(list, ({ cpuMs }) => cpuMs)), name.startsWith(OURS) ? '' : count(rate(name)),
    name.startsWith('rehydrate') ? '' : `${(wallMs(name) / mine).toFixed(1)}×`,
  ]
  const best = variants.reduce((a, b) => (wallMs(a.name) <= wallMs(b.name) ? a : b)).name
  return {
    title: 'Comparing two states', notes: notesOf(states, { join: wallMs(JOIN), table: wallMs(told(OURS_TABLE, 'differing')) }),
    head: ['', 'wall, s', 'CPU, s', 'rows per CPU second', 'ours with digests is faster'],
    rows: [
      ...[...results].map(row),
      ...missing.map(({ name, install }) => [`${name}: not installed (\`${install}\`)`, '', '', '', '']),
      [NOT_RUN, '', '', '', ''],
    ],
    targets: targetsOf(states.keys, {
      best, first: wallMs(best) / mine, later: wallMs(best) / wallMs(told(OURS_LATER, 'differing')),
      rows: { equal: rate(told(OURS_TABLE, 'equal')), differing: rate(told(OURS_TABLE, 'differing')) },
    }),
  }
}

interface Figures {
  /** Which peer was the fastest; how much faster ours is. */
  readonly best: string
  readonly first: number
  readonly later: number
  /** A CPU second, of the table that another program wrote. */
  readonly rows: { readonly equal: number; readonly differing: number }
}

function targetsOf(keys: number, { best, first, later, rows }: Figures): Target[] {
  const faster = (when: string, ratio: number): Target => ({
    what: `name ${DIFFERING} differing of ${count(keys)} keys, digests maintained, ${when}, against the best peer (${best})`,
    target: `≥ ${FASTER_THAN_PEERS}×`, measured: `${ratio.toFixed(1)}×`, isMet: ratio >= FASTER_THAN_PEERS,
  })
  return [
    faster('first call of a process', first), faster('later calls', later),
    {
      what: `prove or refute a table of ${count(keys)} rows that another program wrote`,
      target: `≥ ${count(ROWS_PER_CPU_SECOND)} rows per CPU second`,
      measured: `${count(rows.equal)} equal, ${count(rows.differing)} differing`,
      isMet: Math.min(rows.equal, rows.differing) >= ROWS_PER_CPU_SECOND,
    },
  ]
}

function notesOf({ keys, storeBytes, tableBytes }: States, ms: { readonly join: number; readonly table: number }): string[] {
  const slower = ms.table >= ms.join
    ? `here ${seconds(ms.join)} s against ${seconds(ms.table)} s`
    : `though not here: ${seconds(ms.join)} s against ${seconds(ms.table)} s`
  return [
    `${count(keys)} keys, 7 fields (texts, integers, a real, a boolean, a time), on both sides in SQLite: ${count(storeBytes / 1e6)} MB as `
    + `a store of ours, ${count(tableBytes / 1e6)} MB as a plain table. ${DIFFERING} keys differ in one field each; every trial named `
    + 'exactly those.',
    '',
    'One call in a fresh process for all, unless said; the files are opened anew for each call of ours. Ours gives both values and the '
    + 'fields that differ, and says at which position; the others give keys, or statements. Programs of their own have their start in '
    + 'their time. reladiff can not read SQLite: its tables were put into DuckDB before the clock started.',
    '',
    `Without maintained digests, and inside one database, a join is faster than reading and hashing every row: ${slower}. `
    + 'It can not cross two databases or hosts, and leaves nothing that a third party can check.',
  ]
}

interface DigestsTrial {
  readonly keys: number
  readonly other: Other
  readonly over: DigestsInput['over']
}

const nameOf = ({ keys, other, over: way }: DigestsTrial): string =>
  `${count(keys)} keys, ${other === 'equal' ? 'equal' : `${DIFFERING} differing`}, ${way === 'http' ? 'over HTTP' : 'in process'}`

export function digests(scale: Scale): Section {
  const { keys: sizes, calls } = scale.digests
  const trials = sizes.flatMap((keys) => (['equal', 'differing'] as const).flatMap((other) =>
    (['process', 'http'] as const).map((way): DigestsTrial => ({ keys, other, over: way }))))
  const folders = new Map(sizes.map((keys) => [keys, statesOf(keys, { tables: keys === scale.comparedKeys }).folder]))
  const results = interleaved<DigestsResult>(scale.rounds, trials.map((trial) => ({
    name: nameOf(trial),
    run: () => launch<DigestsResult>('trials/digests.js', { states: folders.get(trial.keys), other: trial.other, over: trial.over, calls }),
  })))
  const figures = trials.map((trial) => {
    const list = results.get(nameOf(trial)) ?? []
    for (const { keys } of list) assertFound(nameOf(trial), keys, trial.other === 'equal' ? [] : differingKeys(trial.keys))
    return { trial, ...figuresOf(list) }
  })
  return {
    title: 'Comparing two states with maintained digests',
    notes: [
      'Two SQLite stores of ours; the answer holds both values of each key and the fields that differ. Both are opened anew for each '
      + 'call. The hello is over when both are open and have said where they stand and what their roots are; the walk, the names and the '
      + `values come after it. First: the first call of a process; later: the median of the next ${calls - 1}.`,
      '',
      'Exchanged, after the hello: in process the keys that were asked for and the pages, as they are stored, and values; over HTTP '
      + '(loopback, the other side in another process) the bodies of requests and answers. The hello is JSON, once.',
    ],
    head: [
      '', 'call, ms: first', 'later', 'after the hello, ms: first', 'later', 'CPU, ms a call', 'requests', 'exchanged, kB', 'hello, kB',
    ],
    rows: figures.map(({ trial, first, later, cpuMs, seen }) => [
      nameOf(trial), milliseconds(first.wallMs), milliseconds(later.wallMs), milliseconds(first.afterHelloMs),
      milliseconds(later.afterHelloMs), milliseconds(cpuMs), String(seen.requests), kilobytes(exchanged(seen)), kilobytes(seen.helloBytes),
    ]),
    targets: figures.flatMap(({ trial, ...times }) => digestTargets(trial, times)),
  }
}

type Times = Pick<DigestsCall, 'wallMs' | 'afterHelloMs'>

interface DigestFigures {
  readonly first: Times
  readonly later: Times
  /** Of this process, a call. */
  readonly cpuMs: number
  readonly seen: DigestsCall['seen']
}

function figuresOf(list: readonly DigestsResult[]): DigestFigures {
  const times = (calls: readonly DigestsCall[]): Times =>
    ({ wallMs: over(calls, ({ wallMs }) => wallMs), afterHelloMs: over(calls, ({ afterHelloMs }) => afterHelloMs) })
  const firsts = list.map(({ calls }) => calls[0] as DigestsCall)
  return {
    first: times(firsts), later: times(list.flatMap(({ calls }) => calls.slice(1))),
    cpuMs: over(list, ({ cpuMs, calls }) => cpuMs / calls.length), seen: (firsts[0] as DigestsCall).seen,
  }
}

const exchanged = ({ httpBytes, bytes }: DigestsCall['seen']): number => httpBytes ?? bytes

function digestTargets(trial: DigestsTrial, { first, later, seen }: DigestFigures): Target[] {
  const name = nameOf(trial)
  const isEqual = trial.other === 'equal'
  const mostMs = isEqual ? 1 : 5
  const time: Target = {
    what: `${isEqual ? 'verify' : 'name what differs'}, ${name}, after the hello`, target: `≤ ${mostMs} ms`,
    measured: `${milliseconds(later.afterHelloMs)} ms (first call of a process: ${milliseconds(first.afterHelloMs)} ms)`,
    isMet: later.afterHelloMs <= mostMs,
  }
  const bytes = exchanged(seen)
  const sent: Target = {
    what: `exchanged, ${name}`, target: `≤ ${kilobytes(EXCHANGED_BYTES)} kB`, measured: `${kilobytes(bytes)} kB`,
    isMet: bytes <= EXCHANGED_BYTES,
  }
  // In process nothing is sent; what the other side hands over stands in the table.
  return trial.over === 'process' ? [time] : isEqual ? [] : [sent]
}
