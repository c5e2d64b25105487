import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import {
  type Blame, type Difference, type Diff, findDifferences, MAX_FIELDS, offsetsFile, type OffsetsFile, stringifyJson, type Value,
} from '../index.js'
import { comparing } from './against.js'
import { blameText } from './blame-text.js'
import { type Context, type Handler, usage } from './command.js'
import { counted, fit, grouped, megabytes, table } from './format.js'
import { withJob } from './job.js'
import { objectJson, valueJson } from './json.js'
import { exitOfVerdict, verdictDocument, verdictLines } from './verify.js'

/** So many keys, fields and characters of a value are shown unless everything is asked for. */
const SHOWN_KEYS = 10
const SHOWN_FIELDS = 8
const SHOWN_COLUMNS = 60

export const diffCommand: Handler = (context) => withJob(context, async (job) => {
  const { flags, output } = context
  const maxFolds = flags.whole('max-folds')
  if (maxFolds !== undefined && !flags.has('blame')) throw usage('--max-folds goes with --blame.')
  const index = flags.text('index')
  if (index !== undefined && !flags.has('blame')) throw usage('--index goes with --blame.')
  const found = await comparing(context, job, (options) => findDifferences({
    ...options, blame: flags.has('blame'), ...(maxFolds === undefined ? {} : { maxFolds }),
    ...(index === undefined ? {} : { index: indexFile(context, index) }),
  }))
  const out = flags.text('out')
  const files = out === undefined ? [] : await writeLists(resolve(context.io.folder, out), found.differences)
  await writeDocument(context, job.name, found, files)
  await output.lines(diffLines(context, job.name, found, files))
  return exitOfVerdict(found.verdict)
})

/** A person is told when it was built: it costs a pass over the log. */
function indexFile({ io, output }: Context, name: string): OffsetsFile {
  const file = offsetsFile(resolve(io.folder, name))
  return {
    read: () => file.read(),
    async write(bytes, why) {
      await file.write(bytes, why)
      output.note(`index  built and written to ${name}, ${megabytes(bytes.length)}: ${why}`)
    },
  }
}

async function writeDocument({ output }: Context, job: string, { verdict, differences }: Diff, files: readonly string[]): Promise<void> {
  if (output.reader === 'person') return
  const head = JSON.stringify({
    ...verdictDocument(job, verdict), total: verdict.differing, truncated: differences.length < (verdict.differing ?? 0),
    ...(files.length === 0 ? {} : { files }),
  })
  // Piece by piece: all values in one text could be more than a text can hold.
  await output.write(`${head.slice(0, -1)},"differences":[`)
  for (const [i, difference] of differences.entries()) await output.write(`${i === 0 ? '' : ','}${differenceJson(difference)}`)
  await output.write(']}\n')
}

/** Values of the state in it: integers are exact, also beyond 2^53. */
export function differenceJson(difference: Difference): string {
  const { collection, key, kind, fields, blame } = difference
  const listed = fields.slice(0, MAX_FIELDS).map(({ path, rebuilt, against }) =>
    objectJson({ path: JSON.stringify(path), rebuilt: valueJson(rebuilt), against: valueJson(against) }))
  return objectJson({
    collection: JSON.stringify(collection), key: JSON.stringify(key), kind: JSON.stringify(kind), fields: `[${listed.join(',')}]`,
    ...(fields.length > MAX_FIELDS ? { fieldsTruncated: 'true' } : {}),
    ...(kind === 'value' ? {} : { rebuilt: valueJson(difference.rebuilt), against: valueJson(difference.against) }),
    ...(blame === undefined ? {} : { blame: JSON.stringify(blameDocument(blame)) }),
  })
}

function blameDocument({ collection: _collection, key: _key, ...rest }: Blame): object {
  return rest
}

function diffLines(context: Context, job: string, { verdict, differences }: Diff, files: readonly string[]): string[] {
  const full = context.flags.has('full')
  const summary = verdictLines(job, verdict, context.flags.text('against')).filter((line) => !/^ {2}(next|took) /.test(line))
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
  if (differences.length < (verdict.differing ?? 0)) {
    const stopped = verdict.truncated ? 'The comparison stopped at' : 'Looked at are the first'
    lines.push(`${stopped} ${counted(differences.length, 'key')}; --limit N goes further.`)
  }
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
  const rows = fields.slice(0, full ? MAX_FIELDS : SHOWN_FIELDS).map((field): [string, string] =>
    [field.path, `rebuilt ${text(field.rebuilt)}  against ${text(field.against)}`])
  if (rows.length < fields.length) {
    const isCut = fields.length > MAX_FIELDS
    rows.push(['…', isCut ? `more than ${MAX_FIELDS} fields in all` : counted(fields.length - rows.length, 'more field')])
  }
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
  const files: string[] = []
  try {
    await mkdir(folder, { recursive: true })
    for (const kind of ['value', 'only-rebuilt', 'only-against'] as const) {
      const file = join(folder, `${kind}.jsonl`)
      await writeWhole(file, differences.filter((difference) => difference.kind === kind))
      files.push(file)
    }
  } catch (error) {
    throw usage(`--out ${folder} could not be written: ${(error as Error).message}`, { fix: 'Name a folder that can be written.' })
  }
  return files
}

/** The whole file or none. */
async function writeWhole(file: string, differences: readonly Difference[]): Promise<void> {
  const partial = `${file}.partial`
  try {
    const handle = await open(partial, 'w', 0o600)
    try {
      for (const difference of differences) await handle.writeFile(`${differenceJson(difference)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(partial, file)
  } catch (error) {
    await rm(partial, { force: true })
    throw error
  }
}
