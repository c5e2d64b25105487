import type { EventSource } from '../log/source.js'
import type { Position } from '../log/position.js'
import { EventApplier } from '../projection/apply.js'
import type { Collection, Projection } from '../projection/define.js'
import { Slot } from '../projection/view.js'
import type { World } from '../replay/api.js'
import { ownerKey } from '../replay/owners.js'
import { hasSingleKeys, nameOf, refolded, RelatedKeys } from '../replay/refold.js'
import type { Manifest } from '../store/checkpoint.js'
import type { Value } from '../value/canonical.js'
import { assertNotCompacted } from './compacted.js'
import { assertBuiltWith } from './past.js'

export interface FoldKeysOptions {
  readonly source: EventSource
  readonly projection: Projection
  readonly keys: readonly { readonly collection: string; readonly key: string }[]
  /** The last offsets to read, inclusive. */
  readonly upTo: Position
  /** Of the state that the keys are of: what was left out for it is left out here. */
  readonly manifest: Manifest
  readonly signal: AbortSignal
}

/**
 * What the log gives for some keys at a position, in the order of `keys` (undefined: absent). Only they and the keys they share events with
 * are folded: one pass over the log where each event has one key, two otherwise. PROJECTION_CHANGED, LOG_COMPACTED; else as of a replay.
 */
export async function foldKeys(options: FoldKeysOptions, world: World): Promise<(Value | undefined)[]> {
  const { source, projection, keys, upTo, manifest, signal } = options
  assertNotCompacted(manifest)
  await assertBuiltWith(manifest, projection, world)
  const reading = { source, projection, upTo, accepted: manifest.accepted, signal }
  const uninstall = world.purity.install()
  try {
    const related = new RelatedKeys()
    if (!hasSingleKeys(projection)) {
      const slotOf = (collection: Collection, key: string): Slot => new Slot(collection, key)
      for await (const prepared of refolded(reading, { applier: new EventApplier(projection), slotOf }, world)) {
        for (const { slots } of prepared) related.join(slots)
      }
    }
    const wanted = related.relatedTo(keys.map(({ collection, key }) => ownerKey(collection, key)))
    const slots = await foldWanted(reading, wanted, world)
    return keys.map(({ collection, key }) => slots.get(ownerKey(collection, key))?.value)
  } finally {
    uninstall()
  }
}

async function foldWanted(
  reading: Parameters<typeof refolded>[0], wanted: ReadonlySet<string>, world: World,
): Promise<ReadonlyMap<string, Slot>> {
  const applier = new EventApplier(reading.projection)
  const slots = new Map<string, Slot>()
  const slotOf = (collection: Collection, key: string): Slot => {
    const name = ownerKey(collection.name, key)
    const slot = slots.get(name) ?? new Slot(collection, key)
    if (wanted.has(name)) slots.set(name, slot)
    return slot
  }
  for await (const prepared of refolded(reading, { applier, slotOf }, world)) {
    world.purity.enter()
    try {
      for (const event of prepared) {
        if (event.slots.some((slot) => wanted.has(nameOf(slot)))) applier.apply(event, (slot) => { slot.dirty = false })
      }
    } finally {
      world.purity.leave()
    }
  }
  return slots
}
