import type { NamedJob } from '../host/config.js'
import {
  cutAt, encode, explain, formatPosition, openState, type Position, positionToJson, RehydrateError, type State,
  stringifyJson, type Value,
} from '../index.js'
import { type Context, type Handler, parseAt, usage } from './command.js'
import { withJob, withPart } from './job.js'

export const inspectCommand: Handler = (context) => withPart(context, async (job) => {
  const key = context.positionals.get('KEY') as string
  const collection = collectionOf(context, job)
  const at = context.flags.text('at')
  const found = at === undefined ? await readNow(context, job, collection, key) : await readThen(context, job, collection, key, at)
  const { value, position, generation } = found
  const head = {
    collection, key, present: value !== undefined, generation, position: positionToJson(position),
    ...(at === undefined ? {} : { at }),
  }
  await writeWithValue(context, head, value ?? null)
  const where = formatPosition(position) || 'the start'
  await context.output.lines([
    `${collection}/${key} at ${where}${generation === null ? '' : ` (generation ${generation})`}`,
    value === undefined ? 'absent' : stringifyJson(value),
  ])
  return value === undefined ? 1 : 0
})

interface Found {
  readonly value: Value | undefined
  readonly position: Position
  /** Null where the value was folded from the log. */
  readonly generation: number | null
}

async function readNow(context: Context, job: NamedJob, collection: string, key: string): Promise<Found> {
  const state = await openJobState(context, job)
  try {
    const { position, generation } = state
    return { value: await state.get(collection, key), position, generation }
  } finally {
    await state.close()
  }
}

async function readThen(context: Context, job: NamedJob, collection: string, key: string, at: string): Promise<Found> {
  const asked = parseAt('--at', at)
  if (context.flags.has('generation')) throw usage('--at folds the log; it goes without --generation.')
  // Events that the state was built without are left out here too, and its log must still be the one it was built from.
  const built = await builtState(job)
  const accepted = built?.checkpoint.manifest.accepted ?? []
  const upTo = await cutAt(job.source, job.projection, asked, accepted)
  let value: Value | undefined
  const known = built === null ? {} : { builtWith: built.checkpoint.manifest.projection.fingerprint, readFrom: built }
  const steps = explain({ source: job.source, projection: job.projection, collection, key, upTo, accepted, ...known })
  for await (const step of steps) {
    value = step.value ?? undefined
  }
  return { value, position: upTo, generation: null }
}

/** The live state, closed; null where there is none yet. */
async function builtState({ store, projection }: NamedJob): Promise<State | null> {
  if ((await store.generations()).every(({ live }) => !live)) return null
  const state = await openState(store, { projection })
  await state.close()
  return state
}

export const explainCommand: Handler = (context) => withJob(context, async (job) => {
  const key = context.positionals.get('KEY') as string
  const collection = collectionOf(context, job)
  const state = await openJobState(context, job)
  const { position, generation, checkpoint: { manifest } } = state
  const held = await state.get(collection, key).finally(() => state.close()) ?? null
  const { output } = context
  const steps = explain({
    source: job.source, projection: job.projection, collection, key, upTo: position, accepted: manifest.accepted,
    builtWith: manifest.projection.fingerprint, readFrom: state,
  })
  const events: string[] = []
  let folded: Value = null
  await output.lines([`${collection}/${key} up to ${formatPosition(position) || 'the start'}`])
  for await (const { partition, offset, type, value } of steps) {
    if (output.closed) return 0
    folded = value
    const event = `${JSON.stringify({ partition, offset, type }).slice(0, -1)},"value":${stringifyJson(value)}}`
    if (output.reader === 'lines') await output.write(`${event}\n`)
    else if (output.reader === 'document') events.push(event)
    await output.lines([`  ${partition}@${offset}  ${type}  ${value === null ? 'absent' : stringifyJson(value)}`])
  }
  // Where a change of code or of reading was accepted, a part of the events was folded as it was before it.
  const sameCode = !manifest.accepted.some(({ code }) => code === 'PROJECTION_CHANGED')
  if (sameCode && Buffer.compare(encode(folded), encode(held)) !== 0) throw explainsAnother(collection, key, held, folded)
  if (output.reader === 'document') {
    const head = JSON.stringify({ collection, key, generation, position: positionToJson(position) })
    await output.write(`${head.slice(0, -1)},"events":[${events.join(',')}]}\n`)
  }
  return 0
})

/** The projection is the one that made the state, so that log and state can not both be as they were. */
function explainsAnother(collection: string, key: string, held: Value, folded: Value): RehydrateError {
  return new RehydrateError(held === null ? 'STATE_CORRUPT' : 'LOG_REWRITTEN', {
    message: `The log gives ${collection}/${key} another value than the state holds.`, collection, key,
    expected: stringifyJson(held), actual: stringifyJson(folded),
    why: held === null ? 'The entry is lost from the store, or the log was rewritten.'
      : 'Records that were applied have other content now.',
    safe: 'Nothing was changed. The events listed are those of the log as it is now.',
  })
}

function openJobState(context: Context, job: NamedJob): Promise<State> {
  const generation = context.flags.whole('generation')
  return openState(job.store, { projection: job.projection, ...(generation === undefined ? {} : { generation }) })
}

export function collectionOf(context: Context, job: NamedJob): string {
  const names = job.projection.collections.map(({ name }) => name)
  const given = context.flags.text('collection')
  if (given === undefined && names.length > 1) {
    throw usage(`${job.projection.name} has ${names.length} collections; say which one.`, {
      expected: names.join(', '), fix: 'Name it with --collection NAME.',
    })
  }
  const name = given ?? names[0] as string
  if (!names.includes(name)) throw usage(`There is no collection ${name}.`, { expected: names.join(', '), actual: name })
  return name
}

/** A document with a value of the state in it: its integers are exact, also beyond 2^53. */
async function writeWithValue(context: Context, head: object, value: Value): Promise<void> {
  if (context.output.reader === 'person') return
  await context.output.write(`${JSON.stringify(head).slice(0, -1)},"value":${stringifyJson(value)}}\n`)
}
