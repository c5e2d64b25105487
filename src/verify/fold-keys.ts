import { positionFromJson } from '../log/position.js'
import type { EventSource, Holes, Mark } from '../log/source.js'
import type { Projection } from '../projection/define.js'
import type { Slot } from '../projection/view.js'
import type { World } from '../replay/api.js'
import { ownerKey } from '../replay/owners.js'
import { folded, nameOf, relatedTo } from '../replay/refold.js'
import type { Manifest } from '../store/checkpoint.js'
import type { Value } from '../value/canonical.js'
import { assertNotCompacted } from './compacted.js'
import { assertFoldsAgain } from './past.js'

export interface FoldKeysOptions {
  readonly source: EventSource
  readonly projection: Projection
  readonly keys: readonly { readonly collection: string; readonly key: string }[]
  /** Of the state that the keys are of: it is folded to where that stands, and what was left out for it is left out here. */
  readonly manifest: Manifest
  /** Of the same: the log must still be the one that was read. */
  readonly marks: ReadonlyMap<string, Mark>
  readonly signal: AbortSignal
}

/**
 * What the log gives for some keys of a state, in the order of `keys` (undefined: absent). Only they and the keys they share events with
 * are folded: one pass over the log where each event has one key, two otherwise. PROJECTION_CHANGED, LOG_COMPACTED; else as of a replay.
 */
export async function foldKeys(options: FoldKeysOptions, world: World): Promise<(Value | undefined)[]> {
  const { source, projection, keys, manifest, marks, signal } = options
  const upTo = positionFromJson(manifest.position)
  await assertFoldsAgain({ source, projection, manifest, marks }, world)
  const reading = { source, projection, upTo, accepted: manifest.accepted, signal }
  const uninstall = world.purity.install()
  try {
    const wanted = await relatedTo(keys.map(({ collection, key }) => ownerKey(collection, key)), reading, world)
    const slots = new Map<string, Slot>()
    // The log may have been compacted since the state was built.
    const onHoles = (holes: Holes): void => assertNotCompacted({ holes, accepted: [] })
    for await (const event of folded(reading, wanted, onHoles, world)) for (const slot of event.slots) slots.set(nameOf(slot), slot)
    return keys.map(({ collection, key }) => slots.get(ownerKey(collection, key))?.value)
  } finally {
    uninstall()
  }
}
