/** The sections on the state hash, checkpoints while following, and the start of the command. */
import { fileURLToPath } from 'node:url'
import { dataSet } from './data.js'
import { interleaved, launch, timeNode } from './launch.js'
import type { Section } from './report.js'
import type { Scale } from './scale.js'
import { median, percentile } from './statistics.js'
import type { HashInput, HashResult } from './trials/hash.js'
import type { PauseResult } from './trials/pause.js'

const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url))
const STARTS = 15

const count = (value: number): string => Math.round(value).toLocaleString('en')

export function hashing(scale: Scale): Section {
  const trial = (from: HashInput['from'], keys: number): HashResult => launch<HashResult>('trials/hash.js', { from, keys })
  const results = interleaved<HashResult>(scale.rounds, [
    { name: 'built from stored bytes', run: () => trial('stored', scale.hashKeys) },
    { name: 'built from objects, with encoding', run: () => trial('objects', scale.hashKeys) },
    { name: '1 % changed', run: () => trial('update', scale.hashUpdateKeys) },
  ])
  const rate = (name: string): number => median((results.get(name) ?? []).map(({ hashed, cpuMs }) => (hashed * 1_000) / cpuMs))
  const stored = rate('built from stored bytes')
  const objects = rate('built from objects, with encoding')
  const updateMs = median((results.get('1 % changed') ?? []).map(({ wallMs }) => wallMs))
  return {
    title: 'State hash',
    notes: ['In memory, pages included. The objects and bytes are there before the clock starts.'],
    head: ['', 'keys', 'hashed', 'wall, ms', 'CPU, ms', 'keys per CPU second'],
    rows: [...results].map(([name, list]) => [
      name, count(list[0]?.keys ?? 0), count(list[0]?.hashed ?? 0), count(median(list.map(({ wallMs }) => wallMs))),
      count(median(list.map(({ cpuMs }) => cpuMs))), count(rate(name)),
    ]),
    targets: [
      {
        what: 'state hash from stored bytes', target: '≥ 600,000 keys per CPU second',
        measured: count(stored), isMet: stored >= 600_000,
      },
      {
        what: 'state hash from objects', target: '≥ 350,000 keys per CPU second',
        measured: count(objects), isMet: objects >= 350_000,
      },
      {
        what: `state hash after 1 % of ${count(scale.hashUpdateKeys)} keys changed`, target: '≤ 250 ms',
        measured: `${count(updateMs)} ms`, isMet: updateMs <= 250,
      },
    ],
  }
}

export function pauses(scale: Scale): Section {
  const { log, dirtyKeys, checkpoints } = scale.pause
  const { path, events, keys } = dataSet(log)
  const { pausesMs, keys: inEach } = launch<PauseResult>('trials/pause.js', { path, events, keys, dirtyKeys, checkpoints })
  const p99 = percentile(pausesMs, 0.99)
  const total = pausesMs.reduce((sum, ms) => sum + ms, 0)
  return {
    title: 'Pause of a checkpoint',
    notes: [
      `SQLite, following, over ${count(keys)} keys with a sealed digest. \`pauseMs\` of each checkpoint: how long nothing is read.`,
      `${pausesMs.length} checkpoints.`,
    ],
    head: ['', 'keys in each', 'p50, ms', 'p99, ms', 'longest, ms', 'total, ms'],
    rows: [[
      'checkpoint', count(median(inEach)), count(percentile(pausesMs, 0.5)), count(p99), count(Math.max(...pausesMs)), count(total),
    ]],
    targets: [{
      what: `pause of a checkpoint of ${count(dirtyKeys)} keys, p99`, target: '≤ 250 ms', measured: `${count(p99)} ms`, isMet: p99 <= 250,
    }],
  }
}

export function start(): Section {
  const results = interleaved<number>(STARTS, [
    { name: 'node -e 0', run: () => timeNode(['-e', '0']) },
    { name: 'rehydrate --version', run: () => timeNode([MAIN, '--version']) },
  ])
  const medianOf = (name: string): number => median(results.get(name) ?? [])
  const ratio = medianOf('rehydrate --version') / medianOf('node -e 0')
  return {
    title: 'Start', notes: [`Median of ${STARTS}.`],
    head: ['', 'ms'], rows: [...results].map(([name, list]) => [name, median(list).toFixed(0)]),
    targets: [{ what: 'rehydrate --version / bare node', target: '≤ 1.5×', measured: `${ratio.toFixed(2)}×`, isMet: ratio <= 1.5 }],
  }
}
