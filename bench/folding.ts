/** The sections on folding a log: against the baselines, into other stores, and what it holds in memory. */
import type { BaselineInput } from './baselines/readline-sqlite.js'
import { dataSet, type Data, type DataSet } from './data.js'
import type { EngineFigures, FoldResult } from './fold-trial.js'
import { interleaved, launch, type Variant } from './launch.js'
import type { Section, Target } from './report.js'
import type { Scale } from './scale.js'
import { median } from './statistics.js'
import type { EngineInput } from './trials/fold.js'

const MEBIBYTE = 1_024 * 1_024
const OURS = 'rehydrate → SQLite, sealed'
const FOLDS = 'select, fold, upsert'

const count = (value: number): string => Math.round(value).toLocaleString('en')
const mebibytes = (bytes: number | null): string => (bytes === null ? 'unknown' : count(bytes / MEBIBYTE))

type Results = ReadonlyMap<string, readonly FoldResult[]>

function engine(name: string, data: Data, options: Omit<EngineInput, 'path' | 'folder'>): Variant<FoldResult> {
  return { name, run: () => launch<FoldResult>('trials/fold.js', { path: data.path, ...options }) }
}

function baseline(name: string, data: Data, options: Omit<BaselineInput, 'path' | 'folder'>): Variant<FoldResult> {
  return { name, run: () => launch<FoldResult>('baselines/readline-sqlite.js', { path: data.path, ...options }) }
}

const over = (results: readonly FoldResult[], figure: (result: FoldResult) => number): number => median(results.map(figure))
const speed = (result: FoldResult): number => (result.events * 1_000) / result.wallMs
const cpuPerMillion = (result: FoldResult): number => (result.cpuMs * 1_000) / result.events

const HEAD = ['', 'events/s', 'CPU s per million', 'max RSS, MiB', 'written, MiB', 'store, MiB']

function row(name: string, results: readonly FoldResult[]): string[] {
  return [
    name, count(over(results, speed)), over(results, cpuPerMillion).toFixed(2), mebibytes(over(results, (result) => result.maxRssBytes)),
    mebibytes(over(results, (result) => result.writtenBytes ?? Number.NaN)), mebibytes(over(results, (result) => result.storeBytes)),
  ]
}

/** All of them hold every event in one and the same state. Throws otherwise: nothing is to be compared then. */
function assertAlike(data: DataSet, results: Results): void {
  const [first] = [...results.values()].flat()
  for (const [name, list] of results) {
    for (const { events, check } of list) {
      const differs = JSON.stringify(check) !== JSON.stringify(first?.check)
      if (events === data.events && check.keys === data.keys && check.changes === data.events && !differs) continue
      throw new Error(`${name} ends in another state: ${JSON.stringify({ events, check, expected: first?.check })}`)
    }
  }
}

function describe(data: Data): string {
  const { events, keys, bytes, partitions } = data
  return `${count(events)} events of ${Math.round(bytes / events)} bytes (NDJSON), ${count(keys)} keys: each occurs, the other events are `
    + `Zipf with exponent 1${partitions === 1 ? '' : `; ${partitions} partitions`}.`
}

const ALIKE = 'Every trial handled every event and ended in the same state: count, sums over all keys and state hash agree.'

export function againstBaselines(scale: Scale): Section {
  const data = dataSet(scale.fold)
  const tables = [{ table: 'columns', does: 'upsert in SQL' }, { table: 'json', does: FOLDS }] as const
  const baselines = tables.flatMap(({ table, does }) => scale.transactions.map((perTransaction) =>
    baseline(`readline → SQLite, ${does}, ${count(perTransaction)} a transaction`, data, { table, perTransaction })))
  const results = interleaved<FoldResult>(scale.rounds, [engine(OURS, data, { store: 'sqlite' }), ...baselines])
  assertAlike(data, results)
  const ours = results.get(OURS) ?? []
  const figure = (of: (engine: EngineFigures, result: FoldResult) => number): number =>
    over(ours, (result) => (result.engine === null ? Number.NaN : of(result.engine, result)))
  const others = [...results].filter(([name]) => name !== OURS)
  const ratioTo = (list: readonly FoldResult[]): number => over(ours, speed) / over(list, speed)
  const cpuRatioTo = (list: readonly FoldResult[]): number => over(list, cpuPerMillion) / over(ours, cpuPerMillion)
  const fastest = (of: typeof others): (typeof others)[number] =>
    of.reduce((a, b) => (over(a[1], speed) >= over(b[1], speed) ? a : b))
  const targetAgainst = (what: string, [name, list]: (typeof others)[number]): Target => ({
    what: `file → SQLite, one thread, against ${what} (${name})`, target: '≥ 2.5×',
    measured: `${ratioTo(list).toFixed(2)}× (CPU ${cpuRatioTo(list).toFixed(2)}×)`, isMet: ratioTo(list) >= 2.5,
  })
  const digest = figure(({ sealMs }, { wallMs }) => wallMs / (wallMs - sealMs))
  return {
    title: 'File → SQLite',
    notes: [
      describe(data), ALIKE, '',
      'Ours: default settings, sealed; so it hashes the input and every value, and re-reads every stored byte. '
      + 'The baselines do none of that. The upsert in SQL is possible only for a fold that SQL can express. '
      + 'WAL, synchronous NORMAL and prepared statements for all; all end with a full sync. '
      + `Checkpoints of ours: ${figure(({ checkpoints }) => checkpoints)}; without the seal's own they took `
      + `${(figure(({ pausedMs }) => pausedMs) / 1_000).toFixed(1)} s in total; from the last of those to the end it took `
      + `${(figure(({ sealMs }) => sealMs) / 1_000).toFixed(1)} s.`,
    ],
    head: [...HEAD, 'ours is faster', 'ours takes less CPU'],
    rows: [
      [...row(OURS, ours), '', ''],
      ...others.map(([name, list]) => [...row(name, list), `${ratioTo(list).toFixed(2)}×`, `${cpuRatioTo(list).toFixed(2)}×`]),
    ],
    targets: [
      targetAgainst('the best baseline', fastest(others)),
      targetAgainst('the best that folds in JavaScript', fastest(others.filter(([name]) => name.includes(FOLDS)))),
      {
        what: 'time with digest / without: all of it / all before the re-reading and the digest (hashes of values are in both)',
        target: '≤ 1.18', measured: digest.toFixed(2), isMet: digest <= 1.18,
      },
    ],
  }
}

