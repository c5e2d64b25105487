import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parsePosition, repair, type Repair } from '../index.js'
import { againstOf } from './against.js'
import { type Handler, usage } from './command.js'
import { counted, grouped, table } from './format.js'
import { withJob } from './job.js'
import { exitOfVerdict, verdictDocument } from './verify.js'

/** 0: nothing is left to do · 1: something differs still · otherwise the verdict's. */
export const repairCommand: Handler = (context) => withJob(context, async (job) => {
  const { flags, output } = context
  const generation = flags.whole('generation')
  const limit = flags.whole('limit')
  const againstAt = flags.text('against-at')
  const hasAgainst = flags.has('against') || Object.keys(job.verify?.against ?? {}).length === 1
  const done = await repair({
    rebuilt: { store: job.store, projection: job.projection, source: job.source, ...(generation === undefined ? {} : { generation }) },
    ...(hasAgainst ? { against: (await againstOf(context, job)).against } : {}),
    ...(againstAt === undefined ? {} : { againstAt: parsePosition(againstAt) }),
    ...(limit === undefined ? {} : { limit }),
    execute: flags.has('execute'),
  })
  const out = flags.text('out')
  if (out !== undefined) await writeStatements(resolve(context.io.folder, out), done.statements)
  const verdict = done.after ?? done.before
  await output.document({
    job: job.name, repaired: done.executed ? done.ours.length : 0, executed: done.executed, ours: done.ours, theirs: done.theirs,
    statements: out === undefined ? done.statements : [], ...(out === undefined ? {} : { out }),
    verdict: verdict === null ? null : verdictDocument(job.name, verdict),
  })
  if (output.reader === 'person') {
    for (const line of summaryLines(job.name, done, out)) output.note(line)
    // Statements alone on stdout: `rehydrate repair > repair.sql`.
    if (out === undefined && done.statements.length > 0) await output.lines(done.statements)
  }
  if (done.theirs > 0 || (done.ours.length > 0 && !done.executed)) return 1
  return verdict === null ? 0 : exitOfVerdict(verdict)
})

async function writeStatements(file: string, statements: readonly string[]): Promise<void> {
  await writeFile(file, statements.map((line) => `${line}\n`).join(''), { mode: 0o600 }).catch((error: unknown) => {
    throw usage(`${file} could not be written: ${(error as Error).message}`, { fix: 'Name a file that can be written.' })
  })
}

function summaryLines(job: string, done: Repair, out: string | undefined): string[] {
  const rows: [string, string][] = []
  const named = done.ours.slice(0, 10).map(({ collection, key }) => `${collection}/${key}`).join(', ')
  const more = done.ours.length > 10 ? ` and ${grouped(done.ours.length - 10)} more` : ''
  if (done.ours.length > 0) rows.push(['ours', `${done.executed ? 'rewritten from the log' : 'not what the log gives'}: ${named}${more}`])
  if (done.ours.length > 0 && !done.executed) rows.push(['next', 'with --execute they are rewritten, and the seal says REPAIRED'])
  if (done.theirs > 0) {
    rows.push(['theirs', `${counted(done.theirs, 'key')} of the other side ${done.theirs === 1 ? 'is' : 'are'} not what the log gives`])
    rows.push(['next', statementsText(done, out)])
  }
  if (done.after !== null) rows.push(['proved', done.after.verdict])
  const keys = done.ours.length + done.theirs
  const headline = keys === 0 ? 'nothing to repair' : `${counted(keys, 'key')} to put right`
  return [`${job}  ${headline}`, ...table(rows)]
}

function statementsText({ statements }: Repair, out: string | undefined): string {
  if (statements.length === 0) return 'it can not be said here what would put them right: repair that side where it lies'
  return `look at ${out ?? 'the statements on stdout'}, then run them there yourself`
}
