/** The public surface. This file alone binds the real world (`host`) to the engine. */
import { hostWorld } from './host/world.js'
import type { Position } from './log/position.js'
import type { EventSource } from './log/source.js'
import type { Plan, ReplayOptions, Run } from './replay/api.js'
import { explainKey, type ExplainedEvent, type ExplainOptions } from './replay/explain.js'
import {
  handOver as handOverTo, takeBack as takeBackFrom, type HandOver, type HandOverOptions, type TakeBackOptions,
} from './replay/handover.js'
import { planRun } from './replay/plan.js'
import { startRun } from './replay/run.js'
import type { CompareOptions, Difference, Rebuilt, Verdict } from './verify/api.js'
import { auditRebuild, type Audit, type AuditOptions } from './verify/audit.js'
import { differencesOf, findDifferences as findAll, type Diff, type DiffOptions } from './verify/diff.js'
import { openStoreSide } from './verify/open.js'
import { repairState, type Repair, type RepairOptions } from './verify/repair.js'
import { scrubState, type Scrubbed } from './verify/scrub.js'
import { decide } from './verify/verdict.js'

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

/** Are two states equal at one position? Resolves to a verdict; rejects where it could not even look. See CompareOptions, Verdict. */
export function verify(options: CompareOptions): Promise<Verdict> {
  return decide(options, hostWorld())
}

/** The keys in which two states differ, and where in them. Throws the reason where they can not be compared. */
export function diff(options: DiffOptions): AsyncIterable<Difference> {
  return differencesOf(options, hostWorld())
}

/** The verdict and the differences in one. */
export function findDifferences(options: DiffOptions): Promise<Diff> {
  return findAll(options, hostWorld())
}

/** Rewrites what is wrong in our state from the log, and says what would put the other side right. See RepairOptions, Repair. */
export function repair(options: RepairOptions): Promise<Repair> {
  return repairState(options, hostWorld())
}

/** The consumers of a group go on from our state, and our own writer stops. See HandOverOptions, HandOver. */
export function handOver(options: HandOverOptions): Promise<HandOver> {
  return handOverTo(options, hostWorld())
}

/** Our own writer goes on again from where it stands, after the consumers of the group were stopped. See TakeBackOptions. */
export function takeBack(options: TakeBackOptions): Promise<HandOver> {
  return takeBackFrom(options, hostWorld())
}

/** Folds the log again in other orders and batches, in memory, and compares with the state. See Audit; errors as of a replay. */
export async function audit(
  options: Rebuilt & { readonly source: EventSource } & Pick<AuditOptions, 'rounds' | 'maxFolds' | 'memoryBytes' | 'tell'>
    & { readonly signal?: AbortSignal },
): Promise<Audit> {
  const { store, generation, signal = new AbortController().signal, ...rest } = options
  const side = await openStoreSide(store, 'the store', generation)
  try {
    return await auditRebuild({ ...rest, session: side.session, world: hostWorld(), signal })
  } finally {
    await side.close()
  }
}

/** Re-reads every stored byte of a state. STATE_CORRUPT names the entry that is not what was written. */
export async function scrub(
  options: Pick<Rebuilt, 'store' | 'generation'> & { readonly signal?: AbortSignal },
): Promise<Scrubbed & { readonly root: string; readonly manifestHash: string; readonly position: Position }> {
  const side = await openStoreSide(options.store, 'the store', options.generation)
  try {
    const scrubbed = await scrubState(side.session, options.signal ?? new AbortController().signal, hostWorld().clock)
    const { manifest, manifestHash } = side.hello
    return { ...scrubbed, root: manifest.root as string, manifestHash, position: side.standing.position }
  } finally {
    await side.close()
  }
}

export { defineProjection, defineReducer, compositeKey } from './projection/define.js'
export type {
  CollectionOptions, CollectionView, EventOptions, EventOf, KeyRef, Projection, ProjectionOptions, ReducerOptions, Schema, StateView,
  Upcaster,
} from './projection/define.js'
export { openState, type State } from './replay/state.js'
export { positionAt } from './replay/cut-search.js'
export { cutAt } from './replay/end.js'
export type {
  Eta, Grade, Phase, Plan, PlannedPartition, PlannedPlacement, Progress, ReplayOptions, Run, RunEvent, RunTotals, SealedRun,
} from './replay/api.js'
export type { ExplainedEvent, ExplainOptions } from './replay/explain.js'
export type {
  ComparedCollection, ComparedSide, CompareOptions, Difference, InputComparison, Reason, Rebuilt, Verdict,
} from './verify/api.js'
export type { Audit } from './verify/audit.js'
export type { Blame } from './verify/blame.js'
export type { Diff, DiffOptions } from './verify/diff.js'
export type { FieldDifference } from './verify/fields.js'
export type { Repair, RepairOptions } from './verify/repair.js'
export { ndjsonDump } from './verify/dump.js'
export type {
  Against, AgainstOptions, DigestSide, Hello, Mend, RowBlock, RowCollection, RowSide, Side, Standing, Traffic,
} from './verify/side.js'
export { defineConfig, type Job, type RehydrateConfig } from './host/config.js'
export { env, type Secret } from './host/secrets.js'