export function autocommit(scale: Scale): Section {
  const data = dataSet(scale.autocommit)
  const results = interleaved<FoldResult>(1, [
    engine(OURS, data, { store: 'sqlite' }),
    baseline('readline → SQLite, upsert in SQL, autocommit', data, { table: 'columns', perTransaction: 1 }),
  ])
  assertAlike(data, results)
  return {
    title: 'File → SQLite, one event a transaction', notes: [describe(data), ALIKE, 'Small, and one round only.'],
    head: HEAD, rows: [...results].map(([name, list]) => row(name, list)), targets: [],
  }
}

export function otherWays(scale: Scale): Section {
  const whole = dataSet({ ...scale.partitioned, partitions: 1 })
  const parted = dataSet(scale.partitioned)
  const results = interleaved<FoldResult>(scale.rounds, [
    engine('1 partition → SQLite', whole, { store: 'sqlite' }),
    engine(`${scale.partitioned.partitions} partitions → SQLite`, parted, { store: 'sqlite' }),
    engine('1 partition → memory', whole, { store: 'memory' }),
  ])
  for (const list of results) assertAlike(whole, new Map([list]))
  return {
    title: 'Partitions, and a store in memory',
    notes: [describe(parted), 'With several partitions it is kept, and hashed, which of them each key belongs to.'],
    head: HEAD, rows: [...results].map(([name, list]) => row(name, list)), targets: [],
  }
}

const MOST_MEMORY = 512 * MEBIBYTE
/** More than that over the longest and the shortest log is not flat. */
const FLAT = 1.15

export function memory(scale: Scale): Section {
  const logs = scale.lengths.map(dataSet)
  const longest = logs.at(-1) as Data
  const middle = logs[logs.length >> 1] as Data
  const bounded = `${count(middle.events)} events, memoryBytes ${mebibytes(scale.boundedBytes)} MiB`
  const results = interleaved<FoldResult>(1, [
    ...logs.map((data) => engine(`${count(data.events)} events`, data, { store: 'sqlite' })),
    engine(bounded, middle, { store: 'sqlite', memoryBytes: scale.boundedBytes }),
  ])
  const rss = (name: string): number => over(results.get(name) ?? [], (result) => result.maxRssBytes)
  const sizes = logs.map((data) => rss(`${count(data.events)} events`))
  const growth = Math.max(...sizes) / (sizes[0] as number)
  const keys = count(longest.keys)
  return {
    title: 'Memory', notes: [`File → SQLite, ${keys} keys, default settings unless said; one round.`],
    head: HEAD, rows: [...results].map(([name, list]) => row(name, list)),
    targets: [
      {
        what: `max RSS at ${keys} keys`, target: `≤ ${mebibytes(MOST_MEMORY)} MiB`, measured: `${mebibytes(Math.max(...sizes))} MiB`,
        isMet: Math.max(...sizes) <= MOST_MEMORY,
      },
      {
        what: `max RSS, longest log / shortest (${count(longest.events)} / ${count((logs[0] as Data).events)} events)`,
        target: `≤ ${FLAT}`, measured: growth.toFixed(2), isMet: growth <= FLAT,
      },
      {
        what: `max RSS with memoryBytes ${mebibytes(scale.boundedBytes)} MiB, against the default`, target: 'less',
        measured: `${mebibytes(rss(bounded))} MiB`, isMet: rss(bounded) < rss(`${count(middle.events)} events`),
      },
    ],
  }
}
