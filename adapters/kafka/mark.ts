import type { Mark, Offset, Value } from '../../src/index.js'
import type { BlockStart } from './chain.js'
import type { RecordPage } from './page.js'
import type { Pass } from './pass.js'
import type { SchemaHashes } from './payload/pins.js'

export type Isolation = 'read_committed' | 'read_uncommitted'

/** A partition of one incarnation of a topic, read in one way. */
export interface LogIdentity {
  readonly clusterId: string
  readonly topicId: string
  readonly partition: number
  readonly isolation: Isolation
}

/** An applied record, known by its hash. */
export interface KeptRecord {
  readonly offset: Offset
  readonly hash: string
  /** Of the leader that took it; −1 where the log does not say. */
  readonly leaderEpoch: number
}

/** So many applied records are kept: where the last was compacted away, an older one may still prove the log. */
const KEPT_RECORDS = 4

/** What a Kafka log keeps in Mark.proof. */
export interface KafkaProof extends LogIdentity {
  /** The last applied records, in offset order. */
  readonly records: readonly KeptRecord[]
  /** The block that the last one is in; null where no chain is kept. */
  readonly block: { readonly offset: Offset; readonly chain: string } | null
  /** Of a topic that is compacted, or may be. It is of the time, not of the log: the only part that two readers do not share. */
  readonly pass?: Pass
  /** SHA-256 of the schemas of the registry that were met, by their ids; left out where there were none. */
  readonly schemas?: Readonly<Record<string, string>>
}

export function idOf({ clusterId, topicId, partition, isolation }: LogIdentity): string {
  return `${clusterId}/${topicId}/${partition}/${isolation}`
}

export function makeMark(
  identity: LogIdentity, records: readonly KeptRecord[], at: { readonly input: string; readonly block: BlockStart } | null,
  pass: Pass | null, schemas: SchemaHashes | null,
): Mark {
  const block = at === null ? null : { offset: at.block.offset, chain: at.block.chain.toString('hex') }
  const met = schemas === null || schemas.size === 0 ? null : Object.fromEntries(schemas)
  const proof: KafkaProof = { ...identity, records, block, ...(pass !== null && { pass }), ...(met !== null && { schemas: met }) }
  const earlier = at?.block.earlier ?? null
  return { id: idOf(identity), input: at?.input ?? null, ...(earlier !== null && { earlier }), proof: proof as unknown as Value }
}

/** The mark in another pass. */
export function inPass(mark: Mark, pass: Pass): Mark {
  const proof = { ...(mark.proof as unknown as KafkaProof), pass }
  return { ...mark, proof: proof as unknown as Value }
}

/** Null where the mark names none. */
export function passOf(mark: Mark): Pass | null {
  const pass = (mark.proof as unknown as Partial<KafkaProof> | null)?.pass
  return Number.isSafeInteger(pass?.since) && Number.isFinite(pass?.beganMs) ? pass as Pass : null
}

/** The last records up to and with one of a page; `before`: those that were kept before the page. */
export function keptAt(page: RecordPage, index: number, before: readonly KeptRecord[]): readonly KeptRecord[] {
  const first = Math.max(0, index + 1 - KEPT_RECORDS)
  const here = Array.from({ length: index + 1 - first }, (_, i): KeptRecord => {
    const at = first + i
    return { offset: page.offsetAt(at), hash: page.hashAt(at), leaderEpoch: page.leaderEpochAt(at) }
  })
  return [...before, ...here].slice(-KEPT_RECORDS)
}

/** null where the mark is not one of a Kafka log's. */
export function proofOf(mark: Mark): (KafkaProof & { readonly last: KeptRecord }) | null {
  const proof = mark.proof as unknown as Partial<KafkaProof> | null
  if (typeof proof !== 'object' || proof === null || !Array.isArray(proof.records)) return null
  const records = proof.records as readonly KeptRecord[]
  const last = records.at(-1)
  const isWhole = records.every(({ offset, hash, leaderEpoch }) =>
    Number.isSafeInteger(offset) && typeof hash === 'string' && Number.isSafeInteger(leaderEpoch))
  if (last === undefined || !isWhole) return null
  return { ...(proof as KafkaProof), block: proof.block ?? null, records, last }
}
