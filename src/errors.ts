/**
 * Every error this engine throws, in one table: exit code, whether a person may waive it with
 * `--accept CODE=WHERE`, what it means, what is safe, and what to do. `docs/errors.md` is generated from here.
 */

interface ErrorInfo {
  /** Process exit code of the CLI; the groups are in ARCHITECTURE.md. */
  readonly exit: 1 | 2 | 3 | 5 | 7 | 8 | 64 | 130
  /** True where `--accept CODE=WHERE` may waive it; what was waived stands in the seal. */
  readonly acceptable: boolean
  readonly summary: string
  readonly safe: string
  readonly fix: string
}

const UNTOUCHED = 'Nothing was changed.'
const UP_TO_CHECKPOINT = 'The state is right up to the last checkpoint; nothing after it was kept.'

export const ERRORS = {
  // 7: the source lost data
  LOG_TRUNCATED: {
    exit: 7, acceptable: false,
    summary: 'The log no longer reaches back to the next event this state needs, or ends before the last one it applied.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Bring the missing segments back, or rebuild into a new generation with `rehydrate replay --restart`.',
  },
  LOG_RECREATED: {
    exit: 7, acceptable: false,
    summary: 'The log under this name is another one: its first record is not the one this state was built from.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Point the job at the original log, or rebuild from the new one with `rehydrate replay --restart`.',
  },
  LOG_REWRITTEN: {
    exit: 7, acceptable: false,
    summary: 'A record that was already applied has other content now.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Find out who rewrote the log. Rebuild from it with `rehydrate replay --restart`.',
  },
  LOG_DIVERGED: {
    exit: 7, acceptable: false,
    summary: 'The log took another course: the last record that was applied is gone, and its leader epoch ended before it.',
    safe: UP_TO_CHECKPOINT,
    fix: 'The cluster lost acknowledged records (an unclean election). Rebuild from what is there with `rehydrate replay --restart`.',
  },
  LOG_REORDERED: {
    exit: 7, acceptable: false,
    summary: 'Offsets did not rise within one delivery, and did not on a second read either.',
    safe: UP_TO_CHECKPOINT,
    fix: 'The source is faulty: check its adapter with the conformance kit (`rehydrate/conformance`).',
  },
  LOG_GAP: {
    exit: 7, acceptable: true,
    summary: 'Offsets are missing in a log that promises none missing.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Bring the missing records back. If you can live without them, accept the gap: --accept LOG_GAP=PARTITION@FROM..TO.',
  },
  LOG_CORRUPT: {
    exit: 7, acceptable: false,
    summary: 'A part of the log can not be read as records.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Restore that part of the log from a copy, then run the same command again.',
  },
  LOG_TORN_TAIL: {
    exit: 7, acceptable: false,
    summary: 'The last line of the log is incomplete: a writer is at work, or was interrupted.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Wait for the writer and run again, stop before it with --until POSITION, or wait for the rest with --until follow.',
  },
  HISTORY_INCOMPLETE: {
    exit: 7, acceptable: true,
    summary: 'A fresh rebuild would start in the middle: the log does not begin at its first event.',
    safe: UNTOUCHED,
    fix: 'Bring the earlier segments back, or go on without them: --accept HISTORY_INCOMPLETE=PARTITION@FIRST; the seal will say so.',
  },
  TOMBSTONES_EXPIRED: {
    exit: 7, acceptable: false,
    summary: 'A compacted log was read more slowly than it forgets deletes: keys that were deleted may still be in the state.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Rebuild with `rehydrate replay --restart`, within delete.retention.ms of the topic; raise that, or give the replay more speed.',
  },
  // 8: the projection
  HANDLER_FAILED: {
    exit: 8, acceptable: true,
    summary: 'A handler threw.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Mend the handler and raise the version, or leave this one event out: --accept HANDLER_FAILED=PARTITION@OFFSET.',
  },
  HANDLER_ASYNC: {
    exit: 8, acceptable: false,
    summary: 'A handler returned a promise. Handlers are synchronous.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Make the handler synchronous. What it needs must be in the event or in the state.',
  },
  HANDLER_RETURNED_NOTHING: {
    exit: 8, acceptable: false,
    summary: 'A reducer returned undefined.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Return the next state, or null to delete it.',
  },
  IMPURE_HANDLER: {
    exit: 8, acceptable: false,
    summary: 'A handler asked for the time, a random number, a timer or the network.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Take times and ids from the event: a rebuild must give the same state every time.',
  },
  NOT_DETERMINISTIC: {
    exit: 8, acceptable: false,
    summary: 'The same handler gave two different results for the same state and event.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Look for a variable of the module that the handler changes. All it remembers must be in the state.',
  },
  KEY_CROSSES_PARTITIONS: {
    exit: 8, acceptable: false,
    summary: 'One state key is touched by events of two partitions, between which there is no order.',
    safe: UP_TO_CHECKPOINT,
    fix: "Key the state by what partitions the log, or declare order: 'time' for the projection.",
  },
  KEY_NOT_DECLARED: {
    exit: 8, acceptable: false,
    summary: 'A handler touched a key that keys(event) does not name.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Add the key to what keys[type](event) returns.',
  },
  KEY_INVALID: {
    exit: 8, acceptable: false,
    summary: 'A state key is not a non-empty string of at most 1,024 UTF-8 bytes.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Return a non-empty, well-formed string; compositeKey(a, b) makes one of several parts.',
  },
  VALUE_INVALID: {
    exit: 8, acceptable: false,
    summary: 'A value can not be kept exactly.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Keep plain data: null, booleans, finite numbers, strings, bytes, arrays and plain objects.',
  },
  EVENT_KEY_MISSING: {
    exit: 8, acceptable: false,
    summary: 'An event without a key met a projection that keeps its state under the event key.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Declare keys: { Type: (event) => [{ collection, key }] } for this type.',
  },
  LATE_EVENT: {
    exit: 8, acceptable: false,
    summary: "An event belongs before the point up to which order 'time' has already merged.",
    safe: UP_TO_CHECKPOINT,
    fix: 'A new generation includes it: `rehydrate replay --restart`.',
  },
  RECORDED_AT_MISSING: {
    exit: 8, acceptable: false,
    summary: "order: 'time' needs recordedAt, and an event has none.",
    safe: UP_TO_CHECKPOINT,
    fix: "Write recordedAt into the log, or use order: 'partition'.",
  },
  TIMESTAMP_IMPLAUSIBLE: {
    exit: 8, acceptable: false,
    summary: 'A timestamp lies further ahead of the records after it than futureMs allows.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Correct the record in the log, or raise time.futureMs of the projection.',
  },
  EVENT_ID_REUSED: {
    exit: 8, acceptable: false,
    summary: 'Two events of one partition carry the same id and different content.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Find the producer that reuses ids. Without ids: { window } ids are not compared.',
  },
  EVENT_TYPE_UNKNOWN: {
    exit: 8, acceptable: false,
    summary: 'The projection has no handler for a type, or knows only older versions of it.',
    safe: UP_TO_CHECKPOINT,
    fix: "Add a handler or an upcaster, or set unknownEvents: 'skip' to count and pass over such events.",
  },
  EVENT_INVALID: {
    exit: 8, acceptable: true,
    summary: 'An event does not fit the schema of its type, or an upcaster threw.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Mend schema or upcaster and raise the version, or leave this one event out: --accept EVENT_INVALID=PARTITION@OFFSET.',
  },
  NUMBER_INEXACT: {
    exit: 8, acceptable: false,
    summary: 'A JSON integer lies beyond 2^53 and would be rounded.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Declare the field: events: { Type: { int64: ["path"] } }; the handler then gets a bigint.',
  },
  PROJECTION_CHANGED: {
    exit: 8, acceptable: true,
    summary: 'The projection, or what makes its events of records, is not that of this state, though the version is the same.',
    safe: UNTOUCHED,
    fix: 'Raise its version, which opens a new generation. If the fold did not change: --accept PROJECTION_CHANGED=code.',
  },
  COMPACTED_HISTORY: {
    exit: 8, acceptable: false,
    summary: 'The log is compacted, so earlier events of a key are gone; the projection folds them all.',
    safe: UNTOUCHED,
    fix: "Use latest() or debezium(), or declare history: 'last' where the state of a key depends on its last record only.",
  },
  FIELD_NOT_DECLARED: {
    exit: 8, acceptable: false,
    summary: "A handler read a field of the event's data that the projection does not declare in `reads`.",
    safe: UP_TO_CHECKPOINT,
    fix: 'Add the path to `reads` and raise the version of the projection.',
  },
  PARTITIONER_UNPROVED: {
    exit: 8, acceptable: false,
    summary: 'A record lies in a partition in which the declared partitioner would not have put its key.',
    safe: UP_TO_CHECKPOINT,
    fix: "Declare the partitioner and counts that `rehydrate plan` finds in the topic, or use order: 'time'.",
  },
  SCHEMA_INCOMPATIBLE: {
    exit: 8, acceptable: false,
    summary: 'A schema of the registry does not fit what the projection reads, or is not the one that this state was built with.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Mend the projection and raise its version, or bring the earlier schema back.',
  },
  COLUMN_UNKNOWN: {
    exit: 8, acceptable: false,
    summary: 'A field has no column to be kept in, or a table has a column that the mapping neither reads nor ignores.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Declare the column, or a `rest` column for everything else; in a mapping, name it in `columns` or in `ignore`.',
  },
  // 64: usage and configuration
  CONFIG_NOT_FOUND: {
    exit: 64, acceptable: false,
    summary: 'There is no configuration file, or no such job in it.',
    safe: UNTOUCHED,
    fix: 'Run where rehydrate.config.ts is, or name it with --config FILE.',
  },
  CONFIG_INVALID: {
    exit: 64, acceptable: false,
    summary: 'The configuration, or an option, does not say what it must.',
    safe: UNTOUCHED,
    fix: 'Correct the named place.',
  },
  CONFIG_AMBIGUOUS: {
    exit: 64, acceptable: false,
    summary: 'A name stands for two things.',
    safe: UNTOUCHED,
    fix: 'Rename one of them, or say which is meant.',
  },
  CONFIG_LOAD_FAILED: {
    exit: 64, acceptable: false,
    summary: 'The configuration file could not be loaded.',
    safe: UNTOUCHED,
    fix: 'Correct the error that the file itself raised.',
  },
  USAGE: {
    exit: 64, acceptable: false,
    summary: 'The command line or a call is not one this tool understands.',
    safe: UNTOUCHED,
    fix: '`rehydrate help COMMAND` shows what it takes.',
  },
  OPTION_DEFERRED: {
    exit: 64, acceptable: false,
    summary: 'An option that is designed but not built yet. It is refused, never ignored.',
    safe: UNTOUCHED,
    fix: 'Leave the option out.',
  },
  EVENT_SHAPE_UNKNOWN: {
    exit: 64, acceptable: false,
    summary: 'It can not be told what type a record has: it carries no type header and is no {type, data} envelope.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Say where type, key and data are: event: { type: …, key: …, data: … } of the log\'s options.',
  },
  ADAPTER_PEER_MISSING: {
    exit: 64, acceptable: false,
    summary: 'An adapter needs a package that is not installed.',
    safe: UNTOUCHED,
    fix: 'Install the named package.',
  },
  // 5: lost the race
  FENCED: {
    exit: 5, acceptable: false,
    summary: 'Another writer has taken over this generation.',
    safe: 'This process changed nothing after the other took over.',
    fix: 'Let the other one work; `rehydrate status` says who it is.',
  },
  ALREADY_RUNNING: {
    exit: 5, acceptable: false,
    summary: 'Another writer is at work on this generation.',
    safe: UNTOUCHED,
    fix: 'Wait for it or stop it. --takeover fences it off and goes on from its last checkpoint.',
  },
  GROUP_ACTIVE: {
    exit: 5, acceptable: false,
    summary: 'The consumer group has members: what they commit would overwrite what is handed over.',
    safe: UNTOUCHED,
    fix: 'Stop the consumers of the group, then run the same command again.',
  },
  HANDED_OVER: {
    exit: 5, acceptable: false,
    summary: 'This state was handed over: a consumer group goes on from here.',
    safe: UNTOUCHED,
    fix: 'Stop the consumers of the group and take the state back with `rehydrate handover --back`, or rebuild with `--restart`.',
  },
  // 2: fault or unknown
  STATE_CORRUPT: {
    exit: 2, acceptable: false,
    summary: 'What the store holds is not what was written: a stored hash does not fit its bytes.',
    safe: 'The faulty entry was not used and not overwritten.',
    fix: 'Check the disk. Rebuild into a new generation with `rehydrate replay --restart`.',
  },
  STORE_FORMAT_NEWER: {
    exit: 2, acceptable: false,
    summary: 'The store was written by a newer version of this tool.',
    safe: UNTOUCHED,
    fix: 'Use that version or a newer one.',
  },
  STORE_NOT_FOUND: {
    exit: 2, acceptable: false,
    summary: 'There is no such store, or nothing in it yet.',
    safe: UNTOUCHED,
    fix: 'Check the path; `rehydrate replay` fills it.',
  },
  STORE_GENERATION: {
    exit: 2, acceptable: false,
    summary: 'The generation does not exist, was never sealed, is in use, or was begun with other columns.',
    safe: UNTOUCHED,
    fix: '`rehydrate generation list` shows what there is.',
  },
  STORE_FAILED: {
    exit: 2, acceptable: false,
    summary: 'The store could not read or write.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Remove the cause (disk space, permissions, limits) and run the same command again.',
  },
  AGAINST_POSITION_UNKNOWN: {
    exit: 2, acceptable: false,
    summary: 'Nobody said up to which event the other side was built, so that equal or not would mean nothing.',
    safe: UNTOUCHED,
    fix: "Say where it stands: position: { at: 'orders/0@41' } in the configuration, or --against-at POSITION.",
  },
  POSITIONS_DIFFER: {
    exit: 2, acceptable: false,
    summary: 'The two sides stand at different positions of the log, so that equal or not would mean nothing.',
    safe: UNTOUCHED,
    fix: 'Let the one behind catch up. --wait folds our side forward in memory to where the other one stands.',
  },
  LOGS_DIFFER: {
    exit: 2, acceptable: false,
    summary: 'The two sides were built from logs that are not provably the same, so that their positions can not be compared.',
    safe: UNTOUCHED,
    fix: 'If you know that both logs hold the same events at the same offsets, say so with --against-at POSITION.',
  },
  DIGESTS_INCOMPARABLE: {
    exit: 2, acceptable: false,
    summary: 'The roots of the two sides are made by different rules (version, algorithm, codec or capacity).',
    safe: UNTOUCHED,
    fix: 'Compare with the same version of rehydrate on both sides.',
  },
  AGAINST_UNREACHABLE: {
    exit: 2, acceptable: false,
    summary: 'The other side could not be reached, or refused.',
    safe: UNTOUCHED,
    fix: 'Check the address, that `rehydrate serve --digest` runs there, and the token on both sides.',
  },
  AGAINST_INVALID: {
    exit: 2, acceptable: false,
    summary: 'What the other side says does not fit together, or can not be read as what it is said to be.',
    safe: UNTOUCHED,
    fix: 'Correct the named row or mapping. A store of ours: scrub it where it lies (`rehydrate verify --scrub`), or rebuild it.',
  },
  LOG_COMPACTED: {
    exit: 2, acceptable: false,
    summary: 'The log is, or may have been, compacted: earlier events are gone, and so are the states they made.',
    safe: UNTOUCHED,
    fix: 'Ask at the end of the log, or of a log that is not compacted.',
  },
  SHARDS_APART: {
    exit: 2, acceptable: false,
    summary: 'The seals of these shards are not parts of one state: they overlap, leave something out, or are of different folds.',
    safe: UNTOUCHED,
    fix: 'Bring every shard to a seal with the same projection and the same number of shards, then join again.',
  },
  SOURCE_UNREACHABLE: {
    exit: 2, acceptable: false,
    summary: 'The log could not be reached.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Check the path or the address and the permissions, then run the same command again.',
  },
  UNEXPECTED: {
    exit: 2, acceptable: false,
    summary: 'An error this tool does not know. It is likely a fault in rehydrate itself.',
    safe: UP_TO_CHECKPOINT,
    fix: 'Please report it with the message and the stack.',
  },
  // 1: differs, or refused
  PROOF_INVALID: {
    exit: 1, acceptable: false,
    summary: 'A proof or a receipt does not show what it says.',
    safe: UNTOUCHED,
    fix: 'Ask whoever made it for another one; do not rely on this one.',
  },
  // 3: not yet
  WAIT_DEADLINE: {
    exit: 3, acceptable: false,
    summary: 'The other side did not get where it was waited for in the time given.',
    safe: UNTOUCHED,
    fix: 'Look whether it still moves, or give it longer: --wait --deadline SECONDS.',
  },
  // 130/143: stopped
  RUN_STOPPED: {
    exit: 130, acceptable: false,
    summary: 'The run was stopped after a clean checkpoint.',
    safe: 'The checkpoint is written; nothing is lost.',
    fix: 'The same command goes on from there.',
  },
} as const satisfies Record<string, ErrorInfo>