export { RehydrateError, isRehydrateError, ERRORS, type ErrorCode, type ErrorDetails } from './errors.js'
export {
  compareUtf8, formatPosition, parsePosition, positionFromJson, positionToJson, type Offset, type Position,
} from './log/position.js'

// What an adapter of a log or a store needs besides its client.
export type {
  Bounds, BoundsOptions, ConsumerGroup, DifferenceCode, EventBatch, EventSource, Finding, Holes, Mark, MarkCheck, OpenTransaction,
  ReadLimits, ReadRange, RecordedEvent,
} from './log/source.js'
export type { Reads } from './value/reads.js'
export type { Accepted, Checkpoint, CollectionRoot, Manifest, Writer } from './store/checkpoint.js'
export type { Fingerprint } from './projection/fingerprint.js'
export { checkpointBytes, checkpointFromBytes, makeManifestHash } from './store/checkpoint-codec.js'
export { FORMAT_VERSION } from './store/contract.js'
export { overlayStore } from './store/overlay.js'
export type {
  Changes, Entry, EntryBlock, EntryKey, GenerationRow, OpenRead, OpenWrite, PutEntry, StateStore, StoreSession, WriterRow,
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
// For sources that read only what is declared.
export { JsonScanner, UNREADABLE } from './value/json-scan.js'
export { compileReads, envelopeReads, type ReadNode } from './value/reads.js'
export { checkOptions } from './value/options.js'
// For src/cli.
export { distance } from './log/position.js'
export { nearest } from './value/options.js'
export { digestOfLines, type DumpDigest } from './digest/dump.js'
export { formatHash } from './digest/hash.js'
// For sources: the input chain of docs/formats.md.
export { INPUT_BLOCK, type Inputs } from './log/inputs.js'
export { TOMBSTONES_SHARE } from './log/bounds.js'
export { milestonesAt, milestonesFrom, milestonesOf, nextMilestone, type Milestones } from './log/milestones.js'
// What a store that keeps tables with columns, or reads those of another program, needs.
export { CanonicalWriter } from './value/writer.js'
export { columnsOfShape, type Cell, type ColumnDeclarations, type Columns, type StoredColumn } from './value/columns.js'
export {
  compileForeign, type ForeignColumn, type ForeignColumnDeclaration, type ForeignColumnDeclarations,
  type ForeignColumnOptions, type ForeignColumns,
} from './value/column-foreign.js'
export { isKey } from './value/key.js'
export { isObject } from './value/value.js'
// For what is told to people: `diagnose` of a source, the command line.
export { span } from './value/span.js'
export type { Collection } from './projection/define.js'
// Proofs and receipts for third parties; what serves a digest, and reads one that is served.
export { openStoreSide, type StoreSide } from './verify/open.js'
export {
  checkProof, proofText, proveKey, type GivenHashes, type Proof, type ProofPath, type ProofStep, type ProvenValue,
} from './verify/proof.js'
export {
  checkReceipt, receiptText, signedReceiptText, type CheckedReceipt, type ReceiptCollection, type ReceiptFacts, type ReceiptSide,
  type ReceiptStep, type SignedReceipt, type VerifySignature,
} from './verify/receipt.js'
export type { Checked, CheckedStep } from './verify/checks.js'
export { signReceipt, verifyEd25519 } from './host/keys.js'
export { remoteSide, type RemoteOptions } from './host/remote.js'
export { serveDigest, type DigestServer, type ServeDigestOptions } from './host/serve-digest.js'
// For blame: which events touch which keys, kept between calls.
export type { OffsetsFile } from './verify/key-offsets.js'
export { offsetsFile } from './host/offsets-file.js'
export { MAX_FIELDS } from './verify/fields.js'
// Handing a state over to the consumers of a group, and back.
export type { HandOver, HandOverOptions, TakeBackOptions } from './replay/handover.js'
export type { GroupPartition } from './replay/handover-group.js'
export { isHandedOver } from './replay/handover-record.js'
// Shards of one job, and the one state that they make.
export { joinSeals, type JoinedSeal, type JoinedShard, type JoinOptions } from './verify/join.js'
export { formatShard, shardOfPartition, shardOptions, shardStore } from './replay/shard.js'
export type { Limits } from './replay/api.js'
// Ready-made projections.
export { latest, type LatestOptions } from './projection/latest.js'
export { debezium, type DebeziumOptions, type DebeziumTable } from './projection/debezium.js'
export type { Shard } from './store/checkpoint.js'
// For sources whose records are in an envelope of others.
export { cloudEventData, cloudEventParts } from './log/cloud-event.js'
export { fieldAt, partsByFields, type EnvelopeParts, type FieldMapping } from './log/envelope.js'
export { functionText, type Reading } from './log/reading.js'
export { recordedAtOf } from './log/recorded-at.js'
export type { KeyHash, PartitionerOptions } from './log/partitioner.js'
export type { Order, TimeOptions } from './projection/options.js'
