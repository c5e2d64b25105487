import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { repair, type Repair } from '../index.js'
import { comparing, hasAgainst, rebuiltOf } from './against.js'
import { type Handler, usage } from './command.js'
import { counted, grouped, table } from './format.js'
import { withJob } from './job.js'
import { printable } from './printable.js'
import { exitOfVerdict, inputRows, verdictDocument } from './verify.js'

/** 0: nothing is left to do · 1: something differs still · otherwise the verdict's. */
export const repairCommand: Handler = (context) => withJob(context, async (job) => {
  const { flags, output } = context
  const execute = flags.has('execute')
  const done = hasAgainst(context, job)
    ? await comparing(context, job, ({ againstSource: _unused, ...options }) => repair({ ...options, execute }))
    : await repair({ ...rebuiltOf(context, job), execute })
  const out = flags.text('out')
  if (out !== undefined) await writeStatements(resolve(context.io.folder, out), done.statements)
  const verdict = done.after ?? done.before
  await output.document({
    job: job.name, repaired: done.executed ? done.ours.length : 0, executed: done.executed, ours: done.ours, theirs: done.theirs,
    unjudged: done.unjudged, scrubbed: done.scrubbed,
    statements: out === undefined ? done.statements : [], ...(out === undefined ? {} : { out }),
    verdict: verdict === null ? null : verdictDocument(job.name, verdict),
  })
  if (output.reader === 'person') {
    for (const line of summaryLines(job.name, done, out)) output.note(printable(line))
    // Statements alone on stdout: `rehydrate repair > repair.sql`.
    if (out === undefined) await output.write(done.statements.map((line) => `${line}\n`).join(''))
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
    // By our log: theirs may be right by its own.
    if (done.before?.input?.is === 'different') rows.push(...inputRows(done.before))
  }
  if (done.unjudged > 0) {
    const least = done.before?.truncated === true ? 'at least ' : ''
    rows.push(['more', `${least}${counted(done.unjudged, 'key')} beyond the limit: --limit N looks at more`])
  }
  if (done.scrubbed !== null) rows.push(['proved', 'every stored byte of ours is what was written'])
  if (done.after !== null) rows.push(['compared', done.after.verdict])
  const keys = done.ours.length + done.theirs
  const headline = keys === 0 ? 'nothing to repair' : `${counted(keys, 'key')} to put right`
  return [`${job}  ${headline}`, ...table(rows)]
}

function statementsText({ statements }: Repair, out: string | undefined): string {
  if (statements.length === 0) return 'it can not be said here what would put them right: repair that side where it lies'
  return `look at ${out ?? 'the statements on stdout'}, then run them there yourself`
}
