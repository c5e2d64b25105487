import { RehydrateError } from '../errors.js'
import type { Manifest } from '../store/checkpoint.js'

/**
 * LOG_COMPACTED where more of the log is missing than a person waived as gaps: which events were still there depends on when the log
 * was read, so that a state is no function of its position, and no earlier one can be told.
 */
export function assertNotCompacted({ holes, accepted }: Pick<Manifest, 'holes' | 'accepted'>): void {
  let missing = holes.compactedOrLost
  for (const { code, from, to } of accepted) {
    if (code === 'LOG_GAP' && from !== undefined && to !== undefined) missing -= to - from + 1
  }
  if (missing <= 0) return
  throw new RehydrateError('LOG_COMPACTED', {
    message: missing === 1 ? 'One offset of the log was gone without a known reason when it was read.'
      : `${missing} offsets of the log were gone without a known reason when it was read.`,
    expected: 0, actual: missing,
  })
}
