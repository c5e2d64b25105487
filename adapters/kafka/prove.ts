import { milestonesOf, type Mark, type MarkCheck, type Offset } from '../../src/index.js'
import { InputChain } from './chain.js'
import { idOf, keptAt, proofOf, type KafkaProof, type KeptRecord, type LogIdentity } from './mark.js'
import type { RecordPage } from './page.js'
import { readPages, type PartitionLog } from './pages.js'
import type { KafkaPort } from './port.js'

/** A partition as the cluster describes it now. */
export interface PartitionView extends PartitionLog {
  readonly identity: LogIdentity
  readonly first: Offset
  /** The last one that can be read, inclusive. */
  readonly last: Offset
  /** The last one that is written, inclusive. */
  readonly written: Offset
  /** Is the topic compacted? Null: that may not be read. */
  readonly policy: boolean | null
  /** delete.retention.ms of a topic that is compacted; null where it is not known. */
  readonly tombstonesMs: number | null
  /** Before and after the broker was asked. */
  readonly askedMs: number
  readonly answeredMs: number
}

/** What is known of a mark, and with what a read goes on from it. */
export interface Proved {
  readonly check: MarkCheck
  /** The chain up to the mark; null where there is none, or it could not be taken up again. */
  readonly chain: InputChain | null
  readonly kept: readonly KeptRecord[]
}

/** Is this partition still the one that a mark was taken of, at a position at or after it? */
export async function proveMark(
  port: KafkaPort, view: PartitionView, mark: Mark, at: Offset, signal: AbortSignal,
): Promise<Proved> {
  const proof = proofOf(mark)
  const answer = (check: MarkCheck): Proved => ({ check, chain: null, kept: proof?.records ?? [] })
  if (proof === null || proof.last.offset > at) {
    return answer({ is: 'unprovable', why: 'The mark was not taken from a Kafka log at this offset.' })
  }
  if (mark.id !== idOf(view.identity)) return answer({ is: 'different', code: 'LOG_RECREATED', why: otherIdentity(proof, view.identity) })
  if (at > view.last) return answer({ is: 'different', code: 'LOG_TRUNCATED', why: `The log ends at ${view.last}, before ${at}.` })
  if (at < view.first - 1) {
    return answer({ is: 'different', code: 'LOG_TRUNCATED', why: `The log begins at ${view.first} now, after ${at + 1}.` })
  }
  const { last, records } = proof
  if (last.offset >= view.first) {
    const found = await findLast(port, view, mark, proof, last, signal)
    if (found.is === 'other') return answer(rewritten(last))
    // A block that compaction may have thinned proves nothing; any other is as it was read.
    if (found.is === 'same' && found.blockDiffers && !view.compacted) return answer(rewritten(last))
    if (found.is === 'same') return { check: { is: 'same' }, chain: found.chain, kept: records }
  }
  return answer(await proveWithoutLast(port, view, records, signal))
}

interface Found {
  readonly is: 'same' | 'other' | 'gone'
  readonly chain: InputChain | null
  readonly blockDiffers: boolean
}

/** Reads the block up to its last record, as it was when the mark was taken. */
async function findLast(
  port: KafkaPort, view: PartitionView, mark: Mark, proof: KafkaProof, last: KeptRecord, signal: AbortSignal,
): Promise<Found> {
  const { block } = proof
  const isWhole = block !== null && mark.input !== null && block.offset >= view.first
  const earlier = milestonesOf(mark.earlier, last.offset)
  const chain = isWhole ? new InputChain({ offset: block.offset, chain: Buffer.from(block.chain, 'hex'), earlier }) : null
  for await (const page of readPages(port, view, { from: isWhole ? block.offset : last.offset, upTo: last.offset }, signal)) {
    const taken = chain?.take(page) ?? null
    const index = page.indexOf(last.offset)
    if (index === page.count) continue
    if (page.hashAt(index) !== last.hash) return { is: 'other', chain: null, blockDiffers: false }
    const blockDiffers = taken !== null && taken.inputAt(index).input !== mark.input
    return { is: 'same', chain: blockDiffers ? null : chain, blockDiffers }
  }
  return { is: 'gone', chain: null, blockDiffers: false }
}

/** The last applied record is gone (expired, compacted, a marker in its place): the lineage of leaders decides, then older records. */
async function proveWithoutLast(
  port: KafkaPort, view: PartitionView, records: readonly KeptRecord[], signal: AbortSignal,
): Promise<MarkCheck> {
  const last = records.at(-1) as KeptRecord
  const lineage = last.leaderEpoch < 0 ? null : await port.endOfEpoch(view, last.leaderEpoch)
  if (lineage !== null && lineage.endOffset <= last.offset) {
    const why = `As the cluster sees it now, the leader of epoch ${last.leaderEpoch} wrote up to ${lineage.endOffset - 1} only;`
      + ` ${last.offset} was read.`
    return { is: 'different', code: 'LOG_DIVERGED', why }
  }
  for (const record of records.slice(0, -1).reverse()) {
    if (record.offset < view.first) break
    const hash = await hashOf(port, view, record.offset, signal)
    if (hash === record.hash) return { is: 'same' }
    if (hash !== null) return rewritten(record)
  }
  return { is: 'unprovable', why: `The last ${records.length} records that were applied, up to ${last.offset}, are gone.` }
}

/** Null where there is no record at that offset. */
async function hashOf(port: KafkaPort, view: PartitionView, offset: Offset, signal: AbortSignal): Promise<string | null> {
  for await (const page of readPages(port, view, { from: offset, upTo: offset }, signal)) {
    if (page.indexOf(offset) < page.count) return page.hashAt(page.indexOf(offset))
  }
  return null
}

function rewritten({ offset }: KeptRecord): MarkCheck {
  return { is: 'different', code: 'LOG_REWRITTEN', why: `The record at ${offset}, or one of its block before it, has other content.` }
}

function otherIdentity(before: LogIdentity, now: LogIdentity): string {
  if (before.clusterId !== now.clusterId) return `It is another cluster: ${now.clusterId}, not ${before.clusterId}.`
  if (before.topicId !== now.topicId) return `The topic was deleted and made again: its id is ${now.topicId}, not ${before.topicId}.`
  return `It was read with ${before.isolation} before, and is read with ${now.isolation} now.`
}

/** What is kept behind a page for the next one. */
export function keptBehind(page: RecordPage, before: readonly KeptRecord[]): readonly KeptRecord[] {
  return page.count === 0 ? before : keptAt(page, page.count - 1, before)
}
