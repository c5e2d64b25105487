import type { Command, Flag, Positional } from './command.js'

export const GLOBAL_FLAGS: readonly Flag[] = [
  { name: 'config', value: 'FILE', summary: 'default: rehydrate.config.ts, .mts, .js or .mjs here', env: 'REHYDRATE_CONFIG' },
  { name: 'json', summary: 'one JSON document on stdout' },
  {
    name: 'log-level', value: 'LEVEL', choices: ['silent', 'error', 'warn', 'info', 'debug'],
    summary: 'JSON log lines on stderr instead of lines for people; silent: neither',
  },
  { name: 'help', summary: 'what the command takes' },
]

const JOB: Positional = { name: 'JOB', required: false }
const JOB_FLAG: Flag = { name: 'job', value: 'JOB', summary: 'the job; may be left out where there is one' }
const GENERATION: Flag = { name: 'generation', value: 'N', summary: 'another generation than the live one' }
const JSONL: Flag = { name: 'jsonl', summary: 'one JSON line on stdout for each event, as it comes' }
const RUN_FLAGS: readonly Flag[] = [
  { name: 'until', value: 'head|follow|TIME|POSITION', summary: 'where to end; default head' },
  { name: 'restart', summary: 'begin a new generation instead of going on' },
  { name: 'accept', value: 'CODE=WHERE', repeatable: true, summary: 'waive a refusal by name; it stands in the seal' },
  { name: 'takeover', summary: 'fence off a living writer' },
]

/** The one table of the command line: flags, help, `help --json` and did-you-mean come from here. */
export const COMMANDS: readonly Command[] = [
  {
    name: 'demo', summary: 'the first session: a real log, no server', positionals: [], json: 'what was compared',
    flags: [
      { name: 'events', value: 'N', summary: 'only the first N flights' },
      { name: 'small', summary: 'the 10,000 flights of this package, even where 3 million are installed' },
    ],
  },
  {
    name: 'plan', summary: 'what a replay would do, and every refusal before the first event', positionals: [JOB], flags: RUN_FLAGS,
    json: '{job, partitions, events, bytes, estimate, refusals}',
  },
  {
    name: 'replay', summary: 'rebuild the state from the log, or go on with it', positionals: [JOB], flags: [...RUN_FLAGS, JSONL],
    json: '{job, outcome, position, root, manifest, collections, grade, applied, duplicates, holes, accepted, durationMs, eventsPerSecond}',
  },
  {
    name: 'status', summary: 'checkpoint, lag, phase, generation, and who writes', positionals: [JOB], flags: [],
    json: '{job, phase, position, end, lag, root, generation}',
  },
  {
    name: 'generation', summary: 'list the generations, make one live, or drop one',
    positionals: [{ name: 'ACTION', required: true, choices: ['list', 'switch', 'drop'] }, { name: 'N', required: false }],
    flags: [JOB_FLAG, { name: 'execute', summary: 'switch: do what was printed' }],
    json: '{job, generations} or {job, generation, previous, executed}',
  },
  {
    name: 'inspect', summary: "one key's value, now or then", positionals: [{ name: 'KEY', required: true }],
    flags: [
      JOB_FLAG, GENERATION,
      { name: 'collection', value: 'NAME', summary: 'the collection; may be left out where there is one' },
      { name: 'at', value: 'POSITION|TIME', summary: 'the value then, from the log' },
    ],
    json: '{collection, key, value, position}',
  },
  {
    name: 'explain', summary: 'the events that made a value, and the value after each', positionals: [{ name: 'KEY', required: true }],
    flags: [
      JOB_FLAG, GENERATION, JSONL,
      { name: 'collection', value: 'NAME', summary: 'the collection; may be left out where there is one' },
    ],
    json: '{events: [{partition, offset, type, value}]}',
  },
  {
    name: 'export', summary: 'the state as NDJSON lines {collection, key, value}', positionals: [JOB],
    flags: [
      GENERATION,
      { name: 'format', value: 'FORMAT', choices: ['ndjson'], summary: 'ndjson, the default' },
      { name: 'out', value: 'FILE', summary: 'write this file, whole or not at all; default stdout' },
    ],
    json: '{out, entries, root, position} (with --out)',
  },
  {
    name: 'digest', summary: 'the state hash of NDJSON lines {collection?, key, value}', positionals: [{ name: 'FILE|-', required: true }],
    flags: [], json: '{root, collections}',
  },
  {
    name: 'help', summary: 'a command, or an error code in words', positionals: [{ name: 'COMMAND|CODE', required: false }], flags: [],
    json: 'this table, or the code',
  },
]

const COMPARISON = 'It comes with the comparison of two states.'
const SNAPSHOTS = 'It comes with snapshots.'

/** Designed, and refused by name until they are built. */
export const DEFERRED_COMMANDS: Readonly<Record<string, string>> = {
  verify: COMPARISON, diff: COMPARISON, repair: COMPARISON, prove: COMPARISON, check: COMPARISON, snapshot: SNAPSHOTS,
  doctor: 'It comes with the operations commands.', init: 'It comes with the operations commands.',
  completion: 'It comes with the operations commands.', serve: 'It comes with the dashboard.',
  handover: 'It comes with the cutover.', gate: 'It comes with the cutover.', cutover: 'It comes with the cutover.',
}

const DEFERRED_RUN_FLAGS = {
  'workers': 'It comes with the Kafka adapter.', 'shard': 'It comes with the Kafka adapter.',
  'from-snapshot': SNAPSHOTS, 'rate': 'It comes with throttling.',
}

/** Flags that are designed, by command (`*`: any). */
export const DEFERRED_FLAGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  plan: DEFERRED_RUN_FLAGS, replay: DEFERRED_RUN_FLAGS,
  '*': {
    'type-field': 'Lines must have the fields of the log format.', 'key-field': 'Lines must have the fields of the log format.',
    'against': COMPARISON,
  },
}

/** Values that are designed, by command and flag. */
export const DEFERRED_VALUES: Readonly<Record<string, readonly string[]>> = {
  'export --format': ['csv', 'parquet'],
}

export function usageOf(command: Command): string {
  const positionals = command.positionals.map(({ name, required, choices }) => {
    const shown = choices?.join('|') ?? name
    return required ? shown : `[${shown}]`
  })
  return ['rehydrate', command.name, ...positionals, ...command.flags.map(usageOfFlag)].join(' ')
}

function usageOfFlag(flag: Flag): string {
  return `[--${flag.name}${flag.value === undefined ? '' : ` ${flag.value}`}]${flag.repeatable === true ? '…' : ''}`
}