export type ErrorCode = keyof typeof ERRORS

export interface ErrorDetails {
  /** One sentence: what happened, with the place. */
  readonly message: string
  readonly partition?: string | undefined
  readonly offset?: number | undefined
  readonly key?: string | undefined
  readonly collection?: string | undefined
  /** Path inside a value or a configuration, e.g. `$.items[2].price`. */
  readonly path?: string | undefined
  /** A file, with the 1-based line and the 0-based byte in it. */
  readonly file?: string | undefined
  readonly line?: number | undefined
  readonly byte?: number | undefined
  readonly expected?: unknown
  readonly actual?: unknown
  readonly why?: string | undefined
  /** Defaults to the table's. */
  readonly safe?: string | undefined
  /** Defaults to the table's. */
  readonly fix?: string | undefined
  readonly cause?: unknown
}

const BRAND = Symbol.for('rehydrate.error')

/** The one error class. Match on `code`; `isRehydrateError` also knows errors of another copy of this package. */
export class RehydrateError extends Error {
  readonly [BRAND] = true
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, details: ErrorDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'RehydrateError'
    this.code = code
    this.details = details
  }

  get why(): string { return this.details.why ?? ERRORS[this.code].summary }
  get safe(): string { return this.details.safe ?? ERRORS[this.code].safe }
  get fix(): string { return this.details.fix ?? ERRORS[this.code].fix }
  get exitCode(): number { return ERRORS[this.code].exit }

  /** The same fields on screen, in JSON and in logs; undefined ones are left out. */
  toJSON(): Record<string, unknown> {
    const { message, safe: _safe, fix: _fix, why: _why, cause, ...place } = this.details
    const json: Record<string, unknown> = { code: this.code, message, ...place, why: this.why, safe: this.safe, fix: this.fix }
    if (cause !== undefined) json['cause'] = cause instanceof Error ? cause.message : String(cause)
    for (const name of Object.keys(json)) {
      if (json[name] === undefined) delete json[name]
      else if (typeof json[name] === 'bigint') json[name] = String(json[name])
    }
    return json
  }
}

export function isRehydrateError(error: unknown): error is RehydrateError {
  return typeof error === 'object' && error !== null && BRAND in error
}

/** True where `--accept CODE=…` may name this code. */
export function isAcceptable(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code) && ERRORS[code as ErrorCode].acceptable
}
