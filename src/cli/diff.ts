import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Blame, type Difference, type Diff, findDifferences, stringifyJson, type Value } from '../index.js'
import { compareOptions } from './against.js'
import { blameText } from './blame-text.js'
import { type Context, type Handler, usage } from './command.js'
import { counted, fit, grouped, table } from './format.js'
import { withJob } from './job.js'
import { exitOfVerdict, verdictDocument, verdictLines } from './verify.js'

/** So many keys, fields and characters of a value are shown unless everything is asked for. */
const SHOWN_KEYS = 10
const SHOWN_FIELDS = 8
const SHOWN_COLUMNS = 60

export const diffCommand: Handler = (context) => withJob(context, async (job) => {
  const { flags, output } = context
  const maxFolds = flags.whole('max-folds')
  if (maxFolds !== undefined && !flags.has('blame')) throw usage('--max-folds goes with --blame.')
  const found = await findDifferences({
    ...await compareOptions(context, job), blame: flags.has('blame'), ...(maxFolds === undefined ? {} : { maxFolds }),
  })
  const out = flags.text('out')
  const files = out === undefined ? [] : await writeLists(resolve(context.io.folder, out), found.differences)
  await writeDocument(context, job.name, found, files)
  await output.lines(diffLines(context, job.name, found, files))
  return exitOfVerdict(found.verdict)
})

async function writeDocument({ output }: Context, job: string, { verdict, differences }: Diff, files: readonly string[]): Promise<void> {
  if (output.reader === 'person') return
  const head = JSON.stringify({ ...verdictDocument(job, verdict), total: verdict.differing, ...(files.length === 0 ? {} : { files }) })
  await output.write(`${head.slice(0, -1)},"differences":[${differences.map(differenceJson).join(',')}]}\n`)
}

/** Values of the state in it: integers are exact, also beyond 2^53. */
export function differenceJson(difference: Difference): string {
  const { collection, key, kind, fields, blame } = difference
  const listed = fields.map(({ path, rebuilt, against }) =>
    objectJson({ path: JSON.stringify(path), rebuilt: valueJson(rebuilt), against: valueJson(against) }))
  return objectJson({
    collection: JSON.stringify(collection), key: JSON.stringify(key), kind: JSON.stringify(kind), fields: `[${listed.join(',')}]`,
    ...(kind === 'value' ? {} : { rebuilt: valueJson(difference.rebuilt), against: valueJson(difference.against) }),
    ...(blame === undefined ? {} : { blame: JSON.stringify(blameDocument(blame)) }),
  })
}

function blameDocument({ collection: _collection, key: _key, ...rest }: Blame): object {
  return rest
}

function objectJson(parts: Readonly<Record<string, string | undefined>>): string {
  return `{${Object.entries(parts).flatMap(([name, json]) => (json === undefined ? [] : [`${JSON.stringify(name)}:${json}`])).join(',')}}`
}

/** Left out where there is nothing: null is a value. */
function valueJson(value: Value | undefined): string | undefined {
  return value === undefined ? undefined : stringifyJson(value)
}

function diffLines(context: Context, job: string, { verdict, differences }: Diff, files: readonly string[]): string[] {
  const full = context.flags.has('full')
  const summary = verdictLines(job, verdict, context.flags.text('against')).filter((line) => !/^ {2}next /.test(line))
  const shown = full ? differences : differences.slice(0, SHOWN_KEYS)
  const counts = (['value', 'only-rebuilt', 'only-against'] as const)
    .map((kind) => `${grouped(differences.filter((difference) => difference.kind === kind).length)} ${kind}`)
  const lines = [...summary, ...(differences.length === 0 ? [] : [`  ${counts.join(', ')}`, ''])]
  for (const difference of shown) lines.push(...keyLines(difference, full))
  const more = (verdict.differing ?? 0) - shown.length
  if (more > 0) {
    const how = full ? '' : ': --full shows what was found, --out DIR writes it'
    lines.push(`… and ${verdict.truncated ? 'at least ' : ''}${counted(more, 'more key')}${how}`)
  }
  if (verdict.truncated) lines.push(`The comparison stopped at ${grouped(differences.length)} keys; --limit N goes further.`)
  for (const file of files) lines.push(`written  ${file}`)
  return lines
}

function keyLines({ collection, key, kind, fields, rebuilt, against, blame }: Difference, full: boolean): string[] {
  const text = (value: Value | undefined): string => {
    const json = value === undefined ? 'nothing' : typeof value === 'number' ? grouped9(value) : stringifyJson(value)
    return full ? json : fit(json, SHOWN_COLUMNS)
  }
  const head = `${collection}/${key}`
  if (kind !== 'value') {
    return [`${head}  ${kind}  ${text(kind === 'only-rebuilt' ? rebuilt : against)}`, ...blameLines(blame)]
  }
  const rows = (full ? fields : fields.slice(0, SHOWN_FIELDS)).map((field): [string, string] =>
    [field.path, `rebuilt ${text(field.rebuilt)}  against ${text(field.against)}`])
  if (rows.length < fields.length) rows.push(['…', `${fields.length - rows.length} more fields`])
  return [head, ...table(rows), ...blameLines(blame)]
}

/** Whole numbers with their digits grouped, others as they are. */
function grouped9(value: number): string {
  return Number.isSafeInteger(value) ? grouped(value) : String(value)
}

function blameLines(blame: Blame | undefined): string[] {
  return blame === undefined ? [] : [`  blame  ${blameText(blame)}`]
}

/** One file of JSON lines for each kind of difference; a list that is empty is there all the same. */
async function writeLists(folder: string, differences: readonly Difference[]): Promise<string[]> {
  await mkdir(folder, { recursive: true })
  const files: string[] = []
  for (const kind of ['value', 'only-rebuilt', 'only-against'] as const) {
    const file = join(folder, `${kind}.jsonl`)
    const partial = `${file}.partial`
    const handle = await open(partial, 'w', 0o600)
    try {
      for (const difference of differences) if (difference.kind === kind) await handle.write(`${differenceJson(difference)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(partial, file).catch(async (error: unknown) => {
      await rm(partial, { force: true })
      throw error
    })
    files.push(file)
  }
  return files
}
