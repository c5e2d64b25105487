import type { Handler } from './command.js'
import { isWatched, LastLine } from './progress.js'

export const demoCommand: Handler = async ({ flags, io, output }) => {
  const { demo } = await import('./demo.js')
  const stop = new AbortController()
  const unlisten = io.onSignal((signal) => {
    unlisten()
    stop.abort(signal)
  })
  const line = isWatched(io) && output.logLevel === undefined ? new LastLine(io) : null
  const events = flags.whole('events')
  try {
    return await demo({
      json: output.reader === 'document',
      ...(events === undefined ? {} : { events }),
      small: flags.has('small'),
      out: (text) => void output.write(text),
      live: (text) => (text === null ? line?.end() : line?.show(text)),
      signal: stop.signal,
    })
  } finally {
    line?.end()
    unlisten()
  }
}
