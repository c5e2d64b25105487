/** The public surface. This file alone binds the real world (`host`) to the engine. */
import { hostWorld } from './host/world.js'
import type { Plan, ReplayOptions, Run } from './replay/api.js'
import { explainKey, type ExplainedEvent, type ExplainOptions } from './replay/explain.js'
import { planRun } from './replay/plan.js'
import { startRun } from './replay/run.js'

/** Rebuilds a state from a log, or goes on with it. See ReplayOptions. `done` rejects with a RehydrateError. */
export function replay(options: ReplayOptions): Run {
  return startRun(options, hostWorld())
}

/** What a replay would do, with every refusal, without doing it. */
export function plan(options: ReplayOptions): Promise<Plan> {
  return planRun(options, hostWorld())
}

/** The events that made a key, each with the value after it. */
export function explain(options: ExplainOptions): AsyncIterable<ExplainedEvent> {
  return explainKey(options, hostWorld())
}

export { defineProjection, defineReducer, compositeKey } from './projection/define.js'
export type {
  CollectionOptions, CollectionView, EventOptions, EventOf, KeyRef, Projection, ProjectionOptions, ReducerOptions, Schema, StateView,
  Upcaster,
} from './projection/define.js'
export { openState, type State } from './replay/state.js'
export { positionAt } from './replay/cut-search.js'
export type {
  Eta, Grade, Phase, Plan, Progress, ReplayOptions, Run, RunEvent, RunTotals, SealedRun,
} from './replay/api.js'
export type { ExplainedEvent, ExplainOptions } from './replay/explain.js'
export { defineConfig, type Job, type RehydrateConfig } from './host/config.js'
export { env, type Secret } from './host/secrets.js'

export { RehydrateError, isRehydrateError, ERRORS, type ErrorCode, type ErrorDetails } from './errors.js'
export {
  compareUtf8, formatPosition, parsePosition, positionFromJson, positionToJson, type Offset, type Position,
} from './log/position.js'

// What an adapter of a log or a store needs besides its client.
export type {
  Bounds, EventBatch, EventSource, Holes, Mark, MarkCheck, ReadLimits, ReadRange, RecordedEvent,
} from './log/source.js'
export type { Accepted, Checkpoint, CollectionRoot, Manifest, Writer } from './store/checkpoint.js'
export type { Fingerprint } from './projection/fingerprint.js'
export { checkpointBytes, checkpointFromBytes, makeManifestHash } from './store/checkpoint-codec.js'
export { FORMAT_VERSION } from './store/contract.js'
export type {
  Changes, Entry, EntryKey, GenerationRow, OpenRead, OpenWrite, PutEntry, StateStore, StoreSession, WriterRow,
} from './store/contract.js'
export {
  alreadyRunning, fenced, generationNotFound, generationRefused, liveChanged, sessionClosed, sessionReadOnly,
} from './store/refusals.js'
export { decode, encode, type Value } from './value/canonical.js'
// Canonical forms of what JSON has no type for, for handlers and adapters alike: docs/formats.md.
export {
  bytesOfHex, dateOf, decimalOf, int64Of, textOf, timestampOf, uuidOf,
} from './value/logical.js'
export { findBigIntegers, parseJson, stringifyJson, suspectDigits } from './value/json.js'
export { checkOptions } from './value/options.js'
// For src/cli.
export { distance } from './log/position.js'
export { nearest } from './value/options.js'
export { digestOfLines, type DumpDigest } from './digest/dump.js'
export { formatHash } from './digest/hash.js'
