import { hostname } from 'node:os'
import { serveDigest } from '../host/serve-digest.js'
import { formatPosition, openStoreSide, positionToJson, RehydrateError } from '../index.js'
import { type Context, type Handler, usage } from './command.js'
import { table } from './format.js'
import { withJob } from './job.js'
import { TOKEN_VARIABLE, tokenOf } from './token.js'

const DEFAULT_PORT = 8390

/**
 * Serves the digest of a job until it is told to stop. That is the only way it ends, and nothing is left undone by it: a signal is
 * exit 0, unlike that of a replay, which has a rest to go on with.
 */
export const serveCommand: Handler = async (context) => {
  if (!context.flags.has('digest')) {
    throw new RehydrateError('OPTION_DEFERRED', {
      message: 'serve without --digest is not built yet.', why: 'The dashboard comes with the operations commands.',
      fix: '`rehydrate serve --digest` serves what another host compares its state with.',
    })
  }
  const host = context.flags.text('host') ?? '127.0.0.1'
  const port = portOf(context)
  const token = await tokenOf(context)
  return await withJob(context, async (job) => {
    const open = () => openStoreSide(job.store, job.name)
    // What can not be served is refused now, not when the first client comes.
    const first = await open()
    await first.close()
    const stopped = stopSignal(context)
    const server = await serveDigest({ open, token, host, port })
    try {
      const { position } = first.standing
      const { root } = first.hello.manifest
      const { generation } = first
      await context.output.document({ job: job.name, url: server.url, generation, position: positionToJson(position), root })
      await context.output.lines([
        `${job.name}  digest served at ${server.url}, read-only`,
        ...table([
          ['now', `generation ${generation} at ${formatPosition(position) || 'the start'}, root ${root}`],
          ['compare', `rehydrate verify ${job.name} --against ${addressOf(server.url, host)}`],
          ['token', `there, the same one: ${TOKEN_VARIABLE} or --token-file`],
          ['stop', 'Ctrl-C'],
        ]),
      ])
      if (!isLoopback(host)) {
        context.output.note(`  ${host} is reached from other machines, and the connection is not encrypted: put it behind TLS.`)
      }
      await stopped
    } finally {
      await server.close()
    }
    return 0
  })
}

function portOf({ flags }: Context): number {
  const port = flags.whole('port') ?? DEFAULT_PORT
  if (port <= 65_535) return port
  throw usage(`--port takes a number up to 65,535, not ${port}.`, { expected: '0 (any that is free) to 65535', actual: port })
}

/** Settles at the first signal; a second one ends the process as it would without us. */
function stopSignal({ io }: Context): Promise<void> {
  return new Promise((resolve) => {
    const unlisten = io.onSignal(() => {
      unlisten()
      resolve()
    })
  })
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}

/** As other machines dial it: an address that stands for all of this machine's is none they could. */
function addressOf(url: string, host: string): string {
  return host === '0.0.0.0' || host === '::' ? `http://${hostname()}:${new URL(url).port}` : url
}
