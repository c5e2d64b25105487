import type { FetchedPartition } from './port.js'
import type { RecordBatch } from './record-batch.js'

/**
 * Which of the batches of one read_committed fetch are of transactions that were aborted, as the broker's list for that very fetch says:
 * a producer's transaction runs from its first offset in the list to that producer's next abort marker. True for batches that hold no
 * event: of aborted transactions, not control batches. One answer per batch, in their order.
 */
export function abortedBatches(batches: readonly RecordBatch[], aborted: FetchedPartition['aborted']): boolean[] {
  if (aborted.length === 0) return batches.map(() => false)
  const waiting = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset)
  const open = new Set<bigint>()
  let begun = 0
  return batches.map((batch) => {
    while (begun < waiting.length && (waiting[begun] as { firstOffset: number }).firstOffset <= batch.lastOffset) {
      open.add((waiting[begun++] as { producerId: bigint }).producerId)
    }
    if (!batch.isTransactional || !open.has(batch.producerId)) return false
    if (!batch.isControl) return true
    if (batch.marker() === 'abort') open.delete(batch.producerId)
    return false
  })
}
