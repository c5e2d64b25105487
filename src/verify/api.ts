import type { ErrorCode } from '../errors.js'
import type { Offset, Position } from '../log/position.js'
import type { EventSource } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { Accepted, CollectionRoot, Manifest } from '../store/checkpoint.js'
import type { StateStore } from '../store/contract.js'
import type { Value } from '../value/canonical.js'
import type { Blame } from './blame.js'
import type { FieldDifference } from './fields.js'
import type { Against, Traffic } from './side.js'

/** The state that was rebuilt: what is compared is its newest sealed or maintained checkpoint. */
export interface Rebuilt {
  readonly store: StateStore
  readonly projection: Projection
  /** The log; needed for `waitMs`, `at`, blame and repair. */
  readonly source?: EventSource
  /** Default: the live one. */
  readonly generation?: number
}

export interface CompareOptions {
  readonly rebuilt: Rebuilt
  /** A store of ours (its live generation), a generation of the same store, or whatever an adapter offers to compare with. */
  readonly against: StateStore | Against | { readonly generation: number } | { readonly at: Position | Date }
  /** The log that the other side was built from, where it is at hand: the first record that differs can be named then. */
  readonly againstSource?: EventSource
  /** Compare the rebuilt side as it was there: folded again from the log, in memory. */
  readonly at?: Position | Date
  /** Where the other side stands, on a person's word; the verdict says so. */
  readonly againstAt?: Position
  /**
   * Where the two stand apart: wait up to so many milliseconds until the other side stands nowhere behind ours, then fold ours forward,
   * in memory, to where it stands. Nobody is stopped.
   */
  readonly waitMs?: number
  /** Re-read every stored byte of our side first (of the other too where it is a store at hand): the grade becomes 'scrubbed'. */
  readonly scrub?: boolean
  /** Differences counted and told; the comparison stops there and says so. Default 10,000. */
  readonly limit?: number
  readonly signal?: AbortSignal
}

/** What can be said, and how sure it is. Never a guess: where something is not known the verdict is 'inconclusive'. */
export interface Verdict {
  readonly verdict: 'match' | 'mismatch' | 'inconclusive'
  /** Why nothing can be said; null for the other two. */
  readonly reason: Reason | null
  /** The weaker one of both sides; null where nothing was compared. */
  readonly grade: 'scrubbed' | 'maintained' | null
  /** Where our side stands: the position that was compared. */
  readonly position: Position
  readonly againstPosition: Position | null
  /** True where a person says where the other side stands. */
  readonly asserted: boolean
  /** What the rebuilt state is a fold by. */
  readonly projection: Manifest['projection']
  readonly rebuilt: ComparedSide
  readonly against: ComparedSide
  /** By name; `equal` is null where it was not compared. */
  readonly collections: Readonly<Record<string, ComparedCollection>>
  /** Keys that differ; where `truncated`, at least so many. Null where nothing was compared. */
  readonly differing: number | null
  readonly truncated: boolean
  /** Whether both read the same events; null where the other side does not say. */
  readonly input: InputComparison | null
  /** What went over the wire; null in process. */
  readonly traffic: Traffic | null
  readonly durationMs: number
}

export interface Reason {
  readonly code: ErrorCode
  readonly message: string
  readonly fix: string
}

export interface ComparedSide {
  /** What people call it. */
  readonly name: string
  /** State root over what was compared, `sh1:<hex>`; of a whole state the one in its seal. Null where it is not known. */
  readonly root: string | null
  /** Null where the side has no seal. */
  readonly manifest: string | null
  readonly accepted: readonly Accepted[]
  /** What was read, as the seal says: partition → identity. Empty where there is no seal. */
  readonly identity: Manifest['identity']
}

export interface ComparedCollection {
  readonly rebuilt: CollectionRoot | null
  readonly against: CollectionRoot | null
  readonly equal: boolean | null
  /** Fields that the other side does not have, left out on both. */
  readonly omitted: readonly string[]
}

export interface InputComparison {
  readonly is: 'same' | 'different' | 'unknown'
  /** Where inputs part: in [from, to] of this partition, both inclusive. */
  readonly partition?: string
  readonly from?: Offset
  readonly to?: Offset
}

/** One key that differs. */
export interface Difference {
  readonly collection: string
  readonly key: string
  readonly kind: 'value' | 'only-rebuilt' | 'only-against'
  /** Undefined: absent. Fields that are left out of the comparison are left out here. */
  readonly rebuilt: Value | undefined
  readonly against: Value | undefined
  /** The smallest places that differ; empty where the key is on one side only. */
  readonly fields: readonly FieldDifference[]
  /** Where it was asked for. */
  readonly blame?: Blame
}
