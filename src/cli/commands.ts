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
const AGAINST: Flag = {
  name: 'against', value: 'AGAINST',
  summary: 'a name of the configuration (may be left out where it has one), http(s)://…, generation:N, job:NAME, FILE.ndjson',
}
const COLLECTION: Flag = { name: 'collection', value: 'NAME', summary: 'the collection; may be left out where there is one' }
const LIMIT: Flag = { name: 'limit', value: 'N', summary: 'stop at about so many differing keys; default 10,000' }
const COMPARE_FLAGS: readonly Flag[] = [
  AGAINST, GENERATION, LIMIT,
  { name: 'at', value: 'POSITION|TIME', summary: 'our state as it was there, folded again in memory' },
  { name: 'against-at', value: 'POSITION', summary: 'where the other side stands, on your word; the verdict says so' },
  { name: 'wait', summary: 'wait for the other side, then fold ours forward in memory to where it stands' },
  { name: 'deadline', value: 'SECONDS', summary: 'how long to wait; default 60' },
  { name: 'scrub', summary: 're-read every stored byte first' },
]
const TOKEN_FILE: Flag = { name: 'token-file', value: 'FILE', summary: 'the token of the other host; default: REHYDRATE_TOKEN' }
const SHARD: Flag = {
  name: 'shard', value: 'I/N', summary: 'only this one of N equal parts, counted from 0, in a store of its own: 0/8 … 7/8',
}
const ACCEPT: Flag = { name: 'accept', value: 'CODE=WHERE', repeatable: true, summary: 'waive a refusal by name; it stands in the seal' }
const RUN_FLAGS: readonly Flag[] = [
  { name: 'until', value: 'head|follow|TIME|POSITION', summary: 'where to end; default head' },
  { name: 'restart', summary: 'begin a new generation instead of going on' },
  ACCEPT,
  { name: 'takeover', summary: 'fence off a living writer' },
  SHARD,
]

