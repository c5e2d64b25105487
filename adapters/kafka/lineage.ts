import { RehydrateError, type Offset } from '../../src/index.js'
import type { RecordPage } from './page.js'
import type { KafkaPort } from './port.js'
import type { PartitionView } from './prove.js'

/** What was read last of one leader's time. */
export interface EpochRead {
  readonly leaderEpoch: number
  /** Inclusive. */
  readonly to: Offset
}

/**
 * Where a page goes on with a later leader, that one must have kept all that was read of the earlier one: LOG_DIVERGED otherwise. Epochs
 * that the log or the broker does not know (−1, null) say nothing. Gives what to compare the next page with.
 */
export async function followLineage(
  port: KafkaPort, view: PartitionView, page: RecordPage, before: EpochRead | null,
): Promise<EpochRead | null> {
  let last = before
  for (const run of page.epochs) {
    if (last !== null && last.leaderEpoch >= 0 && run.leaderEpoch > last.leaderEpoch) {
      const kept = await port.endOfEpoch(view, last.leaderEpoch)
      if (kept !== null && kept.endOffset <= last.to) throw diverged(view, last, run.leaderEpoch, kept.endOffset)
    }
    last = run
  }
  return last
}

function diverged({ name }: PartitionView, read: EpochRead, leaderEpoch: number, end: Offset): RehydrateError {
  return new RehydrateError('LOG_DIVERGED', {
    message: `${name} was read up to ${read.to} in leader epoch ${read.leaderEpoch}; the leader of epoch ${leaderEpoch} `
      + `says that this one ended before ${end}.`,
    partition: name, offset: end, expected: `more than ${read.to}`, actual: end,
  })
}
