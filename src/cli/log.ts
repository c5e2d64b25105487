import type { Logger } from 'pino'
import { ERRORS, positionToJson, type RehydrateError, type RunEvent } from '../index.js'
import type { Io } from './io.js'
import type { Reporter } from './progress.js'

/**
 * JSON log lines on stderr (`--log-level`). Each line is built from named fields; event data, state values and whole errors are
 * never handed to the logger, so that nothing has to be taken out again.
 */
export async function openLog(io: Io, level: string, job?: string): Promise<Logger> {
  const { pino } = await import('pino')
  const base = { name: 'rehydrate', ...(job === undefined ? {} : { job }) }
  return pino({ level, base, timestamp: pino.stdTimeFunctions.isoTime }, { write: (line: string) => void io.stderr.write(line) })
}

export function logReporter(log: Logger): Reporter {
  return { event: (event) => logEvent(log, event), end() {} }
}

/** Messages about events and values (exit 8) may quote them, the table's words stand in. */
export function logError(log: Logger, error: RehydrateError): void {
  const { partition, offset, collection, path, file, line, cause } = error.details
  const quotes = error.exitCode === ERRORS.HANDLER_FAILED.exit
  log.error(
    { code: error.code, partition, offset, collection, path, file, line, exit: error.exitCode },
    quotes ? ERRORS[error.code].summary : error.message,
  )
  const frames = (cause instanceof Error ? cause : error).stack?.split('\n').filter((text) => /^ +at /.test(text))
  log.debug({ code: error.code, stack: frames }, 'stack')
}

function logEvent(log: Logger, event: RunEvent): void {
  switch (event.kind) {
    case 'phase':
      return log.info({ phase: event.phase, generation: event.generation }, 'phase')
    case 'progress': {
      const { total, done, applied, eventsPerSecond, lag, eta } = event
      return log.debug({ total, done, applied, eventsPerSecond, lag, eta }, 'progress')
    }
    case 'stall':
      return log.warn({ waitingFor: event.waitingFor, forMs: event.forMs }, 'stall')
    case 'caughtUp':
      return log.info({ position: positionToJson(event.position) }, 'caught up')
    case 'checkpoint':
      return log.info({ position: positionToJson(event.position), keys: event.keys, pauseMs: event.pauseMs }, 'checkpoint')
    case 'sealed': {
      const { generation, live, root, position, run } = event.sealed
      const { applied, durationMs } = run
      return log.info({ generation, live, root, position: positionToJson(position), applied, durationMs }, 'sealed')
    }
  }
}
