/** What one would ask SQLite: two files on one connection, the keys that differ by one statement. */
import Database from 'better-sqlite3'
import { TABLE_COLUMNS } from '../parcels.js'
import { stateFiles } from '../state-files.js'
import { measured, tellResult, trialInput } from '../trial.js'
import type { Found } from '../trials/table.js'

export interface SqlInput {
  /** The folder that trials/states.ts filled. */
  readonly states: string
  readonly by: 'except' | 'join'
}

const EXCEPT = `
  SELECT key FROM (SELECT * FROM main.parcels EXCEPT SELECT * FROM other.parcels)
  UNION
  SELECT key FROM (SELECT * FROM other.parcels EXCEPT SELECT * FROM main.parcels)`

const JOIN = `
  SELECT coalesce(a.key, b.key) FROM main.parcels AS a FULL OUTER JOIN other.parcels AS b ON a.key = b.key
  WHERE ${TABLE_COLUMNS.map((column) => `a.${column} IS NOT b.${column}`).join(' OR ')}`

const { states, by } = trialInput<SqlInput>()
const { equalTable, differingTable } = stateFiles(states)
const database = new Database(equalTable)
database.prepare('ATTACH ? AS other').run(differingTable)
const query = database.prepare<[], string>(by === 'except' ? EXCEPT : JOIN).pluck()
const { value, cost } = await measured(async () => query.all().sort())
database.close()
const result: Found = { ...cost, keys: value }
tellResult(result)
