import { join } from 'node:path'
import { loadConfig, selectJob } from '../host/config.js'
import { packageRoot } from '../host/modules.js'
import type { Position, SealedRun } from '../index.js'
import { cacheFolder } from './cache-folder.js'
import { proveAgainstOld, type Proof } from './demo-proof.js'
import { check, chooseData, layExample, layLog, rebuild, type DemoOptions } from './demo-steps.js'
import { checkLines, count, positionJson, seconds, sealedLines, type Checked } from './demo-text.js'
import type { PreparedLog } from './flights-log.js'
import type { Tally } from './flights-tally.js'
import { PARTITIONS } from './flights.js'
import { layOldService } from './old-service.js'

/** What the projection of the example says, and how far it is from the plain loop. */
interface Outcome extends Checked {
  readonly folder: string
  readonly log: PreparedLog
  readonly sealed: SealedRun
}

/**
 * The first session: a real log becomes a sealed state, which is compared with a plain loop over the data itself. The folder it
 * leaves is a project of its own, with log, projection, configuration and state. Returns the exit code: 1 where the two differ.
 */
export async function demo(options: DemoOptions): Promise<number> {
  const { json, out, live = (): void => {}, signal } = options
  const data = await chooseData(options)
  const folder = join(options.cache ?? cacheFolder(process.env), data.name)
  if (!json) out(`${data.title}\n`)

  const startedMs = performance.now()
  const log = await layLog(data, folder, live, signal)
  live(null)
  if (!json) out(logLine(folder, log, performance.now() - startedMs))

  await layExample(folder, ['airports.ts', 'rehydrate.config.ts'])
  const job = selectJob(await loadConfig(folder))
  const sealed = await rebuild(job, live, signal)
  if (!json) out(sealedLines(sealed))

  const { tally, ...checked } = await check(job, data, live)
  const { difference } = checked
  const outcome = { folder, log, sealed, ...checked }
  if (!json) out(checkLines(outcome))
  const proof = difference === null ? await prove(folder, tally, sealed.position, options) : null
  if (json) out(`${JSON.stringify({ ...documentOf(outcome), old: proof === null ? null : proofDocument(proof) })}\n`)
  else if (difference === null) out(closingLines(folder))
  return difference === null ? proof?.exitCode ?? 0 : 1
}

/** The state against a database that another program wrote: null where there are too few flights to lose one. */
async function prove(folder: string, { airports, lost }: Tally, position: Position, options: DemoOptions): Promise<Proof | null> {
  if (lost === null) return null
  await layOldService(join(folder, 'old.db'), airports, lost, position)
  if (!options.json) options.out('An "old service" has a database of its own, old.db, written with plain SQL. Is ours equal to it?\n\n')
  return await proveAgainstOld(folder, options.json, options.out)
}

/** The documents that the commands printed. */
function proofDocument({ printed, exitCode }: Proof): object {
  const [before, diff, repair, after] = printed.map((text): unknown => JSON.parse(text))
  return { before, diff, repair, after, exitCode }
}

function documentOf({ data, folder, log, sealed, airports, tallied, difference }: Outcome): Record<string, unknown> {
  const { applied, durationMs, eventsPerSecond } = sealed.run
  return {
    data: data.name, folder, events: log.flights, bytes: log.bytes, position: positionJson(sealed.position), root: sealed.root,
    manifest: sealed.seal.manifestHash, grade: sealed.grade.grade, airports: airports.size, computed: tallied,
    agrees: difference === null, difference, applied, durationMs, eventsPerSecond,
  }
}

function logLine(folder: string, { flights, bytes, built }: PreparedLog, ms: number): string {
  const how = built ? `written in ${seconds(ms)}` : 'there from an earlier time'
  return `  log      ${count(flights)} events in ${PARTITIONS} partitions, ${count(bytes / 1e6)} MB, ${how}
           ${join(folder, 'log')}
`
}

function closingLines(folder: string): string {
  return `The folder is a project of its own: log, projection (30 lines), configuration, state. Try next:

  cd ${folder}
  alias rehydrate='node ${join(packageRoot(), 'dist', 'src', 'cli', 'main.js')}'
  rehydrate status
  rehydrate inspect ORD            # the state of one airport
  rehydrate verify --rebuild       # fold the log again in other orders: the same root?
  rehydrate replay                 # nothing to do: the log has not grown
  rehydrate replay --restart       # again from the first event: the same root
  …change 15 to 30 in airports.ts  # the next replay refuses, until its version is raised

\`rehydrate demo\` puts everything back.
`
}
