import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import {
  compareUtf8, formatPosition, isRehydrateError, openState, positionToJson, type Projection, RehydrateError, type State,
  stringifyJson, type Value,
} from '../index.js'
import { type Handler, usage } from './command.js'
import { grouped } from './format.js'
import { withPart } from './job.js'

export const exportCommand: Handler = (context) => withPart(context, async (job) => {
  const { flags, io, output } = context
  const out = flags.text('out')
  if (out === undefined && output.reader !== 'person') {
    throw usage('export --json needs --out FILE: without it stdout is the state itself.')
  }
  const generation = flags.whole('generation')
  const state = await openState(job.store, { projection: job.projection, ...(generation === undefined ? {} : { generation }) })
  try {
    if (out === undefined) {
      for await (const { text } of exportLines(state, job.projection)) {
        if (output.closed) break
        await output.write(text)
      }
      return 0
    }
    const entries = await writeWhole(resolve(io.folder, out), state, job.projection)
    const { position, root } = state
    await output.document({
      job: job.name, out, format: 'ndjson', entries, generation: state.generation, position: positionToJson(position), root,
    })
    await output.lines([
      `${out}  ${grouped(entries)} entries at ${formatPosition(position) || 'the start'}`,
      `  root  ${root ?? 'pending'}`,
    ])
    return 0
  } finally {
    await state.close()
  }
})

const PAGE_ENTRIES = 1_000

/** The state as NDJSON, some lines at a time: collections, and keys in them, in the order of their UTF-8 bytes. */
async function* exportLines(state: State, projection: Projection): AsyncGenerator<{ text: string; entries: number }> {
  for (const collection of projection.collections.map(({ name }) => name).sort(compareUtf8)) {
    let after: string | null = null
    let count = 0
    for (;;) {
      const page: readonly { key: string; value: Value }[] = await state.scan(collection, after, PAGE_ENTRIES)
      const head = `{"collection":${JSON.stringify(collection)},"key":`
      const lines = page.map(({ key, value }) => `${head}${JSON.stringify(key)},"value":${stringifyJson(value)}}\n`)
      count += lines.length
      if (lines.length > 0) yield { text: lines.join(''), entries: lines.length }
      if (page.length < PAGE_ENTRIES) break
      after = page.at(-1)?.key ?? null
    }
    assertComplete(state, collection, count)
  }
}

/** A lost row fits no hash, but is missed in the count. Nothing to compare with while the digest is pending. */
function assertComplete({ checkpoint }: State, collection: string, actual: number): void {
  const expected = checkpoint.collections === null ? actual : checkpoint.collections[collection]?.count ?? 0
  if (actual === expected) return
  throw new RehydrateError('STATE_CORRUPT', {
    message: `${collection} holds ${actual} entries, and its checkpoint says ${expected}.`, collection, expected, actual,
    safe: 'Nothing was overwritten. What was printed is not the whole state.',
  })
}

/** Writes beside the file and renames over it when everything is on disk: a reader sees the old file or the whole new one. */
/** The person named a place where no file can be; anything else is a fault of the disk. */
const WRONG_PLACE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'EPERM', 'EROFS'])

async function writeWhole(file: string, state: State, projection: Projection): Promise<number> {
  const draft = join(dirname(file), `.${basename(file)}.${randomUUID()}.part`)
  let entries = 0
  try {
    const handle = await open(draft, 'wx')
    try {
      for await (const part of exportLines(state, projection)) {
        await handle.write(part.text)
        entries += part.entries
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(draft, file)
  } catch (error) {
    await rm(draft, { force: true })
    if (isRehydrateError(error)) throw error
    const { code, message: why } = error as NodeJS.ErrnoException
    const message = `${file} could not be written: ${why}`
    if (code !== undefined && WRONG_PLACE.has(code)) throw usage(message, { fix: 'Name a file that can be written.' })
    throw new RehydrateError('STORE_FAILED', { message, safe: 'The state was only read; no file is left.', cause: error })
  }
  return entries
}
