import { parsePosition, RehydrateError, type Position } from '../../src/index.js'
import type { Connection } from './client.js'
import { prepared, reading } from './foreign-sql.js'

/**
 * The position that a database keeps of itself, read where its rows are pinned. AGAINST_POSITION_UNKNOWN where it says none,
 * CONFIG_INVALID for a query that gives something else.
 */
export function queryPosition(connection: Connection, path: string, query: string): Position {
  const rows = reading(path, 'position.query', () => prepared(connection, query).raw().safeIntegers().all()) as unknown[][]
  const [first] = rows
  if (first === undefined) throw unknown(path, query, 'gave no row')
  if (first.length === 1 && rows.length === 1) {
    const [text] = first
    if (text === null) throw unknown(path, query, 'gave NULL')
    if (typeof text !== 'string') throw invalid(path, query, text)
    try {
      return text === '' ? new Map() : parsePosition(text)
    } catch {
      throw invalid(path, query, text)
    }
  }
  const position = new Map<string, number>()
  for (const row of rows) {
    const [partition, offset] = row
    if (row.length !== 2 || typeof partition !== 'string' || partition === '') throw invalid(path, query, partition)
    if (offset === null) throw unknown(path, query, `gave NULL for ${partition}`)
    const isOffset = typeof offset === 'bigint' && offset >= -1n && offset <= BigInt(Number.MAX_SAFE_INTEGER)
    if (!isOffset || position.has(partition)) throw invalid(path, query, `${partition}@${String(offset)}`)
    position.set(partition, Number(offset))
  }
  return new Map([...position].filter(([, offset]) => offset >= 0))
}

function unknown(path: string, query: string, what: string): RehydrateError {
  return new RehydrateError('AGAINST_POSITION_UNKNOWN', {
    message: `${path} does not say where it stands: position.query ${what}.`, file: path, path: 'position.query', actual: query,
    fix: "Let it give rows of partition and last applied offset, or say where it stands: position: { at: 'orders/0@41' }.",
  })
}

function invalid(path: string, query: string, actual: unknown): RehydrateError {
  return new RehydrateError('CONFIG_INVALID', {
    message: `${path}: position.query must give rows of partition and last applied offset, or one text such as orders/0@41.`,
    file: path, path: 'position.query', expected: query, actual: typeof actual === 'bigint' ? String(actual) : actual,
  })
}
