import { RehydrateError } from '../errors.js'
import { offsetIn } from '../log/position.js'
import { EventApplier } from '../projection/apply.js'
import { OWNERS, Owners } from './owners.js'
import { Refold } from './refold.js'
import type { SessionPorts } from './session.js'
import { scanAll } from './state.js'

/**
 * A log of one order domain has got a second one: from now on it matters which keys the first has touched, also those deleted since
 * and those only read. Only the log knows: its keys are read again (no handler runs), and claimed in one commit.
 */
export async function backfillOwners(ports: SessionPorts): Promise<void> {
  const { source, projection, cut, before, settings, world, workingSet, committer, signal } = ports
  const owners = new Owners(projection)
  const refold = new Refold(projection, new EventApplier(projection), cut.accepted, world.purity)
  for (const [partition, upTo] of cut.position) {
    const range = { after: offsetIn(before, partition), upTo, mark: null }
    const missing = cut.accepted.find((accepted) => accepted.code === 'HISTORY_INCOMPLETE' && accepted.partition === partition)
    if (range.after > (missing?.to ?? -1)) throw gone(partition, range.after + 1)
    for await (const batch of source.read(partition, range, settings.limits, signal)) {
      const touched = refold.prepare(batch, 0, batch.length, workingSet.slotOf)
      await workingSet.load()
      for (const { slots, event } of touched) {
        for (const slot of slots) if (owners.claim(slot, event)) workingSet.ownerChanged(slot)
      }
    }
  }
  if (signal.aborted) return
  await committer.commit(cut, workingSet, ports.ids, { sealed: false, durable: false })
  workingSet.committed()
}

function gone(partition: string, first: number): RehydrateError {
  return new RehydrateError('LOG_TRUNCATED', {
    message: `${partition} starts at ${first} now. The log has got another partition, and which keys the events before touched is needed.`,
    partition, offset: first, expected: 'the log as it was read', actual: first,
  })
}

/**
 * A run over several partitions was left while one of them had been read, and the next ends inside that one: it keeps no owners, and
 * half of them would be taken for all of them later. Without them the cut is as if it had been reached alone.
 */
export async function dropOwners({ store, committer, cut, workingSet, ids }: SessionPorts): Promise<void> {
  const deletes = []
  for await (const { collection, key } of scanAll(store, OWNERS)) deletes.push({ collection, key })
  await committer.commit(cut, workingSet, ids, { sealed: false, durable: false, deletes })
  workingSet.committed()
}
