import type { Inputs } from '../log/inputs.js'
import type { Position } from '../log/position.js'
import type { Projection } from '../projection/define.js'
import type { CollectionRoot, Manifest } from '../store/checkpoint.js'

/**
 * The other side of a comparison, before it is opened: a store of ours, a dump, a table of another program, a host. What a factory
 * returns is inert.
 */
export interface Against {
  readonly kind: 'against'
  /** What people call it: a path, an address. No secrets. */
  readonly name: string
  /** Opens one pinned, consistent view. Opened again where it is waited for. AGAINST_* and the errors of the store behind it. */
  open(options: AgainstOptions): Promise<Side>
}

export interface AgainstOptions {
  /** What the rebuilt side is a state of: its collections, and their declared integers and columns. */
  readonly projection: Projection
  readonly signal: AbortSignal
}

export type Side = DigestSide | RowSide

/** How roots are made; those of two formats are incomparable. The constants of rule 4. */
export interface DigestFormat {
  readonly version: number
  readonly algorithm: number
  readonly codec: number
  readonly capacity: number
}

/** Where a side stands in the log. */
export interface Standing {
  readonly position: Position
  /** 'proved': kept in the rows' own transaction. 'asserted': a person says so. */
  readonly known: 'proved' | 'asserted'
}

/** What a maintained side says of itself; everything else is asked for only where it is needed. */
export interface Hello {
  readonly v: 1
  readonly format: DigestFormat
  /** The sealed checkpoint's; `root` is set. */
  readonly manifest: Manifest
  readonly manifestHash: string
  /** Of the projection's collections, the non-empty ones. */
  readonly collections: Readonly<Record<string, CollectionRoot>>
  /** Per partition the chain over what was read, hexadecimal, null where none is kept: whether two rebuilds had one input. */
  readonly chains: Readonly<Record<string, string | null>>
}

/** A side with a maintained digest: equal is known at once, differences in O(differences · log n). */
export interface DigestSide {
  readonly kind: 'digest'
  readonly name: string
  readonly hello: Hello
  /** 'asserted' where a person says where it stands, and the seal says nothing of it. */
  readonly standing: Standing
  /** Pages of `$digest` by key; those that are not there are left out. */
  readonly pages: (keys: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>
  /** Canonical bytes by key; those that are not there are left out. STATE_CORRUPT for bytes that do not fit their hash. */
  readonly values: (collection: string, keys: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>
  /** What was read, per partition, as far back as that is kept: for the question where two inputs part. */
  readonly inputs: () => Promise<Readonly<Record<string, Inputs>>>
  /** What was exchanged with another host so far; null in process. */
  readonly traffic: () => Traffic | null
  /** Idempotent. */
  readonly close: () => Promise<void>
}

export interface Traffic {
  readonly requests: number
  /** Bodies of requests and answers. */
  readonly bytes: number
}

/** A side without hashes of its own: every row is read, hashed here, and forgotten. */
export interface RowSide {
  readonly kind: 'rows'
  readonly name: string
  /** Null: not known, and so nothing can be said. */
  readonly standing: Standing | null
  /** What it covers. A collection of the projection that stands in neither is taken for empty here. */
  readonly collections: ReadonlyMap<string, RowCollection>
  /** Collections of the projection that a person left out of the comparison; the verdict says so. */
  readonly leftOut: readonly string[]
  /** All rows, in any order; the same at every call. Errors name the row: VALUE_INVALID, KEY_INVALID, NUMBER_INEXACT, COLUMN_UNKNOWN. */
  readonly scan: (collection: string) => AsyncIterable<RowBlock>
  /** Canonical bytes by key; those that are not there are left out. */
  readonly values: (collection: string, keys: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>
  /** Statements or lines that would bring these keys to the given values (null: absent); null where it can say none. */
  readonly mend: ((changes: readonly Mend[]) => readonly string[]) | null
  /** Idempotent. */
  readonly close: () => Promise<void>
}

export interface RowCollection {
  /** Fields of the rebuilt values, by their paths, that this side does not have: left out on both sides. */
  readonly omitted: readonly string[]
}

/** Rows as they are hashed: canonical values one behind the other. `ends[i]` is where value i ends. Valid until the next block. */
export interface RowBlock {
  readonly keys: readonly string[]
  readonly bytes: Uint8Array
  readonly ends: readonly number[]
}

/** What one key should hold. */
export interface Mend {
  readonly collection: string
  readonly key: string
  /** Canonical bytes; null: it should be absent. */
  readonly should: Uint8Array | null
  /** What it holds now; null: it is absent. */
  readonly is: Uint8Array | null
}
