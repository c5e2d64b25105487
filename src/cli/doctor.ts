import type { NamedJob } from '../host/config.js'
import { codeOf } from '../host/code.js'
import { type Finding, plan, type Plan } from '../index.js'
import type { Handler } from './command.js'
import { about, counted, megabytes } from './format.js'
import { withJob } from './job.js'
import { asRehydrateError, paints } from './output.js'
import { replayOptions } from './plan.js'
import { untilAnswered } from './waiting.js'

/** Looks at all that a replay will need, changes nothing, and tells everything that it finds. Exit 1 where something is bad. */
export const doctorCommand: Handler = (context) => withJob(context, async (job) => {
  const { planned, findings: asked } = await findPlan(() => untilAnswered(context, job.name, plan(replayOptions(context, job))))
  const findings = [
    good('node', `Node.js ${process.versions.node}.`),
    await findCode(job),
    await findStore(job),
    ...asked,
    ...await findLog(job, planned, asked),
  ]
  const isWell = findings.every(({ is }) => is !== 'bad')
  await context.output.document({ job: job.name, well: isWell, findings })
  await context.output.lines(screen(job.name, findings, paints(context.io)))
  return isWell ? 0 : 1
})

async function findCode({ projection }: NamedJob): Promise<Finding> {
  const { name, version, module } = projection
  if (await codeOf(module) !== null) return good('projection', `${name}, version ${version}: its code is in the fingerprint.`)
  return {
    is: 'doubtful', what: 'projection',
    text: `${name}, version ${version}: the module that defines it was not found, so a change of code is told by the text of the`
      + ' handlers alone.',
    fix: 'Say where it is defined: module: import.meta.url.',
  }
}

async function findStore({ store }: NamedJob): Promise<Finding> {
  try {
    const rows = await store.generations()
    const damaged = rows.find(({ corrupt }) => corrupt !== null)
    if (damaged?.corrupt) return bad('store', damaged.corrupt)
    const writer = rows.find((row) => row.writer?.alive === true)?.writer
    if (writer != null) {
      const fix = 'Let it write, or fence it off with `rehydrate replay --takeover`.'
      return { is: 'doubtful', what: 'store', text: `${writer.owner} writes it now.`, fix }
    }
    const live = rows.find((row) => row.live)
    if (live === undefined) return good('store', rows.length === 0 ? 'Empty; the first replay makes it.' : 'No generation is live yet.')
    return good('store', `Generation ${live.generation} is live.`)
  } catch (error) {
    return bad('store', error)
  }
}

interface Planned {
  /** Null where there can be none. */
  readonly planned: Plan | null
  readonly findings: readonly Finding[]
}

async function findPlan(ask: () => Promise<Plan>): Promise<Planned> {
  try {
    const planned = await ask()
    const { events, bytes, estimate, refusals, partitions } = planned
    if (refusals.length > 0) {
      const findings = refusals.map(({ code, message, fix }) => ({ is: 'bad' as const, what: 'plan', text: `${code}: ${message}`, fix }))
      return { planned, findings }
    }
    const size = bytes === null ? '' : `, ${megabytes(bytes)}`
    const time = estimate === null ? '' : `, in ${about(estimate.ms)}`
    const where = `in ${counted(partitions.length, 'partition')} ${events === 1 ? 'is' : 'are'} to be read`
    const what = `${counted(events, 'offset')} ${where}${size}${time}.`
    return { planned, findings: [good('plan', `Nothing is refused. ${what}`)] }
  } catch (error) {
    return { planned: null, findings: [bad('plan', error)] }
  }
}

/** Not where it could not be reached, or what there is to say has been said: `asked`. */
async function findLog({ source }: NamedJob, planned: Plan | null, asked: readonly Finding[]): Promise<readonly Finding[]> {
  if (asked.some(({ text }) => text.startsWith('SOURCE_UNREACHABLE'))) return []
  try {
    return await source.diagnose?.({ replayMs: planned?.estimate?.ms ?? null }) ?? []
  } catch (error) {
    const found = bad('log', error)
    return asked.some(({ text }) => text === found.text) ? [] : [found]
  }
}

function good(what: string, text: string): Finding {
  return { is: 'good', what, text }
}

function bad(what: string, thrown: unknown): Finding {
  const error = asRehydrateError(thrown)
  return { is: 'bad', what, text: `${error.code}: ${error.message}`, fix: error.fix }
}

const SIGNS: Readonly<Record<Finding['is'], string>> = { good: 'ok', doubtful: 'look', bad: 'BAD' }
const COLOURS: Readonly<Record<Finding['is'], number>> = { good: 32, doubtful: 33, bad: 31 }

function screen(job: string, findings: readonly Finding[], colour: boolean): string[] {
  const width = Math.max(...findings.map(({ what }) => what.length))
  const sign = (is: Finding['is']): string => {
    const text = SIGNS[is].padEnd(4)
    return colour ? `\x1b[${COLOURS[is]}m${text}\x1b[39m` : text
  }
  const worst = findings.filter(({ is }) => is === 'bad').length
  return [
    ...findings.flatMap(({ is, what, text, fix }) => [
      `  ${sign(is)}  ${what.padEnd(width)}  ${text}`, ...(fix === undefined ? [] : [`        ${''.padEnd(width)}  fix: ${fix}`]),
    ]),
    `${job}  ${worst === 0 ? 'nothing stands' : worst === 1 ? 'one thing stands' : `${worst} things stand`} in the way of a replay`,
  ]
}
