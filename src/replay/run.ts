import { isRehydrateError, RehydrateError } from '../errors.js'
import type { ReplayOptions, Run, SealedRun, World } from './api.js'
import { EventChannel, SealRequests } from './channel.js'
import { Engine } from './engine.js'
import { checkReplayOptions, type Settings } from './settings.js'
import { shardOptions } from './shard.js'

/** Starts a replay. Whatever is wrong, with the options too, rejects `done`. */
export function startRun(options: ReplayOptions, world: World): Run {
  const channel = new EventChannel()
  const stop = new AbortController()
  const abort = (): void => stop.abort(options.signal?.reason)
  if (options.signal?.aborted === true) abort()
  else options.signal?.addEventListener('abort', abort, { once: true })
  const sealing = new SealRequests()
  const settled: { settings?: Settings } = {}
  const settle = (): Settings => (settled.settings = checkReplayOptions(options))
  const done = execute(settle, options, world, channel, stop.signal, sealing)
    .finally(() => {
      options.signal?.removeEventListener('abort', abort)
      channel.close()
    })
  // A run that is only iterated gets its error from the iterator.
  done.catch(() => {})
  const close = async (): Promise<void> => {
    stop.abort()
    await done.catch(() => {})
  }
  return {
    done, close,
    seal: () => sealing.ask(),
    // Where the options were refused there is nothing to limit; `done` says why.
    limit: (limits) => settled.settings?.limits.set(limits),
    [Symbol.asyncDispose]: close,
    async *[Symbol.asyncIterator]() {
      yield* channel
      await done
    },
  }
}

async function execute(
  settle: () => Settings, options: ReplayOptions, world: World, channel: EventChannel, signal: AbortSignal, sealing: SealRequests,
): Promise<SealedRun> {
  let engine: Engine | null = null
  try {
    const settings = settle()
    const own = settings.shard === null ? options : shardOptions(options, settings.shard)
    engine = new Engine({ options: own, settings, world, signal, sealing, tell: (event) => channel.push(event) })
    const sealed = await engine.run()
    sealing.end(sealed)
    return sealed
  } catch (error) {
    const known = asRehydrateError(error)
    sealing.reject(known)
    engine?.failed(known.code === 'RUN_STOPPED')
    throw known
  } finally {
    await engine?.close()
  }
}

function asRehydrateError(error: unknown): RehydrateError {
  if (isRehydrateError(error)) return error
  return new RehydrateError('UNEXPECTED', { message: error instanceof Error ? error.message : String(error), cause: error })
}
