import { loadConfig, selectJob } from '../host/config.js'
import type { Limits } from '../index.js'
import type { Context } from './command.js'
import { grouped } from './format.js'
import { asRehydrateError } from './output.js'

/** Reads the configuration again and applies the limits of the job, and nothing else of it. What does not load changes nothing. */
export async function reloadLimits(context: Context, job: string, apply: (limits: Limits) => void): Promise<void> {
  const { io, flags } = context
  try {
    const config = await loadConfig(io.folder, flags.text('config'), { fresh: true })
    const { limits = {} } = selectJob(config, job)
    apply(limits)
    await say(context, job, `limits are now ${limitsText(limits)}`)
  } catch (error) {
    const { code, message } = asRehydrateError(error)
    await say(context, job, `limits stay as they are: ${code}  ${message}`)
  }
}

function limitsText({ bytesPerSecond, inFlightBytes }: Limits): string {
  return [
    bytesPerSecond === undefined ? 'any number of bytes per second' : `${grouped(bytesPerSecond)} bytes per second`,
    ...(inFlightBytes === undefined ? [] : [`${grouped(inFlightBytes)} bytes in flight`]),
  ].join(', ')
}

async function say({ io, output }: Context, job: string, text: string): Promise<void> {
  if (output.logLevel === undefined) return output.note(`${job}  ${text}`)
  if (output.logLevel === 'silent') return
  const { openLog } = await import('./log.js')
  const log = await openLog(io, output.logLevel, job)
  log.info(text)
}
