/** A program that compares two tables, in a process of its own: its start is in its time, as it is for who runs it. */
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { stateFiles } from '../state-files.js'
import { tellResult, trialInput } from '../trial.js'
import type { Found } from '../trials/table.js'

export interface PeerInput {
  /** The folder that trials/states.ts filled. */
  readonly states: string
  readonly peer: 'sqldiff' | 'reladiff'
  readonly path: string
  readonly folder: string
}

interface Command {
  readonly args: readonly string[]
  /** The keys in what it told. */
  readonly key: RegExp
}

const { states, peer, path, folder } = trialInput<PeerInput>()
const { equalTable, differingTable, equalCsv, differingCsv } = stateFiles(states)
const { args: given, key } = peer === 'sqldiff' ? sqldiff() : reladiff()
// The shell says what processor time its children took, which node does not.
const startMs = performance.now()
const { status, stdout, stderr } = spawnSync('sh', ['-c', '"$@"; code=$?; times >&2; exit $code', 'sh', path, ...given], {
  encoding: 'utf8', cwd: folder, maxBuffer: 1 << 28,
})
const wallMs = performance.now() - startMs
if (status !== 0) throw new Error(`${peer} exited with ${status}: ${stderr}`)
const keys = [...new Set([...stdout.matchAll(key)].map(([, found]) => found as string))].sort()
const result: Found = { wallMs, cpuMs: cpuMsOf(stderr), maxRssBytes: Number.NaN, writtenBytes: null, keys }
tellResult(result)

function sqldiff(): Command {
  return { args: ['--primarykey', '--table', 'parcels', equalTable, differingTable], key: /WHERE "?key"?='([^']+)'/g }
}

/** It can not read SQLite. Both tables are put into DuckDB before the clock starts. */
function reladiff(): Command {
  const load = [equalCsv, differingCsv].map((csv, i) =>
    `duckdb.connect('side-${i}.duckdb').execute("CREATE TABLE parcels AS SELECT * FROM read_csv('${csv}')")`)
  const { status: loaded, stderr: why } = spawnSync(join(dirname(path), 'python'), ['-c', `import duckdb\n${load.join('\n')}`], {
    encoding: 'utf8', cwd: folder,
  })
  if (loaded !== 0) throw new Error(`DuckDB could not be loaded: ${why}`)
  const side = (i: number): string[] => [`duckdb:///${join(folder, `side-${i}.duckdb`)}`, 'parcels']
  const args = [...side(0), ...side(1), '-k', 'key', '-c', '%', '--json']
  return { args, key: /"(parcel-\d+)"/g }
}

/** The last line of `times`: user and system time of all children, `0m1.234s 0m0.056s`. */
function cpuMsOf(told: string): number {
  const [user, system] = [...(told.trimEnd().split('\n').at(-1) ?? '').matchAll(/(\d+)m([\d.]+)s/g)]
    .map(([, minutes, seconds]) => Number(minutes) * 60_000 + Number(seconds) * 1_000)
  return (user ?? Number.NaN) + (system ?? Number.NaN)
}
