import { offsetIn } from '../log/position.js'
import { EventApplier } from '../projection/apply.js'
import { IdWindow } from './ids.js'
import { claim } from './owners.js'
import type { SessionPorts } from './session.js'

/**
 * A log of one partition has got a second one: from now on it matters which keys the first has touched, also those deleted since
 * and those only read. Only the log knows: its keys are read again (no handler runs), and claimed in one commit.
 */
export async function backfillOwners(ports: SessionPorts): Promise<void> {
  const { source, projection, cut, before, settings, world, workingSet, committer, signal } = ports
  const applier = new EventApplier(projection)
  const seen = new IdWindow(projection.idWindow, new Map())
  const leftOut = new Set(cut.accepted.map(({ partition, from }) => `${partition}@${from}`))
  for (const [partition, upTo] of cut.position) {
    const range = { after: offsetIn(before, partition), upTo, mark: null }
    for await (const batch of source.read(partition, range, settings.limits, signal)) {
      const touched = []
      world.purity.enter()
      try {
        for (let i = 0; i < batch.length; i++) {
          if (leftOut.has(`${partition}@${batch.offsetAt(i)}`)) continue
          if (projection.idWindow > 0 && seen.isRepeat(batch.event(i))) continue
          const prepared = applier.prepare(batch, i, workingSet.slotOf)
          if (prepared !== null) touched.push(prepared)
        }
      } finally {
        world.purity.leave()
      }
      await workingSet.load()
      for (const { slots, event } of touched) {
        for (const slot of slots) if (claim(slot, partition, event.offset)) workingSet.ownerChanged(slot)
      }
    }
  }
  if (signal.aborted) return
  await committer.commit(cut, workingSet, ports.ids, { sealed: false, durable: false })
  workingSet.committed()
}
