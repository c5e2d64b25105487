/** Which event was lost? A table that another program wrote lacks one event of some keys; ours names it from the log. */
import Database from 'better-sqlite3'
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileLog } from '../../adapters/file/index.js'
import { sqlite } from '../../adapters/sqlite/index.js'
import { findDifferences, replay } from '../../src/index.js'
import { lineOf } from '../data.js'
import { nextOrder, type Order, type OrderChanged } from '../fold.js'
import { COLLECTION, orders } from '../projection.js'
import { measured, tellResult, trialInput, type Cost } from '../trial.js'

export interface BlameInput {
  readonly folder: string
  /** Each key has events / keys of them, in turn. */
  readonly events: number
  readonly keys: number
  /** So many keys lack their middle event in the table. */
  readonly faults: number
}

export interface BlameResult extends Cost {
  readonly handlerCalls: number
  /** Of the keys, those where the lost event was named as the only candidate. */
  readonly named: number
  /** Where there are several: the most. */
  readonly candidates: number
  /** Keys for which every single deviation was tried: the bound of handler calls was not met. */
  readonly exhaustive: number
  /** The same comparison without blame. */
  readonly withoutBlameMs: number
}

interface Line {
  readonly key: string
  readonly recordedAt: number
  readonly data: OrderChanged
}

const LINES_PER_WRITE = 20_000

/** The log, and the table as one would have it who lost some of its events. Which ones: offset by key. */
function makeWorld({ events, keys, faults }: BlameInput, log: string, table: string): Map<string, number> {
  const lost = new Map<string, number>()
  const states = new Map<string, Order>()
  const file = openSync(log, 'w')
  const middle = Math.floor(events / keys / 2)
  for (let from = 0; from < events; from += LINES_PER_WRITE) {
    const lines: string[] = []
    for (let i = from; i < Math.min(events, from + LINES_PER_WRITE); i++) {
      const text = lineOf(i, i % keys)
      lines.push(text)
      const { key, recordedAt, data } = JSON.parse(text) as Line
      if (i % keys < faults && Math.floor(i / keys) === middle) lost.set(key, i)
      else states.set(key, nextOrder(states.get(key), data, recordedAt))
    }
    writeSync(file, lines.join(''))
  }
  closeSync(file)
  const database = new Database(table)
  database.exec(`CREATE TABLE orders (key TEXT PRIMARY KEY, changes INTEGER NOT NULL, totalCents INTEGER NOT NULL,
    status TEXT NOT NULL, customerId TEXT NOT NULL, items INTEGER NOT NULL, lastAtMs INTEGER NOT NULL)`)
  const insert = database.prepare('INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)')
  database.transaction(() => {
    for (const [key, { changes, totalCents, status, customerId, items, lastAtMs }] of states) {
      insert.run(key, changes, totalCents, status, customerId, items, lastAtMs)
    }
  })()
  database.close()
  return lost
}

const FIELDS = ['changes', 'totalCents', 'status', 'customerId', 'items', 'lastAtMs']

const input = trialInput<BlameInput>()
const [log, table] = [join(input.folder, 'orders.ndjson'), join(input.folder, 'table.db')]
const lost = makeWorld(input, log, table)
const source = fileLog({ path: log })
const store = sqlite({ path: join(input.folder, 'state.db') })
await replay({ source, projection: orders, store }).done
const against = sqlite({
  path: table, position: { at: `orders@${input.events - 1}` },
  tables: { [COLLECTION]: { table: 'orders', key: 'key', columns: Object.fromEntries(FIELDS.map((field) => [field, field])) } },
})
const rebuilt = { store, projection: orders, source }
const plain = await measured(() => findDifferences({ rebuilt, against }))
const { value: { differences }, cost } = await measured(() => findDifferences({ rebuilt, against, blame: true }))
await store.close()
if (differences.length !== lost.size) throw new Error(`${differences.length} keys differ, and ${lost.size} should.`)
const blames = differences.flatMap(({ key, blame }) => (blame === undefined ? [] : [{ key, blame }]))
for (const { key, blame: { hypothesis, examples } } of blames) {
  const at = lost.get(key)
  if (hypothesis === 'lost' && examples.some(({ offset }) => offset === at)) continue
  throw new Error(`${key} lost the event at ${at}; what was said: ${hypothesis} ${JSON.stringify(examples)}`)
}
const result: BlameResult = {
  ...cost, handlerCalls: blames.reduce((sum, { blame }) => sum + blame.folds, 0),
  named: blames.filter(({ blame: { candidates } }) => candidates === 1).length,
  candidates: Math.max(...blames.map(({ blame: { candidates } }) => candidates)),
  exhaustive: blames.filter(({ blame: { exhaustive } }) => exhaustive).length, withoutBlameMs: plain.cost.wallMs,
}
tellResult(result)
