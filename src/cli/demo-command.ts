import { type Handler, usage } from './command.js'
import type { DemoOptions } from './demo-steps.js'
import { isWatched, LastLine } from './progress.js'

export const demoCommand: Handler = async ({ flags, io, output }) => {
  const viaKafka = flags.has('kafka')
  if (!viaKafka && flags.has('brokers')) throw usage('--brokers goes with --kafka.', { fix: 'Give --kafka too.' })
  const stop = new AbortController()
  const unlisten = io.onSignal((signal) => {
    unlisten()
    stop.abort(signal)
  })
  const line = isWatched(io) && output.logLevel === undefined ? new LastLine(io) : null
  const events = flags.whole('events')
  try {
    const options: DemoOptions = {
      json: output.reader === 'document',
      ...(events === undefined ? {} : { events }),
      small: flags.has('small'),
      out: (text) => void output.write(text),
      live: (text) => (text === null ? line?.end() : line?.show(text)),
      signal: stop.signal,
    }
    if (!viaKafka) return await (await import('./demo.js')).demo(options)
    const [brokers, brokersOfEnv] = [flags.text('brokers'), io.env['KAFKA_BROKERS']]
    return await (await import('./demo-kafka.js')).demoKafka({
      ...options, ...(brokers === undefined ? {} : { brokers }), ...(brokersOfEnv === undefined ? {} : { brokersOfEnv }),
    })
  } finally {
    line?.end()
    unlisten()
  }
}
