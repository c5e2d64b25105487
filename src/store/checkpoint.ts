import type { KeySum } from '../digest/key-set.js'
import type { Fingerprint } from '../projection/fingerprint.js'

/** A stale writer gets FENCED: every commit is conditional on the newest (epoch, incarnation). */
export interface Writer {
  /** Rises by one with every open for writing. */
  readonly epoch: number
  readonly incarnation: string
}

/** One of several equal parts of a job: a set of whole order domains. */
export interface Shard {
  /** From 0. */
  readonly index: number
  /** Into how many the job is divided. */
  readonly of: number
}

/** One thing that a person waived with `--accept CODE=WHERE`, or a mark such as BASELINE. */
export interface Accepted {
  readonly code: string
  readonly partition?: string
  /** Both inclusive. */
  readonly from?: number
  readonly to?: number
  readonly detail?: string
}

/**
 * What a checkpoint states, byte-exact (rule 6 of the state hash): a function of log, cut, projection, `accepted` and
 * `scrubbedAt` only. Restarts, batch sizes and interleavings do not change it.
 */
export interface Manifest {
  readonly v: 1
  readonly sealed: boolean
  /** State root, `sh1:<hex>`; null while the digest is pending. */
  readonly root: string | null
  readonly position: Readonly<Record<string, number>>
  readonly identity: Readonly<Record<string, { readonly id: string; readonly proved: boolean }>>
  readonly projection: { readonly name: string; readonly version: number; readonly fingerprint: Fingerprint }
  readonly order: string
  readonly holes: { readonly control: number; readonly aborted: number; readonly filtered: number; readonly compactedOrLost: number }
  readonly accepted: readonly Accepted[]
  /** The position at which every stored byte was last re-read; null: never. */
  readonly scrubbedAt: Readonly<Record<string, number>> | null
  /** Root over the engine's collections except `$digest` and `$marks`; null while the digest is pending. */
  readonly control: string | null
}

export interface CollectionRoot {
  /** Live keys. */
  readonly count: number
  /** Collection root (rule 4), `sh1:<hex>`. */
  readonly root: string
}

/** One per generation, replaced by each commit in the same transaction as the entries. A seal is one with `manifest.sealed`. */
export interface Checkpoint {
  readonly manifest: Manifest
  /** H(06 ‖ canonical(manifest)), `sh1:<hex>`; checked when a store is opened. */
  readonly manifestHash: string
  readonly writer: Writer
  /** Roots per collection, `$` ones included; null while the digest is pending (an unsealed generation in bulk build). */
  readonly collections: Readonly<Record<string, CollectionRoot>> | null
  /** While the digest is pending: the keys of each collection, so that a lost row is found when it is built. Null afterwards. */
  readonly keys: Readonly<Record<string, KeySum>> | null
  /** Whose part of the state this is; left out: it is the whole. Not part of the manifest: the parts of a state join to its manifest. */
  readonly shard?: Shard
  /** When it was written, milliseconds since 1970; not part of the manifest. */
  readonly writtenAtMs: number
}

