/** Makes what is compared, once for all trials: two states that differ in ten keys, a copy of one, and the same as plain tables. */
import Database from 'better-sqlite3'
import { appendFileSync, closeSync, copyFileSync, openSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileLog } from '../../adapters/file/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { replay } from '../../src/index.js'
import {
  allParcels, cellsOf, firstChanges, lastChanges, lineOf, LOG_FILE, parcels, TABLE_COLUMNS, TABLE_SQL, type World,
} from '../parcels.js'
import { stateFiles } from '../state-files.js'
import { tellResult, trialInput } from '../trial.js'

export interface StatesInput {
  /** Where they are made. */
  readonly states: string
  readonly keys: number
  /** Plain tables too; and as CSV. */
  readonly tables: boolean
}

export interface StatesResult {
  readonly storeBytes: number
  readonly tableBytes: number
}

const LINES_PER_WRITE = 20_000

function write(path: string, lines: Iterable<string>): void {
  const file = openSync(path, 'w')
  let waiting: string[] = []
  for (const line of lines) {
    if (waiting.push(line) < LINES_PER_WRITE) continue
    writeSync(file, waiting.join(''))
    waiting = []
  }
  writeSync(file, waiting.join(''))
  closeSync(file)
}

async function fold(log: string, path: string): Promise<void> {
  const store = sqlite({ path })
  await replay({ source: fileLog({ path: log }), projection: parcels, store }).done
  await store.close()
}

/** The first events are folded once; each side then goes on with its own last ones, in the same log. */
async function makeStates(folder: string, count: number): Promise<void> {
  const { rebuilt, equal, differing } = stateFiles(folder)
  const log = join(folder, LOG_FILE)
  write(log, map(firstChanges(count), lineOf))
  await fold(log, rebuilt)
  copyFileSync(rebuilt, differing)
  const { size } = statSync(log)
  for (const [side, path] of [['other', differing], ['rebuilt', rebuilt]] as const) {
    truncateSync(log, size)
    appendFileSync(log, [...lastChanges({ count, side })].map(lineOf).join(''))
    await fold(log, path)
  }
  copyFileSync(rebuilt, equal)
  rmSync(log)
}

function makeTable(path: string, world: World): void {
  const database = new Database(path)
  database.exec(TABLE_SQL)
  const insert = database.prepare(`INSERT INTO parcels VALUES (${TABLE_COLUMNS.map(() => '?').join(', ')})`)
  database.transaction(() => {
    for (const change of allParcels(world)) insert.run(...cellsOf(change))
  })()
  database.close()
}

function* map<T, U>(items: Iterable<T>, of: (item: T) => U): Generator<U> {
  for (const item of items) yield of(item)
}

function* csvLines(world: World): Generator<string> {
  yield `${TABLE_COLUMNS.join(',')}\n`
  for (const change of allParcels(world)) yield `${cellsOf(change).join(',')}\n`
}

const { states, keys, tables } = trialInput<StatesInput>()
const files = stateFiles(states)
await makeStates(states, keys)
if (tables) {
  const [ours, theirs] = [{ count: keys, side: 'rebuilt' }, { count: keys, side: 'other' }] as const satisfies World[]
  makeTable(files.equalTable, ours)
  makeTable(files.differingTable, theirs)
  write(files.equalCsv, csvLines(ours))
  write(files.differingCsv, csvLines(theirs))
}
const result: StatesResult = { storeBytes: statSync(files.rebuilt).size, tableBytes: tables ? statSync(files.equalTable).size : 0 }
tellResult(result)
