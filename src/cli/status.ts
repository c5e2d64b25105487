import type { NamedJob } from '../host/config.js'
import { distance, formatPosition, type GenerationRow, isHandedOver, type Position, positionFromJson, positionToJson } from '../index.js'
import type { Handler } from './command.js'
import { acceptedText, grouped, percent, table } from './format.js'
import { withPart } from './job.js'
import { asRehydrateError, errorScreen } from './output.js'

/**
 * empty: no generation yet · building: a writer fills one that was never sealed · following: a writer goes on from a seal ·
 * sealed: no writer, and the newest checkpoint is a seal · idle: no writer; the same replay goes on ·
 * handedOver: a consumer group goes on in our place, or is about to.
 */
export type StatusPhase = 'empty' | 'building' | 'following' | 'sealed' | 'idle' | 'handedOver'

export const statusCommand: Handler = (context) => withPart(context, async (job) => {
  const rows = await job.store.generations()
  const row = currentOf(rows)
  if (row?.corrupt) throw row.corrupt
  const position = positionFromJson(row?.checkpoint?.manifest.position ?? {})
  const log = await readLog(job)
  const accepted = row?.checkpoint?.manifest.accepted ?? []
  const status = {
    job: job.name,
    phase: phaseOf(row),
    position: positionToJson(position),
    end: log.end === null ? null : positionToJson(log.end),
    lag: log.end === null ? null : log.lagFrom(position),
    root: row?.checkpoint?.manifest.root ?? null,
    generation: row?.generation ?? null,
    live: rows.find(({ live }) => live)?.generation ?? null,
    checkpointAt: row?.checkpoint == null ? null : timeText(row.checkpoint.writtenAtMs),
    accepted,
    writer: writerJson(row),
  }
  if (log.error === null) await context.output.document(status)
  else await context.output.document({ ...status, error: log.error.toJSON() })
  await context.output.lines([
    `${job.name}  ${status.phase}${log.end === null ? '' : `  ${percent(log.total - (status.lag ?? 0), log.total)}`}`,
    ...table([
      ['position', formatPosition(position) || 'the start'],
      ['end', log.end === null ? 'unknown' : formatPosition(log.end) || 'an empty log'],
      ['lag', status.lag === null ? 'unknown' : `${grouped(status.lag)} offsets`],
      ['root', status.root ?? (status.phase === 'empty' ? 'none' : 'pending until the seal')],
      ['generation', generationText(status.generation, status.live)],
      ['checkpoint', status.checkpointAt ?? 'none'],
      ...(accepted.length === 0 ? [] : [['accepted', accepted.map(acceptedText).join(', ')] as const]),
      ['writer', writerText(row)],
    ]),
  ])
  if (log.error !== null && context.output.reader === 'person') context.output.note(errorScreen(log.error).join('\n'))
  return log.error?.exitCode ?? 0
})

/** The generation that somebody writes; else the newest that is newer than the live one; else the live one. */
function currentOf(rows: readonly GenerationRow[]): GenerationRow | undefined {
  const written = rows.filter(({ writer }) => writer?.alive === true).at(-1)
  return written ?? rows.filter(({ live, everSealed }) => live || !everSealed).at(-1) ?? rows.at(-1)
}

function phaseOf(row: GenerationRow | undefined): StatusPhase {
  if (row === undefined) return 'empty'
  if (isHandedOver(row.checkpoint)) return 'handedOver'
  if (row.writer?.alive === true) return row.everSealed ? 'following' : 'building'
  return row.checkpoint?.manifest.sealed === true ? 'sealed' : 'idle'
}

interface Log {
  /** Null where the log can't be read; `error` says why. The rest of the status is still worth having. */
  readonly end: Position | null
  readonly total: number
  readonly error: ReturnType<typeof asRehydrateError> | null
  lagFrom(position: Position): number
}

async function readLog(job: NamedJob): Promise<Log> {
  try {
    const bounds = await job.source.bounds({ following: true })
    const start = new Map([...bounds].map(([partition, { first }]) => [partition, first - 1]))
    const end = new Map([...bounds].map(([partition, { last }]) => [partition, last]))
    const from = (position: Position): Position =>
      new Map([...start].map(([partition, before]) => [partition, Math.max(before, position.get(partition) ?? -1)]))
    return { end, total: distance(start, end), error: null, lagFrom: (position) => distance(from(position), end) }
  } catch (error) {
    return { end: null, total: 0, error: asRehydrateError(error), lagFrom: () => 0 }
  }
}

export function writerJson(row: GenerationRow | undefined): object | null {
  if (row?.writer == null) return null
  const { owner, epoch, sinceMs, beatMs, alive } = row.writer
  return { owner, epoch, since: timeText(sinceMs), beat: timeText(beatMs), alive }
}

export function writerText(row: GenerationRow | undefined): string {
  if (row?.writer == null) return 'none'
  const { owner, sinceMs, beatMs, alive } = row.writer
  return alive ? `${owner}, since ${timeText(sinceMs)}` : `none; ${owner} until ${timeText(beatMs)}`
}

export function timeText(ms: number): string {
  return new Date(ms).toISOString()
}

function generationText(generation: number | null, live: number | null): string {
  if (generation === null) return 'none'
  return generation === live ? `${generation}, live` : `${generation}; live: ${live ?? 'none'}`
}
