/** The sections on blame, scrubbing, and collections that are kept as tables. */
import { dataSet } from './data.js'
import type { FoldResult } from './fold-trial.js'
import { interleaved, launch } from './launch.js'
import type { Section } from './report.js'
import type { Scale } from './scale.js'
import { statesOf } from './states.js'
import { median } from './statistics.js'
import type { BlameResult } from './trials/blame.js'
import type { ScrubResult } from './trials/scrub.js'

const count = (value: number): string => Math.round(value).toLocaleString('en')
const over = <T>(results: readonly T[], figure: (result: T) => number): number => median(results.map(figure))
const seconds = (results: readonly { readonly wallMs: number }[]): string => (over(results, ({ wallMs }) => wallMs) / 1_000).toFixed(2)
const cpuSeconds = (results: readonly { readonly cpuMs: number }[]): string => (over(results, ({ cpuMs }) => cpuMs) / 1_000).toFixed(2)

export function blaming(scale: Scale): Section {
  const variants = scale.blame.map((input) => ({
    name: `${count(input.events)} events, ${count(input.events / input.keys)} of each key; lost: one of each of ${input.faults}`,
    run: () => launch<BlameResult>('trials/blame.js', input),
  }))
  return {
    title: 'Blame',
    notes: [
      'A table that another program wrote lacks the middle event of some keys; the log is a file. The whole call, the comparison included. '
      + 'For each of these keys the event that was lost was among the candidates, or the bench would have failed. Where the bound of '
      + '1,000,000 handler calls is met there may be more candidates, and the answer says so.',
    ],
    head: ['', 'wall, s', 'CPU, s', 'without blame, s', 'handler calls', 'named as the only one', 'most candidates', 'all was tried'],
    rows: [...interleaved<BlameResult>(scale.rounds, variants)].map(([name, list]) => [
      name, seconds(list), cpuSeconds(list), (over(list, ({ withoutBlameMs }) => withoutBlameMs) / 1_000).toFixed(2),
      count(over(list, ({ handlerCalls }) => handlerCalls)), ...(['named', 'candidates', 'exhaustive'] as const).map((figure) => {
        return count(over(list, (result) => result[figure]))
      }),
    ]),
    targets: [],
  }
}

export function scrubbing(scale: Scale): Section {
  const { folder: states, keys } = statesOf(scale.comparedKeys, { tables: true })
  const results = interleaved<ScrubResult>(scale.rounds, [
    { name: `${count(keys)} keys in SQLite`, run: () => launch<ScrubResult>('trials/scrub.js', { states }) },
  ])
  return {
    title: 'Scrub', notes: ['Every stored byte is read again and hashed, and so are the pages of the digest, which count as entries too.'],
    head: ['', 'entries', 'MB', 'wall, s', 'CPU, s', 'keys per second', 'keys per CPU second'],
    rows: [...results].map(([name, list]) => [
      name, count(over(list, ({ entries }) => entries)), count(over(list, ({ bytes }) => bytes / 1e6)), seconds(list), cpuSeconds(list),
      count(over(list, ({ wallMs }) => (keys * 1_000) / wallMs)), count(over(list, ({ cpuMs }) => (keys * 1_000) / cpuMs)),
    ]),
    targets: [],
  }
}

export function typedTables(scale: Scale): Section {
  const data = dataSet(scale.columns)
  const fold = (store: 'sqlite' | 'tables'): FoldResult => launch<FoldResult>('trials/fold.js', { path: data.path, store })
  const results = interleaved<FoldResult>(scale.rounds, [
    { name: 'canonical bytes', run: () => fold('sqlite') },
    { name: 'a table with a column for each field', run: () => fold('tables') },
  ])
  const [bytes = [], tables = []] = [...results.values()]
  const roots = new Set([...bytes, ...tables].map(({ check }) => JSON.stringify(check)))
  if (roots.size !== 1) throw new Error(`The states are not one: ${[...roots].join(' ')}`)
  const ratio = (figure: (result: FoldResult) => number): string => `${(over(tables, figure) / over(bytes, figure)).toFixed(2)}×`
  return {
    title: 'Typed tables',
    notes: [
      `${count(data.events)} events over ${count(data.keys)} keys → SQLite, sealed. Both end in one root. `
      + `The table takes ${ratio(({ wallMs }) => wallMs)} the time and ${ratio(({ cpuMs }) => cpuMs)} the CPU of bytes.`,
    ],
    head: ['', 'events/s', 'wall, s', 'CPU, s', 'store, MB'],
    rows: [...results].map(([name, list]) => [
      name, count(over(list, ({ wallMs }) => (data.events * 1_000) / wallMs)), seconds(list), cpuSeconds(list),
      count(over(list, ({ storeBytes }) => storeBytes / 1e6)),
    ]),
    targets: [],
  }
}
