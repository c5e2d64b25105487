import {
  ERRORS, formatPosition, type GenerationRow, positionFromJson, positionToJson, RehydrateError, type StateStore,
} from '../index.js'
import { type Context, type Handler, usage, wholeNumber } from './command.js'
import { withPart } from './job.js'
import { timeText, writerJson, writerText } from './status.js'

export const generationCommand: Handler = (context) => withPart(context, async (job) => {
  const action = context.positionals.get('ACTION')
  const number = context.positionals.get('N')
  if (action === 'list') {
    if (number !== undefined) throw usage('generation list takes no number.', { actual: number })
    return await list(context, job.name, job.store)
  }
  if (number === undefined) {
    throw usage(`generation ${action} takes the number of a generation.`, { fix: '`rehydrate generation list` shows them.' })
  }
  const generation = wholeNumber('N', number)
  const rows = await job.store.generations()
  const previous = rows.find(({ live }) => live)?.generation ?? null
  if (action === 'drop') await drop(context, job.name, job.store, generation, previous)
  else await switchTo(context, job.name, job.store, findRow(rows, generation), previous)
  return 0
})

/** The exit code: that of STATE_CORRUPT where a checkpoint can not be read; the other generations are listed all the same. */
async function list(context: Context, job: string, store: StateStore): Promise<number> {
  const rows = await store.generations()
  await context.output.document({
    job,
    generations: rows.map((row) => ({
      generation: row.generation, live: row.live, everSealed: row.everSealed,
      position: row.checkpoint === null ? null : row.checkpoint.manifest.position,
      root: row.checkpoint?.manifest.root ?? null,
      projectionVersion: row.checkpoint?.manifest.projection.version ?? null,
      checkpointAt: row.checkpoint === null ? null : timeText(row.checkpoint.writtenAtMs),
      writer: writerJson(row),
      ...(row.corrupt === null ? {} : { error: row.corrupt.toJSON() }),
    })),
  })
  const lines = rows.map((row) => `${rowText(row)}  writer ${writerText(row)}`)
  await context.output.lines(lines.length === 0 ? [`${job}  no generation yet`] : lines)
  return rows.some(({ corrupt }) => corrupt !== null) ? ERRORS.STATE_CORRUPT.exit : 0
}

function rowText(row: GenerationRow): string {
  const manifest = row.checkpoint?.manifest
  const number = String(row.generation).padStart(3)
  if (row.corrupt !== null) return `${number}  ${(row.live ? 'live' : '').padEnd(8)}  ${row.corrupt.code}: ${row.corrupt.message}`
  const position = manifest === undefined ? 'no checkpoint' : formatPosition(positionFromJson(manifest.position)) || 'the start'
  const state = row.live ? 'live' : row.everSealed ? 'sealed' : 'building'
  return [number, state.padEnd(8), position, manifest?.root ?? 'root pending'].join('  ')
}

/** Readers see another state afterwards: printed first, done with `--execute` only. */
async function switchTo(context: Context, job: string, store: StateStore, row: GenerationRow, previous: number | null): Promise<void> {
  const { generation } = row
  if (row.corrupt !== null) throw row.corrupt
  if (!row.everSealed) {
    throw new RehydrateError('STORE_GENERATION', {
      message: `Generation ${generation} was never sealed.`, actual: generation,
      fix: `\`rehydrate replay ${job}\` goes on with it and seals it.`,
    })
  }
  const executed = context.flags.has('execute') && previous !== generation
  if (executed) await store.switchTo(generation, previous)
  await context.output.document({
    job, generation, previous, executed, position: positionToJson(positionFromJson(row.checkpoint?.manifest.position ?? {})),
    root: row.checkpoint?.manifest.root ?? null,
  })
  const change = `${job}  live generation ${previous ?? 'none'} → ${generation}`
  await context.output.lines(
    previous === generation ? [`${job}  generation ${generation} is live already`]
    : executed ? [`${change}, done`]
    : [change, rowText(row), 'Nothing was changed. The same command with --execute does it.'],
  )
}

async function drop(context: Context, job: string, store: StateStore, generation: number, previous: number | null): Promise<void> {
  await store.drop(generation)
  await context.output.document({ job, generation, previous, executed: true })
  await context.output.lines([`${job}  generation ${generation} is dropped`])
}

function findRow(rows: readonly GenerationRow[], generation: number): GenerationRow {
  const row = rows.find((candidate) => candidate.generation === generation)
  if (row !== undefined) return row
  throw new RehydrateError('STORE_GENERATION', {
    message: `There is no generation ${generation}.`, actual: generation,
    expected: rows.map((candidate) => candidate.generation).join(', '),
  })
}