/** The one table of the command line: flags, help, `help --json` and did-you-mean come from here. */
export const COMMANDS: readonly Command[] = [
  {
    name: 'demo', summary: 'the first session: a real log, no server', positionals: [], json: 'what was compared',
    flags: [
      { name: 'kafka', summary: 'through a Kafka: KAFKA_BROKERS, or one that is started for it (Java 17 and Maven)' },
      { name: 'brokers', value: 'HOST:PORT,…', summary: 'with --kafka: these; it makes a topic of its own, and deletes it' },
      { name: 'events', value: 'N', summary: 'only the first N flights' },
      { name: 'small', summary: 'the 10,000 flights of this package, even where 3 million are installed' },
    ],
  },
  {
    name: 'init', summary: 'a configuration and a projection to begin with', positionals: [],
    json: '{job, files, types, sampled, problem?, fix?}',
    flags: [
      { name: 'brokers', value: 'HOST:PORT,…', summary: 'of a Kafka cluster' },
      { name: 'topics', value: 'NAME,…', summary: 'its topics; a sample of them gives the types of events' },
      { name: 'path', value: 'PATH', summary: 'NDJSON files: one, a folder or a glob; default ./log' },
      { name: 'job', value: 'JOB', summary: 'the name of the job; default: the first topic, or events' },
    ],
  },
  {
    name: 'doctor', summary: 'looks at all that a replay needs, and changes nothing; exit 1 where something is bad', positionals: [JOB],
    flags: RUN_FLAGS, json: '{job, well, findings: [{is, what, text, fix?}]}',
  },
  {
    name: 'plan', summary: 'what a replay would do, and every refusal before the first event', positionals: [JOB], flags: RUN_FLAGS,
    json: '{job, partitions, events, bytes, estimate, refusals}',
  },
  {
    name: 'replay', summary: 'rebuild the state from the log, or go on with it', positionals: [JOB],
    flags: [...RUN_FLAGS, { name: 'workers', value: 'N', summary: 'all N shards, in a process each; joins their seals in the end' }, JSONL],
    json: '{job, outcome, position, root, manifest, collections, grade, applied, duplicates, holes, accepted, durationMs, eventsPerSecond}',
  },
  {
    name: 'seal', summary: 'join the seals of all shards to the one of the whole state', positionals: [JOB],
    flags: [{ name: 'join', value: 'N', summary: 'so many shards there are; each is sealed' }, GENERATION],
    json: '{job, root, manifest, position, collections, shards: [{shard, generation, position, root, manifest}], grade}',
  },
  {
    name: 'status', summary: 'checkpoint, lag, phase, generation, and who writes', positionals: [JOB], flags: [SHARD],
    json: '{job, phase, position, end, lag, root, generation}',
  },
  {
    name: 'generation', summary: 'list the generations, make one live, or drop one',
    positionals: [{ name: 'ACTION', required: true, choices: ['list', 'switch', 'drop'] }, { name: 'N', required: false }],
    flags: [JOB_FLAG, { name: 'execute', summary: 'switch: do what was printed' }, SHARD],
    json: '{job, generations} or {job, generation, previous, executed}',
  },
  {
    name: 'verify', summary: 'is the state equal to another one at the same position?', positionals: [JOB],
    flags: [
      ...COMPARE_FLAGS,
      { name: 'rebuild', summary: 'fold the log again in other orders and batches, and compare with the state' },
      { name: 'receipt', value: 'FILE', summary: 'write a signed receipt of the verdict; scrubs first' },
      { name: 'sign-key', value: 'PEM-FILE', summary: 'the private ed25519 key to sign with' },
      TOKEN_FILE,
    ],
    json: '{verdict, reason?, grade, position, againstPosition, rebuilt: {root}, against: {root}, differing}',
  },
  {
    name: 'diff', summary: 'which keys and fields differ, and which event explains it', positionals: [JOB],
    flags: [
      ...COMPARE_FLAGS,
      { name: 'full', summary: 'every key found, every field, whole values' },
      { name: 'out', value: 'DIR', summary: 'write the lists as JSON lines' },
      { name: 'blame', summary: 'read the log again and say which event is consistent with each difference' },
      { name: 'max-folds', value: 'N', summary: 'handler calls that blame may make; default 1,000,000' },
      { name: 'index', value: 'FILE', summary: 'for blame: keeps which events touch which keys, so that only these are read' },
      TOKEN_FILE,
    ],
    json: '{differences: [{collection, key, kind, fields, blame?}], total, truncated}',
  },
  {
    name: 'repair', summary: 'rewrite what is wrong in our state from the log, or say what would put the other side right',
    positionals: [JOB],
    flags: [
      AGAINST, GENERATION, LIMIT,
      { name: 'against-at', value: 'POSITION', summary: 'where the other side stands, on your word' },
      { name: 'execute', summary: 'rewrite our state; without it nothing is changed' },
      { name: 'out', value: 'FILE', summary: 'write the statements for the other side; default stdout' },
      TOKEN_FILE,
    ],
    json: '{repaired, verdict}',
  },
  {
    name: 'handover', summary: 'let a consumer group go on from our state, or take the state back', positionals: [JOB],
    flags: [
      { name: 'group', value: 'G', summary: 'the consumer group; it must have no members' },
      { name: 'wait', summary: 'replay until little is left to read, then hand over' },
      { name: 'max-lag', value: 'EVENTS', summary: 'with --wait: how much may be left; default 1,000' },
      { name: 'deadline', value: 'SECONDS', summary: 'with --wait: how long; default 60' },
      ACCEPT,
      { name: 'back', summary: 'take the state back: our own writer goes on from where it stands' },
      { name: 'execute', summary: 'do it; without, it is only said what would be done' },
    ],
    json: '{job, group, outcome, generation, root, manifest, position, state, members, partitions, others, refusals}',
  },
  {
    name: 'inspect', summary: "one key's value, now or then", positionals: [{ name: 'KEY', required: true }],
    flags: [
      JOB_FLAG, GENERATION, SHARD,
      COLLECTION,
      { name: 'at', value: 'POSITION|TIME', summary: 'the value then, from the log' },
    ],
    json: '{collection, key, value, position}',
  },
  {
    name: 'explain', summary: 'the events that made a value, and the value after each', positionals: [{ name: 'KEY', required: true }],
    flags: [
      JOB_FLAG, GENERATION, JSONL,
      COLLECTION,
    ],
    json: '{events: [{partition, offset, type, value}]}',
  },
  {
    name: 'prove', summary: 'a proof that the state holds a key, or does not, for whoever has neither',
    positionals: [{ name: 'KEY', required: true }],
    flags: [JOB_FLAG, GENERATION, COLLECTION, { name: 'out', value: 'FILE', summary: 'default stdout' }],
    json: 'the proof, or {out, kind, collection, key, bytes, root, manifest} (with --out)',
  },
  {
    name: 'check', summary: 'check a proof or a receipt, with nothing but the file', positionals: [{ name: 'FILE', required: true }],
    flags: [
      { name: 'root', value: 'HASH', summary: 'a proof: the state root that you have from elsewhere' },
      { name: 'manifest', value: 'HASH', summary: 'a proof: the manifest hash that you have from elsewhere' },
      { name: 'public-key', value: 'PEM-FILE', summary: 'a receipt: the key of whom you trust' },
    ],
    json: '{valid, kind, steps, …} or {error}',
  },
  {
    name: 'serve', summary: 'let another host compare its state with this one: its digest, read-only', positionals: [JOB],
    flags: [
      { name: 'digest', summary: 'what is served; the dashboard is not built yet' },
      { name: 'host', value: 'HOST', summary: 'default 127.0.0.1' },
      { name: 'port', value: 'N', summary: 'default 8390; 0: any that is free' },
      TOKEN_FILE,
    ],
    json: '{job, url, generation, position, root}, once, when it is ready',
  },
  {
    name: 'export', summary: 'the state as NDJSON lines {collection, key, value}', positionals: [JOB],
    flags: [
      GENERATION, SHARD,
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

const SNAPSHOTS = 'It comes with snapshots.'

/** Designed, and refused by name until they are built. */
export const DEFERRED_COMMANDS: Readonly<Record<string, string>> = {
  snapshot: SNAPSHOTS,
  completion: 'It comes with the operations commands.',
  gate: 'It comes with the cutover.', cutover: 'It comes with the cutover.',
}

const DEFERRED_RUN_FLAGS = { 'from-snapshot': SNAPSHOTS }

/** Flags that are designed, by command. */
export const DEFERRED_FLAGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  plan: DEFERRED_RUN_FLAGS, replay: DEFERRED_RUN_FLAGS,
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
