import { createHash } from 'node:crypto'
import type { Mark, Offset, Value } from '../../src/index.js'
import type { BlockStart } from './chain.js'
import type { LinePage } from './lines.js'

/** SHA-256, hex, of a line's bytes without its terminator. */
export function lineHash(page: LinePage, line: number): string {
  return createHash('sha256').update(page.buffer.subarray(page.start(line), page.end(line))).digest('hex')
}

/** A record known by its hash. */
interface HashedRecord {
  readonly offset: Offset
  readonly hash: string
}

/** The first record the log had when it was first read; it may be gone by now, its hash stays the partition's identity. */
export type FirstRecord = HashedRecord

/** What a file log keeps in Mark.proof. */
export interface FileProof {
  readonly first: HashedRecord
  readonly last: HashedRecord
  /** The block that holds `last`; null where no chain is kept. */
  readonly block: { readonly offset: Offset; readonly chain: string } | null
  /** Where the block starts, as a hint: what is found there is proved by its hash. */
  readonly hint: { readonly segment: string; readonly byte: number } | null
}

export function makeMark(
  first: FirstRecord,
  last: HashedRecord,
  at: { readonly input: string; readonly block: BlockStart } | null,
): Mark {
  const proof: FileProof = {
    first,
    last,
    block: at === null ? null : { offset: at.block.offset, chain: at.block.chain.toString('hex') },
    hint: at === null ? null : { segment: at.block.segment, byte: at.block.byte },
  }
  const earlier = at?.block.earlier ?? null
  return { id: first.hash, input: at?.input ?? null, ...(earlier !== null && { earlier }), proof: proof as unknown as Value }
}

/** null where the mark is not one of a file log's. */
export function proofOf(mark: Mark): FileProof | null {
  const proof = mark.proof as unknown as Partial<FileProof> | null
  const isRecord = (record: HashedRecord | undefined): boolean =>
    Number.isSafeInteger(record?.offset) && typeof record?.hash === 'string'
  if (typeof proof !== 'object' || proof === null || !isRecord(proof.first) || !isRecord(proof.last)) return null
  return { first: proof.first as HashedRecord, last: proof.last as HashedRecord, block: proof.block ?? null, hint: proof.hint ?? null }
}
