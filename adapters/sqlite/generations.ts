import { checkpointFromBytes, generationNotFound, isRehydrateError, RehydrateError } from '../../src/index.js'
import type { GenerationRow, Writer } from '../../src/index.js'
import type { Connection } from './client.js'
import { EntryTables } from './entries.js'
import { replaceViews } from './typed.js'

/** Rows of the table `generations`. */
export interface StoredGeneration extends Writer {
  readonly generation: number
  readonly live: 0 | 1
  readonly everSealed: 0 | 1
  readonly checkpoint: Uint8Array | null
  readonly owner: string
  readonly sinceMs: number
  readonly beatMs: number
  /** Name of the writer's lock: writer-lock.ts. */
  readonly lock: string
}

export function allGenerations(connection: Connection): readonly StoredGeneration[] {
  return connection.prepare('SELECT * FROM generations ORDER BY generation').all().map(checked)
}

export function findGeneration(connection: Connection, generation: number): StoredGeneration | null {
  const row = connection.prepare('SELECT * FROM generations WHERE generation = ?').get(generation)
  return row === undefined ? null : checked(row)
}

export function requireGeneration(connection: Connection, generation: number, path: string): StoredGeneration {
  const row = findGeneration(connection, generation)
  if (row === null) throw generationNotFound(generation, path)
  return row
}

export function liveGeneration(connection: Connection): number | null {
  const row = connection.prepare('SELECT generation FROM generations WHERE live = 1').get()
  return (row as { readonly generation: number } | undefined)?.generation ?? null
}

/** Within a transaction. The views of typed tables go with it. */
export function makeLive(connection: Connection, generation: number): void {
  connection.prepare('UPDATE generations SET live = 0 WHERE live = 1').run()
  connection.prepare('UPDATE generations SET live = 1 WHERE generation = ?').run(generation)
  replaceViews(connection, generation, new EntryTables(connection, generation).typed())
}

export function publicRow(row: StoredGeneration, alive: boolean): GenerationRow {
  const { epoch, incarnation, owner, sinceMs, beatMs } = row
  return {
    generation: row.generation,
    live: row.live === 1,
    everSealed: row.everSealed === 1,
    ...checkpointOf(row),
    writer: { epoch, incarnation, owner, sinceMs, beatMs, alive },
  }
}

function checkpointOf({ checkpoint }: StoredGeneration): Pick<GenerationRow, 'checkpoint' | 'corrupt'> {
  if (checkpoint === null) return { checkpoint: null, corrupt: null }
  try {
    return { checkpoint: checkpointFromBytes(checkpoint), corrupt: null }
  } catch (error) {
    if (!isRehydrateError(error)) throw error
    return { checkpoint: null, corrupt: error }
  }
}

/** A flipped bit can change the type of a column as well as its value. */
export function checked(row: unknown): StoredGeneration {
  const { checkpoint, ...rest } = row as Readonly<Record<keyof StoredGeneration, unknown>>
  const { incarnation, owner, lock, ...numbers } = rest
  const whole =
    (checkpoint === null || checkpoint instanceof Uint8Array) &&
    [incarnation, owner, lock].every((text) => typeof text === 'string') &&
    Object.values(numbers).every(Number.isSafeInteger)
  if (whole) return row as StoredGeneration
  throw new RehydrateError('STATE_CORRUPT', {
    message: `The row of generation ${String(numbers.generation)} is not one that was written: its columns have other types.`,
    actual: rest,
  })
}
